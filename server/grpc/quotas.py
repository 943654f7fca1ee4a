"""How many gRPC calls may run at once, and how long one may keep a thread waiting for its caller.

Every call holds one of the server's threads until it ends. So each kind of call has a quota, of one address
and in all; a call whose caller neither sends nor reads is ended; and there are more threads than all quotas
together, which leaves some for health and status at any time.
"""

import itertools
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from acestep.errors import AceStepError, Busy, Cancelled, InvalidRequest

IDLE_S = 30.0  # a caller that sends nothing more, or reads nothing, for so long has gone
FIRST_S = 5.0  # and one that does not even send its request
FIRST_CALLS = 32  # so many may be about to send it; of more, the one that has waited longest is ended


@dataclass(frozen=True)
class Quota:
    """How many calls of a kind may run at once."""

    what: str
    per_address: int
    in_all: int


JOBS = Quota("calls that generate", 48, 64)
WATCHES = Quota("calls that watch", 48, 64)
FOLLOWS = Quota("follows", 8, 16)
HEALTH = Quota("calls that watch the health", 12, 24)
DOWNLOADS = Quota("downloads", 12, 24)
UPLOADS = Quota("uploads", 8, 16)
MODELS = Quota("calls that load or unload", 8, 16)
LISTS = Quota("calls for lists and clips", 24, 32)
STATUS = Quota("calls for status", 64, 96)
QUOTAS = {
    "Generate": JOBS,
    "Follow": FOLLOWS,
    "WatchJob": WATCHES,
    "WatchAll": WATCHES,
    "Watch": HEALTH,
    "ServerReflectionInfo": UPLOADS,
    "Download": DOWNLOADS,
    "Upload": UPLOADS,
    "LoadCascade": MODELS,
    "UnloadCascade": MODELS,
    "LoadAdapter": MODELS,
    "UnloadAdapter": MODELS,
    "GetStatus": STATUS,
    "Check": STATUS,
}
WITHOUT_REQUEST = ("GetStatus",)  # answered before anything is read: what is asked is always the same
PATIENT = ("Follow",)  # whose callers may have nothing to say for as long as they like
SPARE_THREADS = 16  # for those that are being refused
THREADS = sum(quota.in_all for quota in {*QUOTAS.values(), LISTS}) + FIRST_CALLS + SPARE_THREADS


def address(peer: str) -> str:
    """The caller's address without its port, which is another for every connection."""
    return peer.rpartition(":")[0] or peer


class _Call:
    """A call that runs: since when it has been waiting for its caller, and how long it may."""

    def __init__(self, context: grpc.ServicerContext):
        self.context = context
        self.until: float | None = None  # None: it is the daemon that works

    @contextmanager
    def waiting(self, allowed_s: float) -> Iterator[None]:
        """The time in here is the caller's."""
        if math.isinf(allowed_s):
            yield
            return
        self.until = time.monotonic() + allowed_s
        try:
            yield
        finally:
            self.until = None

    def read(
        self, requests: Iterator[bytes], message: Callable[[bytes], Any], idle_s: float = IDLE_S
    ) -> Iterator[Any]:
        """The caller's messages, of which each but the first may take `idle_s`."""
        allowed_s = FIRST_S
        while True:
            with self.waiting(allowed_s):
                try:
                    content = next(requests)
                except StopIteration:
                    return
                except grpc.RpcError:  # what gRPC says when the caller hung up in the middle
                    raise Cancelled("the caller ended the call") from None
            try:
                read = message(content)
            except (DecodeError, ValueError) as error:
                raise InvalidRequest(
                    f"the request cannot be read ({error}): is the schema another?"
                ) from error
            yield read
            allowed_s = idle_s

    def send(self, answers: Iterator[Any]) -> Iterator[Any]:
        """The daemon's messages: what follows a `yield` is only reached when the caller has taken it."""
        for answer in answers:
            with self.waiting(IDLE_S):
                yield answer


class Turnstile(grpc.ServerInterceptor):
    """Lets calls in as far as their quota goes, and ends those whose callers have gone quiet.

    `refuse` ends a call with an error.
    """

    def __init__(self, refuse: Callable[[grpc.ServicerContext, AceStepError], None]):
        self._refuse = refuse
        self._lock = threading.Lock()
        self._running: Counter[tuple[Quota, str]] = Counter()
        self._calls: set[_Call] = set()
        self._entering: dict[_Call, None] = {}  # in the order in which they came
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begins to look after the calls."""
        threading.Thread(target=self._look_after, name="quotas", daemon=True).start()

    def stop(self) -> None:
        """Ends that."""
        self._stopping.set()

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """Called by gRPC: the handler of a call, behind the turnstile.

        All handlers become ones that read a stream of requests. On the wire that is the same; but with it,
        waiting for the request itself happens in here, not in gRPC, which would wait for ever.
        """
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        name = handler_call_details.method.rpartition("/")[2]
        quota = QUOTAS.get(name, LISTS)

        def argument(call: _Call, requests: Iterator[bytes]) -> Any:
            """What the handler is called with: the request, or all of them once the first is there."""
            if name in WITHOUT_REQUEST:
                return handler.request_deserializer(b"")
            idle_s = math.inf if name in PATIENT else IDLE_S
            messages = call.read(requests, handler.request_deserializer, idle_s)
            with self._about_to_send(call):
                first = list(itertools.islice(messages, 1))
            if handler.request_streaming:
                return itertools.chain(first, messages)
            if not first:
                raise InvalidRequest("the call brings no request: expected one message")
            return first[0]

        def one(requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            act = handler.stream_unary if handler.request_streaming else handler.unary_unary
            with self._watched(context) as call:
                request = argument(call, requests)
                with self._counted(quota, context):
                    return act(request, context)

        def many(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
            act = handler.stream_stream if handler.request_streaming else handler.unary_stream
            with self._watched(context) as call:
                request = argument(call, requests)
                with self._counted(quota, context):
                    yield from call.send(act(request, context))

        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(many, None, handler.response_serializer)
        return grpc.stream_unary_rpc_method_handler(one, None, handler.response_serializer)

    @contextmanager
    def _watched(self, context: grpc.ServicerContext) -> Iterator[_Call]:
        call = _Call(context)
        self._calls.add(call)
        try:
            yield call
        except AceStepError as error:  # of the turnstile; what the handler raises it tells itself
            self._refuse(context, error)
        finally:
            self._calls.discard(call)

    @contextmanager
    def _about_to_send(self, call: _Call) -> Iterator[None]:
        with self._lock:
            self._entering[call] = None
            longest = next(iter(self._entering)) if len(self._entering) > FIRST_CALLS else None
            if longest:
                del self._entering[longest]
        if longest:
            longest.context.cancel()
        try:
            yield
        finally:
            with self._lock:
                self._entering.pop(call, None)

    @contextmanager
    def _counted(self, quota: Quota, context: grpc.ServicerContext) -> Iterator[None]:
        both = ((quota, address(context.peer())), (quota, ""))
        with self._lock:
            for key, limit in zip(both, (quota.per_address, quota.in_all), strict=True):
                if self._running[key] >= limit:
                    raise Busy(f"{limit} {quota.what} are open already: end some first")
            self._running.update(both)
        try:
            yield
        finally:
            with self._lock:
                self._running.subtract(both)
                for key in both:
                    if not self._running[key]:
                        del self._running[key]

    def _look_after(self) -> None:
        while not self._stopping.wait(0.5):
            now = time.monotonic()
            for call in list(self._calls):
                if (until := call.until) is not None and now > until:
                    call.context.cancel()
