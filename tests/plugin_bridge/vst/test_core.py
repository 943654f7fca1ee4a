"""The plugin's C++ core: its own unit tests, under sanitizers, and the audio path under a tripwire."""

import subprocess
from pathlib import Path

import pytest

from tests.support.hosts import building

pytestmark = [pytest.mark.hosts, pytest.mark.heavy, pytest.mark.timeout(1800)]


def run_tests(folder: Path, program: str) -> subprocess.CompletedProcess:
    return building.run([folder / "tests" / program], limit_s=300)


def test_core() -> None:
    assert "Status: SUCCESS!" in run_tests(building.plugin().folder, "core-tests").stdout


def test_the_audio_thread_never_allocates_locks_or_calls_the_system() -> None:
    assert "without allocation, lock or system call" in run_tests(building.plugin().folder, "tripwire").stdout


@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_core_under_sanitizers(sanitizer: str) -> None:
    folder = building.build(
        sanitizer.replace(",", "-"),
        "-DACESTEP_PLUGIN=OFF",
        "-DACESTEP_TESTS=ON",
        f"-DACESTEP_SANITIZE={sanitizer}",
    )
    assert "Status: SUCCESS!" in run_tests(folder, "core-tests").stdout
