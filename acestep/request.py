"""What a musician asks for, as one frozen dataclass that holds all validation."""

import dataclasses
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep.errors import InvalidRequest
from acestep.music.grid import BARS_RANGE, BPM_RANGE, Grid, Signature, is_number
from acestep.music.key import Key
from acestep.music.tempo_map import TempoMap

TASKS = ("text", "cover", "repaint", "lego", "complete", "extract")
CONTEXT_TASKS = ("cover", "repaint", "lego", "complete", "extract")
MOVED_TASKS = ("text", "lego", "complete")  # the others stay aligned with their source
TRACK_TASKS = ("lego", "complete", "extract")
FORMATS = ("wav", "aiff", "flac", "mp3")
SAMPLE_FORMATS = ("pcm24", "float32")
FLOAT_FORMATS = ("wav", "aiff")  # the others have no floating point samples

MAX_PROMPT_CHARS = 2_000
MAX_LYRICS_CHARS = 6_000
MAX_TAKES = 16
MAX_CANDIDATES = 16
MAX_SEED = 2**32 - 1
MAX_STEPS = 200
MAX_ADAPTERS = 8
MAX_ADAPTER_SCALE = 4.0
TARGET_LUFS = -14.0  # integrated: what streaming services play at, so that takes compare fairly
LOUDNESS_RANGE_LUFS = (-40.0, -6.0)
MAX_ADAPTER_CHARS = 1_000  # the command line may name one by its path
SWING_RANGE = (1.0, 2.8)  # long to short eighth, as far as off-beats are recognised as such


