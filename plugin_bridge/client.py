"""`Bridge`: the daemon from Python, synchronous.

What is sent and read is in `calls`, `settings` and `words`.

    with Bridge() as bridge:
        for event in bridge.generate("dusty breakbeat", bpm=92.5, bars=4, key="A minor"):
            print(event)
"""

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar, Unpack

import grpc

from acestep.console.command import expanded
from plugin_bridge import calls, errors, settings, words
from protos.acestep.v1 import acestep_pb2 as pb
from protos.acestep.v1 import acestep_pb2_grpc

T = TypeVar("T")


class Events(Iterator[words.Event]):
    """A running job's events, as they come. Cancelling, leaving a `with` or dropping it ends the call, and so
    the job.
    """

    def __init__(self, call: Any, address: str) -> None:
        self._call, self._address = call, address
        self.job = ""  # known from the first event on
        self._clips: list[words.Clip] = []

    def __next__(self) -> words.Event:
        try:
            for message in self._call:
                self.job = message.job or self.job
                event = words.read_event(message)
                if isinstance(event, words.ClipReady):
                    self._clips.append(event.clip)
                if event is not None:
                    return event
        except grpc.RpcError as error:
            raise errors.of_rpc(error, self._address) from error
        raise StopIteration

    def clips(self) -> list[words.Clip]:
        """Waits for the end and returns all clips. Raises the job's typed error."""
        for event in self:
            if isinstance(event, words.Failed):
                raise event.error
        return self._clips

    def cancel(self) -> None:
        """Ends the call from any thread: the iteration raises Cancelled, the job ends (unless detached)."""
        self._call.cancel()

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self._call.cancel()


class Sending:
    """A file on its way to the daemon. gRPC reads it in a thread of its own, no faster than it is taken."""

    def __init__(self, stub: Any, target: calls.Target, path: Path) -> None:
        """Raises InvalidRequest for a file that is none or cannot be read."""
        self._chunks, self._target = calls.upload_chunks(path), target
        self._unreadable: BaseException | None = None
        first = next(self._chunks)  # raises here, not in gRPC's thread
        self._call = stub.Upload.future(self._all(first), metadata=target.metadata)

    def _all(self, first: pb.UploadChunk) -> Iterator[pb.UploadChunk]:
        yield first
        try:
            yield from self._chunks
        except Exception as error:  # gRPC would only say that something was raised
            self._unreadable = error
            raise

    def result(self) -> words.Upload:
        """Waits for the end. Raises the daemon's refusal, also one that comes before all is sent."""
        try:
            return calls.read_upload(self._call.result())
        except grpc.RpcError as error:
            raise self._unreadable or errors.of_rpc(error, self._target.address) from error
        except grpc.FutureCancelledError as error:
            raise errors.Cancelled("the upload was cancelled here") from error
        finally:
            self._call.cancel()

    def cancel(self) -> None:
        """Ends it from any thread: `result` raises Cancelled."""
        self._call.cancel()


class Connection:
    """One channel to one daemon, with what proves who asks; every call of the wire goes through here.

    Sends and returns the wire's own messages. Raises the daemon's own errors.
    """

    def __init__(self, target: calls.Target) -> None:
        self.target = target
        self._channel = target.channel()
        self.stub = acestep_pb2_grpc.DaemonStub(self._channel)

    def unary(self, method: str, request: Any, timeout_s: float | None = calls.TIMEOUT_S) -> Any:
        """One answer to one request."""
        try:
            return getattr(self.stub, method)(request, timeout=timeout_s, metadata=self.target.metadata)
        except grpc.RpcError as error:
            raise errors.of_rpc(error, self.target.address) from error

    def stream(self, method: str, request: Any) -> Any:
        """A running call with many answers, to be cancelled at last; `failed` gives the errors it raises."""
        own = method == "Generate"
        metadata = self.target.generate_metadata if own else self.target.metadata
        return getattr(self.stub, method)(request, metadata=metadata)

    def failed(self, error: grpc.RpcError) -> errors.BridgeError:
        """The typed error of a failed call."""
        return errors.of_rpc(error, self.target.address)

    def close(self) -> None:
        """Ends the connection, and with it the running calls."""
        self._channel.close()


