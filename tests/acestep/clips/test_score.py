"""What is written down of a clip: on the grid with its swing, in parts, and only what is heard."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep.clips.score import CHANNELS, Score, ScoreNote, ScorePart, clip_score, merged, on_grid, part_of
from acestep.music.aim import Aim
from acestep.music.grid import SAMPLE_RATE_HZ, Grid
from acestep.music.key import Key
from acestep.music.tempo_map import TempoMap
from tests.support.band import band, drums

GRID = Grid(100.0, bars=2)
LINE = [33, 36, 40, 33, 38, 41, 36, 31]


def line(grid: Grid, pitches: list[int]) -> np.ndarray:
    """A plucked tone on each beat."""
    out = np.zeros(grid.samples(), np.float32)
    length = round(grid.beat_s * SAMPLE_RATE_HZ)
    t = np.arange(length) / SAMPLE_RATE_HZ
    for i, pitch in enumerate(pitches):
        hz = 440 * 2 ** ((pitch - 69) / 12)
        tone = sum(np.sin(2 * np.pi * hz * h * t) / h**1.5 for h in range(1, 7))
        shape = np.exp(-2 * t) * np.minimum(1, (t[-1] - t) / 0.02) * np.minimum(1, t / 0.003)
        out[i * length : (i + 1) * length] = 0.2 * tone * shape
    return np.stack([out, out])


@settings(deadline=None)
@given(st.lists(st.integers(0, 63), min_size=1, max_size=40), st.floats(-0.02, 0.02))
def test_notes_near_sixteenths_go_onto_them(steps, off):
    starts = np.array(steps) / 4
    hands = off * np.where(np.arange(len(steps)) % 2, 1, -1)  # unsteady, not late together
    found = on_grid(starts + hands)
    assert np.abs(found - starts).max() < 0.021


@settings(deadline=None)
@given(st.floats(0.03, 0.11), st.integers(4, 32))
def test_a_swing_is_kept(late, beats):
    starts = np.array([beat + place for beat in range(beats) for place in (0.0, 0.5 + late)])
    found = on_grid(starts + np.tile([0.004, -0.004], beats))
    assert np.abs(found - starts).max() < 0.006


@settings(deadline=None)
@given(st.integers(2, 16))
def test_triplets_stay_triplets(beats):
    starts = np.array([beat + third / 3 for beat in range(beats) for third in range(3)])
    assert np.abs(on_grid(starts + 0.004) - starts).max() < 1e-9


@pytest.mark.parametrize("name", CHANNELS)
def test_a_track_that_is_asked_for_by_its_usual_name_is_known(name):
    assert part_of(f"Dark {name}") == name
    assert part_of("tuba") == ""


def test_a_plain_bass_line_is_written_down_on_its_beats():
    score = clip_score(line(GRID, LINE), Aim(GRID), Key.parse("C major"))
    (part,) = score.parts
    assert part.name == "bass"
    assert [note.pitch for note in part.notes] == LINE
    assert [note.quarters for note in part.notes] == list(range(8))
    assert not any(note.outside for note in part.notes)
    assert part.confidence > 0.8


def test_quantise_moves_notes_by_its_share_of_the_way():
    late = np.roll(line(GRID, LINE), round(0.03 * SAMPLE_RATE_HZ), axis=1)
    off = {
        amount: np.median(
            [note.quarters % 1 for part in clip_score(late, Aim(GRID), None, quantise=amount).parts
             for note in part.notes]
        )
        for amount in (0.0, 0.5, 1.0)
    }  # fmt: skip
    assert off[0.0] == pytest.approx(0.05, abs=0.02)
    assert off[0.5] == pytest.approx(off[0.0] / 2, abs=0.005)
    assert off[1.0] == pytest.approx(0, abs=1e-6)


def test_notes_outside_of_the_key_are_flagged_and_stay():
    score = clip_score(line(GRID, LINE), Aim(GRID), Key.parse("A# minor"))
    flagged = [note.outside for part in score.parts for note in part.notes]
    assert len(flagged) == 8
    assert flagged == [pitch % 12 not in Key.parse("A# minor").pitch_classes for pitch in LINE]


def test_on_a_tempo_map_notes_lie_on_the_beats_of_the_map():
    points = TempoMap.parse("0 90 ramp, 8 130")
    grid = Grid(points.mean_bpm(GRID.signature, 2), bars=2)
    played = np.zeros((2, points.samples(GRID.signature, 2)), np.float32)
    for beat, pitch in enumerate(LINE):
        start, end = (round(points.seconds(at) * SAMPLE_RATE_HZ) for at in (beat, beat + 1))
        note = line(Grid(60 * SAMPLE_RATE_HZ / (end - start), bars=0.25), [pitch])[:, : end - start]
        played[:, start : start + note.shape[1]] = note[:, : played.shape[1] - start]
    score = clip_score(played, Aim(grid, tempo_map=points), None)
    pitches = {note.quarters: note.pitch for part in score.parts for note in part.notes}
    assert sum(pitches.get(float(beat)) == pitch for beat, pitch in enumerate(LINE)) >= 7


def test_drums_have_hits_on_their_beats_and_no_notes():
    score = clip_score(drums(GRID), Aim(GRID), Key.parse("C major"))
    (part,) = score.parts
    assert (part.name, part.channel) == ("drums", 9)
    kicks = {note.quarters for note in part.notes if note.pitch == 36}
    assert {0.0, 4.0} <= kicks
    assert not any(note.outside for note in part.notes), "drums have no key"


def test_a_mix_is_told_apart_into_parts():
    score = clip_score(band(GRID, Key.parse("C major")), Aim(GRID), Key.parse("C major"))
    assert "drums" in {part.name for part in score.parts}
    assert {part.name for part in score.parts} & {"bass", "chords"}
    for part in score.parts:
        for note in part.notes:
            assert 0 <= note.quarters < 8
            assert note.quarters + note.length <= 8 + 1e-6


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 96_000])
def test_silence_noise_and_odd_rates_are_heard_without_trouble(rate_hz):
    assert clip_score(np.zeros((2, rate_hz)), Aim(Grid(bars=0.5)), None, sample_rate_hz=rate_hz).parts == ()
    assert clip_score(np.zeros((1, 0)), Aim(Grid(bars=0.5)), None, sample_rate_hz=rate_hz).remarks
    noise = np.random.default_rng(0).standard_normal((1, rate_hz * 2)).astype(np.float32) * 0.1
    score = clip_score(noise, Aim(Grid(bars=1)), None, sample_rate_hz=rate_hz)
    assert sum(len(part.notes) for part in score.parts if part.name != "drums") < 8


def test_what_is_said_to_be_drums_and_is_not_is_remarked():
    score = clip_score(line(GRID, LINE), Aim(GRID), None, listen="drums")
    assert score.remarks
    assert all(part.name == "drums" for part in score.parts)
    score = clip_score(drums(GRID), Aim(GRID), None, listen="notes")
    assert score.remarks


def test_an_ideas_parts_have_a_channel_each_and_drums_share_theirs():
    low, high, hit = (ScoreNote(at, 1.0, pitch, 0.8, 0.9) for at, pitch in ((1.0, 40), (0.0, 72), (2.0, 36)))

    def one(*parts: tuple[str, ScoreNote]) -> Score:
        return Score(tuple(ScorePart(name, (note,), CHANNELS[name]) for name, note in parts), 1.0)

    told_apart = replace(one(("bass", low), ("lead", high), ("drums", hit)), remarks=("unsure",))
    found = merged(
        {
            "pad": one(("chords", high)),
            "fx": told_apart,
            "bass": one(("bass", low)),
            "drums": one(("drums", hit)),
        }
    )
    notes = {part.name: (part.channel, part.notes) for part in found.parts}
    assert notes == {
        "pad": (1, (high,)),
        "fx": (2, (high, low)),
        "fx hits": (9, (hit,)),
        "bass": (0, (low,)),
        "drums": (9, (hit,)),
    }
    assert found.remarks == ("fx: unsure",)
