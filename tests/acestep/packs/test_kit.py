"""Kits of single hits, by the command."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from acestep.clips.inspect import describe
from acestep.hearing.kinds import KINDS
from acestep.music.grid import Grid
from acestep.music.key import Key
from acestep.packs.instruments import drum_zones, note_zones
from acestep.sound.loudness import true_peak_db
from server.cli import acestep as cli
from tests.support.band import drums, pad


@pytest.fixture(autouse=True)
def home(home_of_its_own: Path) -> Path:
    return home_of_its_own


def write(file: Path, audio: np.ndarray) -> Path:
    soundfile.write(file, audio.T, 48_000, subtype="PCM_24")
    return file


def test_a_kit_of_drums_has_their_hits_as_files_and_instruments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write(tmp_path / "beat.wav", drums(Grid(100, bars=2)))
    assert cli.main(["kit", str(clip), "--out", str(tmp_path / "kit"), "--each", "2"]) == 0
    listed = [Path(line) for line in capsys.readouterr().out.split()]
    assert listed == sorted((tmp_path / "kit" / "samples").iterdir())
    names = [file.name for file in listed]
    assert all(re.fullmatch(r"[a-z]+_\d\d(_[A-G]b?\d)?\.wav", name) for name in names)
    assert {name.split("_")[0] for name in names} >= {"kick", "snare", "hat"}
    for file in listed:
        sound = soundfile.read(file)[0]
        assert true_peak_db(sound.T.astype(np.float32)) == pytest.approx(-1, abs=0.05)
        assert not sound[-1].any()
        chunks = describe(file)["chunks"]
        assert chunks["acid"]["one_shot"]
        assert not chunks["smpl"]["loops"]
    told = json.loads((tmp_path / "kit" / "kit.json").read_text())["samples"]
    assert [one["file"] for one in told] == [f"samples/{name}" for name in names]
    assert {one["from"] for one in told} == {"beat.wav"}


def test_the_instruments_name_every_sample_once_on_keys_of_general_midi(tmp_path: Path) -> None:
    clip = write(tmp_path / "beat.wav", drums(Grid(100, bars=2)))
    assert cli.main(["kit", str(clip), "--out", str(tmp_path / "kit")]) == 0
    kit = tmp_path / "kit"
    samples = {f"samples/{file.name}" for file in (kit / "samples").iterdir()}
    regions = (kit / "drums.sfz").read_text().splitlines()
    assert {re.search(r"sample=(.*)$", line)[1] for line in regions} == samples
    by_kind = {re.search(r"samples/([a-z]+)_01", line)[1]: line for line in regions if "_01" in line}
    assert "lokey=36 hikey=36" in by_kind["kick"]
    assert "lokey=38 " in by_kind["snare"]
    assert "off_by=1" in by_kind["hat"]
    preset = ElementTree.parse(kit / "drums.dspreset").getroot()
    assert preset.tag == "DecentSampler"
    assert {one.get("path") for one in preset.iter("sample")} == samples


def test_a_kit_of_a_pad_is_refused_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write(tmp_path / "pad.wav", pad(Key.parse("C minor"), 5.0))
    assert cli.main(["kit", str(clip), "--out", str(tmp_path / "kit")]) == 2
    said = capsys.readouterr().err
    assert "no hits are heard in pad.wav" in said
    assert "expected drums" in said
    assert [file.name for file in tmp_path.iterdir()] == ["pad.wav"]


def test_a_kit_is_never_written_over_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write(tmp_path / "beat.wav", drums(Grid(100, bars=1)))
    (tmp_path / "kit").mkdir()
    assert cli.main(["kit", str(clip), "--out", str(tmp_path / "kit")]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert cli.main(["kit", str(clip), "--out", str(tmp_path / "new"), "--each", "0"]) == 2
    assert not (tmp_path / "new").exists()


kinds = st.sampled_from(KINDS)


@given(st.lists(kinds, max_size=100))
def test_every_drum_has_a_key_of_its_own(wanted: list[str]) -> None:
    zones = drum_zones([(str(place), kind, None) for place, kind in enumerate(wanted)])
    assert len({zone.low for zone in zones}) == len(zones) == len(wanted)
    assert all(0 <= zone.low == zone.high == zone.root <= 127 for zone in zones)


@given(st.lists(st.integers(20, 100), min_size=1, max_size=30))
def test_notes_share_the_keyboard_without_gap_or_overlap(notes: list[int]) -> None:
    zones = note_zones([(str(place), "note", note) for place, note in enumerate(notes)])
    keys = [key for zone in zones for key in range(zone.low, zone.high + 1)]
    assert keys == list(range(128))
    assert all(zone.low <= zone.root <= zone.high for zone in zones)
