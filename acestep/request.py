"""What a musician asks for, as one frozen dataclass: the table of settings, with all validation.

Each field is one setting, told once: its type and default, the values it takes, a sentence of help, where it
is shown, its number on the wire, its names elsewhere, and which bridges leave it out and why. Whether a
checkpoint can do the task is decided where the checkpoint is known.
"""

import dataclasses
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acestep.errors import InvalidRequest
from acestep.music.grid import BARS_RANGE, BPM_RANGE, Grid, Signature
from acestep.music.key import Key
from acestep.music.parts import Part, read_parts
from acestep.music.tempo_map import TempoMap
from acestep.settings import (
    AdapterScales,
    AudioFile,
    Choice,
    Names,
    Number,
    Parts,
    Region,
    Setting,
    Switch,
    Tempi,
    Text,
    TimeSignature,
    Tonality,
    Whole,
    entry,
    setting,
    table,
)
from acestep.settings import AudioRange as AudioRange

TASKS = {
    "text": "new",
    "cover": "the context in another sound",
    "repaint": "a region of the context anew",
    "lego": "one more track for the context",
    "complete": "tracks around the context",
    "extract": "one track out of the context",
}
CONTEXT_TASKS = ("cover", "repaint", "lego", "complete", "extract")
MOVED_TASKS = ("text", "lego", "complete")  # the others stay aligned with their source
TRACK_TASKS = ("lego", "complete", "extract")
FORMATS = ("wav", "aiff", "flac", "mp3")
FLOAT_FORMATS = ("wav", "aiff")  # the others have no floating point samples
MAX_SEED = 2**32 - 1  # of a take behind it the seeds begin again at 0
MAX_IDEA_CHARS = 80
KINDS = {"loop": "bars that repeat", "oneshot": "a single hit, without tempo"}
ONE_SHOT = "oneshot"
ONE_SHOT_GRID = Grid(60.0, bars=1.0)  # what a one-shot is cut out of: slow, so that hits die away
TARGET_LUFS = -14.0  # integrated: what streaming services play at, so that takes compare fairly