class Bridge:
    """A connection to one daemon. Safe to share between threads.

    `address` is `host:port`; without one the daemon of `home` (the user's) is asked. Beyond loopback the call
    is encrypted against the daemon's `certificate` (a file) and carries its `token`. With `own_files`,
    requests to this user's own daemon may name any file and folder of the user; a program that hands on other
    people's requests sets it False. All errors are `plugin_bridge.errors.BridgeError`.
    """

    def __init__(
        self,
        address: str = "",
        *,
        token: str = "",
        certificate: str | Path = "",
        own_files: bool = True,
        home: Path | None = None,
    ) -> None:
        self._connection = Connection(calls.Target.find(address, token, certificate, own_files, home))
        self.target = self._connection.target
        self._stub = self._connection.stub
        self._checked = False
        self._lock = threading.Lock()

    def __enter__(self) -> "Bridge":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, and with it the running calls."""
        self._connection.close()

    def generate(self, prompt: str, **options: Unpack[settings.Settings]) -> Events:
        """Starts a job; iterate its events, or wait with `.clips()`.

        Files for `reference` and `context` are uploaded first when the daemon is on another machine.
        """
        request = settings.wire_request(prompt, options)
        self._check_wire()
        if not self.target.is_local:
            sent = {path: self.upload(path).path for path in settings.local_files(options)}
            request = settings.wire_request(prompt, settings.with_uploads(options, sent))
        return Events(self._connection.stream("Generate", request), self.target.address)

    def watch(self, job: str = "") -> Events:
        """A job's events from its beginning; without a job, everybody's from now on."""
        self._check_wire()
        if job:
            call = self._connection.stream("WatchJob", pb.WatchJobRequest(job=job))
        else:
            call = self._connection.stream("WatchAll", pb.WatchAllRequest())
        return Events(call, self.target.address)

    def status(self) -> words.Status:
        """Versions, queue, folders. The one call that answers across wire versions."""
        return self._send(calls.status())

    def jobs(self, limit: int = 100) -> list[words.ListedJob]:
        """Newest first."""
        return self._do(calls.jobs(limit))

    def cancel(self, job: str) -> words.ListedJob:
        """Cancels a job, whoever asked for it."""
        return self._do(calls.cancel(job))

    def clips(self, words: str = "", **filters: Any) -> list[words.Clip]:
        """Newest first. Filters: bpm_min, bpm_max, key, adapter, since, starred, trashed, idea, limit."""
        return self._do(calls.clips(words, filters))

    def star(self, name: str, starred: bool = True) -> words.Clip:
        """Stars a clip, or takes the star away."""
        return self._do(calls.star(name, starred))

    def rename(self, name: str, new_name: str) -> words.Clip:
        """Gives a clip's file another name, with its ending or without; nothing is overwritten."""
        return self._do(calls.rename(name, new_name))

    def tag(self, name: str, tags: Iterable[str]) -> words.Clip:
        """Puts these tags in place of those the clip has; `clips` finds it by them."""
        return self._do(calls.tag(name, tags))

    def trash(self, name: str) -> words.Clip:
        """Moves a clip to the daemon's trash folder; `restore` undoes it."""
        return self._do(calls.trash(name))

    def restore(self, name: str) -> words.Clip:
        """Brings a clip back from the trash."""
        return self._do(calls.restore(name))

    def cascades(self) -> list[words.Cascade]:
        """The checkpoints the daemon knows."""
        return self._do(calls.cascades())

    def load_cascade(self, name: str) -> words.Cascade:
        """Loads a checkpoint; returns when it is ready."""
        return self._do(calls.load_cascade(name))

    def unload_cascade(self, name: str) -> words.Cascade:
        """Gives a checkpoint's memory back."""
        return self._do(calls.unload_cascade(name))

    def adapters(self) -> list[words.Adapter]:
        """The LoRA adapters the daemon knows."""
        return self._do(calls.adapters())

    def load_adapter(self, name: str) -> words.Adapter:
        """Loads an adapter; returns when it is ready."""
        return self._do(calls.load_adapter(name))

    def unload_adapter(self, name: str) -> words.Adapter:
        """Forgets an adapter."""
        return self._do(calls.unload_adapter(name))

    def upload(self, path: str | os.PathLike[str]) -> words.Upload:
        """Sends an audio file; the result's `path` serves as `reference` or `context`."""
        self._check_wire()
        return Sending(self._stub, self.target, expanded(path)).result()

    def download(self, name: str, folder: str | os.PathLike[str] = ".") -> Path:
        """Fetches a clip's file into `folder`. Appears whole or not at all; overwrites nothing."""
        self._check_wire()
        chunks = self._connection.stream("Download", pb.DownloadRequest(name=name))
        try:
            first = next(chunks)
            with calls.Download(name, folder) as file:
                file.write(first)
                for chunk in chunks:
                    file.write(chunk)
        except grpc.RpcError as error:
            raise errors.of_rpc(error, self.target.address) from error
        finally:
            chunks.cancel()
        return file.path

    def _do(self, call: calls.Call[T]) -> T:
        self._check_wire()
        return self._send(call)

    def _send(self, call: calls.Call[T]) -> T:
        return call.read(self._connection.unary(call.method, call.request, call.timeout_s))

    def _check_wire(self) -> None:
        with self._lock:
            if not self._checked:
                calls.check_wire(self.status(), self.target.address)
                self._checked = True