@dataclass(frozen=True)
class AudioRange:
    """A stretch of an audio file, in seconds; `end_s=None` means to its end."""

    path: str
    start_s: float = 0.0
    end_s: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path.strip() or "\0" in self.path:
            raise InvalidRequest(
                f"audio path {self.path!r} is empty or not a path: expected the path of an audio file"
            )
        _number("start of the audio", self.start_s, 0, 36_000)
        if self.end_s is not None:
            _number("end of the audio", self.end_s, 0, 36_000)
            if self.end_s <= self.start_s:
                raise InvalidRequest(
                    f"audio range {self.start_s:g}–{self.end_s:g} s is empty: it must end after it starts"
                )


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """One request for `takes` clips. Strings for `signature`, `key`, `reference`, `context` are accepted.

    Without a context, tempo, signature and bars that are None become 120, 4/4 and 4. With one they stay open
    until the context is heard (see `agreement`). Raises InvalidRequest, saying what was wrong and expected.
    """

    prompt: str
    lyrics: str = ""
    task: str = ""  # "": text, or complete where there is a context to fit to
    bpm: float | None = None  # quarter notes per minute; with a tempo_map always its mean
    signature: Signature | None = None
    bars: float | None = None
    tempo_map: TempoMap | None = None  # the tempi from the clip's start on, in its quarters
    swing: float | None = None  # long to short eighth: 1 straight, 2 triplets; None: the context's
    key: Key | None = None
    seed: int | None = None  # take k is made with seed + k; None: drawn when the job starts
    takes: int = 1
    candidates: int = 1  # made per take, the best fitting one is kept
    reference: AudioRange | None = None  # imitate this sound
    context: AudioRange | None = None  # fit to this audio; the source of cover and repaint
    strength: float = 1.0  # how strongly reference or context hold, 0–1
    track: str = ""  # lego, extract: which instrument; complete: several, separated by |
    repaint_s: tuple[float, float] | None = None  # the region of `context` to make anew, in seconds
    adapters: tuple[tuple[str, float], ...] = ()  # (name, scale)
    cascade: str = ""  # "" is the daemon's default
    stages: tuple[str, ...] = ()  # a subset of the cascade's stages; () is all
    steps: int | None = None  # None: the checkpoint's own
    guidance: float | None = None  # None: the checkpoint's own
    fit: bool = True  # bring the result to the grid (and key)
    loudness_lufs: float | None = TARGET_LUFS  # of a clip without context; None: as the checkpoint made it
    strict: bool = False  # refuse a clip that does not fit within tolerance
    guide: bool | None = None  # grid and key as context; None: where a checkpoint has channels for it
    format: str = "wav"
    sample_format: str = "pcm24"

    def __post_init__(self) -> None:
        for name, convert in (
            ("signature", Signature.parse),
            ("reference", _audio_range),
            ("context", _audio_range),
        ):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, convert(value))
        object.__setattr__(self, "key", Key.parse(self.key) if self.key else None)
        object.__setattr__(self, "stages", _names("stages", self.stages))
        object.__setattr__(self, "adapters", _adapters(self.adapters))
        self._check_text()
        self._check_numbers()
        self._check_task()
        self._set_grid()

    @property
    def open(self) -> tuple[str, ...]:
        """The parts of the grid that the context decides: some of bpm, signature, bars."""
        return tuple(name for name in ("bpm", "signature", "bars") if getattr(self, name) is None)

    @property
    def grid(self) -> Grid:
        """Tempo, signature and bars as one. Raises InvalidRequest while they wait for the context."""
        if self.bpm is None or self.signature is None or self.bars is None:
            raise InvalidRequest(
                f"{', '.join(self.open)} of this request are the context's, which was not heard yet: "
                "name them, or have them filled in by `agreement.agreed`"
            )
        return Grid(self.bpm, self.signature, self.bars)

    def _set_grid(self) -> None:
        """Fill in what is known of the grid. Raises InvalidRequest for an impossible one."""
        if self.context is None:
            for name in self.open:
                object.__setattr__(self, name, getattr(Grid(), name))
        if self.bars is not None:
            _number("bars", self.bars, *BARS_RANGE)
        if self.tempo_map is not None:
            object.__setattr__(self, "tempo_map", TempoMap.parse(self.tempo_map))
            if self.bars is not None and self.signature is not None:
                mean = self.tempo_map.mean_bpm(self.signature, self.bars)
                object.__setattr__(self, "bpm", mean)
        if not self.open:
            _ = self.grid
        elif self.bpm is not None:
            _number("tempo", self.bpm, *BPM_RANGE)

    def _check_text(self) -> None:
        for name, text, limit in (
            ("prompt", self.prompt, MAX_PROMPT_CHARS),
            ("lyrics", self.lyrics, MAX_LYRICS_CHARS),
            ("track", self.track, 200),
            ("cascade", self.cascade, 200),
        ):
            if not isinstance(text, str):
                raise InvalidRequest(f"{name} is a {type(text).__name__}: expected text")
            if len(text) > limit:
                raise InvalidRequest(f"{name} has {len(text)} characters: expected at most {limit}")
            _unicode(name, text)
        if not self.prompt.strip():
            raise InvalidRequest("prompt is empty: expected a few words on what it should sound like")
        for name, choices in (("format", FORMATS), ("sample_format", SAMPLE_FORMATS)):
            _lower(self, name)
            _choice(name, getattr(self, name), choices)
        if self.sample_format == "float32" and self.format not in FLOAT_FORMATS:
            raise InvalidRequest(
                f"{self.format} files hold no float32 samples: leave sample_format out, or ask for format "
                f"{' or '.join(FLOAT_FORMATS)}"
            )

    def _check_numbers(self) -> None:
        _whole("takes", self.takes, 1, MAX_TAKES)
        _whole("candidates", self.candidates, 1, MAX_CANDIDATES)
        _number("strength", self.strength, 0, 1)
        if self.swing is not None:
            _number("swing", self.swing, *SWING_RANGE)
        if self.loudness_lufs is not None:
            _number("loudness", self.loudness_lufs, *LOUDNESS_RANGE_LUFS)
        if self.seed is not None:
            _whole("seed", self.seed, 0, MAX_SEED)
        if self.steps is not None:
            _whole("steps", self.steps, 1, MAX_STEPS)
        if self.guidance is not None:
            _number("guidance", self.guidance, 0, 30)
        for name in ("fit", "strict", *(("guide",) if self.guide is not None else ())):
            if not isinstance(getattr(self, name), bool):
                raise InvalidRequest(f"{name} is {getattr(self, name)!r:.40}: expected true or false")

    def _check_task(self) -> None:
        if not self.task:
            object.__setattr__(self, "task", "text" if self.context is None else "complete")
        _lower(self, "task")
        _choice("task", self.task, TASKS)
        if self.task in CONTEXT_TASKS and self.context is None:
            raise InvalidRequest(f"task {self.task} needs a context: name the audio file it works on")
        for name, value in (("tempo map", self.tempo_map), ("swing", self.swing)):
            if value is not None and self.task not in MOVED_TASKS:
                raise InvalidRequest(f"task {self.task} stays aligned with its source: leave the {name} out")
        if self.track.strip() and self.task not in TRACK_TASKS:
            raise InvalidRequest(
                f"task {self.task} makes no single track, so track {self.track!r} would do nothing: leave it "
                f"out, or choose one of {', '.join(TRACK_TASKS)}"
            )
        if self.task == "repaint":
            if self.repaint_s is None:
                raise InvalidRequest(
                    "task repaint needs a region: the start and end in seconds of what to make anew"
                )
            object.__setattr__(self, "repaint_s", _region(self.repaint_s))
        elif self.repaint_s is not None:
            raise InvalidRequest(f"a region to repaint is only for task repaint, not {self.task}")

    def seeded(self) -> "GenerateRequest":
        """The same request with a seed: its own, or one drawn now."""
        return self if self.seed is not None else dataclasses.replace(self, seed=secrets.randbelow(2**31))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` gives the same request back."""
        values = dataclasses.asdict(self)
        values["signature"] = str(self.signature) if self.signature else None
        values["key"] = str(self.key) if self.key else None
        values["tempo_map"] = self.tempo_map.to_list() if self.tempo_map else None
        values["stages"] = list(self.stages)
        values["adapters"] = [list(item) for item in self.adapters]
        values["repaint_s"] = list(self.repaint_s) if self.repaint_s else None
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GenerateRequest":
        """From `to_dict`'s values (a sidecar, a journal). Unknown names raise InvalidRequest."""
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, Mapping):
            raise InvalidRequest(f"the request is a {type(values).__name__}: expected names and values")
        unknown = sorted(str(name)[:40] for name in set(values) - names)
        if unknown:
            raise InvalidRequest(
                f"unknown setting {', '.join(unknown)}: expected some of {', '.join(sorted(names))}"
            )
        if "prompt" not in values:
            raise InvalidRequest(
                "the request has no prompt: expected a few words on what it should sound like"
            )
        return cls(**values)

    def to_json(self) -> str:
        """`to_dict` as one line of JSON with sorted names: equal requests give equal text."""
        return json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False)


def _audio_range(value: Any) -> AudioRange:
    if isinstance(value, AudioRange):
        return value
    if isinstance(value, str | Path):
        return AudioRange(str(value))
    if isinstance(value, Mapping) and {"path"} <= set(value) <= {"path", "start_s", "end_s"}:
        return AudioRange(**value)
    raise InvalidRequest(
        f"audio {value!r:.80} is not a file: expected a path, or a path with start and end in seconds"
    )


def _names(what: str, value: Any) -> tuple[str, ...]:
    names = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise InvalidRequest(f"{what} {value!r:.80} are not names: expected for example ('l', 'm')")
    return tuple(names)


def _adapters(value: Any) -> tuple[tuple[str, float], ...]:
    adapters = []
    for item in _list("adapters", value, "names, or pairs of a name and a scale"):
        if isinstance(item, str):
            item = (item, 1.0)
        if not isinstance(item, list | tuple) or len(item) != 2:
            raise InvalidRequest(
                f"adapter {item!r:.80} is not an adapter: expected a name and a scale: ('dusty', 0.8)"
            )
        name, scale = item
        if not isinstance(name, str) or not name.strip():
            raise InvalidRequest(
                f"adapter {name!r:.80} is not a name: `lora_studio list` lists those that are here"
            )
        if len(name) > MAX_ADAPTER_CHARS:
            raise InvalidRequest(
                f"adapter {name[:40]!r}… has a name of {len(name)} characters: that is too long"
            )
        _unicode("the name of an adapter", name)
        _number(f"scale of adapter {name[:80]}", scale, -MAX_ADAPTER_SCALE, MAX_ADAPTER_SCALE)
        adapters.append((name, float(scale)))
    if len(adapters) > MAX_ADAPTERS:
        raise InvalidRequest(f"{len(adapters)} adapters at once: expected at most {MAX_ADAPTERS}")
    return tuple(adapters)


def _region(value: Any) -> tuple[float, float]:
    region = _list("repaint_s", value, "a start and an end in seconds")
    if len(region) != 2:
        raise InvalidRequest(
            f"repaint_s {value!r:.80} is not a region: expected a start and an end in seconds"
        )
    start_s, end_s = region
    _number("repaint start", start_s, 0, 600)
    _number("repaint end", end_s, 0, 600)
    if end_s <= start_s:
        raise InvalidRequest(
            f"repaint region {start_s:g}–{end_s:g} s is empty: the end must come after the start"
        )
    return float(start_s), float(end_s)


def _list(name: str, value: Any, expected: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise InvalidRequest(f"{name} {value!r:.80} is not a list: expected {expected}")
    return value


def _unicode(name: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half a pair of UTF-16, or a byte of a file name: no font and no model has it
        raise InvalidRequest(f"{name} holds {text!r:.80}, bytes that are not text: expected UTF-8") from None


def _lower(request: GenerateRequest, name: str) -> None:
    value = getattr(request, name)
    if isinstance(value, str):
        object.__setattr__(request, name, value.lower())


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidRequest(f"{name} {value!r:.80} is unknown: expected one of {', '.join(choices)}")


def _number(name: str, value: Any, low: float, high: float) -> None:
    if not is_number(value):
        raise InvalidRequest(f"{name} {value!r:.40} is not a number: expected {low:g}–{high:g}")
    if not low <= value <= high:
        raise InvalidRequest(f"{name} {value:g} is out of range: expected {low:g}–{high:g}")


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest(f"{name} {value!r:.40} is not a whole number: expected {low}–{high}")
    if not low <= value <= high:
        raise InvalidRequest(f"{name} {value} is out of range: expected {low}–{high}")
