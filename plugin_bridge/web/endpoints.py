"""The named endpoints of Gradio's API: what each takes, from the settings table, and what it does.

Each generating endpoint is one task. A setting that is added to the table is a parameter of all that can use
it. MCP's tools take their arguments from here as well. Loads no Gradio.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep.console.terminal import time_left
from plugin_bridge import words
from plugin_bridge.errors import InvalidRequest
from plugin_bridge.settings import UPLOADED
from plugin_bridge.web.live import clip_fields
from plugin_bridge.web.parts import Parts
from plugin_bridge.web.training import TRAINING, trained
from protos.setting import Setting
from protos.table import SETTINGS

Tell = Callable[[float, str], None]  # how far it is, 0–1, and what it does
Made = tuple[list[Path], Any]  # files that `served` knows, and what there is to say of them
Run = Callable[[Parts, Mapping[str, Any], Tell], Awaitable[Made]]
FILE = {"file": True}  # stands for the schema of a file, which only Gradio knows
CLIENT = "gradio"  # by this name the queue shows who asked
KINDS: dict[str, dict[str, Any]] = {
    "number": {"type": "number"},
    "whole": {"type": "integer"},
    "text": {"type": "string"},
    "choice": {"type": "string"},
    "signature": {"type": "string"},
    "key": {"type": "string"},
    "tempi": {"type": "string"},
    "parts": {"type": "string"},
    "switch": {"type": "boolean"},
    "names": {"type": "array", "items": {"type": "string"}},
    "adapters": {"type": "object", "additionalProperties": {"type": "number"}},
    "region": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
}
EMPTY: dict[str, Any] = {"signature": "", "key": "", "tempi": "", "names": [], "adapters": {}}
OF_IDEAS = ("parts", "idea", "redo")  # settings that make an idea in parts, or go on with one


@dataclass(frozen=True)
class Parameter:
    """One argument of an endpoint."""

    name: str
    title: str
    help: str
    schema: Mapping[str, Any]
    default: Any = None
    required: bool = False


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: its arguments, and what it does with them."""

    name: str
    help: str
    parameters: tuple[Parameter, ...]
    run: Run


@dataclass(frozen=True)
class Task:
    """A generating endpoint: the settings that it has no use for, and those that it cannot do without."""

    name: str
    help: str
    without: tuple[str, ...]
    required: tuple[str, ...]
    task: str = ""  # "" for what is given
    choices: tuple[str, ...] = ()  # of `task`, where the caller chooses
    one_of: tuple[str, ...] = ()  # settings of which at least one must be given


PARTS = Task(
    "parts",
    "Makes an idea in parts, drums, bass and so on: a clip a part, each made to fit those before, and their "
    "mix. Returns their files, and what was measured in each. With idea, it adds parts or makes some anew.",
    without=("task", "track", "repaint_s", "takes", "kind"),
    required=(),
    one_of=("parts", "redo"),
)
TASKS = (
    Task(
        "text_to_music",
        "Makes clips from words. Returns their files, and what was measured in each.",
        without=("reference", "context", "strength", "task", "track", "repaint_s", *OF_IDEAS),
        required=("prompt",),
    ),
    Task(
        "reference_to_music",
        "Makes clips from words, in the sound of a reference. Returns their files, and what was measured.",
        without=("context", "task", "track", "repaint_s", *OF_IDEAS),
        required=("prompt", "reference"),
    ),
    Task(
        "complete",
        "Makes clips that fit to a context: in its tempo, on its beats, in its key. Returns their files, and "
        "what was measured.",
        without=("repaint_s", *OF_IDEAS),
        required=("prompt", "context"),
        task="complete",
        choices=("complete", "lego", "cover", "extract"),
    ),
    Task(
        "repaint",
        "Makes a region of a file anew, the rest stays as it is. Returns the files, and what was measured.",
        without=("task", "track", *OF_IDEAS),
        required=("prompt", "context", "repaint_s"),
        task="repaint",
    ),
    PARTS,
)


def endpoints() -> list[Endpoint]:
    """All of them."""
    made = [Endpoint(one.name, one.help, parameters(one), _generating(one)) for one in TASKS]
    settings = tuple(Parameter(one.name, one.title, one.help, one.schema, one.default) for one in TRAINING)
    name, files, folder = (
        Parameter(
            "name", "Name", "The adapter's name: a few letters or digits.", {"type": "string"}, required=True
        ),
        Parameter(
            "files",
            "Files",
            "The audio to learn from: some minutes of loops or stems. Default: the folder's.",
            {"type": "array", "items": FILE},
            [],
        ),
        Parameter(
            "folder",
            "Folder",
            "A folder with audio on the machine of this server, in place of files.",
            {"type": "string"},
            "",
        ),
    )
    told = "Trains an adapter on audio. Returns its files, and what training measured."
    return [*made, Endpoint("train", told, (name, files, folder, *settings), _train)]


def parameters(task: Task) -> tuple[Parameter, ...]:
    """The arguments of a task, those it cannot do without first."""
    found = [
        parameter for one in SETTINGS if one.name not in task.without for parameter in _of_setting(one, task)
    ]
    return tuple(sorted(found, key=lambda one: not one.required))


