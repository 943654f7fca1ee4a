"""axe-core, which looks at a page as people with screen readers and keyboards meet it.

A package on PyPI carries it. It is fetched once, checked against its hash, and lies in build/; nothing of it
is installed or shipped (axe-core is under the MPL 2.0).
"""

import os
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import filelock
import pytest

from tests.support.browser import Tab

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "axe"
PACKAGE = "axe-playwright-python==0.1.8"  # has axe-core 4.12.1
HASH = "sha256:fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8"
WHEEL = FOLDER / "axe_playwright_python-0.1.8-py3-none-any.whl"
LIMIT_S = 300


@cache
def script() -> str:
    """Its source. Where it cannot be fetched, a test is skipped; in CI it fails."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(FOLDER / "lock"):
        if not WHEEL.exists():
            _fetch()
    with zipfile.ZipFile(WHEEL) as packed:
        return packed.read("axe_playwright_python/axe.min.js").decode()


def complaints(tab: Tab) -> list[str]:
    """What axe finds wrong with what is in sight."""
    tab.script(f"if (!window.axe) {{ {script()} }}")
    found = tab.later(
        "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] })"
        ".then(({ violations }) => done(violations.flatMap((one) =>"
        " one.nodes.map((node) => `${one.id}: ${node.target} ${node.failureSummary}`))))"
    )
    return [str(one) for one in found]


def _fetch() -> None:
    wanted = FOLDER / "wanted.txt"
    wanted.write_text(f"{PACKAGE} --hash={HASH}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--dest", str(FOLDER), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    if WHEEL.exists() and not done.returncode:
        return
    message = f"{PACKAGE} cannot be fetched: {done.stderr[-500:] or done.stdout[-500:]}"
    if os.environ.get("CI") or "HASH" in done.stderr.upper():
        pytest.fail(message)
    pytest.skip(message)
