"""Where DAWs look for scripts and plugins, on macOS, Windows and Linux, and what of ours goes there.

Every function takes the platform and the user's home, so that all three can
be tested on one.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path

from plugin_bridge import releases
from plugin_bridge.errors import NotFound

HERE = Path(__file__).parent
# Where built plugins lie in a clone: as the plugin's README builds them, and as the tests do.
BUILT = (HERE / "vst" / "build", HERE.parent / "build" / "plugin")
BUILD = f"`cmake -S {HERE / 'vst'} -B {BUILT[0]}`, then `cmake --build {BUILT[0]}`"
TARGETS = ("live", "vst", "reaper")
TITLES = {"live": "Ableton Live", "vst": "VST3, CLAP and LV2 plugin", "reaper": "REAPER"}
MEANT = {  # what --folder names
    "live": "`Remote Scripts` in Live's User Library",
    "vst": "a folder that your DAW searches for plugins",
    "reaper": "`Scripts` in REAPER's resource folder",
}
STATES = {
    "older": "another release of ours: install again",
    "changed": "files were changed since, and are not overwritten: move them away, then install again",
    "foreign": "files of the same name that are not ours: move them away, then install",
    "incomplete": "files are missing: install again",
}
PLUGIN_ENDINGS = (".vst3", ".clap", ".lv2")
# How programs of each system begin: the same folder may hold plugins for several
BEGINNINGS = {
    b"\x7fELF": "linux",
    b"MZ": "win32",
    b"\xcf\xfa\xed\xfe": "darwin",
    b"\xca\xfe\xba\xbe": "darwin",  # several processors' in one
}

LIVE_HINT = """In Live: restart it, then Settings > Link, Tempo & MIDI > Control Surface: choose AceStep in
a free slot; Input: a MIDI device for triggers, or None. Start the daemon (`acestep serve`), select an empty
slot of an audio track, name the track after what it should play, and send /acestep/live/generate to port
9128."""
VST_HINT = """In the DAW: rescan plugins, then look for ACE-Step. The daemon must run: `acestep serve`."""
REAPER_HINT = """In REAPER: Preferences > Plug-Ins > ReaScript: enable Python. Then Actions > Show action
list > New action > Load ReaScript: choose ACE-Step/acestep.py, and give it a key. The daemon must run:
`acestep serve`."""


@dataclass(frozen=True)
class Installation:
    """Files to bring into a folder: source → path inside `folder`."""

    target: str
    folder: Path
    files: Mapping[str, Path]  # path inside the folder, with /, → source
    hint: str


@dataclass(frozen=True)
class Machine:
    """A platform (`darwin`, `win32`, `linux`), a user's home, and the environment."""

    platform: str
    home: Path
    environment: Mapping[str, str]

    def roaming(self) -> Path:
        """Windows' folder for a program's settings."""
        return Path(self.environment.get("APPDATA") or self.home / "AppData" / "Roaming")

    def local(self) -> Path:
        """Windows' folder for a program's data."""
        return Path(self.environment.get("LOCALAPPDATA") or self.home / "AppData" / "Local")


def live_folder(machine: Machine) -> Path:
    """`Remote Scripts` in Live's User Library, which Live's newest Library.cfg may have moved."""
    library = _moved_library(machine)
    if library is None:
        music = machine.home / ("Documents" if machine.platform == "win32" else "Music")
        library = music / "Ableton" / "User Library"
    return library / "Remote Scripts"


def _moved_library(machine: Machine) -> Path | None:
    settings = (
        machine.roaming() / "Ableton"
        if machine.platform == "win32"
        else machine.home / "Library" / "Preferences" / "Ableton"
    )
    files = [*settings.glob("Live */Library.cfg"), *settings.glob("Live */Preferences/Library.cfg")]
    for file in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True):
        text = file.read_text("utf-8", "replace")
        block = re.search(r"<UserLibrary>(.*?)</UserLibrary>", text, re.DOTALL)
        path = re.search(r'<ProjectPath Value="([^"]+)"', block[1]) if block else None
        name = re.search(r'<ProjectName Value="([^"]+)"', block[1]) if block else None
        if path and name and (found := Path(unescape(path[1])) / unescape(name[1])).is_dir():
            return found
    return None


