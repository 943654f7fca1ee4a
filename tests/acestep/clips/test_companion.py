"""The MIDI file beside a clip: tempo, signature, key, bars, and a bass line only where it is sure."""

import io

import mido
import numpy as np
import pytest

from acestep.clips.companion import BassNote, bass_line, clip_midi
from acestep.music.grid import SAMPLE_RATE_HZ, Grid, Signature
from acestep.music.key import Key
from tests.support.band import drums, pad


def events(content: bytes) -> list:
    return list(mido.MidiFile(file=io.BytesIO(content)).tracks[0])


def test_tempo_signature_key_and_bars_are_in_it():
    grid = Grid(127.37, Signature(7, 8), 4)
    found = events(clip_midi(grid, Key.parse("G# minor")))
    by_type = {event.type: event for event in found}
    assert mido.tempo2bpm(by_type["set_tempo"].tempo) == pytest.approx(127.37, abs=1e-3)
    assert (by_type["time_signature"].numerator, by_type["time_signature"].denominator) == (7, 8)
    assert by_type["key_signature"].key == "G#m"
    assert [event.text for event in found if event.type == "marker"] == ["bar 1", "bar 2", "bar 3", "bar 4"]
    assert sum(event.time for event in found) == 14 * 960


@pytest.mark.parametrize("tonic", range(12))
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_every_key_has_a_midi_name(tonic, mode):
    assert clip_midi(Grid(), Key(tonic, mode))


def bass(grid: Grid, pitches: list[int]) -> np.ndarray:
    out = np.zeros(grid.samples(), np.float32)
    length = round(grid.beat_s * SAMPLE_RATE_HZ)
    t = np.arange(length) / SAMPLE_RATE_HZ
    for i, pitch in enumerate(pitches):
        hz = 440 * 2 ** ((pitch - 69) / 12)
        tone = np.sin(2 * np.pi * hz * t) + 0.4 * np.sin(4 * np.pi * hz * t)
        out[i * length : (i + 1) * length] = 0.3 * tone * np.exp(-2 * t) * np.minimum(1, (t[-1] - t) / 0.02)
    return np.stack([out, out])


def test_a_plain_bass_line_is_written_down():
    pitches = [33, 36, 40, 33, 38, 41, 36, 31]
    found = bass_line(bass(Grid(100.0, bars=2), pitches), Grid(100.0, bars=2))
    assert [note.pitch for note in found] == pitches
    assert [note.quarters for note in found] == list(range(8))
    assert [
        event.note for event in events(clip_midi(Grid(100.0, bars=2), None, found)) if event.type == "note_on"
    ] == pitches


def test_drums_noise_and_silence_have_no_bass_line():
    grid = Grid(100.0, bars=2)
    noise = np.random.default_rng(0).standard_normal((2, grid.samples())).astype(np.float32) * 0.1
    assert bass_line(noise, grid) == ()
    assert bass_line(np.zeros((2, grid.samples()), np.float32), grid) == ()
    assert len(bass_line(drums(grid), grid)) < 8


def test_a_held_note_is_one_note():
    grid = Grid(120.0, bars=1)
    assert len(bass_line(pad(Key(9, "minor"), grid.duration_s)[:, : grid.samples()], grid)) <= 2


def test_notes_that_touch_are_ended_before_the_next_begins():
    notes = (BassNote(0, 1, 40), BassNote(1, 1, 40))
    kinds = [event.type for event in events(clip_midi(Grid(), None, notes)) if event.type.startswith("note")]
    assert kinds == ["note_on", "note_off", "note_on", "note_off"]
