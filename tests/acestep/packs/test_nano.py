"""Material from the embedded model: a one-shot, a kit and a pack, from words to files."""

import json
from pathlib import Path

import pytest

from server.cli import acestep as cli

pytestmark = pytest.mark.heavy


def test_a_kick_by_nano_becomes_a_file_and_a_beat_a_kit_and_a_pack(
    home_of_its_own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["generate", "punchy kick", "--kind", "oneshot", "--seed", "7", "--candidates", "4", "--local"]
    assert cli.main([*asked, "--quiet"]) == 0
    kick = Path(capsys.readouterr().out.strip())
    assert json.loads(Path(f"{kick}.json").read_text())["hit"]["kind"] == "kick"
    beat = ["generate", "dusty boom bap drums", "--bpm", "92.5", "--bars", "2", "--seed", "7", "--local"]
    assert cli.main([*beat, "--quiet"]) == 0
    loop = capsys.readouterr().out.strip()
    assert cli.main(["kit", loop, "--out", str(tmp_path / "kit")]) == 0
    kinds = {Path(line).name.split("_")[0] for line in capsys.readouterr().out.split()}
    assert {"kick", "snare"} <= kinds
    assert cli.main(["pack", loop, str(kick), "--out", str(tmp_path / "pack.zip")]) == 0
    assert cli.main(["import", str(tmp_path / "pack.zip"), "--out", str(tmp_path / "again")]) == 0
    assert len(list((tmp_path / "again").glob("*.wav"))) == 2
