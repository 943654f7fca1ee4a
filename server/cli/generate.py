"""`acestep generate`: flags to a request, through a running daemon or in this process, to paths on stdout."""

import argparse
import dataclasses
import json
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep.checkpoints.memory import CHOICES
from acestep.clips.wording import count, describe, verdict
from acestep.console.command import expanded
from acestep.console.terminal import Bar
from acestep.console.usage import number
from acestep.errors import InvalidRequest
from acestep.request import FORMATS, SAMPLE_FORMATS, TASKS, GenerateRequest

if TYPE_CHECKING:
    from acestep.clips.clip import Clip
    from server.cli.remote import Remote
    from server.config import Config
    from server.jobs.job import Job

DEFAULT_BARS = 4.0
NUMBERS = {"bpm": float, "bars": float, "seed": int, "takes": int, "candidates": int, "strength": float,
           "swing": float, "steps": int, "guidance": float}  # fmt: skip
ADDRESS = {"host": "--host", "grpc_port": "--grpc-port"}
DAEMONS_OWN = ("samples", "device", "precision", "planner")  # settings that a daemon keeps from its start
FIELD_FLAGS = {"repaint_s": "repaint", "loudness_lufs": "loudness", "adapters": "adapter",
               "tempo_map": "tempo map"}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags: one for each setting of a request."""
    parser.add_argument("prompt", nargs="?", help="what it should sound like, in words")
    music = parser.add_argument_group("music")
    music.add_argument(
        "--bpm",
        type=float,
        metavar="BPM",
        help="tempo in quarter notes per minute (default: the context's, else 120)",
    )
    music.add_argument("--signature", metavar="N/D", help="time signature (default: the context's, else 4/4)")
    music.add_argument(
        "--bars", type=float, metavar="N", help="length in bars (default: the context's, else 4)"
    )
    music.add_argument("--key", metavar="KEY", help='for example "F# minor" (default: open)')
    music.add_argument(
        "--swing", type=float, metavar="X", help="long to short eighth: 1 straight, 2 triplets"
    )
    music.add_argument("--loudness", metavar="LUFS", help='default −14; "off": as the cascade makes it')
    music.add_argument("--lyrics", metavar="TEXT", help="words to sing, where the cascade can")
    music.add_argument("--midi", metavar="FILE.mid", help="follow this file's tempo map, signature and key")
    music.add_argument(
        "--midi-bar", type=int, metavar="N", help="which bar of the MIDI file to begin at (default 1)"
    )
    sound = parser.add_argument_group("sound")
    for name, doc in (("reference", "imitate the sound of this file"), ("context", "fit to this file")):
        sound.add_argument(f"--{name}", metavar="FILE", help=doc)
        sound.add_argument(f"--{name}-start", type=float, metavar="S", help="from this second of it")
        sound.add_argument(f"--{name}-end", type=float, metavar="S", help="to this second of it")
    sound.add_argument("--strength", type=float, metavar="0–1", help="how strongly they hold (default 1)")
    sound.add_argument(
        "--task", type=str.lower, choices=TASKS, help="what to do (default: text, with a context: complete)"
    )
    sound.add_argument("--track", metavar="NAME", help="lego, complete, extract: which instrument")
    sound.add_argument(
        "--repaint", nargs=2, type=float, metavar=("START", "END"), help="seconds to make anew"
    )
    sound.add_argument("--adapter", action="append", metavar="NAME[:SCALE]", help="adapter; may be repeated")
    _add_run(parser)
    _add_output(parser)


def _add_run(parser: argparse.ArgumentParser) -> None:
    run_group = parser.add_argument_group("run")
    run_group.add_argument("--takes", type=int, metavar="N", help="clips to make (default 1)")
    run_group.add_argument(
        "--candidates", type=int, metavar="N", help="made per take, the best is kept (default 1)"
    )
    run_group.add_argument(
        "--seed", type=int, metavar="N", help="take k is made with N + k (default: random)"
    )
    run_group.add_argument("--cascade", metavar="NAME", help="`acestep models` lists them")
    run_group.add_argument(
        "--variant",
        type=str.lower,
        choices=CHOICES,
        help="instead of a cascade: a size, or the best for this machine",
    )
    run_group.add_argument("--stages", metavar="L,M", help="only these stages of it")
    run_group.add_argument("--steps", type=int, metavar="N", help="default: the checkpoint's own")
    run_group.add_argument("--guidance", type=float, metavar="X", help="default: the checkpoint's own")
    run_group.add_argument(
        "--fit", action=argparse.BooleanOptionalAction, help="bring it to the grid (default on)"
    )
    run_group.add_argument(
        "--guide",
        action=argparse.BooleanOptionalAction,
        help="give beat and key to the model as sound to follow (default: if it was trained with that)",
    )
    run_group.add_argument("--strict", action="store_true", default=None, help="refuse what does not fit")
    run_group.add_argument(
        "--from",
        dest="sidecar",
        metavar="CLIP.wav.json",
        help="make that clip again; other options given beside it change it",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    out = parser.add_argument_group("output")
    out.add_argument("--out", metavar="FOLDER", help="where the clips go (default: the samples folder)")
    out.add_argument("--format", type=str.lower, choices=FORMATS, help="file format (default wav)")
    out.add_argument(
        "--sample-format",
        type=str.lower,
        choices=SAMPLE_FORMATS,
        help="default pcm24; float32 only in wav and aiff",
    )
    out.add_argument("--json", action="store_true", help="print all that is known of the clips as JSON")
    out.add_argument("--quiet", action="store_true", help="no progress bar, and only the paths")
    out.add_argument("--local", action="store_true", help="in this process, even if a daemon runs")


def run(arguments: argparse.Namespace) -> int:
    """Makes the clips; prints one line a clip."""
    from server.cli.settings import settings
    from server.jobs.job import Job

    config, flags = settings(arguments)
    request, only_take, made = wanted(arguments)
    folder = str(expanded(arguments.out).absolute()) if arguments.out else ""
    remote = _daemon(config, flags, arguments.local)
    bar = Bar(arguments.quiet)
    try:
        if remote:
            clips = list(_through_daemon(remote, _message(request, folder, only_take, made), bar))
        else:
            job = Job(
                request.seeded(),
                Path(folder) if folder else config.samples,
                "command line",
                only_take=only_take,
                made=made,
            )
            clips = _here(config, job, bar)
    finally:
        bar.close()
        if remote:
            remote.close()
    _print(clips, arguments)
    _warn(clips, arguments)
    for note in dict.fromkeys(note for clip in clips for note in clip.sidecar.get("notes", ())):
        print(f"acestep: {note}", file=sys.stderr)
    return 0


def _daemon(config: "Config", flags: Mapping[str, Any], local: bool) -> "Remote | None":
    """The daemon that is to do the work, None for this process; refuses flags that would then do nothing."""
    if local:
        given = [flag for name, flag in ADDRESS.items() if name in flags]
        if given:
            raise InvalidRequest(f"--local works without a daemon: leave it out, or {' and '.join(given)}")
        return None
    from server.cli.remote import Remote

    remote = Remote.find(config, flags)
    if remote is not None:
        try:
            _refuse_daemons_own(config, flags, remote)
        except BaseException:
            remote.close()
            raise
    return remote


def _refuse_daemons_own(config: "Config", flags: Mapping[str, Any], remote: "Remote") -> None:
    """Raises InvalidRequest for a setting given by hand that a running daemon was not started with."""
    given = [name for name in DAEMONS_OWN if name in flags]
    if not given:
        return
    status = remote.status()
    runs_with = {"samples": status.samples_folder, "device": status.device}
    for name in given:
        asked, runs = str(getattr(config, name)), runs_with.get(name, "")
        if asked == "auto" or (runs and asked in (runs, runs.partition(":")[0])):  # cuda runs on cuda:0
            continue
        now = f" (now {runs})" if runs else ""
        instead = "name the folder with --out, restart the daemon" if name == "samples" else "restart it"
        raise InvalidRequest(
            f"--{name} is chosen when the daemon starts{now}, and a daemon runs: {instead} with --{name} "
            f"{flags[name]}, or add --local to work without the daemon"
        )


def wanted(arguments: argparse.Namespace) -> tuple[GenerateRequest, int | None, dict[str, Any]]:
    """The request; and when a clip is made again unchanged, the one take of it to make, and its sidecar."""
    given = _given(arguments)
    if not arguments.sidecar:
        if "prompt" not in given:
            raise InvalidRequest("no prompt: say in words what it should sound like, or use --from")
        return GenerateRequest(**given), None, {}
    from acestep.clips.clip import Clip
    from acestep.sources.sidecar import read_sidecar

    file = Path(arguments.sidecar)
    sidecar = read_sidecar(file)
    clip = Clip.from_sidecar(sidecar, file.with_name(file.name.removesuffix(".json")))
    try:
        request = GenerateRequest.from_dict(sidecar["request"])
    except (KeyError, TypeError) as error:
        raise InvalidRequest(f"{file} does not say how its clip was made: {error}") from None
    if not given:
        return request, clip.take, sidecar
    changed = dataclasses.replace(request, **{"seed": clip.seed, "takes": 1, "candidates": 1, **given})
    named = [
        FIELD_FLAGS.get(name, name) for name in given if getattr(request, name) != getattr(changed, name)
    ]
    if named:
        print(f"acestep: changed: {', '.join(named)}", file=sys.stderr)
    else:
        print("acestep: nothing is changed: that is how the clip was made", file=sys.stderr)
    return changed, None, {}


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The request's fields for the flags that were given."""
    values: dict[str, Any] = {}
    if arguments.midi:
        bar = 1 if arguments.midi_bar is None else arguments.midi_bar
        values |= _from_midi(Path(arguments.midi), bar, arguments.bars or DEFAULT_BARS)
    elif arguments.midi_bar is not None:
        raise InvalidRequest("--midi-bar needs --midi FILE.mid")
    if arguments.bpm is not None:
        values["tempo_map"] = None  # one tempo was asked for, whatever a MIDI file or a sidecar says
    names = ("prompt", *NUMBERS, "signature", "key", "lyrics", "task", "track", "cascade", "stages",
             "fit", "guide", "strict", "format", "sample_format")  # fmt: skip
    values |= {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    for name in ("prompt", "lyrics", "track"):
        values.get(name, "").encode("utf-8")  # UnicodeEncodeError: bytes of another encoding
    for name in ("reference", "context"):
        path = getattr(arguments, name)
        start_s, end_s = getattr(arguments, f"{name}_start"), getattr(arguments, f"{name}_end")
        if path is not None:
            # Empty stays empty, which the request refuses; Path("") would be the current folder.
            absolute = str(expanded(path).absolute()) if path.strip() else path
            values[name] = {"path": absolute, "start_s": start_s or 0.0, "end_s": end_s}
        elif start_s is not None or end_s is not None:
            raise InvalidRequest(f"--{name}-start and --{name}-end need --{name} FILE")
    if arguments.variant:
        if arguments.cascade:
            raise InvalidRequest(f"--variant {arguments.variant} and --cascade: name one of them")
        values["cascade"] = arguments.variant
    if arguments.loudness is not None:
        values["loudness_lufs"] = _loudness(arguments.loudness)
    if arguments.repaint:
        values["repaint_s"] = tuple(arguments.repaint)
    if arguments.adapter:
        values["adapters"] = tuple(_adapter(text) for text in arguments.adapter)
    return values


def _loudness(text: str) -> float | None:
    if text.strip().lower() == "off":
        return None
    try:
        return number(text)
    except ValueError:
        raise InvalidRequest(f'--loudness {text!r}: expected LUFS, for example -14, or "off"') from None


def _adapter(text: str) -> tuple[str, float]:
    name, colon, scale = text.rpartition(":")
    if not colon:
        return text, 1.0
    try:
        return name, number(scale)
    except ValueError:
        raise InvalidRequest(
            f"--adapter {text!r}: expected NAME or NAME:SCALE, for example dusty:0.8"
        ) from None


def _from_midi(path: Path, bar: int, bars: float) -> dict[str, Any]:
    from server.midi.file import read_song

    song = read_song(path)
    at = song.at_bar(bar, bars)
    for note in (*song.notes, *at.notes):
        print(f"acestep: {path.name}: {note}", file=sys.stderr)
    values = {"bpm": at.bpm, "signature": at.signature, "key": at.key, "tempo_map": at.tempo_map}
    return {name: value for name, value in values.items() if value is not None}


def _message(request: GenerateRequest, folder: str, only_take: int | None, made: dict[str, Any]) -> Any:
    from server.grpc import wire

    message = wire.request_to_proto(request)
    message.client, message.folder = "acestep generate", folder
    if only_take is not None:
        message.only_take, message.made_json = only_take, wire.made_to_json(made)
    return message


def _through_daemon(remote: Any, message: Any, bar: Bar) -> "Iterator[Clip]":
    from server.grpc import wire

    for event in remote.generate(message):
        kind = event.WhichOneof("event")
        if kind == "accepted" and event.accepted.position:
            bar.show(f"waiting for {count(event.accepted.position, 'job')}", 0.0, 0.0)
        elif kind == "progress":
            bar.show(event.progress.stage, event.progress.fraction, event.progress.eta_s)
        elif kind == "clip":
            yield wire.clip_from_proto(event.clip)


def _here(config: "Config", job: "Job", bar: Bar) -> "list[Clip]":
    """In this process: the same path the daemon's worker takes."""
    from acestep.sound.audio import probe, require_sound

    request = job.request
    for audio, what in ((request.reference, "a reference"), (request.context, "a context")):
        if audio is not None:  # said before a model is loaded
            probe(audio.path)
            require_sound(None if job.made else audio, what)
    from server.jobs.worker import make_clips
    from server.models import models_for

    bar.show("loading", 0.0, 0.0)
    cancelled = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: cancelled.set())
    try:
        cascade = models_for(config).use(request.cascade)
        if config.variant or request.cascade in CHOICES or config.precision != "auto":
            for note in cascade.notes:
                print(f"acestep: {note}", file=sys.stderr)
        return make_clips(
            cascade, job, lambda p: bar.show(p.stage, p.fraction, p.eta_s), None, cancelled.is_set
        )
    finally:
        signal.signal(signal.SIGINT, before)


def _print(clips: "Iterable[Clip]", arguments: argparse.Namespace) -> None:
    """A path a line for programs; for people what it is and how well it fits behind it."""
    if arguments.json:
        rows = [dataclasses.asdict(clip) for clip in clips]
        for row in rows:
            del row["sidecar_json"]
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for clip in clips:
        print(clip.path if _is_short(arguments) else f"{clip.path}  {describe(clip)}")


def _is_short(arguments: argparse.Namespace) -> bool:
    return arguments.quiet or not sys.stdout.isatty()


def _warn(clips: "Iterable[Clip]", arguments: argparse.Namespace) -> None:
    """Says what does not fit, where the clips' own lines leave it out."""
    if not (arguments.json or _is_short(arguments)):
        return
    for place, clip in enumerate(clips, 1):
        if clip.fit == "poor":
            print(f"acestep: clip {place} {verdict(clip)}", file=sys.stderr)
