"""Checkpoints on disk: where they are, and what `cascade.json` says about them.

Reads no weights and imports no torch. A folder saved by diffusers' AceStepPipeline is a cascade of one stage.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from acestep import typed_json
from acestep.checkpoints.schedule import Guidance, Schedule, Solver, StagePlan
from acestep.console.command import expanded
from acestep.errors import CheckpointError, InvalidRequest, NotFound
from acestep.home import home
from acestep.music.grid import Grid
from acestep.request import CONTEXT_TASKS, TASKS

FORMAT = 1
MAX_HEADER_BYTES = 100_000_000  # of a safetensors file, as the format itself says
EMBEDDED = {"nano": Path(__file__).parent.parent / "nano" / "weights"}
# ACE-Step 1.5's defaults: turbo is distilled for 8 steps without guidance, base and SFT are not
TURBO_SCHEDULE, BASE_SCHEDULE = Schedule(8, 3.0), Schedule(50, 1.0)
# ACE-Step 1.5's track names (upstream constants.py)
TRACKS = ("woodwinds", "brass", "fx", "synth", "strings", "percussion", "keyboard", "guitar", "bass", "drums",
          "backing_vocals", "vocals")  # fmt: skip
NO_GUIDANCE, BASE_GUIDANCE = Guidance(), Guidance(7.0)


@dataclass(frozen=True)
class StageSpec:
    """A stage on disk: `folder` holds transformer/, condition_encoder/ and, where there are any,
    audio_tokenizer/ and audio_token_detokenizer/."""

    name: str
    folder: Path
    steps: tuple[int, int] | None = None
    schedule: Schedule | None = None
    guidance: Guidance | None = None
    timbre_token: bool = False


@dataclass(frozen=True)
class TrainedRange:
    """What a checkpoint was trained on. Outside of it, results are guesses."""

    bpm: tuple[float, float]
    bars: tuple[float, float]
    signatures: tuple[str, ...]

    def beyond(self, grid: Grid) -> list[str]:
        """What of a grid lies outside, in words."""
        found = []
        for name, value, (least, most) in (
            ("bpm", grid.bpm, self.bpm), ("bars", grid.bars, self.bars)
        ):  # fmt: skip
            if not least <= value <= most:
                found.append(f"{value:g} {name} ({least:g} to {most:g})")
        if str(grid.signature) not in self.signatures:
            found.append(f"{grid.signature} ({', '.join(self.signatures)})")
        return found


@dataclass(frozen=True)
class CascadeSpec:
    """A cascade on disk, as its cascade.json describes it."""

    name: str
    folder: Path
    stages: tuple[StageSpec, ...]
    codec: Path
    text_encoder: Path
    tokenizer: Path
    schedule: Schedule = TURBO_SCHEDULE
    guidance: Guidance = NO_GUIDANCE
    supports: tuple[str, ...] | None = None  # None: whatever its parts can do
    tracks: tuple[str, ...] = TRACKS  # the words for single instruments that it knows
    guide: tuple[int, int] | None = None  # beat and key channels
    prompt_template: str = ""  # "" is ACE-Step's own
    empty_lyrics: str = ""  # what "no lyrics" is called
    reference_s: float = 30.0  # how much of a reference its timbre encoder hears
    max_s: float | None = None  # longest stretch it was trained on; longer clips are made in windows
    tail_s: float | None = None  # how much longer than the grid it makes a clip; None: about a bar
    trained_on: str = ""
    license: str = ""
    range: TrainedRange | None = None  # None: not known
    values: Mapping[str, Any] = field(default_factory=dict)  # the whole of cascade.json

    def plans(self) -> list[StagePlan]:
        """The stages' ways from noise to clean."""
        return [
            StagePlan(s.name, s.steps, s.schedule or self.schedule, s.guidance or self.guidance)
            for s in self.stages
        ]

    @property
    def sings(self) -> bool:
        """Whether lyrics are heard. What speaks ACE-Step's own prompts was trained on them."""
        return "lyrics" in (self.supports or ()) or not self.prompt_template

    def can(self, task: str) -> bool:
        """Whether `supports` allows a task, or "reference"."""
        if self.supports is None:
            return True
        if task in CONTEXT_TASKS and "context" in self.supports:  # "context" alone stands for all of them
            return task in self.supports or not any(name in self.supports for name in CONTEXT_TASKS)
        return task in self.supports


