"""Two parts beside each other: what fits is told from what was thrown together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep.hearing.groove import Attacks
from acestep.hearing.pairs import Beside, Feel, Pair, Traits, notes_shared, onsets_shared, pair
from acestep.music.grid import Grid
from acestep.music.key import Key
from tests.support.band import drums, pad
from tests.support.parts_band import bass

RATE_HZ = 48_000
GRID = Grid(100.0, bars=2)


def test_a_bass_on_the_beats_fits_the_drums_and_one_beside_them_does_not():
    beat = ("drums", Traits.of(drums(GRID), RATE_HZ, percussive=True))
    on = pair(("bass", Traits.of(bass(GRID, Key(9, "minor")), RATE_HZ, False)), beat, GRID)
    assert on.onsets is not None
    assert on.onsets.share >= 0.95
    assert not on.worse_than_shuffled
    late = np.roll(bass(GRID, Key(9, "minor")), round(0.07 * RATE_HZ), axis=1)
    off = pair(("bass", Traits.of(late, RATE_HZ, False)), beat, GRID)
    assert off.onsets is not None
    assert off.onsets.share < 0.2
    assert off.worse_than_shuffled
    assert off.penalty > on.penalty
    assert "of its onsets on those of drums" in str(on)


def test_drums_made_after_the_bass_are_judged_by_the_basss_onsets():
    found = pair(
        ("drums", Traits.of(drums(GRID), RATE_HZ, True)),
        ("bass", Traits.of(bass(GRID, Key(0)), RATE_HZ, False)),
        GRID,
    )
    assert (found.part, found.other) == ("bass", "drums")


def test_a_swing_moves_the_places_of_the_grid():
    quarter_s = 0.6
    at_s = np.array([0.0, 2 / 3, 1.0, 5 / 3]) * quarter_s
    nothing = np.zeros(0)
    straight = onsets_shared(at_s, nothing, GRID)
    swung = onsets_shared(at_s, nothing, GRID, feel=Feel(2.0))
    assert straight is not None
    assert swung is not None
    assert (straight.share, swung.share) == (0.5, 1.0)


def test_drums_whose_second_sixteenths_are_late_tell_the_feel():
    quarter_s = 0.6
    places = np.array([0, 1.3, 2, 4, 6, 7.3, 8, 10, 11.3, 12, 14]) / 4 * quarter_s
    feel = Feel.of(Attacks(places, np.ones(len(places))), GRID)
    assert feel.late == pytest.approx(0.3)
    at_s = np.array([3.3, 5.3, 9.3]) / 4 * quarter_s  # 45 ms behind the straight places
    on, off = (onsets_shared(at_s, np.zeros(0), GRID, feel=one) for one in (feel, Feel()))
    assert on is not None
    assert off is not None
    assert (on.share, off.share) == (1.0, 0.0)


def test_notes_of_one_chord_are_shared_and_those_of_a_far_key_are_not():
    home, far = (Traits.of(pad(Key(tonic), 4.0), RATE_HZ, False) for tonic in (0, 6))
    chords = ("chords", Traits.of(pad(Key(0), 4.0), RATE_HZ, False))
    near, away = (pair(("lead", one), chords, GRID).notes for one in (home, far))
    assert near is not None
    assert away is not None
    assert near.share > 0.95 > near.by_chance
    assert away.share < 0.2


def test_the_same_sound_twice_fights_and_bass_and_hats_do_not():
    one = Traits.of(pad(Key(0), 4.0), RATE_HZ, False)
    assert pair(("lead", one), ("chords", one), GRID).fights
    hats = np.random.default_rng(1).standard_normal((2, 4 * RATE_HZ)).astype(np.float32)
    hats = np.diff(hats, n=6, axis=1, prepend=np.zeros((2, 6), np.float32)) / 50  # high alone
    low = Traits.of(bass(GRID, Key(0)), RATE_HZ, False)
    assert not pair(("bass", low), ("drums", Traits.of(hats, RATE_HZ, True)), GRID).fights


@pytest.mark.parametrize("samples", [1, 100, RATE_HZ])
def test_silence_and_shortness_have_nothing_to_compare(samples):
    nothing = Traits.of(np.zeros((2, samples), np.float32), RATE_HZ, False)
    found = pair(("bass", nothing), ("drums", Traits.of(drums(GRID), RATE_HZ, True)), GRID)
    assert found.onsets is None
    assert not found.worse_than_shuffled
    assert pair(("bass", nothing), ("lead", nothing), GRID).notes is None


@settings(deadline=None)
@given(st.lists(st.floats(0, 8), max_size=20), st.lists(st.floats(0, 8), max_size=20), st.floats(1, 2.8))
def test_shares_are_shares_and_what_lies_on_the_other_part_counts(mine, theirs, swing):
    found = onsets_shared(np.array(mine), np.array(theirs), GRID, feel=Feel(swing))
    if len(mine) < 3:
        assert found is None
        return
    assert found is not None
    assert 0 <= found.by_chance <= 1
    assert 0 <= found.share <= 1
    both = onsets_shared(np.array(mine), np.array([*theirs, *mine]), GRID, feel=Feel(swing))
    assert both is not None
    assert both.share == 1.0


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=12, max_size=12), st.integers(0, 11))
def test_tones_share_all_with_themselves_and_transposing_both_changes_nothing(tones, step):
    mine = np.array(tones)
    if mine.sum() < 0.1:
        return
    mine = mine / mine.sum()
    same = notes_shared(mine, mine)
    assert same is not None
    assert same.share == pytest.approx(1.0)
    other = np.roll(mine, 5)
    one, moved = notes_shared(mine, other), notes_shared(np.roll(mine, step), np.roll(other, step))
    assert one is not None
    assert moved is not None
    assert one.share == pytest.approx(moved.share)


@pytest.mark.parametrize(
    ("onsets", "notes", "loose"),
    [
        (None, None, False),
        (Beside(0.95, 0.4), None, False),
        (Beside(0.85, 0.4), None, True),  # much better than chance, and yet one in seven is off
        (None, Beside(0.75, 0.4), False),
        (None, Beside(0.35, 0.4), True),
        (Beside(0.95, 0.96), None, True),
    ],
)
def test_a_part_of_which_much_is_off_is_loose_also_where_chance_is_worse(onsets, notes, loose):
    assert Pair("bass", "drums", onsets, notes, ()).loose is loose
