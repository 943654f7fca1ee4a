"""The settings of a request, for bridges. Made from the table in acestep/request.py by `make tables`: change that table, not this file."""

import os
from collections.abc import Mapping, Sequence
from typing import TypedDict

from protos.setting import Setting

AudioFile = str | os.PathLike[str] | tuple[str | os.PathLike[str], float, float | None]


class Settings(TypedDict, total=False):
    """The settings as keyword arguments. Left out means the daemon's default."""

    # An idea as parts, each a clip that fits the others, and their mix: drums, bass, chords, lead.
    parts: str
    # Which idea `parts` are added to, or `redo` makes anew: the id that its clips share.
    idea: str
    # Parts of the idea to make anew; the others stay.
    redo: str
    # A second prompt; `morph` says how much of each is heard.
    prompt_b: str
    # Between both prompts: 0 is the first alone, 1 the second. Default: 0.5.
    morph: float
    # Tempo in quarter notes per minute. Default: the context's, else 120.
    bpm: float
    # Time signature. Default: the context's, else 4/4.
    signature: str
    # Length in bars; fractions are pick-ups. Default: as long as the context, else 4.
    bars: float
    # The key. Default: any.
    key: str
    # A loop, or a one-shot: one hit that dies away; tempo, bars and key are not its. Default: loop.
    kind: str
    # Tempo changes: pairs of position (in quarters) and tempo; `ramp` glides to the next. Default: none.
    tempo_map: str | Sequence[Sequence[float]]
    # Long to short eighth: 1 is straight, 2 is triplets. Default: as the context has it.
    swing: float
    # Words to sing, if the model can sing.
    lyrics: str
    # How loud a clip without context is, over its whole length. Default: −14; off: as it was made.
    loudness_lufs: float
    # Imitate the sound of this audio.
    reference: AudioFile
    # Fit to this audio; cover and repaint change it.
    context: AudioFile | list[AudioFile]
    # How strongly reference and context hold. Default: 1, fully.
    strength: float
    # What to do. Default: text, or complete where there is a context to fit to.
    task: str
    # For lego and extract: which instrument; for complete: several, separated by |.
    track: str
    # For repaint: which seconds of the context to make anew.
    repaint_s: tuple[float, float]
    # Adapters made by lora_studio, each with how strongly it is used.
    adapters: Mapping[str, float] | Sequence[str | tuple[str, float]]
    # How many clips to make. Default: 1.
    takes: int
    # How many are made for each take; the best fitting one is kept. Default: 1.
    candidates: int
    # The same seed gives the same clip; take k has seed + k. Default: a new one each time.
    seed: int
    # Vary the music of this seed: each take by its own seed, as far as `variation` says. Default: none.
    family: int
    # How far a clip is from its family: 0 is the family's own music, 1 is unrelated. Default: 0.5.
    variation: float
    # Which model makes it; `acestep models` lists them. Default: the daemon's.
    cascade: str
    # Only these stages of the model, for example l, m. Default: all.
    stages: str | Sequence[str]
    # How many steps the model takes: fewer are faster. Default: its own number.
    steps: int
    # How closely the model keeps to the prompt. Default: its own value.
    guidance: float
    # Bring the clip to the grid, and to the key that was asked for. Default: on.
    fit: bool
    # Refuse a clip that does not fit. Default: off.
    strict: bool
    # Give the model beat and key as sound to follow. Default: on for models trained with it.
    guide: bool
    # Kind of file. Default: wav.
    format: str
    # How samples are kept; float32 in wav and aiff only. Default: pcm24.
    sample_format: str
    # Write the notes of each clip into a MIDI file beside it: NAME.mid. Default: off.
    midi_out: bool


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
        name="parts",
        kind="parts",
        group="music",
        title="Parts",
        help="An idea as parts, each a clip that fits the others, and their mix: drums, bass, chords, lead.",
        default="",
        proto="parts",
    ),
    Setting(
        name="idea",
        kind="text",
        group="music",
        title="Idea",
        help="Which idea `parts` are added to, or `redo` makes anew: the id that its clips share.",
        default="",
        proto="idea",
        without=("reaper",),
    ),
    Setting(
        name="redo",
        kind="parts",
        group="music",
        title="Redo",
        help="Parts of the idea to make anew; the others stay.",
        default="",
        proto="redo",
        without=("reaper",),
    ),
    Setting(
        name="prompt_b",
        kind="text",
        group="music",
        title="Second prompt",
        help="A second prompt; `morph` says how much of each is heard.",
        default="",
        proto="prompt_b",
        without=("reaper", "plugin"),
    ),
    Setting(
        name="morph",
        kind="number",
        group="music",
        title="Morph",
        help="Between both prompts: 0 is the first alone, 1 the second. Default: 0.5.",
        default=0.5,
        proto="morph",
        low=0,
        high=1,
        without=("reaper", "plugin"),
    ),
    Setting(
        name="bpm",
        kind="number",
        group="music",
        title="Tempo",
        help="Tempo in quarter notes per minute. Default: the context's, else 120.",
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
        help="Time signature. Default: the context's, else 4/4.",
        default=None,
        proto="signature",
    ),
    Setting(
        name="bars",
        kind="number",
        group="music",
        title="Bars",
        help="Length in bars; fractions are pick-ups. Default: as long as the context, else 4.",
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
        help="The key. Default: any.",
        default=None,
        proto="key",
    ),
    Setting(
        name="kind",
        kind="choice",
        group="music",
        title="Kind",
        help="A loop, or a one-shot: one hit that dies away; tempo, bars and key are not its. Default: loop.",
        default="loop",
        proto="kind",
        words={"loop": "bars that repeat", "oneshot": "a single hit, without tempo"},
        without=("reaper", "plugin", "live"),
    ),
    Setting(
        name="tempo_map",
        kind="tempi",
        group="music",
        title="Tempo map",
        help="Tempo changes: pairs of position (in quarters) and tempo; `ramp` glides to the next. Default: none.",
        default=None,
        proto="tempo_map",
        without=("reaper", "plugin", "live"),
    ),
    Setting(
        name="swing",
        kind="number",
        group="music",
        title="Swing",
        help="Long to short eighth: 1 is straight, 2 is triplets. Default: as the context has it.",
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
        help="How loud a clip without context is, over its whole length. Default: −14; off: as it was made.",
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
        help="How strongly reference and context hold. Default: 1, fully.",
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
        help="What to do. Default: text, or complete where there is a context to fit to.",
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
        help="How many clips to make. Default: 1.",
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
        help="How many are made for each take; the best fitting one is kept. Default: 1.",
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
        help="The same seed gives the same clip; take k has seed + k. Default: a new one each time.",
        default=None,
        proto="seed",
        low=0,
        high=4294967295,
        none=-1,
        without=("reaper",),
    ),
    Setting(
        name="family",
        kind="whole",
        group="run",
        title="Family",
        help="Vary the music of this seed: each take by its own seed, as far as `variation` says. Default: none.",
        default=None,
        proto="family",
        low=0,
        high=4294967295,
        none=-1,
        without=("reaper", "plugin"),
    ),
    Setting(
        name="variation",
        kind="number",
        group="run",
        title="Variation",
        help="How far a clip is from its family: 0 is the family's own music, 1 is unrelated. Default: 0.5.",
        default=0.5,
        proto="variation",
        low=0,
        high=1,
        without=("reaper", "plugin"),
    ),
    Setting(
        name="cascade",
        kind="text",
        group="run",
        title="Cascade",
        help="Which model makes it; `acestep models` lists them. Default: the daemon's.",
        default="",
        proto="cascade",
        without=("reaper", "plugin"),
    ),
    Setting(
        name="stages",
        kind="names",
        group="run",
        title="Stages",
        help="Only these stages of the model, for example l, m. Default: all.",
        default=(),
        proto="stages",
        without=("reaper", "plugin"),
    ),
    Setting(
        name="steps",
        kind="whole",
        group="run",
        title="Steps",
        help="How many steps the model takes: fewer are faster. Default: its own number.",
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
        help="How closely the model keeps to the prompt. Default: its own value.",
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
        help="Bring the clip to the grid, and to the key that was asked for. Default: on.",
        default=True,
        proto="fit",
        without=("reaper", "plugin"),
    ),
    Setting(
        name="strict",
        kind="switch",
        group="run",
        title="Refuse a poor fit",
        help="Refuse a clip that does not fit. Default: off.",
        default=False,
        proto="strict",
        without=("reaper", "plugin"),
    ),
    Setting(
        name="guide",
        kind="switch",
        group="run",
        title="Guide",
        help="Give the model beat and key as sound to follow. Default: on for models trained with it.",
        default=None,
        proto="guide",
        without=("reaper", "plugin"),
    ),
    Setting(
        name="format",
        kind="choice",
        group="file",
        title="File",
        help="Kind of file. Default: wav.",
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
        help="How samples are kept; float32 in wav and aiff only. Default: pcm24.",
        default="pcm24",
        proto="sample_format",
        words={"pcm24": "24 bit", "float32": "32 bit float"},
        without=("reaper", "plugin"),
    ),
    Setting(
        name="midi_out",
        kind="switch",
        group="file",
        title="MIDI file",
        help="Write the notes of each clip into a MIDI file beside it: NAME.mid. Default: off.",
        default=False,
        proto="midi_out",
    ),
)
