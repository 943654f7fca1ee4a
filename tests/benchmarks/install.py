"""From a fresh clone to the first clip: `make run ONCE=1` by uv and by pip, and what a clone weighs.

`python -m tests.benchmarks.install [--clones-only]`: each installer gets a clone, a home and package caches
of its own, first empty, then as the first round left them; pip and uv take turns. Downloads count, and so
does the network's mood.
"""

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

from tests.benchmarks.agreement import must_be_same

ROOT = Path(__file__).resolve().parents[2]
INSTALLERS = ("pip", "uv")


def run(command: list[str | Path], folder: Path, **environment: str) -> float:
    """Seconds that a command takes; raises when it fails."""
    start = time.perf_counter()
    words = [str(word) for word in command]
    subprocess.run(words, cwd=folder, env={**os.environ, **environment}, check=True, capture_output=True)
    return time.perf_counter() - start


def clone(folder: Path, *options: str) -> Path:
    """A clone of what is committed here."""
    run(["git", "clone", "-q", "--no-local", *options, f"file://{ROOT}", folder], ROOT)
    return folder


def megabytes(folder: Path) -> float:
    """The size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def first_clip(folder: Path, installer: str) -> tuple[float, float, set[str]]:
    """Seconds of `make install`, then of `make run ONCE=1`, in a new clone, and what was installed.

    `folder` keeps the caches.
    """
    with tempfile.TemporaryDirectory(dir=folder) as made:
        fresh = clone(Path(made) / "clone", "--depth", "1")
        own = {
            "PIP_CACHE_DIR": str(folder / "pip"),
            "UV_CACHE_DIR": str(folder / "uv"),
            "ACESTEP_HOME": str(Path(made) / "home"),
            "ACESTEP_SAMPLES": str(Path(made) / "samples"),
            "INSTALLER": installer,
        }
        installed, clip = run(["make", "install"], fresh, **own), run(["make", "run", "ONCE=1"], fresh, **own)
        freeze = [fresh / ".venv" / "bin" / "python", "-m", "pip", "freeze", "--exclude-editable"]
        return installed, clip, set(subprocess.check_output(freeze, text=True).splitlines())


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clones-only", action="store_true", help="only what a clone weighs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        whole = megabytes(clone(Path(made) / "whole") / ".git")
        shallow = megabytes(clone(Path(made) / "shallow", "--depth", "1") / ".git")
        print(
            f"history: whole {whole:.0f} MB, --depth 1 {shallow:.0f} MB ({shallow / whole:.0%})", flush=True
        )
    if arguments.clones_only:
        return
    with tempfile.TemporaryDirectory() as made:
        folders = {name: Path(made) / name for name in INSTALLERS}
        for caches in ("empty", "full"):
            seconds, packages, lines = {}, {}, []
            for name, folder in folders.items():
                folder.mkdir(exist_ok=True)
                installed, clip, packages[name] = first_clip(folder, name)
                seconds[name] = installed + clip
                lines.append(
                    f"caches {caches:6}{name:4} make install {installed:6.1f} s, then make run ONCE=1 "
                    f"{clip:5.1f} s, together {installed + clip:6.1f} s"
                )
            must_be_same("what pip and uv install", packages["pip"], packages["uv"])
            print(*lines, sep="\n")
            print(f"caches {caches:6}pip / uv {seconds['pip'] / seconds['uv']:.2f} ×", flush=True)


if __name__ == "__main__":
    main()
