"""`acestep kit`, `split`, `pack` and `import`: what is taken out of clips, taken away, and brought back."""

import argparse
import sys
from pathlib import Path

from acestep.clips.wording import count
from acestep.console.usage import Commands
from acestep.errors import InvalidRequest, NotFound, Unsupported
from server.config import OPTIONS

TRACKS = ("drums", "bass", "vocals")  # what is asked of a model that can extract


def add_commands(commands: Commands) -> None:
    """The commands with their flags."""
    from server.cli.config_flags import add_config

    kit = commands.add_parser("kit", help="cut the single hits of clips out, as a kit for samplers")
    kit.add_argument("clips", type=Path, metavar="CLIP", nargs="+", help="audio files, drums best")
    kit.add_argument(
        "--out", type=Path, metavar="FOLDER", help="a new folder (default: the first clip's name with -kit)"
    )
    kit.add_argument("--each", type=int, metavar="N", default=4, help="how many of a kind (default 4)")
    kit.set_defaults(run=_kit)

    split = commands.add_parser("split", help="split a clip into what is struck and what sounds on")
    split.add_argument("clip", type=Path, metavar="CLIP", help="the audio file")
    split.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where the parts go (default: beside the clip)"
    )
    split.add_argument(
        "--cascade",
        metavar="NAME",
        help="a model that can extract: it makes the tracks anew (default: masks, without a model)",
    )
    split.add_argument(
        "--tracks", metavar="A,B", help=f"with --cascade: which tracks (default {','.join(TRACKS)})"
    )
    add_config(split, ("home",))
    split.set_defaults(run=_split)

    pack = commands.add_parser("pack", help="an idea or some clips as a folder or ZIP file to take away")
    pack.add_argument("clips", metavar="IDEA|CLIP", nargs="+", help="ids of ideas, or clips")
    pack.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER|FILE.zip",
        help="a new folder, or a new ZIP file (default: FIRST-CLIP-pack.zip here)",
    )
    add_config(pack, ("home", "samples"))
    pack.set_defaults(run=_pack)

    unpack = commands.add_parser("import", help="bring the clips of a pack back into the samples folder")
    unpack.add_argument("pack", type=Path, metavar="FILE.zip|FOLDER", help="what `acestep pack` wrote")
    unpack.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where the clips go (default: the samples folder)"
    )
    add_config(unpack, ("home", "samples"))
    unpack.set_defaults(run=_import)


def _kit(arguments: argparse.Namespace) -> int:
    from acestep.packs.kit import SAMPLES, write_kit

    clips: list[Path] = [clip.absolute() for clip in arguments.clips]
    folder: Path = arguments.out.absolute() if arguments.out else clips[0].with_name(f"{clips[0].stem}-kit")
    samples = write_kit(clips, folder, each=arguments.each)
    for sample in samples:
        print(folder / SAMPLES / sample.name)
    print(f"acestep: {count(len(samples), 'hit')} in {folder}", file=sys.stderr)
    return 0


def _split(arguments: argparse.Namespace) -> int:
    clip: Path = arguments.clip.absolute()
    folder: Path = arguments.out.absolute() if arguments.out else clip.parent
    if arguments.cascade:
        return _extract(arguments, clip, folder)
    if arguments.tracks:
        raise InvalidRequest(
            "--tracks needs --cascade NAME, a model that can extract: masks know only percussive and tonal"
        )
    from acestep.packs.separate import write_split

    for part in write_split(clip, folder):
        print(part)
    return 0


def _extract(arguments: argparse.Namespace, clip: Path, folder: Path) -> int:
    """Each track as a job of its own, as `acestep generate --task extract` makes it."""
    from acestep.checkpoints.checkpoint import find, read_spec
    from acestep.console.usage import Parser
    from server.cli import generate
    from server.cli.config_flags import add_config, config_of

    home = config_of(arguments)[0].home
    if not read_spec(find(arguments.cascade, home), home).can("extract"):
        raise Unsupported(
            f"cascade {arguments.cascade} cannot extract: name one that can (ACE-Step's base models), or "
            "leave --cascade out to split by masks"
        )
    tracks = [one.strip() for one in (arguments.tracks or ",".join(TRACKS)).split(",") if one.strip()]
    parser = Parser(prog="acestep split")
    generate.add_arguments(parser)
    add_config(parser, OPTIONS)
    for track in tracks:
        line = [track, "--task", "extract", "--track", track, "--context", str(clip), "--out", str(folder)]
        line += ["--cascade", arguments.cascade, "--home", str(home)]
        generate.run(parser.parse_args(line))
    return 0


def _pack(arguments: argparse.Namespace) -> int:
    from acestep.packs.pack import write_pack
    from server.cli.config_flags import config_of

    samples = config_of(arguments)[0].samples
    files = [file for name in arguments.clips for file in _clips_of(name, samples)]
    out: Path = arguments.out.absolute() if arguments.out else Path.cwd() / f"{files[0].stem}-pack.zip"
    pack = write_pack(list(dict.fromkeys(files)), out)
    print(out)
    what = [
        count(len(pack.clips), "clip"),
        *(["a mix"] if pack.mix else []),
        *(["a kit"] if pack.kit else []),
    ]
    print(f"acestep: {', '.join(what)}", file=sys.stderr)
    for note in pack.notes:
        print(f"acestep: {note}", file=sys.stderr)
    return 0


def _clips_of(name: str, samples: Path) -> list[Path]:
    """The clip of that path, else the clips of the idea of that id in the samples folder, parts in order."""
    from acestep.clips.clip import Clip
    from acestep.packs.pack import said
    from server.library.scan import clips

    file = Path(name).absolute()
    if file.is_file():
        return [file]
    if file.suffix or len(Path(name).parts) > 1:
        raise NotFound(
            f"{file} is not there: it was moved, renamed or trashed since; name the clip where it is"
        )
    found = []
    for audio, _ in clips([samples]):
        try:
            clip = Clip.load(audio)
        except (InvalidRequest, NotFound):  # some other program's
            continue
        if said(clip, "idea") == name:
            if not audio.is_file():
                raise NotFound(
                    f"{audio} of idea {name} is gone, and its sidecar is there: name the clips that are"
                )
            found.append((clip.created, clip.take, clip.name, audio))
    if not found:
        raise NotFound(
            f"no clip and no idea {name!r:.80} in {samples}: expected a clip's file, or the id that the "
            "parts of an idea share"
        )
    return [audio for *_, audio in sorted(found)]


def _import(arguments: argparse.Namespace) -> int:
    from acestep.packs.unpack import import_pack
    from server.cli.config_flags import config_of

    folder = arguments.out.absolute() if arguments.out else config_of(arguments)[0].samples
    imported = import_pack(arguments.pack.absolute(), folder)
    for clip in imported.clips:
        print(clip.path)
    if imported.there:
        print(f"acestep: {count(len(imported.there), 'clip')} of it here already", file=sys.stderr)
    return 0
