"""MIDI in: follows a clock for tempo and position, and is triggered by notes and controllers.

The follower and the triggers are plain arithmetic over messages; only `MidiInput` touches a port. Knows
nothing of jobs: what a trigger does is given to it.
"""

import itertools
import math
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from acestep.errors import InvalidRequest, Unavailable
from server import logs

TICKS_PER_QUARTER = 24
TICKS_PER_SONG_POSITION = 6  # a sixteenth note
WINDOW_TICKS = 180  # with 1 ms of jitter the slope is right within 0.01 %; gone after eight quarters
FIRST_TICKS = 24  # a quarter before the first answer
UPDATE_TICKS = 6
LOST_S = 1.0  # a clock that is silent for longer has stopped
JUMP = 0.2  # intervals this far off, several in a row, are another tempo and no jitter
JUMP_POINTS = 5
MIN_POINTS = 4
BURST = 0.35  # of the mean interval: what comes so soon behind another came together with it
ROUND_WITHIN = 0.15  # of a tempo's last digit, the most that is rounded away; chosen by hand
CC_ON = 64
TRANSPORT = ("start", "continue", "stop", "songpos")
log = logs.get("midi")


class ClockFollower:
    """Tempo and position from MIDI clock, jitter filtered by a straight line through the last ticks."""

    def __init__(self) -> None:
        self.playing = False
        self.bpm: float | None = None
        self._ticks = 0  # since the song's start
        self._times: deque[float] = deque(maxlen=WINDOW_TICKS)
        self._since_update = 0

    @property
    def quarters(self) -> float:
        """The song position in quarter notes."""
        return self._ticks / TICKS_PER_QUARTER

    @property
    def on_quarter(self) -> bool:
        """Whether it plays and a quarter note begins with the last tick."""
        return self.playing and self._ticks % TICKS_PER_QUARTER == 0

    def feed(self, message: Any, time_s: float) -> bool:
        """Takes a mido message as it comes; True when the tempo has become known or another."""
        match message.type:
            case "clock":
                return self._clock(time_s)
            case "start":
                self._ticks, self.playing = 0, True
            case "continue":
                self.playing = True
            case "stop":
                self.playing = False
            case "songpos":
                self._ticks = message.pos * TICKS_PER_SONG_POSITION
        return False

    def _clock(self, time_s: float) -> bool:
        if self.playing:
            self._ticks += 1
        if self._times and not 0 <= time_s - self._times[-1] < LOST_S:
            self._times.clear()
        self._times.append(time_s)
        self._since_update += 1
        if len(self._times) < FIRST_TICKS or self._since_update < UPDATE_TICKS:
            return False
        self._since_update = 0
        return self._update()

    def _update(self) -> bool:
        points = _on_time(list(self._times))
        jump = _jump(points)
        if jump is not None:
            for _ in range(jump):
                self._times.popleft()
            return False
        if len(points) < MIN_POINTS:
            return False
        interval_s, error_s = _slope(points)
        if interval_s <= 0:
            return False
        bpm = 60 / (interval_s * TICKS_PER_QUARTER)
        error = 3 * bpm * error_s / interval_s
        # No new tempo for what may be jitter: only what is surely another counts.
        if self.bpm is not None and abs(bpm - self.bpm) <= max(0.02, error):
            return False
        self.bpm = _rounded(bpm, error)
        return True


Point = tuple[int, float]  # number of a tick, and when it came in seconds


def _on_time(times: list[float]) -> list[Point]:
    """The ticks that were not held up: of a burst that comes at once, only the last was on time.

    Whether the newest is the last of its burst cannot be known yet.
    """
    held_s = BURST * (times[-1] - times[0]) / max(1, len(times) - 1)
    return [(n, at) for n, at in enumerate(times[:-1]) if times[n + 1] - at > held_s]


