"""The plugin for Windows, built and run on Linux: mingw-w64 and Wine."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.support.hosts import building
from tests.support.hosts.editor_screenshots import pictures

pytestmark = [pytest.mark.hosts, pytest.mark.heavy, pytest.mark.timeout(1800)]


def test_core_on_windows() -> None:
    folder = building.windows().folder
    building.run(["ctest", "--test-dir", folder, "--output-on-failure"], 300, **building.WINE)


def test_nothing_has_to_be_installed_beside_the_plugin() -> None:
    built = building.windows()
    bundles = [
        built.clap,
        built.lv2 / "AceStepBridge.dll",
        built.vst3 / "Contents/x86_64-win/AceStepBridge.vst3",
    ]
    for library in bundles:
        told = building.run(["x86_64-w64-mingw32-objdump", "-p", library]).stdout
        needed = {name.lower() for name in re.findall(r"DLL Name: (\S+)", told)}
        assert "kernel32.dll" in needed
        assert [name for name in needed if name.startswith("lib")] == [], (
            library
        )  # the compiler's, as libstdc++-6


def test_the_editor_looks_as_on_linux(tmp_path: Path) -> None:
    linux, windows = (pictures(tmp_path, system) for system in ("linux", "windows"))
    for state in (
        "empty",
        "adapters",
        "working",
        "clips",
        "idea",
    ):  # of the clips one plays: the playhead is elsewhere
        assert linux[state].shape == windows[state].shape
        far = np.abs(linux[state].astype(int) - windows[state].astype(int)).max(axis=2) > 24
        assert far.mean() < 0.05, f"{state}: {far.mean():.1%} of the pixels differ"
