"""The MIDI file beside a clip: tempo, signature, key, bars, and a track for each part."""

import io

import mido
import pytest

from acestep.clips.companion import clip_midi
from acestep.clips.score import CHANNELS, Score, ScoreNote, ScorePart
from acestep.music.aim import Aim
from acestep.music.grid import Grid, Signature
from acestep.music.key import Key
from acestep.music.tempo_map import TempoMap
from server.midi.file import read_song


def score(**parts: list[tuple[float, float, int]]) -> Score:
    """Parts by name: (start, length, pitch) of each note."""
    return Score(
        tuple(
            ScorePart(
                name,
                tuple(ScoreNote(*note, 0.8, 0.9, outside=note[2] % 12 == 1) for note in notes),
                CHANNELS[name],
            )
            for name, notes in parts.items()
        ),
        1.0,
    )


def tracks(content: bytes) -> list[list]:
    return [list(track) for track in mido.MidiFile(file=io.BytesIO(content)).tracks]


def test_tempo_signature_key_and_bars_are_in_it():
    (found,) = tracks(clip_midi(Aim(Grid(127.37, Signature(7, 8), 4)), Key.parse("G# minor")))
    by_type = {event.type: event for event in found}
    assert mido.tempo2bpm(by_type["set_tempo"].tempo) == pytest.approx(127.37, abs=1e-3)
    assert (by_type["time_signature"].numerator, by_type["time_signature"].denominator) == (7, 8)
    assert by_type["key_signature"].key == "G#m"
    assert [event.text for event in found if event.type == "marker"] == ["bar 1", "bar 2", "bar 3", "bar 4"]
    assert sum(event.time for event in found) == 14 * 960


@pytest.mark.parametrize("tonic", range(12))
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_every_key_has_a_midi_name(tonic, mode):
    assert clip_midi(Aim(Grid()), Key(tonic, mode))


def test_bars_are_counted_from_the_downbeat_of_a_context():
    (found,) = tracks(clip_midi(Aim(Grid(120.0, bars=2), downbeat_s=0.5), None))
    at, places = 0, []
    for event in found:
        at += event.time
        places += [at] if event.type == "marker" else []
    assert places == [960, 960 * 5]


def test_each_part_has_a_track_and_a_channel_of_its_own():
    content = clip_midi(Aim(Grid()), None, score(bass=[(0, 1, 40)], lead=[(1, 1, 72)], drums=[(0, 0.25, 36)]))
    conductor, *parts = tracks(content)
    assert not [event for event in conductor if event.type.startswith("note")]
    found = {
        next(event.name for event in part if event.type == "track_name"): {
            event.channel for event in part if event.type.startswith("note")
        }
        for part in parts
    }
    assert found == {"bass": {0}, "lead": {2}, "drums": {9}}
    assert all(sum(event.time for event in part) == 16 * 960 for part in parts)


def test_notes_that_touch_are_ended_before_the_next_begins():
    _, part = tracks(clip_midi(Aim(Grid()), None, score(bass=[(0, 1, 40), (1, 1, 40)])))
    kinds = [event.type for event in part if event.type.startswith("note")]
    assert kinds == ["note_on", "note_off", "note_on", "note_off"]


def test_a_note_outside_of_the_key_stays_and_is_told():
    _, part = tracks(clip_midi(Aim(Grid()), Key.parse("C major"), score(lead=[(0, 1, 60), (1, 1, 61)])))
    assert [event.note for event in part if event.type == "note_on"] == [60, 61]
    assert [event.text for event in part if event.type == "text"] == ["C#4 is outside of C major"]


def test_the_daemon_reads_tempo_map_signature_and_key_back(tmp_path):
    points = TempoMap.parse("0 100, 8 120")
    file = tmp_path / "a.mid"
    aim = Aim(Grid(points.mean_bpm(Signature(3, 4), 8), Signature(3, 4), 8), tempo_map=points)
    file.write_bytes(clip_midi(aim, Key.parse("Bb major"), score(bass=[(0, 1, 40)])))
    song = read_song(file)
    first, later = song.at_bar(1, 1), song.at_bar(5, 1)
    assert (round(first.bpm, 2), round(later.bpm, 2)) == (100, 120)
    assert (str(first.signature), str(first.key)) == ("3/4", "A# major")
