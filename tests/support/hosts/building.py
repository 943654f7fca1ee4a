"""Builds the plugin for the tests, once per run, and says which hosts are there.

Knows nothing of what the tests check. A missing host is skipped on a developer's machine and a failure in CI.
"""

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "plugin_bridge" / "vst"
BUILDS = Path(os.environ.get("ACESTEP_PLUGIN_BUILDS") or ROOT / "build" / "plugin")
HOSTS_PYTHON = Path(os.environ.get("ACESTEP_HOSTS_VENV") or ROOT / ".venv-hosts") / "bin" / "python"
ARDOUR_LIBRARIES = Path("/usr/lib/ardour7")
ARDOUR_LUA = ARDOUR_LIBRARIES / "luasession"
BUILD_LIMIT_S = 1500


@dataclass(frozen=True)
class Built:
    """Where the built bundles lie."""

    folder: Path

    @property
    def vst3(self) -> Path:
        return self.folder / "bin" / "AceStepBridge.vst3"

    @property
    def clap(self) -> Path:
        return self.folder / "bin" / "AceStepBridge.clap"

    @property
    def lv2(self) -> Path:
        return self.folder / "bin" / "AceStepBridge.lv2"


def need(*programs: str | Path) -> None:
    """Skips the test, in CI fails it, unless all `programs` (names on the PATH or paths) exist."""
    missing = [str(program) for program in programs if not shutil.which(str(program))]
    if not missing:
        return
    message = f"not installed: {', '.join(missing)}; run .ci/install_hosts"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def build(name: str, *options: str) -> Path:
    """Configures and builds `plugin_bridge/vst` in the folder `name`; fails in the compiler's own words."""
    need("cmake", "ninja", "g++", "pkg-config")
    folder = BUILDS / name
    folder.mkdir(parents=True, exist_ok=True)
    for command in (
        ["cmake", "-S", str(SOURCE), "-B", str(folder), "-G", "Ninja", *options],
        ["cmake", "--build", str(folder)],
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=False, errors="replace"
        )
        if done.returncode:
            pytest.fail(f"{' '.join(command)} failed:\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}")
    return folder


@functools.cache
def plugin() -> Built:
    """The three plugin formats, built in release mode together with the core's tests."""
    return Built(build("release", "-DACESTEP_TESTS=ON"))


def run(
    command: list[str | Path], limit_s: float = 120.0, may_crash: bool = False, **environment: str | Path
) -> subprocess.CompletedProcess:
    """Runs a host to its end and returns what it printed; fails with its output when it fails.

    `may_crash`: being ended by a signal is left to the caller.
    """
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=limit_s,
        check=False,
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
    )
    if done.returncode > 0 or (done.returncode < 0 and not may_crash):
        pytest.fail(
            f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
    return done


def run_in_hosts_python(
    script: str, *arguments: str | Path, limit_s: float = 120.0, **environment: str | Path
) -> str:
    """Runs a script of this folder where dawdreamer and pedalboard are installed; returns its output."""
    need(HOSTS_PYTHON)
    path = Path(__file__).parent / script
    return run([HOSTS_PYTHON, path, *arguments], limit_s, **environment).stdout


# Saved in every song: names and order are for ever, new ones go to the end.
PARAMETERS = [
    "Bars", "Takes", "Key", "Seed", "Strength", "Trigger", "Preview", "Preview level", "Capture bars",
    "Take reference", "Take context",
]  # fmt: skip
