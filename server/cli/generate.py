"""`acestep generate`: flags to a request, through a running daemon or in this process, to paths on stdout."""

import argparse
import contextlib
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
from acestep.console.terminal import Bar
from acestep.console.usage import maybe_empty
from acestep.errors import InvalidRequest
from acestep.request import SETTINGS, GenerateRequest
from acestep.settings import GROUPS
from server.cli import options

if TYPE_CHECKING:
    from acestep.clips.clip import Clip
    from protos.acestep.v1 import acestep_pb2 as pb
    from server.cli.remote import Remote
    from server.config import Config
    from server.jobs.job import Job

DEFAULT_BARS = 4.0
ADDRESS = {"host": "--host", "grpc_port": "--grpc-port"}
DAEMONS_OWN = ("samples", "device", "precision", "planner")  # what a daemon keeps from its start


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags: one for each setting of a request, and those that say where it comes from and goes to."""
    groups = {name: parser.add_argument_group(name) for name in GROUPS}
    for setting in SETTINGS.values():
        if setting.name == "prompt":
            parser.add_argument(
                "prompt", type=maybe_empty, nargs="?", help="what it should sound like, in words"
            )
        elif "command" not in setting.without:
            options.add(groups[setting.group], setting)
    music, run_group, out = groups["music"], groups["run"], groups["file"]
    music.add_argument(
        "--midi", type=Path, metavar="FILE.mid", help="follow this file's tempo map, signature and key"
    )
    music.add_argument(
        "--midi-bar", type=int, metavar="N", help="which bar of the MIDI file to begin at (default 1)"
    )
    run_group.add_argument(
        "--variant",
        type=str.lower,
        choices=CHOICES,
        help="instead of a cascade: a size, or the best for this machine",
    )
    run_group.add_argument(
        "--from",
        dest="sidecar",
        type=Path,
        metavar="CLIP.wav.json",
        help="make that clip again; other options given beside it change it",
    )
    out.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where the clips go (default: the samples folder)"
    )
    out.add_argument("--json", action="store_true", help="print all that is known of the clips as JSON")
    out.add_argument("--quiet", action="store_true", help="no progress bar, and only the paths")
    out.add_argument("--local", action="store_true", help="in this process, even if a daemon runs")


def run(arguments: argparse.Namespace) -> int:
    """Makes the clips; prints one line a clip."""
    from server.cli.config_flags import config_of
    from server.jobs.job import Job

    config, flags = config_of(arguments)
    request, only_take, made = wanted(arguments)
    folder = str(arguments.out.absolute()) if arguments.out else ""
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
    for idea in dict.fromkeys(clip.idea for clip in clips if clip.idea):
        print(f"acestep: idea {idea}: --idea {idea} with --redo or --parts goes on with it", file=sys.stderr)
    for note in dict.fromkeys(note for clip in clips for note in clip.sidecar.get("notes", ())):
        print(f"acestep: {note}", file=sys.stderr)
    return 0


def _daemon(config: "Config", flags: Mapping[str, object], local: bool) -> "Remote | None":
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


def _refuse_daemons_own(config: "Config", flags: Mapping[str, object], remote: "Remote") -> None:
    """Raises InvalidRequest for a setting given by hand that a running daemon was not started with."""
    given = [name for name in DAEMONS_OWN if name in flags]
    if not given:
        return
    status = remote.status()
    runs_with = {"samples": status.samples_folder, "device": status.device}
    for name in given:
        asked, runs = str(getattr(config, name)), runs_with.get(name, "")
        if name == "samples":  # one folder may have several names
            asked, runs = str(config.samples.resolve()), str(Path(runs).resolve())
        if asked == "auto" or (runs and asked in (runs, runs.partition(":")[0])):  # cuda runs on cuda:0
            continue
        now = f" (now {runs})" if runs else ""
        instead = "name the folder with --out, restart the daemon" if name == "samples" else "restart it"
        raise InvalidRequest(
            f"--{name} is chosen when the daemon starts{now}, and a daemon runs: {instead} with --{name} "
            f"{flags[name]}, or add --local to work without the daemon"
        )


def wanted(arguments: argparse.Namespace) -> tuple[GenerateRequest, int | None, dict[str, object]]:
    """The request; and when a clip is made again unchanged, the one take of it to make, and its sidecar."""
    given = _given(arguments)
    if not arguments.sidecar:
        if "prompt" not in given and "idea" not in given:
            raise InvalidRequest("no prompt: say in words what it should sound like, or use --from")
        return GenerateRequest(**{"prompt": "", **given}), None, {}
    from acestep.clips.clip import Clip
    from acestep.sources.sidecar import read_sidecar

    file: Path = arguments.sidecar
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
        SETTINGS[name].flag.replace("-", " ")
        for name in given
        if getattr(request, name) != getattr(changed, name)
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
        values |= _from_midi(arguments.midi, bar, arguments.bars or DEFAULT_BARS)
    elif arguments.midi_bar is not None:
        raise InvalidRequest("--midi-bar needs --midi FILE.mid")
    given = options.given(arguments)
    if "bpm" in given:
        if "tempo_map" in given:
            raise InvalidRequest("--bpm and --tempo-map: name one of them; a map has its own tempi")
        values["tempo_map"] = None  # one tempo was asked for, whatever a MIDI file or a sidecar says
    if arguments.variant:
        if arguments.cascade:
            raise InvalidRequest(f"--variant {arguments.variant} and --cascade: name one of them")
        values["cascade"] = arguments.variant
    return values | given


def _from_midi(path: Path, bar: int, bars: float) -> dict[str, Any]:
    from server.midi.file import read_song

    song = read_song(path)
    at = song.at_bar(bar, bars)
    for note in (*song.notes, *at.notes):
        print(f"acestep: {path.name}: {note}", file=sys.stderr)
    values = {"bpm": at.bpm, "signature": at.signature, "key": at.key, "tempo_map": at.tempo_map}
    return {name: value for name, value in values.items() if value is not None}


def _message(
    request: GenerateRequest, folder: str, only_take: int | None, made: dict[str, object]
) -> "pb.GenerateRequest":
    from server.grpc import wire

    message = wire.request_to_proto(request)
    message.client, message.folder = "acestep generate", folder
    if only_take is not None:
        message.only_take, message.made_json = only_take, wire.made_to_json(made)
    return message


def _through_daemon(remote: "Remote", message: "pb.GenerateRequest", bar: Bar) -> "Iterator[Clip]":
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
    from acestep.adapters import files as adapters
    from acestep.clips.idea import Delivery, Idea
    from server.jobs.engine import AceStep
    from server.models import models_for

    models = models_for(config)
    if request.idea:  # as a daemon does it: what cannot be is said before a model is loaded
        job.request = request = Idea.of(request, _on_disk(config, job)).adopted(request)
    models.check(request)
    for name, _ in request.adapters:
        adapters.find(name, adapters.adapters_folder(config.home))
    bar.show("loading", 0.0, 0.0)
    cancelled = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: cancelled.set())
    try:
        cascade = models.use(request.cascade)
        if config.variant or request.cascade in CHOICES or config.precision != "auto":
            for note in cascade.notes:
                print(f"acestep: {note}", file=sys.stderr)
        return AceStep(config).produce(
            cascade,
            job,
            lambda p: bar.show(p.stage, p.fraction, p.eta_s),
            None,
            cancelled.is_set,
            Delivery(lambda clip: None, lambda idea: _on_disk(config, job)),
        )
    finally:
        signal.signal(signal.SIGINT, before)


def _on_disk(config: "Config", job: "Job") -> "list[Clip]":
    """The clips in the folders where those of an idea can be, and in the trash."""
    from acestep.clips.clip import Clip
    from acestep.errors import AceStepError
    from server.library import scan

    found = []
    for file, _ in scan.clips([job.folder, config.samples, config.trash]):
        with contextlib.suppress(AceStepError):
            clip = Clip.load(file)
            found.append(dataclasses.replace(clip, trashed=file.is_relative_to(config.trash)))
    return found


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
