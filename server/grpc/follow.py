"""One call of `Follow`: the messages of the wire onto the conductor, and what it tells onto the wire."""

import queue
import threading
from collections.abc import Iterator

import grpc

from acestep.errors import AceStepError, InvalidRequest, NotFound, StorageError
from acestep.music.grid import Signature
from protos.acestep.v1 import acestep_pb2 as pb
from server import logs
from server.follow.conductor import Conductor, Ended, Note, SegmentReady, Told, check_bars
from server.grpc import wire

log = logs.get("grpc")


class FollowCall:
    """The state of a call; the follow ends with it."""

    def __init__(self, conductor: Conductor, context: grpc.ServicerContext) -> None:
        self._conductor, self._context = conductor, context
        self._waiting: queue.SimpleQueue[pb.FollowEvent | AceStepError | None] = queue.SimpleQueue()
        self._name = ""
        self._sends_audio = False

    def events(self, requests: Iterator[pb.FollowRequest]) -> Iterator[pb.FollowEvent]:
        """Starts what the first message asks for; then all there is to tell, until the caller goes."""
        first = next(requests, None)
        if first is None or first.WhichOneof("what") != "start":
            raise InvalidRequest("a follow begins with `start`: the first message has to be that")
        start = first.start
        self._sends_audio = start.send_audio
        bars = check_bars(start.segment_bars) if start.HasField("segment_bars") else 4.0
        self._name, folder = self._conductor.start(
            wire.request_from_proto(start.settings),
            start.client or self._context.peer(),
            self._tell,
            bars,
            start.folder,
        )
        if not self._context.add_callback(self._stop):  # the caller is gone already
            self._stop()
        yield pb.FollowEvent(follow=self._name, started=pb.FollowStarted(folder=folder))
        threading.Thread(target=self._read, args=(requests,), name="follow call", daemon=True).start()
        while (event := self._waiting.get()) is not None:
            if isinstance(event, AceStepError):
                raise event
            yield event

    def _read(self, requests: Iterator[pb.FollowRequest]) -> None:
        """In a thread of its own, as messages come. What is wrong is told, and changes nothing."""
        try:
            for message in requests:
                try:
                    self._act(message)
                except NotFound as error:
                    if not self._conductor.has(self._name):
                        return
                    self._note(error.reason, str(error))
                except AceStepError as error:
                    self._note(error.reason, str(error))
        except grpc.RpcError:
            log.debug("follow_caller_gone", follow=self._name)
        except Exception as error:
            if self._context.is_active():
                log.error("follow_call_failed", exc_info=True)
                self._waiting.put(AceStepError(f"an error inside the daemon ({error}): see its log"))

    def _act(self, message: pb.FollowRequest) -> None:
        conductor, name = self._conductor, self._name
        match message.WhichOneof("what"):
            case "position":
                at = message.position
                conductor.move(
                    name,
                    at.quarters,
                    at.bpm if at.HasField("bpm") else None,
                    at.playing if at.HasField("playing") else None,
                    Signature.parse(at.signature) if at.signature else None,
                )
            case "set":
                conductor.change(name, wire.fields_from_proto(message.set))
            case "segment_bars":
                conductor.change(name, {"bars": check_bars(message.segment_bars)})
            case "freeze":
                conductor.freeze(name, message.freeze)
            case "vary":
                conductor.vary(name)
            case "recall":
                conductor.recall(name, message.recall)
            case _:
                raise InvalidRequest(
                    "a message of a follow that has begun: expected position, set or the like"
                )

    def _tell(self, told: Told) -> None:
        match told:
            case SegmentReady():
                try:
                    self._waiting.put(self._segment(told))
                except StorageError as error:
                    self._note(error.reason, str(error))
            case Note():
                self._note(told.reason, told.message)
            case Ended():
                self._waiting.put(None)

    def _segment(self, ready: SegmentReady) -> pb.FollowEvent:
        segment = pb.Segment(
            number=ready.number,
            path=str(ready.path),
            start_quarters=ready.start_quarters,
            bars=ready.bars,
            signature=ready.signature,
            bpm=ready.bpm,
            repeated=ready.repeated,
        )
        if self._sends_audio:
            try:
                segment.file = ready.path.read_bytes()
            except OSError as error:
                raise StorageError(f"{ready.path} cannot be read ({error.strerror}): was it moved?") from None
        return pb.FollowEvent(follow=ready.follow, segment=segment)

    def _note(self, reason: str, message: str) -> None:
        note = pb.FollowNote(reason=reason, message=message)
        self._waiting.put(pb.FollowEvent(follow=self._name, note=note))

    def _stop(self) -> None:
        if self._conductor.has(self._name):
            self._conductor.stop(self._name, "its caller has gone")
