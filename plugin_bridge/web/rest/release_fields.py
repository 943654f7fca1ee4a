"""The fields of ACE-Step's `/release_task`: their names and aliases, what they are here, and reading them.

One table, from which requests are read and the OpenAPI page is made. Its second half are this bridge's own
settings, by their own names. What would change the sound there and cannot be done here is refused with a
sentence; what is left out, empty or "N/A" says nothing.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from plugin_bridge.errors import InvalidRequest
from plugin_bridge.web.rest.body import table
from plugin_bridge.web.rest.fields import Field, shown, snake
from protos.setting import Setting
from protos.table import SETTINGS

METAS = ("metas", "metadata", "user_metadata")  # where the musical fields may be nested
FILES = {
    "reference_audio": "reference_audio_path",
    "ref_audio": "reference_audio_path",
    "src_audio": "src_audio_path",
    "ctx_audio": "src_audio_path",
}
TASKS = {  # ACE-Step's names → those of the settings
    "text2music": "text",
    "cover": "cover",
    "repaint": "repaint",
    "lego": "lego",
    "extract": "extract",
    "complete": "complete",
}
MAX_TAKES = 8  # of one request
# They only say how ACE-Step's language model and its decoder run. The language model is off here
# (`thinking` and `use_format` are refused), so they change nothing.
IDLE = re.compile(r"(lm_|use_cot_|constrained_decoding)\w*|allow_lm_batch|use_tiled_decode|is_format_caption")

_BY_NAME = {one.name: one for one in SETTINGS}


def _range(setting: str) -> tuple[float | None, float | None]:
    return _BY_NAME[setting].low, _BY_NAME[setting].high


LANGUAGE_MODEL = "it needs ACE-Step's language model, which this server does not run: leave it out"
INSTRUCTION = "Fill the audio semantic mask based on the given conditions:"  # for any task: its own is meant
SCHEDULE = "the checkpoint's own schedule is used: leave it out"
FOR_ACE_STEP = (
    Field("prompt", "text", "What it should sound like, in a few words.", ("caption",), "prompt"),
    Field("lyrics", "text", "Words to sing, if the model can sing; [Instrumental] is none.", (), "lyrics"),
    Field("task_type", "text", "What to do.", (), "task", "text2music", choices=tuple(TASKS)),
    Field("bpm", "number", "Tempo in quarter notes per minute.", (), "bpm", 120, *_range("bpm")),
    Field("key_scale", "text", "The key: C Major, Am.", ("keyscale", "key"), "key"),
    Field(
        "time_signature",
        "text",
        "2, 3, 4 or 6 for 2/4, 3/4, 4/4, 6/8; or N/D.",
        ("timesignature",),
        "signature",
        "4",
    ),
    Field(
        "audio_duration",
        "number",
        "Length in seconds; it becomes whole bars at the tempo, which the answer tells.",
        ("duration", "target_duration"),
        "bars",
        low=0.05,
        high=600,
        none=-1,
    ),
    Field("batch_size", "whole", "How many takes to make.", (), "takes", 2, 1, MAX_TAKES),
    Field("use_random_seed", "switch", "Draw a new seed; left out: where no seed is given.", (), "seed"),
    Field("seed", "whole", "The same seed gives the same clip; −1 is none.", (), "seed", -1),
    Field("model", "text", "Which checkpoint makes it: a name of /v1/models.", (), "cascade"),
    Field("inference_steps", "whole", "How many steps the model takes.", (), "steps", None, *_range("steps")),
    Field(
        "guidance_scale",
        "number",
        "How closely the model keeps to the prompt.",
        (),
        "guidance",
        None,
        *_range("guidance"),
    ),
    Field(
        "audio_format", "text", "Kind of file.", (), "format", "mp3", choices=tuple(_BY_NAME["format"].words)
    ),
    Field(
        "reference_audio_path",
        "text",
        "Imitate the sound of this file: a path that the daemon may read, or a result's file.",
        (),
        "reference",
    ),
    Field(
        "src_audio_path",
        "text",
        "The audio that the task works on: a path that the daemon may read, or a result's file.",
        (),
        "context",
    ),
    Field("repainting_start", "number", "For repaint: where to begin, in seconds.", (), "repaint_s", 0),
    Field(
        "repainting_end",
        "number",
        "For repaint: where to end, in seconds; −1 is the end.",
        (),
        "repaint_s",
        -1,
    ),
    Field(
        "audio_cover_strength", "number", "How strongly source and reference hold.", (), "strength", 1, 0, 1
    ),
    Field("track_name", "text", "For lego and extract: which instrument.", (), "track"),
    Field("track_classes", "list", "For complete: which instruments.", (), "track"),
    Field("vocal_language", "text", "The language of the lyrics: en; without lyrics any.", ("language",)),
    Field(
        "thinking", "switch", "Have the language model plan; not here.", (), only=(False,), why=LANGUAGE_MODEL
    ),
    Field(
        "use_format",
        "switch",
        "Have the language model rewrite; not here.",
        ("format",),
        only=(False,),
        why=LANGUAGE_MODEL + "; /format_input reads tempo, key and meter out of a prompt",
    ),
    Field(
        "sample_mode",
        "switch",
        "Have the language model invent; not here.",
        (),
        only=(False,),
        why=LANGUAGE_MODEL + "; /create_random_sample draws an example",
    ),
    Field(
        "sample_query",
        "text",
        "For sample_mode; not here.",
        ("description", "desc"),
        only=(),
        why="it needs ACE-Step's language model, which this server does not run: put the words in prompt",
    ),
    Field("shift", "number", "The schedule's shift; its own here.", (), default=3, only=(3.0,), why=SCHEDULE),
    Field("timesteps", "text", "A schedule of one's own; not here.", (), only=(), why=SCHEDULE),
    Field(
        "infer_method",
        "text",
        "The solver; its own here.",
        (),
        default="ode",
        only=("ode",),
        why="the checkpoint's own solver is used, an ODE's: leave it out",
    ),
    Field(
        "audio_code_string",
        "text",
        "Codes of the language model; not here.",
        ("audio_codes",),
        only=(),
        why="the models here take no audio codes: give the audio itself as src_audio_path",
    ),
    Field(
        "instruction",
        "text",
        "The task in words; the model's own here.",
        (),
        only=(INSTRUCTION,),
        why="the task's own instruction is used: say with task_type and track_name what to do",
    ),
    Field(
        "global_caption",
        "text",
        "A description of the whole song; not here.",
        (),
        only=(),
        why="the models here hear one description: put the words in prompt",
    ),
    Field(
        "cover_noise_strength",
        "number",
        "How far a cover starts from noise; not here.",
        (),
        default=0,
        only=(0.0,),
        of="cover",
        why="say with audio_cover_strength how strongly the source holds",
    ),
    Field(
        "repaint_mode",
        "text",
        "How a repaint blends; one way here.",
        (),
        only=(),
        of="repaint",
        why="a repaint changes nothing outside of its region, and its seams are closed: leave it out",
    ),
    Field(
        "repaint_strength",
        "number",
        "How much a repaint changes; all here.",
        (),
        only=(1.0,),
        of="repaint",
        why="the region is made anew as a whole: leave it out",
    ),
    Field(
        "genres",
        "text",
        "Part of a result's metas; not here.",
        (),
        only=(),
        why="the models here hear one description: put the genres in prompt",
    ),
)
_TAKEN = {one.setting for one in FOR_ACE_STEP}
_KINDS = {"number": "number", "whole": "whole", "switch": "switch", "names": "list", "adapters": "table"}


def _own(setting: Setting) -> Field:
    choices = tuple(setting.words) if setting.kind == "choice" else ()
    return Field(
        setting.name,
        _KINDS.get(setting.kind, "text"),
        setting.help,
        (),
        setting.name,
        setting.default,
        setting.low,
        setting.high,
        setting.none,
        choices,
        own=True,
    )


FIELDS = (
    *FOR_ACE_STEP,
    *(_own(one) for one in SETTINGS if one.name == "bars" or one.name not in _TAKEN),
)
BY_NAME = {one.name: one for one in FIELDS}
_CALLED = {called: one for one in FIELDS for called in (one.name, *one.aliases)}


def read(values: Mapping[str, Any], passed: Iterable[str] = ()) -> dict[str, Any]:
    """The fields that say something, by their first names; those `passed` over are somebody else's.

    Raises InvalidRequest for a field that is unknown, is told in two ways, or cannot be done here.
    """
    flat = [(name, value) for name, value in values.items() if snake(name) not in (*METAS, *passed)]
    nested = {snake(name): value for name, value in values.items() if snake(name) in METAS}
    for _, told in table(nested, *METAS):
        flat += told.items()
    found: dict[str, Any] = {}
    for name, given in flat:
        field = _CALLED.get(snake(name))
        if field is None:
            _pass_over(name, given)
            continue
        value = field.read(given)
        if value is None:
            continue
        if field.name in found and found[field.name] != value:
            raise InvalidRequest(
                f"{field.name} is told in two ways, {shown(found[field.name])} and {shown(value)}: send one"
            )
        found[field.name] = value
    for name, value in found.items():
        BY_NAME[name].check(value, found.get("task_type", "text2music"))
    return found


def _pass_over(name: str, given: Any) -> None:
    """A field of no name here may be there as long as it says nothing."""
    if IDLE.fullmatch(snake(name)) or given in (None, "", False, 0, -1) or given in ([], {}):
        return
    near = get_close_matches(snake(name), _CALLED, n=1)
    hint = f"did you mean {near[0]}?" if near else "leave it out; /openapi.json lists the fields there are"
    raise InvalidRequest(f"there is no field {name!r:.60}: {hint}")