def plugin_folders(machine: Machine) -> dict[str, Path]:
    """The user's own plugin folder for each ending."""
    if machine.platform == "darwin":
        plugins = machine.home / "Library" / "Audio" / "Plug-Ins"
        return {".vst3": plugins / "VST3", ".clap": plugins / "CLAP", ".lv2": plugins / "LV2"}
    if machine.platform == "win32":
        common = machine.local() / "Programs" / "Common"
        return {".vst3": common / "VST3", ".clap": common / "CLAP", ".lv2": machine.roaming() / "LV2"}
    return {ending: machine.home / ending for ending in PLUGIN_ENDINGS}


def reaper_folder(machine: Machine) -> Path:
    """`Scripts` in REAPER's resource folder."""
    if machine.platform == "darwin":
        return machine.home / "Library" / "Application Support" / "REAPER" / "Scripts"
    if machine.platform == "win32":
        return machine.roaming() / "REAPER" / "Scripts"
    config = Path(machine.environment.get("XDG_CONFIG_HOME") or machine.home / ".config")
    return config / "REAPER" / "Scripts"


def plans(
    target: str, machine: Machine, folder: Path | None = None, built: Path | None = None
) -> list[Installation]:
    """What goes where. `folder` replaces the found one, `built` is where built plugins lie.

    Raises NotFound where there is no built plugin, InvalidRequest where one is not what its release says.
    """
    if target == "live":
        source = HERE / "ableton" / "AceStep"
        files = {f"AceStep/{path.name}": path for path in sorted(source.glob("*.py"))}
        return [Installation(target, folder or live_folder(machine), files, LIVE_HINT)]
    if target == "reaper":
        files = {"ACE-Step/acestep.py": HERE / "reaper" / "acestep.py"}
        return [Installation(target, folder or reaper_folder(machine), files, REAPER_HINT)]
    found = _built_plugins((built,) if built else BUILT, machine.platform)
    if built and (built / releases.SUMS).is_file():
        releases.check_sums(built, [path for plugin in found for path in _tree(plugin).values()])
    places = plugin_folders(machine)
    return [
        Installation(target, folder or places[plugin.suffix], _tree(plugin), VST_HINT if last else "")
        for plugin, last in ((plugin, plugin == found[-1]) for plugin in found)
    ]


def _built_plugins(folders: tuple[Path, ...], platform: str) -> list[Path]:
    found: dict[str, Path] = {}
    others: list[Path] = []  # for another system
    for folder in folders:
        for ending in PLUGIN_ENDINGS:
            # a release build goes before a debug build
            paths = sorted(folder.rglob(f"*{ending}"), key=lambda path: ("release" not in path.parts, path))
            for path in paths:
                if any(parent.suffix in PLUGIN_ENDINGS for parent in path.parents):
                    continue
                if _is_for(path, platform):
                    found.setdefault(path.name, path)
                else:
                    others.append(path)
    if not found:
        where = " or ".join(map(str, folders))
        if others:
            raise NotFound(
                f"{others[0]} is built for another system: name a folder of this one's with --from"
            )
        raise NotFound(
            f"there is no built plugin in {where}: name its folder with --from, or {_how_to_build()}"
        )
    return list(found.values())


def _is_for(plugin: Path, platform: str) -> bool:
    """False for a plugin that is known to be another system's."""
    for file in _tree(plugin).values():
        with file.open("rb") as opened:
            begin = opened.read(4)
        for beginning, system in BEGINNINGS.items():
            if begin.startswith(beginning):
                return system == platform
    return True


def _how_to_build() -> str:
    if not (HERE / "vst" / "CMakeLists.txt").is_file():  # a wheel has no C++
        return "build it in a clone of the repository as plugin_bridge/vst/README.md says"
    return f"build it with {BUILD} ({HERE / 'vst' / 'README.md'} lists what that needs)"


def _tree(plugin: Path) -> dict[str, Path]:
    if plugin.is_file():
        return {plugin.name: plugin}
    inside = sorted(path for path in plugin.rglob("*") if path.is_file())
    return {f"{plugin.name}/{path.relative_to(plugin).as_posix()}": path for path in inside}


def this_machine(platform: str) -> Machine:
    """The machine this runs on."""
    return Machine(platform, Path.home(), os.environ)
