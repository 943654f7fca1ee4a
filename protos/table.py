"""The settings of a request, for bridges. Made from the table in acestep/request.py by `make tables`: change that table, not this file."""

import os
from collections.abc import Mapping, Sequence
from typing import TypedDict

from protos.setting import Setting

AudioFile = str | os.PathLike[str] | tuple[str | os.PathLike[str], float, float | None]


class Settings(TypedDict, total=False):
    """The settings as keyword arguments. Left out means the daemon's default."""

    # Tempo in quarter notes per minute. Left out: the context's, else 120.
    bpm: float
    # Time signature. Left out: the context's, else 4/4.
    signature: str
    # Length in bars; fractions are pick-ups. Left out: as long as the context, else 4.
    bars: float
    # The key. Left out: any.
    key: str
    # Where the tempo changes: quarter and tempo; ramp: evenly to the next. Left out: nowhere.
    tempo_map: str | Sequence[Sequence[float]]
    # Long to short eighth: 1 is straight, 2 is triplets. Left out: as the context has it.
    swing: float
    # Words to sing, if the model can sing.
    lyrics: str
    # How loud a clip without context is, over its whole length. Left out: −14; off: as it was made.
    loudness_lufs: float
    # Imitate the sound of this audio.
    reference: AudioFile
    # Fit to this audio; cover and repaint change it.
    context: AudioFile
    # How strongly reference and context hold. Left out: 1, fully.
    strength: float
    # What to do. Left out: text, or complete where there is a context to fit to.
    task: str
    # For lego and extract: which instrument; for complete: several, separated by |.
    track: str
    # For repaint: which seconds of the context to make anew.
    repaint_s: tuple[float, float]
    # Adapters made by lora_studio, each with how strongly it is used.
    adapters: Mapping[str, float] | Sequence[str | tuple[str, float]]
    # How many clips to make. Left out: 1.
    takes: int
    # How many are made for each take; the best fitting one is kept. Left out: 1.
    candidates: int
    # The same seed gives the same clip; take k has seed + k. Left out: a new one each time.
    seed: int
    # Which model makes it; `acestep models` lists them. Left out: the daemon's.
    cascade: str
    # Only these stages of the model, for example l, m. Left out: all.
    stages: str | Sequence[str]
    # How many steps the model takes: fewer are faster. Left out: its own number.
    steps: int
    # How closely the model keeps to the prompt. Left out: its own value.
    guidance: float
    # Bring the clip to the grid, and to the key that was asked for. Left out: on.
    fit: bool
    # Refuse a clip that does not fit. Left out: off.
    strict: bool
    # Give the model beat and key as sound to follow. Left out: on for models trained with it.
    guide: bool
    # Kind of file. Left out: wav.
    format: str
    # How samples are kept; float32 in wav and aiff only. Left out: pcm24.
    sample_format: str


