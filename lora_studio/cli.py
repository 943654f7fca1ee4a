"""`lora_studio`: prepare, train, list, show, export, import, merge, remove.

Turns words into configurations and progress into lines; decides nothing itself. Exit codes: 0 done, 1 failed,
2 bad input, 130 stopped (the same command goes on).
"""

import argparse
import contextlib
import dataclasses
import logging
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep import __version__
from acestep.clips.wording import tempo
from acestep.console.command import expanded, run
from acestep.console.terminal import write_plainly
from acestep.console.usage import Commands, Parser, spelled_out
from acestep.errors import Cancelled, InvalidRequest
from lora_studio.cli_library import add_library_commands
from lora_studio.config import NOISES, PRECISIONS, TARGETS, TrainConfig
from lora_studio.console import Console

if TYPE_CHECKING:
    from lora_studio.data.dataset import Dataset, Sample

_HELP = {
    "base": "cascade to train on: a name from `acestep models`, or a folder (default: nano)",
    "stages": "stages to train, separated by commas (default: all of the cascade)",
    "trigger": "a word of your own to put into prompts whenever you want this sound (default: none)",
    "home": "the folder with cascades, adapters and caches (default: ACESTEP_HOME, else the platform's)",
    "rank": "rank of the adapter (default: %(default)s)",
    "alpha": "alpha; its effect is alpha/rank (default: twice the rank)",
    "dropout": "dropout inside the adapter (default: %(default)s)",
    "targets": "layers to adapt: attention, mlp or all (default: %(default)s)",
    "minutes": "what the whole run may take, folder to adapter (default: 8 on a CPU, no limit on a GPU)",
    "audio_seconds": "stop after this many seconds of audio heard (default: 85000)",
    "steps": "stop after this many optimizer steps (default: none)",
    "batch_size": "segments in a step (default: what fits, at most 8)",
    "accumulate": "batches added up for a step (default: %(default)s)",
    "learning_rate": "peak learning rate (default: by the stage's width; 5e-4 for ACE-Step's own)",
    "warmup": "part of the run in which the rate rises (default: %(default)s)",
    "weight_decay": "AdamW's weight decay (default: %(default)s)",
    "ema": "decay of the averaged weights that are kept, 0 keeps the last (default: %(default)s)",
    "noise": "noise levels to train at (default: auto, by variant)",
    "condition_dropout": "part of examples without prompt (default: 0.15, turbo 0)",
    "stem_aware": "part of examples that give the rest of the mix, if there are stems (default: %(default)s)",
    "shortest_s": "shortest segment in seconds (default: %(default)s)",
    "longest_s": "longest segment in seconds (default: %(default)s)",
    "precision": "float32, bfloat16 or auto: bfloat16 where the device is fast at it (default: auto)",
    "device": "cpu, cuda, cuda:1, mps or auto (default: auto)",
    "seed": "seed of weights, noise and order (default: %(default)s)",
    "validate_every": "steps between validations (default: about 12 in a run)",
    "patience": "validations without a better loss before it stops (default: %(default)s)",
    "previews": "clips to make before and after (default: %(default)s)",
    "strength": "share of the adapter to keep, 0.05–1 (default: the most that keeps tempo and key)",
}


NEEDED = {  # settings without a default, and what is said where one is missing
    "data": "DATA is missing: expected a folder of audio or a dataset.json",
    "name": "--name is missing: say what the adapter is called",
}
START = """\
lora_studio trains an adapter on your own loops or stems. To begin:

  lora_studio train MyStems/ --name my-sound            looks at the folder, trains, installs the adapter
  acestep generate "dusty breakbeat" --adapter my-sound:0.8
  lora_studio prepare MyStems/ --report report.html     only looks, and says what it found
  lora_studio --help                                    all commands\
"""


def main(argv: Sequence[str] | None = None, prog: str = "lora_studio") -> int:
    """Run a command; gives its exit code."""
    write_plainly()
    argv = spelled_out(sys.argv[1:] if argv is None else argv)
    began = time.monotonic()

    def command() -> int:
        if not argv:
            print(START)
            return 0
        arguments = parser(prog).parse_args(argv, argparse.Namespace(began=began))
        logging.basicConfig(
            level=logging.INFO if arguments.verbose else logging.WARNING, format="%(message)s"
        )
        try:
            return int(arguments.run(arguments))
        except KeyboardInterrupt:
            raise Cancelled("stopped; the same command goes on from the last checkpoint") from None

    def tell(reason: str, sentence: str) -> None:
        if "--json" in argv:
            Console(as_json=True).event("error", reason=reason, message=sentence)
        print(f"{prog}: {sentence}", file=sys.stderr)

    return run(prog, command, tell=tell)


