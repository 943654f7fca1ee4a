"""Training from beginning to end as one call: what it takes, and waiting for what comes out."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plugin_bridge.errors import BridgeError, Cancelled, InvalidRequest
from plugin_bridge.web.studio import STOP_S, Studio, flags_of

LOOK_EVERY_S = 0.25


@dataclass(frozen=True)
class TrainingSetting:
    """A setting of `lora_studio train` that the page and its API offer."""

    name: str
    title: str
    help: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    default: Any = ""


TRAINING = (
    TrainingSetting(
        "minutes",
        "Minutes",
        "What the whole run may take. Default: 8 on a CPU, no limit on a GPU.",
        {"type": "number", "exclusiveMinimum": 0},
        None,
    ),
    TrainingSetting("trigger", "Trigger word", "A word of your own that calls this sound. Default: none."),
    TrainingSetting("base", "Cascade", "The model to train on. Default: nano."),
    TrainingSetting("stages", "Stages", "Stages to train, separated by commas. Default: all."),
    TrainingSetting(
        "rank", "Rank", "The adapter's rank. Default: 32.", {"type": "integer", "minimum": 1}, None
    ),
    TrainingSetting(
        "learning_rate",
        "Learning rate",
        "The highest learning rate. Default: by the stage's width.",
        {"type": "number", "exclusiveMinimum": 0},
        None,
    ),
    TrainingSetting(
        "targets",
        "Layers",
        "Layers to adapt. Default: attention.",
        {"enum": ["attention", "mlp", "all"]},
        "attention",
    ),
    TrainingSetting(
        "restart",
        "Begin anew",
        "Forget a stopped run of this name. Default: it goes on.",
        {"type": "boolean"},
        False,
    ),
)


async def trained(
    studio: Studio,
    files: Sequence[tuple[str, Path]],
    values: Mapping[str, Any],
    tell: Callable[[float, str], None],
) -> tuple[list[Path], dict[str, Any]]:
    """Trains on `files` (each its name and where it lies) or on the folder in `values`.

    Returns the adapter's files and figures.
    Raises what `lora_studio` says, and Cancelled where it was stopped. Cancelling it stops the training.
    """
    with tempfile.TemporaryDirectory(prefix="acestep-train-") as made:
        folder = str(values.get("folder") or "")
        if files:
            if folder:
                raise InvalidRequest("files and folder were both given: expected one of them")
            await asyncio.to_thread(gather, files, Path(made))
            folder = made
        options = {name.replace("_", "-"): value for name, value in values.items()}
        await studio.train(
            folder, str(values.get("name") or ""), flags_of(options), bool(values.get("restart"))
        )
        try:
            while not await studio.ended(LOOK_EVERY_S):
                done, total = studio.progress.get("done"), studio.progress.get("total")
                tell(done / total if done and total else 0.0, str(studio.progress.get("what") or "training"))
        except asyncio.CancelledError:
            await studio.stop()
            await studio.ended(STOP_S)
            raise
    if studio.state == "stopped":
        raise Cancelled("training was stopped: the same name goes on from there")
    if studio.state != "done":
        raise BridgeError(studio.error)
    return studio.adapter_files(), studio.result


def gather(files: Sequence[tuple[str, Path]], folder: Path) -> None:
    """Copies the files into one folder, under their own names: these may tell tempo and key."""
    for number, (name, path) in enumerate(files):
        own = Path(name.replace("\\", "/").replace("\0", "")).name
        if own in ("", ".."):
            raise InvalidRequest(
                f"{name!r:.60} is not the name of a file: expected one such as loop_92bpm.wav"
            )
        place = folder / own
        shutil.copyfile(path, folder / f"{number}-{own}" if place.exists() else place)
