"""What this page asked for: one run per press of Generate, followed to its end, with a preview as it grows.

Each run belongs to the tab that asked. It goes on when the tab is closed.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import struct
from typing import Any

from plugin_bridge import words
from plugin_bridge.errors import BridgeError, Cancelled, Interrupted, NotFound, Unavailable
from plugin_bridge.web.fields import field_of
from plugin_bridge.web.files import ClipFiles
from plugin_bridge.web.live import RETRY_S, Feed, Message, clip_fields

TOLD = ("id", "job", "state", "prompt", "seed", "fraction", "stage", "eta_s", "reason", "message", "field")
RUNS_KEPT = 60
RUNS_PER_TAB = 12
PREVIEW_BYTES = 64 * 1024 * 1024  # of one run, all takes together


@dataclasses.dataclass
class Preview:
    """Decoded windows of one take, in order, interleaved float32."""

    sample_rate_hz: int
    channels: int
    pcm: bytearray = dataclasses.field(default_factory=bytearray)

    def wav(self) -> bytes:
        """As a float32 WAV file."""
        frame = self.channels * 4
        head = struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            b"RIFF",
            36 + len(self.pcm),
            b"WAVE",
            b"fmt ",
            16,
            3,  # IEEE float
            self.channels,
            self.sample_rate_hz,
            self.sample_rate_hz * frame,
            frame,
            32,
            b"data",
            len(self.pcm),
        )
        return head + bytes(self.pcm)


@dataclasses.dataclass
class Run:
    """One request of one tab."""

    id: str
    tab: str
    prompt: str
    options: dict[str, Any]
    job: str = ""
    state: str = "sent"  # sent, queued, running, done, failed, cancelled
    seed: int | None = None
    fraction: float = 0.0
    stage: str = ""
    eta_s: float = 0.0
    reason: str = ""
    message: str = ""
    field: str = ""  # the setting that `message` is about, where one is known
    clips: list[words.Clip] = dataclasses.field(default_factory=list)
    previews: dict[int, Preview] = dataclasses.field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """True when nothing more will come."""
        return self.state in ("done", "failed", "cancelled")

    def clip_is(self, was: str, clip: words.Clip) -> None:
        """The clip at path `was` is this one now, or it is a new one."""
        self.clips = [clip if one.path == was else one for one in self.clips]
        if clip not in self.clips:
            self.clips.append(clip)

    def fields(self) -> Message:
        """For the browser."""
        told: Message = {name: getattr(self, name) for name in TOLD}
        told["takes"] = self.options.get("takes") or 1
        told["grid"] = {
            name: self.options[name] for name in ("bpm", "signature", "bars") if name in self.options
        }
        if "context" in self.options and "bpm" not in self.options:
            told["grid"] = None  # the context's, which the clip will tell
        told["idea"] = self.options.get("idea") or (self.job if self.options.get("parts") else "")
        told["asked"] = {name: self.options.get(name, "") for name in ("parts", "redo")}
        told["clips"] = [clip_fields(clip) for clip in self.clips if not clip.trashed]
        return told


class Runs:
    """All runs of all tabs of this page."""

    def __init__(self, feed: Feed, files: ClipFiles) -> None:
        self._feed, self._files = feed, files
        self._runs: dict[str, Run] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, tab: str, prompt: str, options: dict[str, Any]) -> Run:
        """Sends the request; what becomes of it is told to the tab."""
        run = Run(f"r{next(self._numbers)}", tab, prompt, options)
        self._runs[run.id] = run
        self._forget_old()
        self._tell(run)
        task = asyncio.create_task(self._follow(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    def of_tab(self, tab: str) -> list[Message]:
        """This tab's runs, oldest first: what a reloaded page shows again."""
        return [run.fields() for run in self._runs.values() if run.tab == tab][-RUNS_PER_TAB:]

    def preview(self, run_id: str, take: int) -> bytes:
        """What has been decoded of a take so far, as WAV. Raises NotFound."""
        run = self._runs.get(run_id)
        if run is None or take not in run.previews:
            raise NotFound(f"no preview of take {take} of {run_id}: it may be finished")
        return run.previews[take].wav()

    def changed(self, was: str, clip: words.Clip) -> None:
        """A clip was starred, trashed or brought back: its run shows it so, also after a reload."""
        for run in self._runs.values():
            if any(one.path == was for one in run.clips):
                run.clip_is(was, clip)
                self._tell(run)

    async def cancel(self, run_id: str) -> None:
        """Cancels the run's job in the daemon."""
        run = self._runs.get(run_id)
        if run is None or run.ended:
            return
        if run.job:
            await self._feed.bridge.cancel(run.job)

    async def close(self) -> None:
        """Stops following; the jobs go on in the daemon."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, run: Run) -> None:
        try:
            try:
                await self._listen(run, again=False)
            except Unavailable:
                if not run.job:
                    raise
                await self._rejoin(run)
        except Cancelled as error:
            self._end(run, "cancelled", error)
        except BridgeError as error:
            self._end(run, "failed", error)
        finally:
            run.previews.clear()
            self._feed.jobs_changed()

    async def _rejoin(self, run: Run) -> None:
        """The daemon was lost in the middle: asks it again when it is back."""
        run.message = "the daemon is gone; waiting for it"
        self._tell(run)
        while True:
            await self._feed.wait_up()
            try:
                await self._listen(run, again=True)
                return
            except Unavailable:
                await asyncio.sleep(RETRY_S)  # gone again, or the feed has not noticed yet
            except NotFound:
                raise Interrupted(
                    "the daemon was restarted and no longer knows this job: generate again"
                ) from None

    async def _listen(self, run: Run, again: bool) -> None:
        bridge = self._feed.bridge
        if again:
            events = await bridge.watch(run.job)
        else:
            options = await self._files.for_request(run.options)
            options = {**options, "detached": True, "stream_audio": True, "client": f"web-{run.tab[:8]}"}
            events = await bridge.generate(run.prompt, **options)
        async for event in events:
            self._on(run, event)
            if run.ended:
                return
        raise Unavailable("the daemon ended the job without saying why: see its log")

    def _on(self, run: Run, event: words.Event) -> None:
        run.message = ""
        if isinstance(event, words.Audio):
            self._add_audio(run, event)
            return
        if isinstance(event, words.Accepted):
            run.job, run.state, run.seed = event.job, "queued", event.seed
        elif isinstance(event, words.Progress):
            run.state, run.stage = "running", event.stage
            run.fraction, run.eta_s = event.fraction, event.eta_s
        elif isinstance(event, words.ClipReady):
            self._feed.saw([event.clip])
            run.clip_is(event.clip.path, event.clip)
        elif isinstance(event, words.Done):
            run.state, run.fraction = "done", 1.0
        elif isinstance(event, words.Failed):
            raise event.error
        self._tell(run)

    def _add_audio(self, run: Run, event: words.Audio) -> None:
        preview = run.previews.setdefault(event.take, Preview(event.sample_rate_hz, event.channels))
        start = event.start_sample * preview.channels * 4
        held = sum(len(other.pcm) for other in run.previews.values())
        if start != len(preview.pcm) or held + len(event.pcm_f32le) > PREVIEW_BYTES:
            return  # a preview without holes, or what there is of it
        preview.pcm += event.pcm_f32le
        told = {"kind": "audio", "run": run.id, "take": event.take, "bytes": len(preview.pcm)}
        self._feed.tell(told, tab=run.tab)

    def _end(self, run: Run, state: str, error: BridgeError) -> None:
        run.state, run.reason, run.message = state, error.reason, error.message
        run.field = field_of(error)
        self._tell(run)

    def _tell(self, run: Run) -> None:
        self._feed.tell({"kind": "run", "run": run.fields()}, tab=run.tab)

    def _forget_old(self) -> None:
        with contextlib.suppress(StopIteration):
            while len(self._runs) > RUNS_KEPT:
                oldest = next(run for run in self._runs.values() if run.ended)
                del self._runs[oldest.id]
