"""Fetching published ACE-Step 1.5 checkpoints and making cascades of them.

    acestep pull xl-turbo

Resumable; the disk's space is checked first and every file's hash afterwards.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acestep.checkpoints.checkpoint import (
    BASE_GUIDANCE,
    BASE_SCHEDULE,
    FORMAT,
    TURBO_SCHEDULE,
    cascades_folder,
)
from acestep.checkpoints.convert import SUPPORTS, TEXT_ENCODER, convert
from acestep.console import command
from acestep.console.usage import Parser
from acestep.errors import AceStepError, AlreadyExists, CheckpointError, NotFound, StorageError, Unavailable
from acestep.home import home, make_private

MAIN = "ACE-Step/Ace-Step1.5"
WANTED = (".safetensors", ".json", ".txt", ".jinja", "silence_latent.pt")


@dataclass(frozen=True)
class Source:
    """Where a checkpoint is published: repository, folder in it, and its layout there."""

    repository: str
    folder: str = ""
    layout: str = "original"  # or "diffusers", or "planner" for the 5 Hz language models


SHARED = (Source(MAIN, "vae"), Source(MAIN, TEXT_ENCODER))
PUBLISHED = {
    "turbo": Source(MAIN, "acestep-v15-turbo"),
    "base": Source("ACE-Step/acestep-v15-base"),
    "sft": Source("ACE-Step/acestep-v15-sft"),
    "turbo-shift1": Source("ACE-Step/acestep-v15-turbo-shift1"),
    "turbo-shift3": Source("ACE-Step/acestep-v15-turbo-shift3"),
    "turbo-continuous": Source("ACE-Step/acestep-v15-turbo-continuous"),
    "xl-turbo": Source("ACE-Step/acestep-v15-xl-turbo-diffusers", layout="diffusers"),
    "xl-base": Source("ACE-Step/acestep-v15-xl-base-diffusers", layout="diffusers"),
    "xl-sft": Source("ACE-Step/acestep-v15-xl-sft"),
    "lm-0.6b": Source("ACE-Step/acestep-5Hz-lm-0.6B", layout="planner"),
    "lm-1.7b": Source(MAIN, "acestep-5Hz-lm-1.7B", layout="planner"),
    "lm-4b": Source("ACE-Step/acestep-5Hz-lm-4B", layout="planner"),
}


@dataclass(frozen=True)
class Remote:
    """A file to fetch: its path in the repository, size, and SHA-256 where the hub knows it."""

    path: str
    size: int
    sha256: str = ""


def pull(name: str, *, endpoint: str | None = None, on_note: Callable[[str], None] = lambda _: None) -> Path:
    """Fetch a published checkpoint and install it under its name; gives its folder.

    `endpoint` is another hub than the usual one (or the environment's HF_ENDPOINT). Raises NotFound,
    Unavailable (with what to do by hand), StorageError or CheckpointError; what was fetched is kept and
    continued next time, but nothing half-made is installed.
    """
    source = PUBLISHED.get(name)
    if source is None:
        raise NotFound(f"{name!r} is not published: expected one of {', '.join(PUBLISHED)}")
    target = (home() / "planners" if source.layout == "planner" else cascades_folder()) / name
    if target.exists():
        raise AlreadyExists(f"{target} is there already: remove it to fetch it anew")
    needed = [source, *(SHARED if source.layout == "original" else ())]
    with _explained(name, needed):
        listed = {part: list_files(part, endpoint) for part in needed}
    check_space({part: files for part, files in listed.items() if not _complete(part, files)})
    for part, files in listed.items():
        on_note(f"{part.repository} {part.folder}: {sum(file.size for file in files) / 1e9:.2f} GB")
        with _explained(name, needed):
            fetch(part, files, endpoint)
        verify(download_folder(part), files)
    install(source, target, name)
    return target


def list_files(source: Source, endpoint: str | None = None) -> list[Remote]:
    """The files of a source that are needed; never pickles, except the one that is read with weights_only."""
    from huggingface_hub import HfApi

    info = HfApi(endpoint=endpoint).model_info(source.repository, files_metadata=True)
    prefix = f"{source.folder}/" if source.folder else ""
    files = []
    for found in info.siblings or []:
        if found.rfilename.startswith(prefix) and found.rfilename.endswith(WANTED):
            sha = found.lfs.sha256 if found.lfs is not None else ""
            files.append(Remote(found.rfilename, found.size or 0, sha))
    if not any(file.path.endswith(".safetensors") for file in files):
        raise CheckpointError(f"{source.repository} holds no safetensors in {source.folder or 'its root'}")
    return files


def download_folder(source: Source) -> Path:
    """Where a repository's files are fetched to."""
    return home() / "downloads" / source.repository.replace("/", "--")


def fetch(source: Source, files: list[Remote], endpoint: str | None = None) -> None:
    """Fetch the files; those that are there already, whole or in part, are continued."""
    from huggingface_hub import hf_hub_download

    folder = download_folder(source)
    for file in files:
        hf_hub_download(source.repository, file.path, local_dir=folder, endpoint=endpoint)


def verify(folder: Path, files: list[Remote]) -> None:
    """Sizes and hashes as the hub says; a wrong file is removed, so that the next pull fetches it again."""
    for file in files:
        path = folder / file.path
        size = path.stat().st_size if path.is_file() else -1
        if size != file.size or (file.sha256 and _sha256(path) != file.sha256):
            path.unlink(missing_ok=True)
            what = f"{size} of {file.size} bytes" if size != file.size else "its hash is wrong"
            raise CheckpointError(f"{path} is broken ({what}) and was removed: pull again to fetch it anew")


def check_space(listed: dict[Source, list[Remote]]) -> None:
    """Raise StorageError when the files, and what is made of them, will not fit on the disk."""
    needed = sum(file.size for files in listed.values() for file in files)
    needed *= 2 if any(source.layout == "original" for source in listed) else 1
    make_private(home())
    free = shutil.disk_usage(home()).free
    if needed * 1.02 > free:
        raise StorageError(
            f"{home()} has {free / 1e9:.1f} GB free, fetching takes {needed / 1e9:.1f} GB: make room, or set "
            "ACESTEP_HOME to a larger disk"
        )


def install(source: Source, target: Path, name: str) -> None:
    """Make the cascade (or planner) of what was fetched, and drop the files it no longer needs."""
    fetched = download_folder(source) / source.folder
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.layout == "original":
        convert(fetched, target, shared=download_folder(SHARED[0]), name=name)
        shutil.rmtree(fetched)
        return
    if source.layout == "diffusers":
        config = json.loads((fetched / "transformer" / "config.json").read_text(encoding="utf-8"))
        text = json.dumps(describe_diffusers(config, name), indent=2) + "\n"
        (fetched / "cascade.json").write_text(text, encoding="utf-8")
    shutil.rmtree(fetched / ".cache", ignore_errors=True)
    fetched.rename(target)


def describe_diffusers(config: dict[str, Any], name: str) -> dict[str, Any]:
    """The cascade.json of a pipeline folder, which stays as it is."""
    turbo = bool(config.get("is_turbo") or config.get("model_version") == "turbo")
    schedule = TURBO_SCHEDULE if turbo else BASE_SCHEDULE
    width = config["hidden_size"]
    xl = (config.get("encoder_hidden_size") or width) != width
    return {
        "format": FORMAT,
        "name": name,
        "stages": [{"name": "l" if width > 2048 else "m", "path": ".", "timbre_token": xl}],
        "codec": "vae",
        "schedule": asdict(schedule),
        "guidance": None if turbo else {"scale": BASE_GUIDANCE.scale, "mode": "apg"},
        "supports": SUPPORTS["turbo" if turbo else "base"],
        "empty_lyrics": "[Instrumental]",
        "trained_on": "as published: ACE-Step 1.5",
        "license": "MIT",
    }


@contextmanager
def _explained(name: str, sources: list[Source]) -> Iterator[None]:
    """Network errors as one sentence, with what to do by hand."""
    try:
        yield
    except _network_errors() as error:
        if isinstance(error, AceStepError):
            raise
        where = "; ".join(f"{s.repository} {s.folder}".strip() + f" to {download_folder(s)}" for s in sources)
        raise Unavailable(
            f"{name} cannot be fetched ({type(error).__name__}: {' '.join(str(error).split())[:200]}). "
            f"Without a network, copy by hand: {where}; then pull again, or convert"
        ) from error


def _network_errors() -> tuple[type[Exception], ...]:
    """What fetching raises when it cannot: the hub's errors, and those of whichever HTTP library it uses."""
    from importlib import import_module
    from importlib.util import find_spec

    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    found: list[type[Exception]] = [HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError]
    for name in ("httpx", "httpx2"):
        if find_spec(name) is not None:
            found.append(import_module(name).HTTPError)
    return tuple(found)


def _complete(source: Source, files: list[Remote]) -> bool:
    folder = download_folder(source)
    return all((folder / f.path).is_file() and (folder / f.path).stat().st_size == f.size for f in files)


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `acestep pull`."""
    parser.add_argument("name", help=f"one of {', '.join(PUBLISHED)}")


def run(args: argparse.Namespace) -> int:
    """Pull as the command line says: notes and progress on stderr, the path on stdout."""
    print(pull(args.name, on_note=lambda note: print(note, file=sys.stderr)))
    return 0


def main(argv: list[str] | None = None) -> int:
    """`acestep pull`."""
    parser = Parser(prog="acestep pull", description=(__doc__ or "").splitlines()[0])
    add_arguments(parser)
    return command.run("acestep pull", lambda: run(parser.parse_args(argv)))