# Why a bridge leaves settings out on purpose.
DIALOG = "its dialog asks seven questions only"
PANEL = "its window shows only what changes from clip to clip"
IMPORTED = "the project takes in any file the same way"
SMALL = {"reaper": DIALOG, "plugin": PANEL}


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """One request for `takes` clips. Strings for `signature`, `key`, `reference`, `context` are accepted.

    Without a context, tempo, signature and bars that are None become 120, 4/4 and 4. With one they stay open
    until the context is heard (see `agreement`). Raises InvalidRequest, saying what was wrong and expected.
    """

    prompt: str = field(metadata=entry(Text(2_000), "What it should sound like, in a few words.", "music", 1))
    parts: str = setting(
        "",
        Parts(),
        "An idea as parts, each a clip that fits the others, and their mix: drums, bass, chords, lead.",
        *("music", 40),
    )
    idea: str = setting(
        "",
        Text(MAX_IDEA_CHARS),
        "Which idea `parts` are added to, or `redo` makes anew: the id that its clips share.",
        *("music", 41),
        without={"reaper": DIALOG},
    )
    redo: str = setting(
        "",
        Parts(),
        "Parts of the idea to make anew; the others stay.",
        *("music", 42),
        without={"reaper": DIALOG},
    )
    prompt_b: str = setting(
        "",
        Text(2_000),
        "A second prompt; `morph` says how much of each is heard.",
        *("music", 43),
        title="Second prompt",
        without=SMALL,
    )
    morph: float = setting(
        0.5,
        Number(0, 1),
        "Between both prompts: 0 is the first alone, 1 the second. Default: 0.5.",
        *("music", 44),
        without=SMALL,
    )
    bpm: float | None = setting(
        None,
        Number(*BPM_RANGE, "quarter notes per minute"),
        "Tempo in quarter notes per minute. Default: the context's, else 120.",
        *("music", 4),
        title="Tempo",
        osc="tempo",
    )
    signature: Signature | None = setting(
        None, TimeSignature(), "Time signature. Default: the context's, else 4/4.", "music", 5
    )
    bars: float | None = setting(
        None,
        Number(*BARS_RANGE, "bars"),
        "Length in bars; fractions are pick-ups. Default: as long as the context, else 4.",
        *("music", 6),
    )
    key: Key | None = setting(None, Tonality(), "The key. Default: any.", "music", 7)
    kind: str = setting(
        "loop",
        Choice(KINDS),
        "A loop, or a one-shot: one hit that dies away; tempo, bars and key are not its. Default: loop.",
        *("music", 35),
        without={**SMALL, "live": "a one-shot belongs into a rack, not into a clip slot"},
    )
    tempo_map: TempoMap | None = setting(
        None,
        Tempi(),
        "Tempo changes: pairs of position (in quarters) and tempo; `ramp` glides to the next. Default: none.",
        *("music", 26),
        without={**SMALL, "live": "a clip in Live is warped at one tempo"},
    )
    swing: float | None = setting(
        None,
        Number(1.0, 2.8),  # as far as off-beats are recognised as such
        "Long to short eighth: 1 is straight, 2 is triplets. Default: as the context has it.",
        *("music", 27),
        none=0,
        without=SMALL,
    )
    lyrics: str = setting("", Text(6_000), "Words to sing, if the model can sing.", "music", 2, without=SMALL)
    loudness_lufs: float | None = setting(
        TARGET_LUFS,
        Number(-40.0, -6.0, "LUFS"),
        "How loud a clip without context is, over its whole length. Default: −14; off: as it was made.",
        *("music", 28),
        title="Loudness",
        flag="loudness",
        none=0,
        without=SMALL,
    )
    reference: AudioRange | None = setting(None, AudioFile(), "Imitate the sound of this audio.", "sound", 11)
    context: AudioRange | None = setting(
        None, AudioFile(several=True), "Fit to this audio; cover and repaint change it.", "sound", 12
    )
    strength: float = setting(
        1.0,
        Number(0, 1),
        "How strongly reference and context hold. Default: 1, fully.",
        *("sound", 13),
        title="Strength of reference and context",
        without={"reaper": DIALOG},
    )
    task: str = setting(
        "",
        Choice(TASKS),
        "What to do. Default: text, or complete where there is a context to fit to.",
        *("sound", 3),
        without=SMALL,
    )
    track: str = setting(
        "",
        Text(200),
        "For lego and extract: which instrument; for complete: several, separated by |.",
        *("sound", 14),
        without=SMALL,
    )
    repaint_s: tuple[float, float] | None = setting(
        None,
        Region(),
        "For repaint: which seconds of the context to make anew.",
        *("sound", 15),
        flag="repaint",
        proto="repaint",
        without={**SMALL, "live": "a script in Live cannot see which part of a clip is selected"},
    )
    adapters: tuple[tuple[str, float], ...] = setting(
        (),
        AdapterScales(),
        "Adapters made by lora_studio, each with how strongly it is used.",
        *("sound", 16),
        flag="adapter",
        without={"reaper": DIALOG},
    )
    takes: int = setting(1, Whole(1, 16), "How many clips to make. Default: 1.", "run", 9)
    candidates: int = setting(
        1,
        Whole(1, 16),
        "How many are made for each take; the best fitting one is kept. Default: 1.",
        *("run", 10),
        title="Best of",
        without=SMALL,
    )
    seed: int | None = setting(
        None,
        Whole(0, MAX_SEED),
        "The same seed gives the same clip; take k has seed + k. Default: a new one each time.",
        *("run", 8),
        none=-1,
        without={"reaper": DIALOG},
    )
    family: int | None = setting(
        None,
        Whole(0, MAX_SEED),
        "Vary the music of this seed: each take by its own seed, as far as `variation` says. Default: none.",
        *("run", 45),
        none=-1,
        without=SMALL,
    )
    variation: float = setting(
        0.5,
        Number(0, 1),
        "How far a clip is from its family: 0 is the family's own music, 1 is unrelated. Default: 0.5.",
        *("run", 46),
        without=SMALL,
    )
    cascade: str = setting(
        "",
        Text(200),
        "Which model makes it; `acestep models` lists them. Default: the daemon's.",
        *("run", 17),
        without=SMALL,
    )
    stages: tuple[str, ...] = setting(
        (),
        Names(),
        "Only these stages of the model, for example l, m. Default: all.",
        *("run", 18),
        without=SMALL,
    )
    steps: int | None = setting(
        None,
        Whole(1, 200),
        "How many steps the model takes: fewer are faster. Default: its own number.",
        *("run", 19),
        without=SMALL,
    )
    guidance: float | None = setting(
        None,
        Number(0, 30),
        "How closely the model keeps to the prompt. Default: its own value.",
        *("run", 20),
        without=SMALL,
    )
    fit: bool = setting(
        True,
        Switch(),
        "Bring the clip to the grid, and to the key that was asked for. Default: on.",
        *("run", 21),
        title="Fit to the grid",
        without=SMALL,
    )
    strict: bool = setting(
        False,
        Switch(),
        "Refuse a clip that does not fit. Default: off.",
        *("run", 22),
        title="Refuse a poor fit",
        without=SMALL,
    )
    guide: bool | None = setting(
        None,
        Switch(),
        "Give the model beat and key as sound to follow. Default: on for models trained with it.",
        *("run", 23),
        without=SMALL,
    )
    format: str = setting(
        "wav",
        Choice(dict.fromkeys(FORMATS, "")),
        "Kind of file. Default: wav.",
        *("file", 24),
        title="File",
        without={"reaper": IMPORTED, "plugin": IMPORTED},
    )
    sample_format: str = setting(
        "pcm24",
        Choice({"pcm24": "24 bit", "float32": "32 bit float"}),
        "How samples are kept; float32 in wav and aiff only. Default: pcm24.",
        *("file", 25),
        title="Samples",
        without={"reaper": IMPORTED, "plugin": IMPORTED},
    )
    midi_out: bool = setting(
        False,
        Switch(),
        "Write the notes of each clip into a MIDI file beside it: NAME.mid. Default: off.",
        *("file", 36),
        title="MIDI file",
        osc="midi",
    )

    def __post_init__(self) -> None:
        for name, one in SETTINGS.items():
            object.__setattr__(self, name, one.read(getattr(self, name)))
        if not self.prompt.strip() and not self.idea:
            raise InvalidRequest("prompt is empty: expected a few words on what it should sound like")
        self._check_parts()
        self._check_task()
        self._check_format()
        self._check_kind()
        self._set_grid()

    @property
    def wanted(self) -> tuple[Part, ...]:
        """The parts to make, those to make anew first; () where one clip is asked for."""
        return (*read_parts("redo", self.redo), *read_parts("parts", self.parts))

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
        if self.kind == ONE_SHOT:
            for name in ("bpm", "signature", "bars"):
                object.__setattr__(self, name, getattr(ONE_SHOT_GRID, name))
        if self.context is None and not self.idea:  # whose clips say it
            for name in self.open:
                object.__setattr__(self, name, getattr(Grid(), name))
        if self.tempo_map is not None and self.bars is not None and self.signature is not None:
            object.__setattr__(self, "bpm", self.tempo_map.mean_bpm(self.signature, self.bars))
        if not self.open:
            _ = self.grid

    def _check_parts(self) -> None:
        if self.redo and not self.idea:
            raise InvalidRequest("redo needs an idea: name the id that the idea's clips share")
        if self.idea and not self.wanted:
            raise InvalidRequest(
                f"idea {self.idea!r} without parts and redo: name the parts to add, or those to make anew"
            )
        if not self.wanted:
            return
        both = {one.name for one in read_parts("parts", self.parts)}
        if twice := sorted(both & {one.name for one in read_parts("redo", self.redo)}):
            raise InvalidRequest(f"{', '.join(twice)} in parts and in redo: name each part once")
        if self.takes != 1:
            raise InvalidRequest(
                f"takes {self.takes} with parts: parts make one idea at a time; leave takes out, and ask "
                "again for another"
            )
        if self.task not in ("", "text", "complete") or self.track.strip() or self.repaint_s is not None:
            raise InvalidRequest(
                "parts choose task and track by themselves: leave out task, track and the region to repaint"
            )
        if self.prompt_b.strip():
            raise InvalidRequest(
                "a second prompt with parts: parts have words of their own; leave prompt_b out, or ask for "
                "one clip"
            )

    def _check_kind(self) -> None:
        odd = {
            "context": self.context is not None,
            "tempo map": self.tempo_map is not None,
            "swing": self.swing is not None,
            "parts": bool(self.wanted),
            "midi": self.midi_out,
        }
        given = [name for name, value in odd.items() if value]
        if self.kind == ONE_SHOT and given:
            raise InvalidRequest(
                f"a one-shot is a single hit without a tempo, so {' and '.join(given)} would do nothing: "
                "leave out what it cannot have, or ask for kind loop"
            )

    def _check_format(self) -> None:
        if self.sample_format == "float32" and self.format not in FLOAT_FORMATS:
            raise InvalidRequest(
                f"{self.format} files hold no float32 samples: leave sample_format out, or ask for format "
                f"{' or '.join(FLOAT_FORMATS)}"
            )

    def _check_task(self) -> None:
        if not self.task:
            object.__setattr__(self, "task", "text" if self.context is None else "complete")
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
        elif self.repaint_s is not None:
            raise InvalidRequest(f"a region to repaint is only for task repaint, not {self.task}")

    def seeded(self) -> "GenerateRequest":
        """The same request with a seed: its own, or one drawn now."""
        return self if self.seed is not None else dataclasses.replace(self, seed=secrets.randbelow(2**31))

    def seed_of(self, take: int) -> int:
        """The seed of a take, of a request that has one."""
        assert self.seed is not None
        return (self.seed + take) % (MAX_SEED + 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` gives the same request back."""
        values = dataclasses.asdict(self)
        for name in ("reference", "context"):
            audio: AudioRange | None = getattr(self, name)
            values[name] = audio.to_dict() if audio else None
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


SETTINGS: dict[str, Setting] = table(dataclasses.fields(GenerateRequest))
