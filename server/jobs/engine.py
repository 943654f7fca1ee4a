"""What makes clips: the models and the path of a request, as far as a worker calls them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from acestep.clips.clip import Clip
from acestep.clips.idea import ALONE, Delivery
from acestep.errors import Unsupported
from server.config import Config
from server.jobs.job import Job
from server.models import loader, spec_of

if TYPE_CHECKING:  # these bring torch, which is imported when the first model is loaded
    import numpy as np

    from acestep.checkpoints.checkpoint import CascadeSpec
    from acestep.clips.segment import Anchor, Segment
    from acestep.model.cascade import Cascade, OnAudio, Progress
    from acestep.request import GenerateRequest
    from server.jobs.queue import JobQueue


class Engine(ABC):
    """Loads cascades and makes a job's clips with them.

    Called in the worker's thread, but for `spec`, `at_once` and `status`; where jobs are made side by side,
    each has a thread of its own.
    """

    side_by_side: bool = False  # whether several jobs may be made at a time

    @abstractmethod
    def load(self, name: str, device: str) -> "Cascade":
        """The cascade of that name, on the device."""

    @abstractmethod
    def spec(self, name: str) -> "CascadeSpec | None":
        """What is known of that cascade before it is loaded, by which requests are refused; any thread."""

    @abstractmethod
    def warm_up(self) -> None:
        """What the first job would otherwise wait for."""

    @abstractmethod
    def produce(
        self,
        cascade: "Cascade",
        job: Job,
        on_progress: "Callable[[Progress], None]",
        on_audio: "OnAudio | None",
        cancelled: Callable[[], bool],
        delivery: Delivery = ALONE,
    ) -> list[Clip]:
        """The job's clips, on disk; those of an idea are delivered one by one before."""

    def check_follow(self) -> None:
        """Raises Unsupported where no music can be made that plays on."""
        raise Unsupported(
            "follows are made by a daemon that has the model itself, not on a cluster: start one without "
            "--cluster"
        )

    def segment(
        self,
        cascade: "Cascade",
        request: "GenerateRequest",
        before: "np.ndarray | None",
        anchor: "Anchor | None",
        hasty: bool = False,
    ) -> "Segment":
        """The next bars of a follow (see `acestep.clips.segment`); `hasty`: sooner rather than better."""
        raise Unsupported("this engine makes no follows")

    def open(self, queue: "JobQueue") -> None:
        """Gets ready for the jobs of a queue; raises AceStepError where that cannot be."""
        return

    def close(self) -> None:
        """Lets go of what `open` took."""
        return

    def at_once(self) -> int:
        """How many jobs may run side by side now; any thread, and quick."""
        return 1

    def status(self) -> "dict[str, Any] | None":
        """What is to be told of the machines that work for this one; None where there are none."""
        return None


class AceStep(Engine):
    """The engine of this package, with the settings' precision, planner and home."""

    def __init__(self, config: Config) -> None:
        self._load = loader(config)
        self._home = config.home

    def load(self, name: str, device: str) -> "Cascade":
        """With its weights, in this process."""
        return self._load(name, device)

    def spec(self, name: str) -> "CascadeSpec | None":
        """From its folder."""
        return spec_of(name, self._home)

    def check_follow(self) -> None:
        """It can."""

    def segment(
        self,
        cascade: "Cascade",
        request: "GenerateRequest",
        before: "np.ndarray | None",
        anchor: "Anchor | None",
        hasty: bool = False,
    ) -> "Segment":
        """By `acestep.clips.segment`."""
        from acestep.clips.segment import fewer_steps, make_segment

        if hasty:
            request = fewer_steps(cascade, request)
        return make_segment(cascade, request, before=before, anchor=anchor)

    def warm_up(self) -> None:
        """Imports and compiles what measuring and fitting take."""
        from acestep.clips.fit import warm_up

        warm_up()

    def produce(
        self,
        cascade: "Cascade",
        job: Job,
        on_progress: "Callable[[Progress], None]",
        on_audio: "OnAudio | None",
        cancelled: Callable[[], bool],
        delivery: Delivery = ALONE,
    ) -> list[Clip]:
        """By `acestep.clips`, imported when first used."""
        from acestep.clips.production import produce, reproduce

        if job.request.wanted:
            from acestep.clips.parts import produce_parts

            return produce_parts(
                cascade,
                job.request,
                job.folder,
                on_progress=on_progress,
                on_audio=on_audio,
                delivery=delivery,
                cancelled=cancelled,
                job=job.id,
            )
        if job.only_take is not None:
            made = job.made | {"request": job.request.to_dict(), "clip": {"take": job.only_take}}
            kept = reproduce(
                made, cascade, job.folder, on_progress=on_progress, cancelled=cancelled, job=job.id
            )
            return [kept]
        return produce(
            cascade,
            job.request,
            job.folder,
            on_progress=on_progress,
            on_audio=on_audio,
            cancelled=cancelled,
            job=job.id,
        )