def cascades_folder(of: Path | None = None) -> Path:
    """Where `pull`, `convert` and `compose` put cascades: in the home `of`, without one in the user's."""
    return (of or home()) / "cascades"


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder holds a cascade or a diffusers pipeline."""
    return (folder / "cascade.json").is_file() or (folder / "model_index.json").is_file()


def available(of: Path | None = None) -> dict[str, Path]:
    """Every cascade that is here, by name: the embedded ones and those in the home `of` (the user's)."""
    found = {name: folder for name, folder in EMBEDDED.items() if is_checkpoint(folder)}
    if cascades_folder(of).is_dir():
        for folder in sorted(cascades_folder(of).iterdir()):
            if is_checkpoint(folder) and not folder.name.startswith("."):
                found[folder.name] = folder
    return found


@dataclass(frozen=True)
class Listed:
    """A cascade that is here, for people and programs to choose from."""

    name: str
    folder: Path
    stages: tuple[str, ...]
    supports: tuple[str, ...]  # see `abilities`
    parameters: int
    bytes: int
    license: str
    trained_on: str


def abilities(spec: CascadeSpec) -> tuple[str, ...]:
    """Every task a cascade can do, and "reference" and "lyrics" where it hears them."""
    able = tuple(one for one in (*TASKS, "reference") if spec.can(one))
    return (*able, "lyrics") if spec.sings else able


def listed(name: str, folder: Path, of: Path | None = None) -> Listed:
    """A cascade of the home `of` as lists show it. Raises CheckpointError with what is wrong in it."""
    spec = read_spec(folder, of)
    files = [
        path
        for part in (*(stage.folder for stage in spec.stages), spec.codec, spec.text_encoder)
        for path in part.rglob("*.safetensors")
    ]
    sizes = {path.resolve(): weight_sizes(path) for path in files}
    return Listed(
        name,
        folder,
        tuple(stage.name for stage in spec.stages),
        abilities(spec),
        sum(parameters for parameters, _ in sizes.values()),
        sum(size for _, size in sizes.values()),
        spec.license,
        spec.trained_on,
    )


def weight_sizes(path: Path) -> tuple[int, int]:
    """Parameters in, and bytes of, a safetensors file, from its header. (0, bytes) when it is broken."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            content = file.read(min(length, MAX_HEADER_BYTES + 1))
        header = typed_json.parse(content, dict[str, _Tensor], str(path), max_bytes=MAX_HEADER_BYTES)
    except (OSError, InvalidRequest):
        return 0, size
    return sum(math.prod(entry.shape) for name, entry in header.items() if name != "__metadata__"), size


@dataclass(frozen=True)
class _Tensor:
    """What the header of a safetensors file says about one tensor."""

    shape: tuple[typed_json.Size, ...] = ()


def find(name_or_path: str | Path, of: Path | None = None) -> Path:
    """The folder of a cascade by its name in the home `of` (the user's), or by its path. Raises NotFound."""
    here = available(of)
    if str(name_or_path) in here:
        return here[str(name_or_path)]
    folder = expanded(name_or_path)
    if is_checkpoint(folder):
        return folder
    if folder.is_dir():
        raise CheckpointError(
            f"{folder} holds no cascade: expected cascade.json, or a diffusers AceStepPipeline"
        )
    raise NotFound(
        f"no cascade {str(name_or_path)!r}: here are {', '.join(here) or 'none'}; "
        f"`acestep pull` fetches published ones into {cascades_folder(of)}"
    )


def read_spec(folder: Path, of: Path | None = None) -> CascadeSpec:
    """What is in a checkpoint's folder, which may name parts of other cascades in the home `of` (the user's).

    Raises CheckpointError with what is missing or wrong.
    """
    path = folder / "cascade.json"
    if not path.is_file():
        return _diffusers_spec(folder)
    values = _read_json(path)
    if values.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {values.get('format')!r}: expected {FORMAT}: update this package"
        )
    try:
        return _cascade_spec(folder, values, of)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise CheckpointError(f"{path} is not as expected: {type(error).__name__} {error}") from error


def _cascade_spec(folder: Path, values: dict[str, Any], of: Path | None) -> CascadeSpec:
    guide = values.get("guide")
    stages = tuple(_stage_spec(folder, entry, of) for entry in values["stages"])
    if not stages:
        raise CheckpointError(f"{folder / 'cascade.json'} lists no stages: expected at least one")
    return CascadeSpec(
        name=values.get("name") or folder.name,
        folder=folder,
        stages=stages,
        codec=inside(folder, values.get("codec", "codec"), of),
        text_encoder=inside(folder, values.get("text_encoder", "text_encoder"), of),
        tokenizer=inside(folder, values.get("tokenizer", "tokenizer"), of),
        schedule=_schedule(values.get("schedule")) or TURBO_SCHEDULE,
        guidance=_guidance(values.get("guidance")) or NO_GUIDANCE,
        supports=_words(folder, values, "supports"),
        tracks=tuple(str(name) for name in values.get("tracks") or TRACKS),
        guide=(int(guide["beat"]), int(guide["key"])) if guide else None,
        prompt_template=values.get("prompt_template") or "",
        empty_lyrics=values.get("empty_lyrics") or "",
        reference_s=float(values.get("reference_s", 30.0)),
        max_s=values.get("max_s"),
        tail_s=values.get("tail_s"),
        trained_on=str(values.get("trained_on", "")),
        license=str(values.get("license", "")),
        range=_range(values.get("range")),
        values=values,
    )


def _words(folder: Path, values: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """A list of words, None where it is left out. Raises CheckpointError for another thing."""
    found = values.get(name)
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise CheckpointError(f"{folder / 'cascade.json'} has {name} {found!r:.60}: expected a list of words")
    return tuple(found)


def inside(folder: Path, path: Any, of: Path | None = None) -> Path:
    """Where a checkpoint says a part of it is: in its own folder, or in another cascade of the home `of`.

    Raises CheckpointError for a path that leads anywhere else.
    """
    if not isinstance(path, str) or not path or "\0" in path:
        raise CheckpointError(f"{folder} names a part by {path!r:.80}: expected a path inside of it")
    own = Path(os.path.normpath(folder))
    found = Path(os.path.normpath(own / path))
    if found.is_relative_to(own):
        return found
    shared = (cascades_folder(of), *EMBEDDED.values())  # `compose` names stages of other cascades
    if any(found.resolve().is_relative_to(other.resolve()) for other in shared):
        return found
    raise CheckpointError(
        f"{folder} names a part by {path!r:.200}, which leads out of it: expected a path inside of it, or in "
        f"another cascade in {cascades_folder(of)}"
    )


def _range(value: Mapping[str, Any] | None) -> TrainedRange | None:
    if not value:
        return None
    (slowest, fastest), (shortest, longest) = value["bpm"], value["bars"]
    return TrainedRange((slowest, fastest), (shortest, longest), tuple(value["signatures"]))


def _stage_spec(folder: Path, entry: Mapping[str, Any], of: Path | None) -> StageSpec:
    steps = entry.get("steps")
    return StageSpec(
        name=entry["name"],
        folder=inside(folder, entry["path"], of),
        steps=(int(steps[0]), int(steps[1])) if steps else None,
        schedule=_schedule(entry.get("schedule")),
        guidance=_guidance(entry.get("guidance")),
        timbre_token=bool(entry.get("timbre_token", False)),
    )


def _schedule(value: Mapping[str, Any] | None) -> Schedule | None:
    if not value:
        return None
    solver = value.get("solver", "euler")
    if solver not in get_args(Solver):
        raise CheckpointError(f"solver {solver!r} is unknown: expected {' or '.join(get_args(Solver))}")
    return Schedule(int(value["steps"]), float(value["shift"]), solver)


def _guidance(value: Mapping[str, Any] | None) -> Guidance | None:
    if not value:
        return None
    low, high = value.get("interval", (0.0, 1.0))
    mode = value.get("mode", "apg")
    if mode not in ("apg", "cfg"):
        raise CheckpointError(f"guidance mode {mode!r} is unknown: expected apg or cfg")
    return Guidance(float(value["scale"]), mode, (float(low), float(high)))


def _diffusers_spec(folder: Path) -> CascadeSpec:
    index = _read_json(folder / "model_index.json")
    if index.get("_class_name") != "AceStepPipeline":
        raise CheckpointError(
            f"{folder} holds a {index.get('_class_name')!r}: expected a diffusers AceStepPipeline"
        )
    config = _read_json(folder / "transformer" / "config.json")
    turbo = bool(config.get("is_turbo") or config.get("model_version") == "turbo")
    name = folder.name
    return CascadeSpec(
        name=name,
        folder=folder,
        stages=(StageSpec("l" if config.get("hidden_size", 0) > 2048 else "m", folder),),
        codec=folder / "vae",
        text_encoder=folder / "text_encoder",
        tokenizer=folder / "tokenizer",
        schedule=TURBO_SCHEDULE if turbo else BASE_SCHEDULE,
        guidance=NO_GUIDANCE if turbo else BASE_GUIDANCE,
        values=index,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return typed_json.read(path, typed_json.Fields, error=CheckpointError)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing: is the checkpoint complete?") from error


def stage_names(have: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The stages that are meant, as the cascade spells and orders them. Raises InvalidRequest."""
    spelt = {name.casefold(): name for name in reversed(have)} | {name: name for name in have}
    unknown = [name for name in wanted if name not in spelt and name.casefold() not in spelt]
    if unknown:
        raise InvalidRequest(f"no stage {', '.join(unknown)} in this cascade: it has {', '.join(have)}")
    meant = {spelt.get(name) or spelt[name.casefold()] for name in wanted}
    return tuple(name for name in have if name in meant)