def _of_setting(one: Setting, task: Task) -> list[Parameter]:
    required = one.name in task.required
    if one.kind == "audio":
        place = {"type": "number", "minimum": 0}
        return [
            Parameter(one.name, one.title, one.help, FILE, required=required),
            Parameter(f"{one.name}_start_s", f"{one.title} from", "Where it begins, in seconds.", place, 0.0),
            Parameter(
                f"{one.name}_end_s", f"{one.title} to", "Where it ends, in seconds. Default: its end.", place
            ),
        ]
    schema, default = dict(KINDS[one.kind]), EMPTY.get(one.kind, one.default)
    if one.low is not None:
        schema |= {"minimum": one.low, "maximum": one.high}
    told = one.help
    if one.words:
        offered = [word for word in one.words if one.name != "task" or word in task.choices]
        meant = [f"{word}: {one.words[word]}" for word in offered if one.words[word]]
        told = f"{told} {'; '.join(meant)}.".strip() if meant else told
        schema = {"enum": offered}
    if one.name == "task":
        default = task.task
    return [Parameter(one.name, one.title, told, schema, None if required else default, required)]


def _generating(task: Task) -> Run:
    async def run(parts: Parts, values: Mapping[str, Any], tell: Tell) -> Made:
        clips = await generated(parts, task, values, tell, CLIENT)
        notes = [Path(clip.midi) for clip in clips if clip.midi]
        return [*(Path(clip.path) for clip in clips), *notes], [_facts(clip) for clip in clips]

    return run


async def generated(
    parts: Parts, task: Task, values: Mapping[str, Any], tell: Tell, client: str
) -> list[words.Clip]:
    """The clips of a request, when all are made. Cancelling it cancels the daemon's job.

    Raises InvalidRequest where nothing is given of what the task needs one of.
    """
    if task.one_of and not any(values.get(name) for name in task.one_of):
        raise InvalidRequest(
            f"{' and '.join(task.one_of)} are empty: expected one of them, for example drums, bass, chords"
        )
    options = await parts.files.for_request(await _options(parts, task, values))
    events = await parts.feed.bridge.generate(values.get("prompt", ""), **options, client=client)
    clips: list[words.Clip] = []
    async for event in events:
        if isinstance(event, words.Accepted):
            tell(0.0, f"queued behind {event.position}" if event.position else "queued")
        elif isinstance(event, words.Progress):
            tell(event.fraction, ", ".join(filter(None, (event.stage, time_left(event.eta_s)))))
        elif isinstance(event, words.ClipReady):
            clips.append(event.clip)
    parts.feed.saw(clips)
    return clips


def _facts(clip: words.Clip) -> dict[str, Any]:
    """What is known of a clip. Its path has a name that `gradio_client` does not take for a file to fetch."""
    fields = clip_fields(clip)
    return {"clip": fields.pop("path"), **fields}


async def _options(parts: Parts, task: Task, values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings the Python client takes: what is empty is left to the daemon."""
    options: dict[str, Any] = {"task": task.task} if task.task else {}
    for one in SETTINGS:
        value = values.get(one.name)
        if one.name == "prompt" or value is None or value in ("", [], {}):
            continue
        if one.kind == "audio":
            start_s, end_s = values.get(f"{one.name}_start_s"), values.get(f"{one.name}_end_s")
            value = (await _audio(parts, one.name, value), start_s or 0.0, end_s)
        options[one.name] = value
    return options


async def _audio(parts: Parts, name: str, value: Any) -> str:
    """The daemon's path of a file: what was uploaded here is sent on; a path is the daemon's to judge.

    With a daemon elsewhere a path names a clip of its library, and no file of this machine.
    """
    path = value.get("path") if isinstance(value, Mapping) else value
    if not isinstance(path, str) or not path:
        raise InvalidRequest(f"{name} is {value!r:.60}: expected a file, or the path of one")
    if isinstance(value, str) and not parts.feed.bridge.target.is_local and not path.startswith(UPLOADED):
        return (await parts.feed.clip(path)).path
    if path.startswith(UPLOADED) or isinstance(value, str):
        return path
    return (await parts.feed.bridge.upload(parts.uploaded(path))).path


async def _train(parts: Parts, values: Mapping[str, Any], tell: Tell) -> Made:
    given = values["files"] or []
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        raise InvalidRequest(f"files is {given!r:.60}: expected a list of files")
    files = [(str(one.get("orig_name") or one.get("path")), str(one.get("path"))) for one in given]
    uploaded = [(name, parts.uploaded(path)) for name, path in files]
    return await trained(parts.studio, uploaded, values, tell)


async def served(parts: Parts, path: str) -> Path:
    """The file at a path that an endpoint returned: of a clip, its notes, or of the last adapter.

    Raises NotFound.
    """
    if found := next((one for one in parts.studio.adapter_files() if str(one) == path), None):
        return found
    if noted := next((one for one in parts.feed.seen.values() if one.midi == path), None):
        return await parts.files.midi(noted)
    return await parts.files.path(await parts.feed.clip(path))
