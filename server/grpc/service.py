"""The service of acestep.v1: each call of the wire onto queue, library, uploads and worker.

Only turns messages into calls and errors into status codes; decides nothing about requests.
"""
# ruff: noqa: N802 (the schema's names)

import functools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, TypeVar

import grpc

from acestep.errors import AceStepError, Busy, Cancelled, InvalidRequest, NotFound, error_of
from protos import OWNER_KEY
from protos.acestep.v1 import acestep_pb2 as pb
from protos.acestep.v1 import acestep_pb2_grpc
from protos.reasons import JOB_KEY, REASON_KEY, STATUS, for_header
from server import logs
from server.follow.conductor import Conductor
from server.grpc import wire
from server.grpc.follow import FollowCall
from server.grpc.quotas import address
from server.jobs.events import Accepted, ClipWritten, Done, Event, Failed, Hub, Inbox, Progress
from server.jobs.intake import Intake, Order
from server.jobs.job import Job, JobState
from server.jobs.journal import JobRecord, Journal
from server.jobs.uploads import MAX_CHUNK_BYTES
from server.jobs.worker import Worker
from server.library import catalogue
from server.library.index import ClipLibrary
from server.library.search import Search
from server.security import RateLimit, is_owner

MAX_LISTED_SIDECAR = 64 << 10  # a longer one would make a listing too large for its caller
UPLOAD_GRACE_S, UPLOAD_BYTES_PER_S = 30.0, 16 << 10  # no upload takes longer than at this pace
DOWNLOAD_CHUNK_BYTES = 256 * 1024
MAX_LISTED_JOBS = 1_000
log = logs.get("grpc")
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
_Method: TypeAlias = Callable[["DaemonService", Asked, grpc.ServicerContext], Answer]


def abort(context: grpc.ServicerContext, error: AceStepError) -> NoReturn:
    """Ends a call with an error: its status, its sentence, and its reason in the trailing metadata."""
    trailing = [(REASON_KEY, error.reason), *([(JOB_KEY, error.job)] if error.job else [])]
    context.set_trailing_metadata(tuple(trailing))
    context.abort(STATUS[error.reason], for_header(str(error)))


def _fault(error: Exception) -> AceStepError:
    """What nobody expected, as a sentence; where it happened is in the log."""
    return AceStepError(f"a fault inside the daemon ({type(error).__name__}: {error}): see its log")


def _answered(method: _Method[Asked, Answer]) -> _Method[Asked, Answer]:
    """Turns our errors into a status code with the reason in the trailing metadata."""

    @functools.wraps(method)
    def call(self: "DaemonService", request: Asked, context: grpc.ServicerContext) -> Answer:
        try:
            return method(self, request, context)
        except AceStepError as error:
            abort(context, error)
        except Exception as error:
            log.error("call_failed", exc_info=True)
            abort(context, _fault(error))

    return call


def _streamed(method: _Method[Asked, Iterator[Answer]]) -> _Method[Asked, Iterator[Answer]]:
    """The same for calls with a stream of answers."""

    @functools.wraps(method)
    def call(self: "DaemonService", request: Asked, context: grpc.ServicerContext) -> Iterator[Answer]:
        try:
            yield from method(self, request, context)
        except AceStepError as error:
            abort(context, error)
        except Exception as error:
            log.error("call_failed", exc_info=True)
            abort(context, _fault(error))

    return call