SETTINGS = (
    Setting(
        name="prompt",
        kind="text",
        group="music",
        title="Prompt",
        help="What it should sound like, in a few words.",
        default="",
        proto="prompt",
    ),
    Setting(
        name="bpm",
        kind="number",
        group="music",
        title="Tempo",
        help="Tempo in quarter notes per minute. Left out: the context's, else 120.",
        default=None,
        proto="bpm",
        low=30.0,
        high=300.0,
    ),
    Setting(
        name="signature",
        kind="signature",
        group="music",
        title="Signature",
        help="Time signature. Left out: the context's, else 4/4.",
        default=None,
        proto="signature",
    ),
    Setting(
        name="bars",
        kind="number",
        group="music",
        title="Bars",
        help="Length in bars; fractions are pick-ups. Left out: as long as the context, else 4.",
        default=None,
        proto="bars",
        low=0.0625,
        high=512.0,
    ),
    Setting(
        name="key",
        kind="key",
        group="music",
        title="Key",
        help="The key. Left out: any.",
        default=None,
        proto="key",
    ),
    Setting(
        name="tempo_map",
        kind="tempi",
        group="music",
        title="Tempo map",
        help="Where the tempo changes: quarter and tempo; ramp: evenly to the next. Left out: nowhere.",
        default=None,
        proto="tempo_map",
        without=("reaper", "plugin", "live"),
    ),
    Setting(
        name="swing",
        kind="number",
        group="music",
        title="Swing",
        help="Long to short eighth: 1 is straight, 2 is triplets. Left out: as the context has it.",
        default=None,
        proto="swing",
        low=1.0,
        high=2.8,
        none=0,
        without=("reaper", "plugin"),
    ),
    Setting(
        name="lyrics",
        kind="text",
        group="music",
        title="Lyrics",
        help="Words to sing, if the model can sing.",
        default="",
        proto="lyrics",
        without=("reaper", "plugin"),
    ),
    Setting(
        name="loudness_lufs",
        kind="number",
        group="music",
        title="Loudness",
        help="How loud a clip without context is, over its whole length. Left out: −14; off: as it was made.",
        default=-14.0,
        proto="loudness_lufs",
        low=-40.0,
        high=-6.0,
        none=0,
        without=("reaper", "plugin"),
    ),
    Setting(
        name="reference",
        kind="audio",
        group="sound",
        title="Reference",
        help="Imitate the sound of this audio.",
        default=None,
        proto="reference",
    ),
    Setting(
        name="context",
        kind="audio",
        group="sound",
        title="Context",
        help="Fit to this audio; cover and repaint change it.",
        default=None,
        proto="context",
    ),
    Setting(
        name="strength",
        kind="number",
        group="sound",
        title="Strength of reference and context",
        help="How strongly reference and context hold. Left out: 1, fully.",
        default=1.0,
        proto="strength",
        low=0,
        high=1,
        without=("reaper",),
    ),
    Setting(
        name="task",
        kind="choice",
        group="sound",
        title="Task",
        help="What to do. Left out: text, or complete where there is a context to fit to.",
        default="",
        proto="task",
        words={
            "text": "new",
            "cover": "the context in another sound",
            "repaint": "a region of the context anew",
            "lego": "one more track for the context",
            "complete": "tracks around the context",
            "extract": "one track out of the context",
        },
        without=("reaper", "plugin"),
    ),
    Setting(
        name="track",
        kind="text",
        group="sound",
        title="Track",
        help="For lego and extract: which instrument; for complete: several, separated by |.",
        default="",
        proto="track",
        without=("reaper", "plugin"),
    ),
    Setting(
        name="repaint_s",
        kind="region",
        group="sound",
        title="Repaint s",
        help="For repaint: which seconds of the context to make anew.",
        default=None,
        proto="repaint",
        without=("reaper", "plugin", "live"),
    ),
    Setting(
        name="adapters",
        kind="adapters",
        group="sound",
        title="Adapters",
        help="Adapters made by lora_studio, each with how strongly it is used.",
        default=(),
        proto="adapters",
        without=("reaper",),
    ),
    Setting(
        name="takes",
        kind="whole",
        group="run",
        title="Takes",
        help="How many clips to make. Left out: 1.",
        default=1,
        proto="takes",
        low=1,
        high=16,
    ),
    Setting(
        name="candidates",
        kind="whole",
        group="run",
        title="Best of",
        help="How many are made for each take; the best fitting one is kept. Left out: 1.",
        default=1,
        proto="candidates",
        low=1,
        high=16,
        without=("reaper", "plugin"),
    ),
    Setting(
        name="seed",
        kind="whole",
        group="run",
        title="Seed",
        help="The same seed gives the same clip; take k has seed + k. Left out: a new one each time.",
        default=None,
        proto="seed",
        low=0,
        high=4294967295,
        none=-1,
        without=("reaper",),
    ),
    Setting(
        name="cascade",
        kind="text",
        group="run",
        title="Cascade",
        help="Which model makes it; `acestep models` lists them. Left out: the daemon's.",
        default="",
        proto="cascade",
        without=("reaper", "plugin"),
    ),
    Setting(
        name="stages",
        kind="names",
        group="run",
        title="Stages",
        help="Only these stages of the model, for example l, m. Left out: all.",
        default=(),
        proto="stages",
        without=("reaper", "plugin"),
    ),
    Setting(
        name="steps",
        kind="whole",
        group="run",
        title="Steps",
        help="How many steps the model takes: fewer are faster. Left out: its own number.",
        default=None,
        proto="steps",
        low=1,
        high=200,
        without=("reaper", "plugin"),
    ),
    Setting(
        name="guidance",
        kind="number",
        group="run",
        title="Guidance",
        help="How closely the model keeps to the prompt. Left out: its own value.",
        default=None,
        proto="guidance",
        low=0,
        high=30,
        without=("reaper", "plugin"),
    ),
    Setting(
        name="fit",
        kind="switch",
        group="run",
        title="Fit to the grid",
        help="Bring the clip to the grid, and to the key that was asked for. Left out: on.",
        default=True,
        proto="fit",
        without=("reaper", "plugin"),
    ),
    Setting(
        name="strict",
        kind="switch",
        group="run",
        title="Refuse a poor fit",
        help="Refuse a clip that does not fit. Left out: off.",
        default=False,
        proto="strict",
        without=("reaper", "plugin"),
    ),
    Setting(
        name="guide",
        kind="switch",
        group="run",
        title="Guide",
        help="Give the model beat and key as sound to follow. Left out: on for models trained with it.",
        default=None,
        proto="guide",
        without=("reaper", "plugin"),
    ),
    Setting(
        name="format",
        kind="choice",
        group="file",
        title="File",
        help="Kind of file. Left out: wav.",
        default="wav",
        proto="format",
        words={"wav": "", "aiff": "", "flac": "", "mp3": ""},
        without=("reaper", "plugin"),
    ),
    Setting(
        name="sample_format",
        kind="choice",
        group="file",
        title="Samples",
        help="How samples are kept; float32 in wav and aiff only. Left out: pcm24.",
        default="pcm24",
        proto="sample_format",
        words={"pcm24": "24 bit", "float32": "32 bit float"},
        without=("reaper", "plugin"),
    ),
)
