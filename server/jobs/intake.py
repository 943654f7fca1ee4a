"""From a request of any sender to a queued job: everything that can be refused is refused here, at once.

Checks paths, audio, names of cascades and adapters, and whether the cascade can do what is asked.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from acestep.clips.idea import Idea, Ideas
from acestep.console.usage import close
from acestep.errors import InvalidRequest, NotFound, StorageError, UnreadableAudio
from acestep.request import AudioRange, GenerateRequest
from server import logs
from server.jobs.job import Job
from server.jobs.queue import JobQueue
from server.jobs.uploads import PREFIX, Uploads
from server.library import catalogue
from server.library.places import Disk
from server.models import Models
from server.security import AllowedFolders

MAX_REFERENCE_S = 900.0  # longest stretch of audio that one request may name
log = logs.get("intake")


@dataclasses.dataclass(frozen=True)
class Order:
    """A request as a door hands it on: who asks, and how the clips are to reach them."""

    request: GenerateRequest
    client: str
    folder: str = ""  # where the clips go; "" is the samples folder
    stream_audio: bool = False
    only_take: int | None = None  # make just this take of the batch again …
    made: Mapping[str, object] = dataclasses.field(default_factory=dict)  # … as the sidecar tells
    by_owner: bool = False  # the daemon's own user asks, who may name any file and folder


class Intake:
    """The one door to the queue."""

    def __init__(
        self,
        queue: JobQueue,
        folders: AllowedFolders,
        uploads: Uploads,
        models: Models,
        *,
        samples: Path,
        adapters: Path,
        ideas: Ideas = lambda idea: (),
    ):
        self.queue = queue
        self.folders = folders
        self.uploads = uploads
        self.samples = samples
        self._samples_disk = Disk(samples)
        self.models = models
        self.adapters = adapters
        self._ideas = ideas

    def submit(self, order: Order, before_queueing: Callable[[Job], None] = lambda job: None) -> Job:
        """Checks the order and queues it as a job. `before_queueing` sees the job before any event does."""
        only_take, by_owner = order.only_take, order.by_owner
        checked = self.checked(order.request, by_owner=by_owner)
        if only_take is not None and not only_take < checked.takes:
            raise InvalidRequest(
                f"only_take {only_take} is not one of {checked.takes} takes: they count from 0"
            )
        where = self.check_folder(order.folder, by_owner=by_owner)
        disk = self._samples_disk if where == self.samples else Disk(where)
        job = Job(
            checked,
            where,
            order.client[:200],
            stream_audio=order.stream_audio,
            only_take=only_take,
            made=dict(order.made),
            disk=disk,
        )
        before_queueing(job)
        position = self.queue.submit(job)
        log.info("job_accepted", job=job.id, client=job.client, position=position, prompt=checked.prompt)
        return job

    def checked(self, request: GenerateRequest, *, by_owner: bool = False) -> GenerateRequest:
        """The request with its files resolved and a seed. Raises for what is forbidden or cannot be."""
        if request.idea:
            request = Idea.of(request, self._ideas(request.idea)).adopted(request)
        checked = dataclasses.replace(
            request,
            reference=self.check_audio(request.reference, by_owner=by_owner),
            context=self.check_audio(request.context, by_owner=by_owner),
        ).seeded()
        self.check_cascade(checked.cascade)
        for name, _ in checked.adapters:
            self.check_adapter(name)
        self.models.check(checked)
        return checked

    def check_audio(self, audio: AudioRange | None, *, by_owner: bool = False) -> AudioRange | None:
        """The same range with its path resolved; raises for what is forbidden, missing or unreadable."""
        if audio is None:
            return None
        if audio.plus:
            first, *others = (self.check_audio(one, by_owner=by_owner) for one in audio.sources)
            assert first is not None
            return dataclasses.replace(first, plus=tuple(one for one in others if one is not None))
        if audio.path.startswith(PREFIX):
            path = self.uploads.path(audio.path)
        else:
            path = self.folders.check(audio.path, by_owner=by_owner)
        from acestep.sound.audio import probe

        duration_s = probe(path).duration_s
        end_s = duration_s if audio.end_s is None else min(audio.end_s, duration_s)
        if audio.start_s >= duration_s:
            raise UnreadableAudio(f"{path} lasts {duration_s:.2f} s: nothing starts at {audio.start_s:g} s")
        if end_s - audio.start_s > MAX_REFERENCE_S:
            raise UnreadableAudio(
                f"{path} is {end_s - audio.start_s:.0f} s long: expected at most {MAX_REFERENCE_S:g} s; name "
                "a part of it by start and end"
            )
        return dataclasses.replace(audio, path=str(path))

    def check_folder(self, folder: str, *, by_owner: bool = False) -> Path:
        """Where the clips go: the samples folder, or an allowed one; created when missing."""
        path = self.folders.check(folder, by_owner=by_owner) if folder else self.samples
        if path.is_relative_to(self.samples):
            self._samples_disk.check()
        if path.exists() and not path.is_dir():
            raise InvalidRequest(f"{path} is not a folder: expected one for the clips")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"the folder {path} cannot be made ({error.strerror}): choose another"
            ) from None
        return path

    def check_adapter(self, name: str) -> None:
        """Requests name adapters in the home, never a path."""
        if "/" in name or "\\" in name or name.startswith("."):
            raise InvalidRequest(f"adapter {name!r} is a path: expected the name of an adapter in the home")
        if name and catalogue.adapter_path(self.adapters, name) is None:
            near = close(name, (path.name for path in sorted(self.adapters.glob("[!.]*"))))
            raise NotFound(f"no adapter {name!r} in {self.adapters}{near or ': see `lora_studio list`'}")

    def check_cascade(self, name: str) -> None:
        """Requests may name only cascades that are known here, never a path."""
        if not name or name in (self.models.default, self.models.loaded_name):
            return
        from acestep.checkpoints.checkpoint import available
        from acestep.checkpoints.memory import CHOICES

        names = sorted(available(self.models.home))
        if name not in (*names, *CHOICES):
            raise NotFound(f"no cascade {name!r} here: expected one of {', '.join(names) or 'none'}, or auto")
