"""The service of acestep.v1: each call of the wire onto queue, library, uploads and worker.

Only turns messages into calls and errors into status codes; decides nothing about requests.
"""
# ruff: noqa: N802 (the schema's names)

import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc

from acestep.errors import AceStepError, Busy, InvalidRequest, NotFound
from protos import OWNER_KEY
from protos.acestep.v1 import acestep_pb2 as pb
from protos.acestep.v1 import acestep_pb2_grpc
from server import catalogue, wire
from server.events import Accepted, ClipWritten, Done, Event, Failed, Hub, Inbox, Progress
from server.intake import Intake
from server.journal import JobRecord, Journal
from server.library import Library, Search
from server.queue import DONE, Job
from server.reasons import JOB_KEY, REASON_KEY, STATUS
from server.security import RateLimit, is_owner
from server.uploads import MAX_CHUNK_BYTES
from server.worker import Worker

MAX_STREAMS = 48  # long calls at once; the other threads stay free for short ones
DOWNLOAD_CHUNK_BYTES = 256 * 1024
MAX_LISTED_JOBS = 1_000


def _abort(context: grpc.ServicerContext, error: AceStepError, job: str = "") -> None:
    trailing = [(REASON_KEY, error.reason), *([(JOB_KEY, job)] if job else [])]
    context.set_trailing_metadata(tuple(trailing))
    context.abort(STATUS[error.reason], str(error))