def parser(prog: str = "lora_studio") -> Parser:
    """The whole command line."""
    made = Parser(prog=prog, description="Train LoRA adapters on your own stems.")
    made.add_argument("-v", "--verbose", action="store_true", help="say more")
    made.add_argument("--version", action="version", version=f"lora_studio {__version__}")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    _add_prepare(commands)
    _add_train(commands)
    add_library_commands(commands)
    return made


def _add_prepare(commands: Commands) -> None:
    prepare = commands.add_parser("prepare", help="look at a folder and write an editable dataset.json")
    prepare.add_argument("folder", type=Path)
    prepare.add_argument("--out", type=Path, help="the file to write (default: FOLDER/dataset.json)")
    prepare.add_argument(
        "--report", type=Path, nargs="?", const=Path("report.html"), help="also write an HTML page"
    )
    prepare.add_argument("--name", default="", help="name of the data set (default: the folder's)")
    prepare.add_argument("--trigger", default="", help=_HELP["trigger"])
    prepare.add_argument("--shortest_s", "--shortest-s", type=float, default=TrainConfig.shortest_s)
    prepare.add_argument("--longest_s", "--longest-s", type=float, default=TrainConfig.longest_s)
    prepare.add_argument("--again", action="store_true", help="measure everything anew, also what was edited")
    prepare.add_argument("--json", action="store_true", help="one JSON event a line, for programs")
    prepare.set_defaults(run=_prepare)


def _add_train(commands: Commands) -> None:
    train = commands.add_parser("train", help="train an adapter on a folder or a dataset.json")
    train.add_argument("data", nargs="?", help="folder of audio, or a dataset.json")
    train.add_argument("--name", help="name of the adapter")
    train.add_argument("--config", type=Path, help="JSON or TOML with any of the settings; flags win")
    train.add_argument("--restart", action="store_true", help="forget an unfinished run of this name")
    train.add_argument(
        "--dora", action="store_true", default=None, help="DoRA: also learn each layer's magnitude"
    )
    choices = {"targets": tuple(TARGETS), "noise": NOISES, "precision": PRECISIONS}
    for field in dataclasses.fields(TrainConfig):
        if field.name not in _HELP:
            continue
        kind: Any = str
        if "float" in str(field.type):
            kind = float
        elif "int" in str(field.type):
            kind = int
        default = "" if field.default is dataclasses.MISSING else field.default
        text = _HELP[field.name].replace("%(default)s", str(default))
        flags = [f"--{field.name.replace('_', '-')}"]
        train.add_argument(*flags, dest=field.name, type=kind, choices=choices.get(field.name), help=text)
    train.add_argument("--json", action="store_true", help="one JSON event a line, for programs")
    train.set_defaults(run=_train)


def _prepare(arguments: argparse.Namespace) -> int:
    from lora_studio.data.dataset import is_own, write_dataset
    from lora_studio.data.preparing import prepare
    from lora_studio.data.report import write_report
    from lora_studio.data.segments import Limits

    console = Console(arguments.json)
    with console:
        dataset = prepare(
            arguments.folder,
            name=arguments.name,
            trigger=arguments.trigger,
            limits=Limits(arguments.shortest_s, arguments.longest_s),
            again=arguments.again,
            on_file=lambda done, total, path: console.stage("scanning", done, total, path),
        )
    out: Path = arguments.out or arguments.folder / "dataset.json"
    if arguments.out is None and out.exists() and not is_own(out):
        out = arguments.folder / "dataset.studio.json"
        console.say(f"{arguments.folder / 'dataset.json'} is somebody else's and stays as it is")
    write_dataset(dataset, out)
    _tell_dataset(dataset, console, out)
    if arguments.report:
        write_report(dataset, arguments.report)
        console.say(f"report: {arguments.report}")
    return 0


