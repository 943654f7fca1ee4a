"""Test side: the wheel, built from a copy of the sources, in an environment of its own outside the checkout.

What the wheel declares is brought there from the environment of the tests, package by package, without a
network: a package that is used but not declared is missing there, as it is for whoever installs the wheel.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    "acestep",
    "server",
    "protos",
    "plugin_bridge",
    "lora_studio",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
LIMIT_S = 280.0
RELEASES = "https://127.0.0.1:9/music/releases/download"
NOBODY = "http://127.0.0.1:9"  # a proxy that refuses: whoever asks the network fails at once


@dataclass(frozen=True)
class Fresh:
    """The environment's commands, and a user who has never used them."""

    folder: Path
    user: Path

    @property
    def commands(self) -> Path:
        return Path(sysconfig.get_path("scripts", "venv", {"base": str(self.folder)}))

    @property
    def packages(self) -> Path:
        return Path(sysconfig.get_path("purelib", "venv", {"base": str(self.folder)}))

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the checkout, of its environment, or of this user; and no network."""
        kept = {
            name: os.environ[name] for name in ("LANG", "OMP_NUM_THREADS", "TMPDIR") if name in os.environ
        }
        return {
            **kept,
            "PATH": os.pathsep.join((str(self.commands), "/usr/bin", "/bin")),
            "HOME": str(self.user),
            "ACESTEP_HOME": str(self.user / "home"),
            "ACESTEP_SAMPLES": str(self.user / "samples"),
            "ACESTEP_GRPC_PORT": "0",
            "ACESTEP_OSC_PORT": "0",
            "HTTP_PROXY": NOBODY,
            "HTTPS_PROXY": NOBODY,
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """One command as that user, in that user's folder."""
        return subprocess.run(
            [str(self.commands / str(words[0])), *map(str, words[1:])],
            capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=self.user, env=self.environment,
        )  # fmt: skip


def build_wheel(folder: Path) -> Path:
    """The wheel of the sources as they are now, as the workflow for releases makes it; the checkout stays.

    The release is one of `RELEASES`, where nobody answers.
    """
    copy = folder / "sources"
    copy.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "build")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, copy / name)
    workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    (names_releases,) = re.findall(r"run: (printf .*pyproject\.toml)", workflow)
    server, repository = RELEASES.removesuffix("/releases/download").rsplit("/", 1)
    github = {"GITHUB_SERVER_URL": server, "GITHUB_REPOSITORY": repository}
    subprocess.run(["bash", "-c", names_releases], check=True, cwd=copy, env={**os.environ, **github})
    _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(copy))
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path, *extras: str) -> Fresh:
    """A new environment with the wheel, what it declares and nothing else."""
    venv.create(folder / "environment", with_pip=False)
    (folder / "user").mkdir()
    fresh = Fresh(folder / "environment", folder / "user")
    _pip("--python", str(fresh.commands / "python"), "install", "--no-deps", "--no-index", str(wheel))
    (own,) = metadata.distributions(path=[str(fresh.packages)])
    for found in declared(own, set(extras)):
        _bring(found, fresh.packages)
    return fresh


def declared(own: metadata.Distribution, extras: set[str]) -> list[metadata.Distribution]:
    """Everything that a package asks for, and what that asks for in turn."""
    found: dict[str, metadata.Distribution] = {}
    done: set[tuple[str, str]] = set()

    def follow(of: metadata.Distribution, wanted: set[str]) -> None:
        for text in of.requires or []:
            requirement = Requirement(text)
            named = {"", *wanted}
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in named):
                continue
            name = canonicalize_name(requirement.name)
            found.setdefault(name, metadata.distribution(name))
            new = {(name, extra) for extra in {"", *requirement.extras}} - done
            done.update(new)
            if new:
                follow(found[name], set(requirement.extras))

    follow(own, extras)
    return list(found.values())


def _bring(package: metadata.Distribution, packages: Path) -> None:
    """Its files as links to the same bytes, or as copies on another disk."""
    for file in package.files or []:
        source, target = Path(str(package.locate_file(file))), packages / str(file)
        if ".." in file.parts or "__pycache__" in file.parts or not source.is_file():
            continue  # commands, and what Python makes itself
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(source)
        except FileExistsError:
            continue  # two packages with the same `__init__.py` of a namespace
        except OSError:
            shutil.copyfile(source, target)


def _pip(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *words],
        capture_output=True, text=True, check=False, env={**os.environ, "PIP_NO_INPUT": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
