"""Copies a bridge into a DAW's folder and takes it away again, without ever touching a file that is not ours.

What was written is remembered with its hash in `installed.json` in the daemon's home: a file there that is
neither ours nor equal to ours is foreign, and so is one of ours that somebody has changed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from acestep import files
from plugin_bridge.errors import AlreadyExists, BridgeError, StorageError
from plugin_bridge.folders import Installation
from plugin_bridge.programs import program

REMEMBERED = "installed.json"


@dataclass(frozen=True)
class Step:
    """One file: `action` is copy, replace, keep, remove, leave or gone."""

    action: str
    path: Path
    why: str = ""


class Remembered:
    """Path → hash of every file that was installed."""

    def __init__(self, home: Path) -> None:
        self._file = home / REMEMBERED
        try:
            told = json.loads(self._file.read_text("utf-8"))
            self.hashes: dict[str, str] = {str(path): str(value) for path, value in told.items()}
        except (OSError, ValueError, AttributeError):
            self.hashes = {}

    def save(self) -> None:
        """Writes the file anew, whole or not at all."""
        text = json.dumps(self.hashes, indent=1, sort_keys=True)
        write_private(self._file, text.encode())

    def is_ours(self, path: Path) -> bool:
        """True for a file that is as we left it."""
        return self.hashes.get(str(path)) == hash_of(path)


def hash_of(path: Path) -> str:
    """SHA-256 of a file's bytes, "" for one that is not there."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def write_private(path: Path, data: bytes) -> None:
    """A file of the home, which only its owner may read (mode 0600), appears whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write_whole(path, data, private=True)


def install(plan: Installation, home: Path, dry_run: bool = False) -> list[Step]:
    """Brings the plan's files to their places; all or, if one place is taken, none.

    Raises AlreadyExists naming the foreign files, StorageError where the folder cannot be written.
    """
    remembered = Remembered(home)
    steps, foreign = [], []
    for inside, source in plan.files.items():
        path = plan.folder / inside
        now = hash_of(path)
        if not now and not path.exists():
            steps.append(Step("copy", path))
        elif now == hash_of(source):
            steps.append(Step("keep", path, "is the same"))
        elif remembered.is_ours(path):
            steps.append(Step("replace", path, "an older one of ours"))
        else:
            foreign.append(str(path))
    steps += _superseded(plan, remembered)
    if foreign:
        raise AlreadyExists(
            "these files are not ours, or were changed, and are not overwritten: "
            + ", ".join(foreign)
            + ". Move them away, then install again"
        )
    if not dry_run:
        _carry_out(plan, steps, remembered)
    return steps


def _superseded(plan: Installation, remembered: Remembered) -> list[Step]:
    """Files of an earlier release that this one no longer has."""
    tops = {plan.folder / inside.split("/")[0] for inside in plan.files}
    wanted = {str(plan.folder / inside) for inside in plan.files}
    return [
        Step("remove", Path(path), "no longer needed")
        for path in sorted(remembered.hashes)
        if path not in wanted and tops & set(Path(path).parents) and remembered.is_ours(Path(path))
    ]


def _carry_out(plan: Installation, steps: list[Step], remembered: Remembered) -> None:
    sources = {plan.folder / inside: source for inside, source in plan.files.items()}
    try:
        for step in steps:
            if step.action == "remove":
                step.path.unlink()
                remembered.hashes.pop(str(step.path))
                continue
            if step.action in ("copy", "replace"):
                step.path.parent.mkdir(parents=True, exist_ok=True)
                files.write_whole(step.path, sources[step.path].read_bytes())
                step.path.chmod(sources[step.path].stat().st_mode & 0o777)
            remembered.hashes[str(step.path)] = hash_of(step.path)
        remembered.save()
    except OSError as error:
        raise StorageError(
            f"{plan.folder} cannot be written ({error.strerror}): make it writable, or choose another one "
            "with --folder"
        ) from error


def uninstall(target_folders: list[Path], home: Path, dry_run: bool = False) -> list[Step]:
    """Removes what was installed below these folders and is still as it was; leaves all else."""
    remembered = Remembered(home)
    steps = []
    for name in sorted(remembered.hashes):
        path = Path(name)
        if not any(folder in path.parents for folder in target_folders):
            continue
        if not path.exists():
            steps.append(Step("gone", path))
        elif remembered.is_ours(path):
            steps.append(Step("remove", path))
        else:
            steps.append(Step("leave", path, "was changed since"))
    if dry_run:
        return steps
    for step in steps:
        if step.action == "remove":
            step.path.unlink()
        remembered.hashes.pop(str(step.path))
        _remove_empty(step.path.parent, target_folders)
    remembered.save()
    return steps


def _remove_empty(folder: Path, keep: list[Path]) -> None:
    """Removes folders that are empty now, and the compiled files that Live's Python left beside ours."""
    cache = folder / "__pycache__"
    if cache.is_dir() and not list(folder.glob("*.py")):
        for compiled in cache.glob("*.pyc"):
            compiled.unlink()
        cache.rmdir()
    while folder not in keep and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def state_of(plan: Installation, home: Path) -> str:
    """installed, older, changed, foreign or absent."""
    remembered = Remembered(home)
    states = set()
    for inside, source in plan.files.items():
        path = plan.folder / inside
        if not path.exists():
            states.add("absent")
        elif hash_of(path) == hash_of(source):
            states.add("installed")
        elif remembered.is_ours(path):
            states.add("older")
        else:
            states.add("changed" if str(path) in remembered.hashes else "foreign")
    if states == {"installed"} or states == {"absent"}:
        return states.pop()
    for state in ("foreign", "changed", "older"):
        if state in states:
            return state
    return "incomplete"


def state_without_source(folder: Path, home: Path) -> str:
    """The same for what was installed below a folder, whatever it came from: a download is not kept."""
    remembered = Remembered(home)
    ours = [Path(name) for name in remembered.hashes if folder in Path(name).parents]
    if not any(path.exists() for path in ours):
        return "absent"
    if not all(path.exists() for path in ours):
        return "incomplete"
    return "installed" if all(map(remembered.is_ours, ours)) else "changed"


def daemon_command() -> list[str]:
    """How this installation's daemon is started, for the Live script to do it. Raises NotFound."""
    return [program("acestep"), "serve"]


def write_live_settings(home: Path, command: list[str], dry_run: bool = False) -> str:
    """Tells the Live script how to start the daemon; what the musician has set stays. What was done."""
    file = home / "live.json"
    settings: Mapping[str, object] = {}
    if file.exists():
        try:
            settings = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            why = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error
            raise BridgeError(f"{file} is broken ({why}): mend or remove it, then install again") from error
        if not isinstance(settings, dict) or settings.get("daemon"):
            return f"{file} stays as it is"
    if not dry_run:
        write_private(file, json.dumps({**settings, "daemon": command}, indent=1).encode() + b"\n")
    return f"{file} tells the Live script how to start the daemon"
