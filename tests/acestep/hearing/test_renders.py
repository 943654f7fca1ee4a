"""Notes and hits of renders whose truth is known, with a soundfont that nothing was learned from."""

import pytest

from tests.benchmarks import midi
from tests.support.loops import DRUMS

pytestmark = pytest.mark.heavy
LOOPS = 5


@pytest.mark.parametrize(
    ("part", "least", "loops"),
    # of chords, organs are hardly heard (0 to 0.2 each), all else is: a few loops say nothing of the whole
    [("bass", 0.80, LOOPS), ("chords", 0.60, 26), ("lead", 0.80, LOOPS)],
)
def test_notes_of_a_part_alone_are_heard_where_they_begin(part: str, least: float, loops: int) -> None:
    counts, near, right = midi.Counts(), 0, 0
    for loop in midi.loops(loops, midi.PARTS[part]):
        true = [(note.at_s, note.pitch) for note in loop.notes]
        counts.add(true, midi.onsets(midi.heard(loop)[0], loop), loop.grid.duration_s)
        found, kept = midi.on_sixteenth(true, midi.onsets(midi.heard(loop, 1.0)[0], loop), loop)
        near, right = near + found, right + kept
    assert counts.f1 >= least
    assert right >= 0.9 * near > 0


def test_kick_snare_and_hat_are_heard_apart() -> None:
    tally = {kind: midi.Counts() for kind in midi.DRUM_KEYS}
    for loop in midi.loops(LOOPS, (DRUMS,)):
        true = [(note.at_s, note.pitch) for note in loop.notes]
        told = midi.onsets(midi.heard(loop)[1], loop)
        for kind, keys in midi.DRUM_KEYS.items():
            played, heard = ([(at_s, keys[0]) for at_s, key in one if key in keys] for one in (true, told))
            tally[kind].add(played, heard, loop.grid.duration_s)
    assert min(counts.f1 for counts in tally.values() if counts.true) >= 0.75  # 60 loops: see the benchmark
