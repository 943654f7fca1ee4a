"""Builds the plugin for the tests, once per run, and says which hosts are there.

Tests run in several processes: one builds, the others wait. A missing host is skipped on a developer's
machine and a failure in CI.
"""

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import filelock
import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "plugin_bridge" / "vst"
BUILDS = Path(os.environ.get("ACESTEP_PLUGIN_BUILDS") or ROOT / "build" / "plugin")
HOSTS_PYTHON = Path(os.environ.get("ACESTEP_HOSTS_VENV") or ROOT / ".venv-hosts") / "bin" / "python"
ARDOUR_LIBRARIES = Path("/usr/lib/ardour7")
ARDOUR_LUA = ARDOUR_LIBRARIES / "luasession"
BUILD_LIMIT_S = 1500
SANITIZERS = "address,undefined"
# Wine without its questions about Mono, Gecko and what has crashed, and with a Windows of its own for each
# process that runs tests: one that changes the screen ends the programs of its Windows.
WINE_FOLDER = BUILDS / f"wine{os.environ.get('PYTEST_XDIST_WORKER', '')}"
WINE = {"WINEPREFIX": WINE_FOLDER, "WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml,winedbg.exe="}
WINE_PROGRAM = Path("/usr/lib/wine/wine64")


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


def build(name: str, *options: str, targets: tuple[str, ...] = (), **environment: str | Path) -> Path:
    """Configures and builds `plugin_bridge/vst` in the folder `name`; fails in the compiler's own words.

    `targets` are the only ones that are built, where some are named.
    """
    need("cmake", "ninja", "g++", "pkg-config")
    folder = BUILDS / name
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.with_suffix(".lock")):
        for command in (
            ["cmake", "-S", str(SOURCE), "-B", str(folder), "-G", "Ninja", *options],
            ["cmake", "--build", str(folder), *(["--target", *targets] if targets else [])],
        ):
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=False, errors="replace",
                env={**os.environ, **{key: str(value) for key, value in environment.items()}},
            )  # fmt: skip
            if done.returncode:
                pytest.fail(f"{' '.join(command)} failed:\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}")
    return folder


@functools.cache
def plugin() -> Built:
    """The three plugin formats, built in release mode together with the core's tests."""
    return Built(build("release", "-DACESTEP_TESTS=ON"))


@functools.cache
def windows() -> Built:
    """The same for Windows, cross-built."""
    need("x86_64-w64-mingw32-g++-posix", WINE_PROGRAM)
    return Built(build("windows", "-DCMAKE_TOOLCHAIN_FILE=cmake/mingw.cmake", "-DACESTEP_TESTS=ON", **WINE))


@functools.cache
def sanitized() -> Built:
    """CLAP and VST3 under the sanitizers for addresses and undefined behaviour."""
    targets = ("AceStepBridge-clap", "AceStepBridge-vst3")
    return Built(build("sanitized", f"-DACESTEP_SANITIZE={SANITIZERS}", targets=targets))


@functools.cache
def native_host(system: str = "linux") -> Path:
    """The host in `native/` for one of `BUILT_FOR`; it takes the headers that DPF brings."""
    for_windows = system == "windows"
    built = BUILT_FOR[system]()
    source, folder = Path(__file__).parent / "native", BUILDS / "host"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / (f"{system}.exe" if for_windows else system)
    headers = built.folder / "dpf-source" / "distrho" / "src"
    calls = "windows" if for_windows else "posix"
    sources = ["host", "audio", "clap", "vst3", "vst3_message", "random", calls, f"tripwire_{calls}"]
    options = ["-static"] if for_windows else ["-rdynamic"]  # the plugin sees the program's own malloc
    if system == "sanitized":
        options = [f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=all"]
    libraries = ["-lole32", "-luuid"] if for_windows else ["-lX11", "-ldl"]
    run(
        [
            "x86_64-w64-mingw32-gcc-posix" if for_windows else "gcc",
            "-std=gnu11", "-fms-extensions", "-O1", "-g", "-Wall", "-Wextra", "-Werror",
            "-isystem", headers / "clap", "-isystem", headers,
            *(source / f"{name}.c" for name in sources),
            *options, "-o", program, *libraries, "-lm", "-lpthread",
        ]
    )  # fmt: skip
    return program


BUILT_FOR = {"linux": plugin, "windows": windows, "sanitized": sanitized}


def end_wine() -> None:
    """Ends what Wine keeps running for the programs to come: it belongs to the screen that it began with."""
    server = WINE_PROGRAM.with_name("wineserver64")
    environment = {**os.environ, **{name: str(value) for name, value in WINE.items()}}
    for option in ("-k", "-w"):  # fails where nothing runs
        subprocess.run([server, option], capture_output=True, check=False, timeout=60, env=environment)


def run(
    command: list[str | Path],
    limit_s: float = 120.0,
    may_crash: bool = False,
    folder: Path | None = None,
    **environment: str | Path,
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
        cwd=folder,
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