def _tell_dataset(dataset: "Dataset", console: Console, written: Path) -> None:
    used, held_out = dataset.used(), len(dataset.used("held_out"))
    segments, songs = sum(len(s.segments) for s in used), len({sample.song for sample in used if sample.song})
    console.event(
        "dataset",
        files=len(used),
        segments=segments,
        minutes=dataset.seconds / 60,
        held_out=held_out,
        songs=songs,
        skipped=[dataclasses.asdict(entry) for entry in dataset.skipped],
        notes=dataset.notes,
        samples=[_told(sample) for sample in used],
        root=str(dataset.root),
        written=str(written),
    )
    console.say(
        f"{len(used)} files, {segments} segments, {dataset.seconds / 60:.1f} minutes; "
        f"{held_out} files held out; {songs} songs of aligned stems"
    )
    for sample in [s for s in used if not _sure_of_tempo(s)][:10]:
        console.say(f"  unsure of the tempo: {sample.audio_path} ({tempo(sample.bpm)})")
    for note in dataset.notes[:20]:
        console.say(f"  note: {note}")
    for entry in dataset.skipped[:20]:
        console.say(f"  skipped {entry.path}: {entry.reason}")
    more = max(0, len(dataset.skipped) - 20) + max(0, len(dataset.notes) - 20)
    if more:
        console.say(f"  … {more} more; all of them are in the file and the report")
    console.say(
        f"written: {written} – edit it, then: lora_studio train {shlex.quote(str(dataset.root))} --name …"
    )


def _told(sample: "Sample") -> dict[str, Any]:
    """What a program shows of a file."""
    return {
        "path": sample.audio_path,
        "caption": sample.caption,
        "bpm": sample.bpm,
        "sure": _sure_of_tempo(sample),
        "key": sample.keyscale,
        "signature": str(sample.signature),
        "duration_s": sample.duration,
        "split": sample.split,
    }


def _sure_of_tempo(sample: "Sample") -> bool:
    return float(sample.sources.get("bpm", {}).get("confidence", 0)) >= 0.6


def _train(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    from lora_studio.training.train import forget, train

    first = os.environ.get("RANK", "0") == "0"  # of the processes that a launcher has started, if one has
    if arguments.restart and first:
        forget(config)
    console = Console(arguments.json, quiet=not first)
    with console, _stoppable() as stopped:
        result = train(
            config,
            on_stage=console.stage,
            on_tick=console.tick,
            cancelled=stopped,
            began=arguments.began,
        )
    for name, numbers in result.summary["stages"].items():
        better = 1 - numbers["loss"] / numbers["base_loss"]
        console.say(
            f"stage {name}: held-out loss {numbers['base_loss']:.4f} → {numbers['loss']:.4f} "
            f"({better:+.1%} better), effect {numbers['effect']:.1%}, "
            f"{numbers['parameters']:,} parameters, {numbers['steps']} steps"
        )
    if result.summary["strength"] < 1:
        why = "there was no time to listen whether more keeps key and tempo: give it more minutes"
        if result.summary["kept"]:
            why = "more would cost key or tempo (see card)"
        console.say(f"kept at {result.summary['strength']:g} of its strength: {why}")
    for note in result.summary["notes"]:
        console.say(note)
    console.say(
        f"adapter {result.name}, made in {result.summary['whole_seconds'] / 60:.1f} minutes: {result.folder}"
    )
    console.event("done", name=result.name, folder=str(result.folder), summary=result.summary)
    return 0


@contextlib.contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C lets the step end and saves; the second one does not wait."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop.is_set
        return

    def ask(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _config(arguments: argparse.Namespace) -> TrainConfig:
    values: dict[str, Any] = {}
    if arguments.config:
        values = _config_values(arguments.config)
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    for name, value in vars(arguments).items():
        if name in names and value is not None:
            values[name] = tuple(value.replace(",", " ").split()) if name == "stages" else value
    wrong = []
    try:
        config = TrainConfig.from_dict(dict.fromkeys(NEEDED, "any") | values)
    except InvalidRequest as error:
        wrong.append(str(error))
    missing = [sentence for name, sentence in NEEDED.items() if name not in values]
    if not wrong and not missing:
        return config
    if not wrong and "data" in values and not expanded(config.data).exists():
        wrong.append(f"{config.data} does not exist: expected a folder of audio or a dataset.json")
    raise InvalidRequest("; ".join([*wrong, *missing]))


def _config_values(path: Path) -> dict[str, Any]:
    """The file's values, not yet complete: flags may still give data and name."""
    given = TrainConfig.read_values(path)
    if not isinstance(given, dict):
        raise InvalidRequest(f"{path} is not a configuration: expected names and values")
    return given


if __name__ == "__main__":
    sys.exit(main())
