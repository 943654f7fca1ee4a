"""`acestep play`, `open` and `completion`: a clip heard, its folder shown, a shell that knows the commands.

Hands files to programs of the system.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from acestep.console.usage import Commands
from acestep.errors import InvalidRequest, NotFound, Unavailable
from server.cli.brought import brought

# Players that play a file, quietly and to its end, and the endings each can play ("" is all of ours).
PLAYERS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("afplay",), ()),
    (("pw-play",), ()),
    (("paplay",), (".wav", ".aiff", ".flac")),
    (("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"), ()),
    (("play", "-q"), ()),
    (("aplay", "-q"), (".wav",)),
)
ASKED_S = 3.0
SHELLS = ("bash", "zsh", "tcsh")
COMPLETED = ("acestep", "lora_studio", "plugin-bridge")  # entry points of `acestep.parsers`


def add_commands(commands: Commands) -> None:
    """The three commands with their flags."""
    play = commands.add_parser("play", help="play an audio file")
    play.add_argument("file", type=Path, metavar="FILE", help="the audio file")
    play.add_argument("--loop", action="store_true", help="again and again, until Ctrl-C")
    play.set_defaults(run=_play)
    opened = commands.add_parser("open", help="show the samples folder, or a file's, in the file manager")
    opened.add_argument(
        "file", type=Path, metavar="FILE", nargs="?", help="a file or folder (default: the samples folder)"
    )
    opened.set_defaults(run=_open)
    from server.cli.config_flags import add_config

    add_config(opened, ("home", "samples"))
    completion = commands.add_parser("completion", help="print what makes a shell complete these commands")
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
    completion.add_argument(
        "--for", dest="program", choices=COMPLETED, default="acestep", help="which command's"
    )
    completion.set_defaults(run=_completion)


def _play(arguments: argparse.Namespace) -> int:
    file: Path = arguments.file.absolute()
    if not file.is_file():
        raise NotFound(f"{file} is not there: expected an audio file")
    from acestep.sound.audio import probe

    duration_s = probe(file).duration_s  # raises for what is not audio
    player = find_player(file)
    print(f"{file.name}, {duration_s:.1f} s; Ctrl-C ends", file=sys.stderr)
    while True:
        player()
        if not arguments.loop:
            return 0


def find_player(file: Path) -> Callable[[], None]:
    """What plays the file and returns at its end. Raises Unavailable where nothing here can."""
    if sys.platform == "win32" and file.suffix.lower() == ".wav":
        import winsound

        return lambda: winsound.PlaySound(str(file), winsound.SND_FILENAME)
    for command, endings in PLAYERS:
        program = shutil.which(command[0])
        if program and (not endings or file.suffix.lower() in endings):
            return lambda: _run([program, *command[1:], str(file)])
    names = ", ".join(command[0] for command, _ in PLAYERS)
    raise Unavailable(f"this machine has no player for {file.suffix} files: install one of {names}")


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise Unavailable(f"{command[0]} could not play the file: {last[0] if last else 'it says nothing'}")


def _open(arguments: argparse.Namespace) -> int:
    if arguments.file:
        path: Path = arguments.file.absolute()
        if not path.exists():
            raise NotFound(f"{path} is not there: expected a file or a folder")
    else:
        from server.cli.config_flags import config_of

        path = config_of(arguments)[0].samples
        if not path.is_dir():
            raise NotFound(f"{path} is not there yet: the first clip makes it (`acestep generate`)")
    command = file_manager(path)
    if command is None:
        raise Unavailable(f"this machine has no file manager that could be asked: the folder is {path}")
    quiet = subprocess.DEVNULL
    asked = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        failed = asked.wait(ASKED_S) and sys.platform != "win32"  # Explorer's exit code says nothing
    except subprocess.TimeoutExpired:  # it is the file manager itself, which stays as long as it likes
        failed = False
    if failed:
        raise Unavailable(f"{command[0]} could not show it: the folder is {path}")
    print(path)
    return 0


def file_manager(path: Path) -> list[str] | None:
    """The command that shows a file in its folder, or a folder; None where there is none."""
    if sys.platform == "darwin":
        return ["open", str(path)] if path.is_dir() else ["open", "-R", str(path)]
    if sys.platform == "win32":
        return ["explorer", str(path)] if path.is_dir() else ["explorer", f"/select,{path}"]
    program = shutil.which("xdg-open") or shutil.which("gio")
    if program is None:
        return None
    folder = str(path if path.is_dir() else path.parent)
    return [program, *(["open"] if program.endswith("gio") else []), folder]


def _completion(arguments: argparse.Namespace) -> int:
    import shtab

    parser = brought("acestep.parsers", arguments.program)(arguments.program)
    if arguments.program == "acestep":
        _with_delegated(parser)
    _with_files(parser, shtab)
    try:
        script = shtab.complete(parser, shell=arguments.shell)
    except (NotImplementedError, ValueError) as error:
        raise InvalidRequest(f"no completion for {arguments.shell}: {error}") from None
    print(script)
    if sys.stdout.isatty():
        ways = {
            "bash": 'eval "$(acestep completion bash)" in ~/.bashrc',
            "zsh": "acestep completion zsh > a folder of $fpath, as _acestep",
            "tcsh": "acestep completion tcsh > ~/.acestep.csh, and source that in ~/.tcshrc",
        }
        print(f"to use it: {ways[arguments.shell]}", file=sys.stderr)
    return 0


def _with_delegated(parser: argparse.ArgumentParser) -> None:
    """Commands that are another program's as well get that program's parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, program in (("lora", "lora_studio"), ("bridge", "plugin-bridge")):
                action.choices[name] = brought("acestep.parsers", program)(f"acestep {name}")


def _with_files(parser: argparse.ArgumentParser, shtab: Any) -> None:
    """Arguments that are shown as FILE or FOLDER complete to such."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _with_files(inner, shtab)
            continue
        shown = str(action.metavar or "")
        if shown.split(".")[0] in ("FILE", "CLIP", "OUT"):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif shown in ("FOLDER", "DIR"):
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
