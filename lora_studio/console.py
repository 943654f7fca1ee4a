"""How a command speaks: a progress line for people, or one JSON object a line for programs."""

import dataclasses
import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lora_studio.training.stage_run import Tick

TICKS_PER_S = 4


class Console:
    """Progress to stderr and results to stdout; with `as_json` events to stdout, flushed.

    `quiet`: nothing of either, for all but the first of several processes that train together.
    """

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._bar: Any = None
        self._what = ""
        self._told_s = 0.0

    def __enter__(self) -> "Console":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def say(self, text: str) -> None:
        """A line for people."""
        if not (self.as_json or self.quiet):
            print(text, flush=True)

    def event(self, event: str, /, **values: Any) -> None:
        """A line for programs."""
        if self.as_json and not self.quiet:
            print(json.dumps({"event": event, **values}, ensure_ascii=False, default=str), flush=True)

    def stage(self, what: str, done: int, total: int, detail: str) -> None:
        """Progress of scanning and encoding; of the memory that training takes the whole sentence."""
        if self.as_json:
            if self._is_time() or done == total:
                self.event("stage", what=what, done=done, total=total, detail=detail)
            return
        if what == "memory":
            self.say(detail)
            return
        self._open(what, total)
        self._bar.update(done - self._bar.n)

    def tick(self, tick: "Tick") -> None:
        """Progress of training: loss, time left, memory."""
        if self.as_json:
            if tick.validation is not None or self._is_time():
                self.event("tick", **dataclasses.asdict(tick))
            return
        if self.quiet:
            return
        self._open(f"stage {tick.stage}", tick.total_steps)
        held_out = "" if tick.validation is None else f", held out {tick.validation:.4f}"
        self._bar.set_postfix_str(
            f"loss {tick.loss:.4f}{held_out}, {tick.audio_seconds:,.0f} s heard, {_memory()}", refresh=False
        )
        self._bar.update(tick.step - self._bar.n)
        if tick.validation is not None and not sys.stderr.isatty():
            print(
                f"stage {tick.stage} step {tick.step}/{tick.total_steps} loss {tick.loss:.4f} "
                f"held out {tick.validation:.4f} eta {tick.eta_s:.0f} s {_memory()}",
                file=sys.stderr,
            )

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._told_s < 1 / TICKS_PER_S:
            return False
        self._told_s = now
        return True

    def _open(self, what: str, total: int) -> None:
        if self._what == what:
            return
        from tqdm import tqdm

        if self._bar is not None:
            self._bar.close()
        self._what = what
        self._bar = tqdm(total=total, desc=what, disable=self.quiet or not sys.stderr.isatty())


def _memory() -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB"
    import psutil

    return f"{psutil.Process().memory_info().rss / 1e9:.1f} GB"