def _jump(points: list[Point]) -> int | None:
    """The tick from which on another tempo holds: the last intervals all differ one way from those before."""
    steps = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(points)]
    if len(steps) < 2 * JUMP_POINTS:
        return None
    usual = sorted(steps[:-JUMP_POINTS])[(len(steps) - JUMP_POINTS) // 2]
    last = [step / usual - 1 for step in steps[-JUMP_POINTS:]]
    if min(last) > JUMP or max(last) < -JUMP:
        return points[-JUMP_POINTS - 1][0]
    return None


def _slope(points: list[Point]) -> tuple[float, float]:
    """Seconds per tick by least squares without the ticks that came far too late, and its standard error."""
    slope = error = 0.0
    for _ in range(2):
        count = len(points)
        mean_x = sum(x for x, _ in points) / count
        mean_y = sum(y for _, y in points) / count
        spread = sum((x - mean_x) ** 2 for x, _ in points)
        slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
        off = [abs(y - mean_y - slope * (x - mean_x)) for x, y in points]
        error = math.sqrt(sum(value**2 for value in off) / max(1, count - 2) / spread)
        limit = max(3 * sorted(off)[count // 2], 1e-5)
        kept = [point for point, value in zip(points, off, strict=True) if value <= limit]
        if len(kept) < max(MIN_POINTS, count // 2) or len(kept) == count:
            break
        points = kept
    return slope, error


def _rounded(bpm: float, error: float) -> float:
    """The roundest tempo that is as likely: hosts run at 120 or 92.5 rather than at 119.98."""
    for digits in range(2):
        if abs(round(bpm, digits) - bpm) <= max(0.005, min(error, ROUND_WITHIN / 10**digits)):
            return round(bpm, digits)
    return round(bpm, 2)


@dataclass(frozen=True)
class Trigger:
    """`note 60`, `cc 20`, with a channel `note 60@10`; numbers and channels as musicians count them."""

    kind: str
    number: int
    channel: int | None  # 1–16

    @classmethod
    def parse(cls, text: str) -> "Trigger | None":
        """None for an empty text; raises InvalidRequest for what is none."""
        if not text.strip():
            return None
        match = re.fullmatch(r"\s*(note|cc)\s+(\d{1,3})\s*(?:@\s*(\d{1,2}))?\s*", text, re.IGNORECASE)
        if match is None or int(match[2]) > 127 or not 1 <= int(match[3] or 1) <= 16:
            raise InvalidRequest(
                f"MIDI trigger {text!r} is not understood: expected note 0–127 or cc 0–127, then @channel"
            )
        return cls(match[1].lower(), int(match[2]), int(match[3]) if match[3] else None)

    def matches(self, message: Any) -> bool:
        """Whether a message is this note or controller going down."""
        if (
            self.channel is not None and getattr(message, "channel", -2) + 1 != self.channel
        ):  # clocks have none
            return False
        if self.kind == "note":
            on = message.type == "note_on" and message.note == self.number and message.velocity > 0
            return bool(on)
        return bool(message.type == "control_change" and message.control == self.number)

    def is_on(self, message: Any) -> bool:
        """Notes are on when they match; controllers from the middle up."""
        return self.kind == "note" or message.value >= CC_ON


class Triggers:
    """Calls actions for messages; a controller acts once until it goes down again."""

    def __init__(self, actions: list[tuple[Trigger | None, Callable[[], None]]]):
        self._actions = [(trigger, action) for trigger, action in actions if trigger is not None]
        self._held: set[Trigger] = set()

    def feed(self, message: Any) -> None:
        """Takes a mido message as it comes."""
        for trigger, action in self._actions:
            if not trigger.matches(message):
                continue
            if not trigger.is_on(message):
                self._held.discard(trigger)
            elif trigger.kind == "note" or trigger not in self._held:
                self._held.add(trigger)
                action()


class MidiInput:
    """An open port: messages go to the follower and the triggers as they come."""

    def __init__(
        self,
        name: str,
        triggers: Triggers,
        on_tempo: Callable[[float], None],
        on_position: Callable[[float, float | None, bool], None] = lambda quarters, bpm, playing: None,
    ):
        self.follower = ClockFollower()
        self._triggers = triggers
        self._on_tempo = on_tempo
        self._on_position = on_position  # quarters, tempo, whether it plays: every quarter, and at each jump
        self._port = _open(name, self._receive)
        log.info("midi_input_open", port=self._port.name)

    def close(self) -> None:
        """Closes the port."""
        self._port.close()

    def _receive(self, message: Any) -> None:
        if self.follower.feed(message, time.perf_counter()) and self.follower.bpm is not None:
            log.debug("midi_tempo", bpm=self.follower.bpm)
            self._on_tempo(self.follower.bpm)
        if message.type in TRANSPORT or (message.type == "clock" and self.follower.on_quarter):
            self._on_position(self.follower.quarters, self.follower.bpm, self.follower.playing)
        self._triggers.feed(message)


def _open(name: str, callback: Callable[[Any], None]) -> Any:
    import mido

    try:
        names = list(dict.fromkeys(mido.get_input_names()))
    except ImportError:
        raise InvalidRequest(
            "MIDI input needs python-rtmidi, which is not installed: install it with "
            f"`{sys.executable} -m pip install python-rtmidi`, or leave midi_input empty"
        ) from None
    except (OSError, RuntimeError) as error:  # rtmidi's errors
        raise Unavailable(f"this system offers no MIDI ({error}): leave midi_input empty") from None
    exact = [item for item in names if item == name]
    found = exact or [item for item in names if name.lower() in item.lower()]
    if not found:
        raise InvalidRequest(f"no MIDI input {name!r}: expected one of {', '.join(names) or 'none'}")
    try:
        return mido.open_input(found[0], callback=callback)
    except (OSError, RuntimeError) as error:
        raise Unavailable(f"MIDI input {found[0]!r} cannot be opened ({error})") from None
