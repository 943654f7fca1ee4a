"""The recipe as its commands, end to end on the least of everything: sounds, training, evaluation."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from acestep.checkpoint import read_spec
from acestep.nano.data.sounds import FLUID, MUSESCORE, SONIC_PI

SOUNDS = (FLUID, MUSESCORE, SONIC_PI)


def nano(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "acestep.nano", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not all(path.exists() for path in SOUNDS), reason="the free sounds are not installed")
def test_from_sounds_to_a_judged_checkpoint(tmp_path: Path) -> None:
    nano("data", tmp_path, "--shards", "1")
    nano("train", tmp_path, "--minutes", "1", "--shards", "1")
    spec = read_spec(tmp_path / "checkpoint")
    assert [stage.name for stage in spec.stages] == ["l", "m", "s"]
    table = nano("evaluate", tmp_path, "--checkpoint", tmp_path / "checkpoint", "--clips", "2")
    assert len(re.findall(r"^\| .* \| (yes|no|–) \|$", table, re.MULTILINE)) == 14, table
    assert (tmp_path / "page" / "index.html").stat().st_size > 1000
    assert len(list((tmp_path / "page").glob("*.png"))) == 4  # two renders, two clips
