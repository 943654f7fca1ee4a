"""What a clip is judged by: keys in three steps, signed downbeats, one judgement for sidecar and inspect."""

import json
from pathlib import Path

import numpy as np
import pytest

from acestep.clips.inspect import describe
from acestep.clips.production import produce
from acestep.clips.verdict import Errors, judge
from acestep.hearing.tonality import OTHER_KEY, SAME_KEY, SAME_NOTES, compare_keys
from acestep.music.aim import Aim
from acestep.music.grid import SAMPLE_RATE_HZ, Grid
from acestep.music.key import Key
from acestep.request import GenerateRequest
from tests.support.band import band, drums, shifted
from tests.support.small_band import SmallBand


def shares(notes: str) -> tuple[float, ...]:
    """Pitch classes that are played equally often."""
    played = {Key.parse(name).tonic for name in notes.split()}
    return tuple(1 / len(played) if tone in played else 0.0 for tone in range(12))


@pytest.mark.parametrize(
    ("asked", "heard", "notes", "match"),
    [
        ("F# minor", "F# minor", "F# G# A B C# D E", SAME_KEY),
        ("F# minor", "A major", "F# G# A B C# D E", SAME_NOTES),
        ("Gb minor", "F# minor", "F# A C#", SAME_KEY),
        ("Eb major", "G minor", "Eb G Bb D F", SAME_NOTES),  # neither A nor Ab is played
        ("Eb major", "G minor", "Eb F G A Bb C D", OTHER_KEY),  # A natural is
        ("C major", "F# major", "F# G# A# B C# D# F", OTHER_KEY),
        ("C major", "C minor", "C D Eb F G Ab Bb", OTHER_KEY),
        ("C major", None, "", None),
    ],
)
def test_a_key_is_the_same_has_the_same_notes_or_is_another(asked, heard, notes, match):
    found = Key.parse(heard) if heard else None
    assert compare_keys(Key.parse(asked), found, shares(notes) if notes else ()) == match


@pytest.mark.parametrize("late_s", [-0.02, 0.015])
def test_an_early_downbeat_is_negative_and_a_late_one_positive(late_s):
    grid = Grid(120.0, bars=4)
    _, found = judge(shifted(drums(grid), late_s), SAMPLE_RATE_HZ, Aim(grid))
    assert found.downbeat_error_ms == pytest.approx(1000 * late_s, abs=4)


def test_what_is_off_is_said_in_words():
    assert Errors(0.2, -12.0, SAME_NOTES).within
    assert Errors(None, None, None).verdict(True) == "unmeasured"
    words = "; ".join(Errors(1.5, -40.0, OTHER_KEY).misses())
    assert "tempo is off by 1.5 %" in words
    assert "40 ms early" in words
    assert "another key" in words


def test_an_aim_survives_its_sidecar():
    aim = Aim(Grid(127.37, bars=8), Key.parse("Eb minor"), None, 0.25, True)
    assert Aim.from_dict(json.loads(json.dumps(aim.to_dict()))) == aim


@pytest.mark.parametrize("key", ["F# minor", "Eb major", None])
def test_inspect_reads_what_the_sidecar_says(tmp_path: Path, key: str | None):
    request = GenerateRequest(prompt="loop", bpm=104, bars=4, key=key, seed=2)
    (clip,) = produce(SmallBand(), request, tmp_path)
    found = describe(clip.path)
    written = clip.sidecar["measured"]
    assert found["errors"]["key_match"] == clip.key_match == written["key_match"]
    assert found["errors"]["tempo_error_pct"] == pytest.approx(clip.tempo_error_pct, abs=0.01)
    assert found["errors"]["downbeat_error_ms"] == pytest.approx(clip.downbeat_error_ms, abs=0.2)
    assert found["measured"]["lufs"] == pytest.approx(clip.lufs, abs=0.05)
    assert clip.key == (key or "")
    assert clip.lufs == pytest.approx(-14, abs=1.5)


def test_the_asked_key_is_the_label_unless_the_notes_are_of_another(tmp_path: Path):
    class Stubborn(SmallBand):
        """Plays in one key, whatever it is asked for; nothing is moved."""

        def generate(self, request, **kwargs):
            takes = super().generate(request, **kwargs)
            for take in takes:
                take.audio = band(Grid(request.bpm, bars=request.bars), Key.parse("A minor"), 0.5)
            return takes

    def label(key: str) -> tuple[str, str | None]:
        request = GenerateRequest(prompt="loop", bpm=104, bars=4, key=key, seed=2, fit=False)
        (clip,) = produce(Stubborn(), request, tmp_path / key.replace(" ", ""))
        assert f"_{Key.parse(clip.key).short}_" in clip.name or clip.key.endswith(key)
        return clip.key, clip.key_match

    assert label("A minor") == ("A minor", SAME_KEY)
    assert label("C major") == ("C major", SAME_NOTES)
    assert label("F# major")[1] == OTHER_KEY
    assert label("F# major")[0] in ("A minor", "C major")


def test_levels_of_takes_are_comparable(tmp_path: Path):
    class Uneven(SmallBand):
        def generate(self, request, **kwargs):
            takes = super().generate(request, **kwargs)
            for take in takes:
                take.audio = take.audio * np.float32(10 ** (-0.4 * (take.index % 3)))
            return takes

    clips = produce(
        Uneven(), GenerateRequest(prompt="x", bpm=110, bars=2, key="A minor", takes=3, seed=2), tmp_path
    )
    assert max(clip.lufs for clip in clips) - min(clip.lufs for clip in clips) < 0.5
    (plain,) = produce(
        SmallBand(), GenerateRequest(prompt="x", bpm=110, bars=2, seed=2, loudness_lufs=None), tmp_path
    )
    assert plain.sidecar["measured"]["level"]["gain_db"] == 0