class DaemonService(acestep_pb2_grpc.DaemonServicer):
    """One method per call of the schema."""

    def __init__(
        self,
        intake: Intake,
        hub: Hub,
        journal: Journal,
        library: ClipLibrary,
        worker: Worker,
        conductor: Conductor,
        status: Callable[[], dict[str, Any]],
        owner_key: str = "",
    ):
        self._intake = intake
        self._queue = intake.queue
        self._hub = hub
        self._journal = journal
        self._library = library
        self._worker = worker
        self._conductor = conductor
        self._status = status
        self._owner_key = owner_key
        self._rate = RateLimit(200, 1_000)  # requests that cost something, per address
        self._inboxes: set[Inbox] = set()

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
            order = Order(
                wanted,
                client=request.client or context.peer(),
                folder=request.folder,
                stream_audio=request.stream_audio,
                only_take=request.only_take if request.HasField("only_take") else None,
                made=wire.made_from_proto(request),
                by_owner=self._by_owner(context),
            )
            job = self._intake.submit(order, follow)
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
    def Follow(
        self, request: Iterator[pb.FollowRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.FollowEvent]:
        self._check_rate(context)
        yield from FollowCall(self._conductor, context).events(request)

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
                raise error_of(event.reason, event.message, event.job)
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
            renamed = self._library.renamed()
            events += [ClipWritten(job.id, renamed.get((job.id, clip.path), clip)) for clip in job.clips]
            return [*events, _end(JobRecord.of(job))], True
        events += [ClipWritten(job.id, clip) for clip in list(job.clips)]
        if job.stage:
            events.append(Progress(job.id, job.stage, job.fraction, job.eta_s))
        return events, False

    def _recorded_clips(self, record: JobRecord) -> Iterator[Event]:
        renamed = self._library.renamed()
        for path in record.clips:
            try:
                clip = renamed.get((record.id, path)) or self._library.get(path)
            except NotFound:  # trashed or deleted since
                continue
            if clip.job == record.id:  # and its name not given to another one
                yield ClipWritten(record.id, clip)

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
        renamed = self._library.renamed()
        jobs = [wire.job_to_proto(record) for record in records]
        for job in jobs:
            job.clips[:] = [
                renamed[job.id, path].path if (job.id, path) in renamed else path for path in job.clips
            ]
        return pb.ListJobsResponse(jobs=jobs)

    @_answered
    def CancelJob(self, request: pb.CancelJobRequest, context: grpc.ServicerContext) -> pb.Job:
        try:
            job = self._queue.get(request.job)
        except NotFound:
            job = None
            record = self._journal.get(request.job)
        if job is not None and not job.finished:
            return wire.job_to_proto(JobRecord.of(self._queue.cancel(job.id)))
        if self._journal.cancel_interrupted(request.job):
            return wire.job_to_proto(self._journal.get(request.job))
        state = job.state if job is not None else record.state
        raise NotFound(f"job {request.job} has ended ({state}): nothing to cancel")

    @_answered
    def Upload(self, request: Iterator[pb.UploadChunk], context: grpc.ServicerContext) -> pb.UploadResponse:
        self._check_rate(context)
        first = next(request, None)
        if first is None or not first.name:
            raise InvalidRequest("the upload has no name: expected the file's name in the first chunk")

        def chunks() -> Iterator[bytes]:
            started, size = time.monotonic(), len(first.data)
            yield first.data
            for chunk in request:
                size += len(chunk.data)
                if time.monotonic() - started > UPLOAD_GRACE_S + size / UPLOAD_BYTES_PER_S:
                    raise Busy(f"the upload is too slow: expected {UPLOAD_BYTES_PER_S >> 10} kB a second")
                if len(chunk.data) > MAX_CHUNK_BYTES:
                    raise InvalidRequest(f"a chunk is larger than {MAX_CHUNK_BYTES} bytes: send smaller ones")
                yield chunk.data

        path, duration_s = self._intake.uploads.save(first.name, chunks())
        return pb.UploadResponse(path=path, duration_s=duration_s)

    @_streamed
    def Download(
        self, request: pb.DownloadRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.DownloadChunk]:
        path = self._library.file(request.name)
        if not path.is_file():  # opening a pipe would wait for ever
            raise NotFound(f"clip {request.name!r} is not an ordinary file: was it replaced?")
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
            idea=request.idea,
            limit=request.limit,
        )
        clips = [wire.clip_to_proto(clip) for clip in self._library.search(query)]
        for clip in clips:
            if len(clip.sidecar_json) > MAX_LISTED_SIDECAR:
                clip.sidecar_json = ""
        failed = [
            pb.Unreadable(name=Path(one.path).name, path=one.path, message=one.message)
            for one in self._library.unreadable()
        ]
        return pb.ListClipsResponse(clips=clips, unreadable=failed)

    @_answered
    def StarClip(self, request: pb.StarClipRequest, context: grpc.ServicerContext) -> pb.Clip:
        return wire.clip_to_proto(self._library.star(request.name, request.starred))

    @_answered
    def RenameClip(self, request: pb.RenameClipRequest, context: grpc.ServicerContext) -> pb.Clip:
        return wire.clip_to_proto(self._library.rename(request.name, request.new_name))

    @_answered
    def TagClip(self, request: pb.TagClipRequest, context: grpc.ServicerContext) -> pb.Clip:
        return wire.clip_to_proto(self._library.tag(request.name, request.tags))

    @_answered
    def TrashClip(self, request: pb.ClipName, context: grpc.ServicerContext) -> pb.Clip:
        return wire.clip_to_proto(self._library.move_to_trash(request.name))

    @_answered
    def RestoreClip(self, request: pb.ClipName, context: grpc.ServicerContext) -> pb.Clip:
        return wire.clip_to_proto(self._library.restore(request.name))

    @_answered
    def ListCascades(
        self, request: pb.ListCascadesRequest, context: grpc.ServicerContext
    ) -> pb.ListCascadesResponse:
        return catalogue.cascades(self._intake.models)

    @_answered
    def LoadCascade(self, request: pb.CascadeName, context: grpc.ServicerContext) -> pb.Cascade:
        models = self._intake.models
        self._intake.check_cascade(request.name)
        self._wait(context, lambda: models.use(request.name))
        return catalogue.cascade(models, request.name or models.default)

    @_answered
    def UnloadCascade(self, request: pb.CascadeName, context: grpc.ServicerContext) -> pb.Cascade:
        models = self._intake.models
        name = request.name or models.loaded_name
        self._wait(context, lambda: models.unload(request.name))
        return catalogue.cascade(models, name)

    @_answered
    def ListAdapters(
        self, request: pb.ListAdaptersRequest, context: grpc.ServicerContext
    ) -> pb.ListAdaptersResponse:
        return self._adapters()

    @_answered
    def LoadAdapter(self, request: pb.AdapterName, context: grpc.ServicerContext) -> pb.Adapter:
        self._intake.check_adapter(request.name)
        models, folder = self._intake.models, self._intake.adapters
        self._wait(context, lambda: catalogue.load_adapter(models, folder, request.name))
        return self._adapter(request.name)

    @_answered
    def UnloadAdapter(self, request: pb.AdapterName, context: grpc.ServicerContext) -> pb.Adapter:
        self._wait(context, lambda: catalogue.unload_adapter(self._intake.models, request.name))
        return self._adapter(request.name)

    def _adapters(self) -> pb.ListAdaptersResponse:
        return catalogue.adapters(self._intake.models, self._intake.adapters)

    def _adapter(self, name: str) -> pb.Adapter:
        return next((item for item in self._adapters().adapters if item.name == name), pb.Adapter(name=name))

    def _wait(self, context: grpc.ServicerContext, function: Callable[[], object]) -> None:
        """Has the worker do something, and waits as long as the caller does."""
        future = self._worker.call(function)

        def give_up() -> None:
            future.cancel()

        if not context.add_callback(give_up):  # the caller is gone already
            give_up()
        try:
            future.result()
        except CancelledError:
            raise Cancelled("the caller did not wait for it") from None

    def _by_owner(self, context: grpc.ServicerContext) -> bool:
        shown = str(dict(context.invocation_metadata()).get(OWNER_KEY, ""))
        return is_owner(self._owner_key, shown, context.peer())

    def _check_rate(self, context: grpc.ServicerContext) -> None:
        if not self._rate.allows(address(context.peer())):
            raise Busy("requests come too fast: wait a little")


def _mark(event: Event) -> tuple[type, str]:
    """What makes an event the same as one already told: replay and live events overlap."""
    detail = event.clip.path if isinstance(event, ClipWritten) else ""
    return (type(event), detail) if not isinstance(event, Progress) else (Progress, repr(event))


def _end(record: JobRecord) -> Event:
    if record.state is JobState.DONE:
        return Done(record.id, len(record.clips))
    return Failed(record.id, record.reason or record.state, record.message)