def _answered(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turns our errors into a status code with the reason in the trailing metadata."""

    @functools.wraps(method)
    def call(self: "DaemonService", request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except AceStepError as error:
            _abort(context, error)

    return call


def _streamed(method: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """The same for calls with a stream of answers, of which only so many may run at once."""

    @functools.wraps(method)
    def call(self: "DaemonService", request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        if not self.streams.acquire(blocking=False):
            _abort(context, Busy(f"{MAX_STREAMS} streams are open, and no more may be: end some"))
        try:
            yield from method(self, request, context)
        except AceStepError as error:
            _abort(context, error, getattr(error, "job", ""))
        finally:
            self.streams.release()

    return call


class DaemonService(acestep_pb2_grpc.DaemonServicer):
    """One method per call of the schema."""

    def __init__(
        self,
        intake: Intake,
        hub: Hub,
        journal: Journal,
        library: Library,
        worker: Worker,
        status: Callable[[], dict[str, Any]],
        owner_key: str = "",
    ):
        self._intake = intake
        self._queue = intake.queue
        self._hub = hub
        self._journal = journal
        self._library = library
        self._worker = worker
        self._status = status
        self._owner_key = owner_key
        self._rate = RateLimit(50, 200)  # requests that cost something, per peer
        self._inboxes: set[Inbox] = set()
        self.streams = threading.BoundedSemaphore(MAX_STREAMS)

    def end_streams(self) -> None:
        """At shutdown: WatchAll and its like end by themselves."""
        for inbox in list(self._inboxes):
            inbox.close()

    @_streamed
    def Generate(self, request: pb.GenerateRequest, context: grpc.ServicerContext) -> Iterator[pb.JobEvent]:
        self._check_rate(context)
        wanted = wire.request_from_proto(request)
        inbox = Inbox(audio=request.stream_audio)
        leave: list[Callable[[], None]] = []

        def follow(job: Job) -> None:
            inbox.job = job.id
            leave.append(self._hub.listen(inbox))

        try:
            job = self._intake.submit(
                wanted,
                client=request.client or context.peer(),
                folder=request.folder,
                stream_audio=request.stream_audio,
                only_take=request.only_take if request.HasField("only_take") else None,
                by_owner=self._by_owner(context),
                before_queueing=follow,
            )
            self._inboxes.add(inbox)

            def ended() -> None:
                if not request.detached and not job.finished:
                    self._queue.cancel(job.id)
                inbox.close()

            if not context.add_callback(ended):  # the caller is gone already
                ended()
            yield from self._events(inbox, raise_failure=True)
        finally:
            self._inboxes.discard(inbox)
            for function in leave:
                function()

    @_streamed
    def WatchJob(self, request: pb.WatchJobRequest, context: grpc.ServicerContext) -> Iterator[pb.JobEvent]:
        inbox = Inbox(request.job)
        leave = self._hub.listen(inbox)
        self._inboxes.add(inbox)
        context.add_callback(inbox.close)
        try:
            past, finished = self._history(request.job)
            told: set[tuple[type, str]] = set()
            for event in past:
                told.add(_mark(event))
                yield wire.event_to_proto(event)
            if not finished:
                yield from self._events(inbox, skip=told)
        finally:
            self._inboxes.discard(inbox)
            leave()

    @_streamed
    def WatchAll(self, request: pb.WatchAllRequest, context: grpc.ServicerContext) -> Iterator[pb.JobEvent]:
        inbox = Inbox()
        leave = self._hub.listen(inbox)
        self._inboxes.add(inbox)
        context.add_callback(inbox.close)
        # The caller knows by the headers that nothing from now on is missed.
        context.send_initial_metadata(())
        try:
            while (event := inbox.next()) is not None:
                yield wire.event_to_proto(event)
        finally:
            self._inboxes.discard(inbox)
            leave()

    def _events(
        self, inbox: Inbox, raise_failure: bool = False, skip: set[tuple[type, str]] | None = None
    ) -> Iterator[pb.JobEvent]:
        """Events of one job up to its end; its failure as an error where that is asked for."""
        while (event := inbox.next()) is not None:
            if skip and _mark(event) in skip:
                continue
            if raise_failure and isinstance(event, Failed):
                raise _job_error(event)
            yield wire.event_to_proto(event)
            if isinstance(event, Done | Failed):
                return

    def _history(self, job_id: str) -> tuple[list[Event], bool]:
        """What has happened to a job so far, and whether that is all."""
        try:
            job = self._queue.get(job_id)
        except NotFound:
            record = self._journal.get(job_id)
            return [*self._recorded_clips(record), _end(record)], True
        events: list[Event] = [Accepted(job.id, 0, job.request.seed or 0)]
        if job.finished:
            events += [ClipWritten(job.id, clip) for clip in job.clips]
            return [*events, _end(JobRecord.of(job))], True
        if job.stage:
            events.append(Progress(job.id, job.stage, job.fraction, job.eta_s))
        return events, False

    def _recorded_clips(self, record: JobRecord) -> Iterator[Event]:
        for path in record.clips:
            try:
                yield ClipWritten(record.id, self._library.get(path))
            except NotFound:  # trashed or deleted since
                continue

    @_answered
    def GetStatus(self, request: pb.GetStatusRequest, context: grpc.ServicerContext) -> pb.Status:
        names = {field.name for field in pb.Status.DESCRIPTOR.fields}
        return pb.Status(**{name: value for name, value in self._status().items() if name in names})

    @_answered
    def ListJobs(self, request: pb.ListJobsRequest, context: grpc.ServicerContext) -> pb.ListJobsResponse:
        limit = min(request.limit or 100, MAX_LISTED_JOBS)
        alive = {job.id: job for job in self._queue.jobs()}
        records = [
            JobRecord.of(alive[record.id]) if record.id in alive else record
            for record in self._journal.newest(limit)
        ]
        return pb.ListJobsResponse(jobs=[wire.job_to_proto(record) for record in records])

    @_answered
    def CancelJob(self, request: pb.CancelJobRequest, context: grpc.ServicerContext) -> pb.Job:
        try:
            job = self._queue.get(request.job)
        except NotFound:
            job = None
            record = self._journal.get(request.job)
        if job is not None and not job.finished:
            return wire.job_to_proto(JobRecord.of(self._queue.cancel(job.id)))
        state = job.state if job is not None else record.state
        raise NotFound(f"job {request.job} has ended ({state}): nothing to cancel")

    @_answered
    def Upload(self, request: Iterator[pb.UploadChunk], context: grpc.ServicerContext) -> pb.UploadResponse:
        self._check_rate(context)
        first = next(request, None)
        if first is None or not first.name:
            raise InvalidRequest("the upload has no name: expected the file's name in the first chunk")

        def chunks() -> Iterator[bytes]:
            yield first.data
            for chunk in request:
                if len(chunk.data) > MAX_CHUNK_BYTES:
                    raise InvalidRequest(f"a chunk is larger than {MAX_CHUNK_BYTES} bytes: send smaller ones")
                yield chunk.data

        path, duration_s = self._intake.uploads.save(first.name, chunks())
        return pb.UploadResponse(path=path, duration_s=duration_s)

    @_streamed
    def Download(
        self, request: pb.DownloadRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.DownloadChunk]:
        path = Path(self._library.get(request.name).path)
        try:
            with path.open("rb") as file:
                total = path.stat().st_size
                while data := file.read(DOWNLOAD_CHUNK_BYTES):
                    yield pb.DownloadChunk(total_bytes=total, data=data)
        except OSError as error:
            raise NotFound(
                f"clip {request.name!r} cannot be read ({error.strerror}): was it moved?"
            ) from None

    @_answered
    def ListClips(self, request: pb.ListClipsRequest, context: grpc.ServicerContext) -> pb.ListClipsResponse:
        self._library.refresh()
        query = Search(
            words=request.words[:500],
            bpm_min=request.bpm_min if request.HasField("bpm_min") else None,
            bpm_max=request.bpm_max if request.HasField("bpm_max") else None,
            key=request.key,
            adapter=request.adapter,
            since=request.since,
            starred=request.starred,
            trashed=request.trashed,
            limit=request.limit,
        )
        return pb.ListClipsResponse(clips=[wire.clip_to_proto(clip) for clip in self._library.search(query)])

    @_answered
    def StarClip(self, request: pb.StarClipRequest, context: grpc.ServicerContext) -> pb.Clip:
        return wire.clip_to_proto(self._library.star(request.name, request.starred))

    @_answered
    def TrashClip(self, request: pb.ClipName, context: grpc.ServicerContext) -> pb.Clip:
        return wire.clip_to_proto(self._library.move_to_trash(request.name))

    @_answered
    def RestoreClip(self, request: pb.ClipName, context: grpc.ServicerContext) -> pb.Clip:
        return wire.clip_to_proto(self._library.restore(request.name))

    @_answered
    def ListCascades(self, request: Any, context: grpc.ServicerContext) -> pb.ListCascadesResponse:
        return pb.ListCascadesResponse(cascades=catalogue.cascades(self._intake.models))

    @_answered
    def LoadCascade(self, request: pb.CascadeName, context: grpc.ServicerContext) -> pb.Cascade:
        models = self._intake.models
        self._intake.check_cascade(request.name)
        self._worker.call(lambda: models.use(request.name)).result()
        return catalogue.cascade(models, request.name or models.default)

    @_answered
    def UnloadCascade(self, request: pb.CascadeName, context: grpc.ServicerContext) -> pb.Cascade:
        models = self._intake.models
        name = request.name or models.loaded_name
        self._worker.call(lambda: models.unload(request.name)).result()
        return catalogue.cascade(models, name)

    @_answered
    def ListAdapters(self, request: Any, context: grpc.ServicerContext) -> pb.ListAdaptersResponse:
        return pb.ListAdaptersResponse(adapters=self._adapters())

    @_answered
    def LoadAdapter(self, request: pb.AdapterName, context: grpc.ServicerContext) -> pb.Adapter:
        self._intake.check_adapter(request.name)
        models, folder = self._intake.models, self._intake.adapters
        self._worker.call(lambda: catalogue.load_adapter(models, folder, request.name)).result()
        return self._adapter(request.name)

    @_answered
    def UnloadAdapter(self, request: pb.AdapterName, context: grpc.ServicerContext) -> pb.Adapter:
        self._worker.call(lambda: catalogue.unload_adapter(self._intake.models, request.name)).result()
        return self._adapter(request.name)

    def _adapters(self) -> list[pb.Adapter]:
        return catalogue.adapters(self._intake.models, self._intake.adapters)

    def _adapter(self, name: str) -> pb.Adapter:
        return next((item for item in self._adapters() if item.name == name), pb.Adapter(name=name))

    def _by_owner(self, context: grpc.ServicerContext) -> bool:
        shown = str(dict(context.invocation_metadata()).get(OWNER_KEY, ""))
        return is_owner(self._owner_key, shown, context.peer())

    def _check_rate(self, context: grpc.ServicerContext) -> None:
        if not self._rate.allows(context.peer()):
            raise Busy("requests come too fast: wait a little")


def _mark(event: Event) -> tuple[type, str]:
    """What makes an event the same as one already told: replay and live events overlap."""
    detail = event.clip.path if isinstance(event, ClipWritten) else ""
    return (type(event), detail) if not isinstance(event, Progress) else (Progress, repr(event))


def _end(record: JobRecord) -> Event:
    if record.state == DONE:
        return Done(record.id, len(record.clips))
    return Failed(record.id, record.reason or record.state, record.message)


def _job_error(event: Failed) -> AceStepError:
    from server.reasons import error_for

    error = error_for(event.reason, event.message)
    error.job = event.job  # type: ignore[attr-defined]
    return error
