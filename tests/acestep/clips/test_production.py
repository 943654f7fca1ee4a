"""From request to clips on disk, with a small cascade that plays what it is asked for."""

import dataclasses
import json
import os
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from acestep.clips.clip import Clip, remove_files
from acestep.clips.inspect import describe
from acestep.clips.production import produce, reproduce
from acestep.errors import Cancelled, InvalidRequest, PoorFit, SilentClip, StorageError, UnreadableAudio
from acestep.hearing import groove
from acestep.hearing.measure import measure
from acestep.music.grid import Grid
from acestep.music.key import Key
from acestep.music.tempo_map import TempoMap, TempoPoint
from acestep.request import AudioRange, GenerateRequest
from acestep.sound.riff import MusicalData, read_chunks, wav_bytes
from tests.support.band import band, drums
from tests.support.small_band import REQUEST, Played, SmallBand


def test_a_clip_has_exact_length_chunks_and_sidecar(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "cascade.json").write_text("{}")
    (clip,) = produce(SmallBand(folder=tmp_path / "checkpoint"), REQUEST, tmp_path / "out", job="j7")
    assert clip.samples == REQUEST.grid.samples() == soundfile.info(clip.path).frames
    assert (clip.job, clip.take, clip.seed, clip.fit) == ("j7", 0, 1, "good")
    assert clip.tempo_error_pct < 0.5
    assert abs(clip.downbeat_error_ms) < 25
    assert clip.name.endswith("_dusty-breakbeat_92.5bpm_Am_4bars_t1.wav")
    chunks = read_chunks(clip.path)
    assert chunks["acid"]["bpm"] == 92.5
    assert chunks["acid"]["quarters"] == 16
    assert chunks["cue"] == [round(at * 48_000) for at in REQUEST.grid.bar_times_s()]
    sidecar = json.loads(Path(clip.path + ".json").read_text())
    assert GenerateRequest.from_dict(sidecar["request"]) == REQUEST
    known = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert sidecar["checkpoint"] == {"name": "small band", "files": {"cascade.json": known}, "adapters": {}}
    assert sidecar["measured"]["before"]["bpm"] == pytest.approx(92.5 * 1.03, rel=2e-3)
    assert "numpy" in sidecar["versions"]
    assert Clip.load(clip.path) == clip


@pytest.mark.parametrize("signature", ["3/4", "6/8", "7/8", "4/4"])
@pytest.mark.parametrize("bpm", [87.0, 127.37])
def test_length_is_exact_in_every_signature(tmp_path, signature, bpm):
    request = GenerateRequest(prompt="x", bpm=bpm, signature=signature, bars=2, seed=2)
    (clip,) = produce(SmallBand(), request, tmp_path)
    assert soundfile.info(clip.path).frames == request.grid.samples()


def test_a_clip_made_again_from_its_sidecar_is_identical(tmp_path):
    request = dataclasses.replace(REQUEST, takes=2, candidates=2, seed=None)
    clips = produce(SmallBand(), request, tmp_path / "a")
    again = reproduce(clips[1].path + ".json", SmallBand(), tmp_path / "b")
    one, two = soundfile.read(clips[1].path)[0], soundfile.read(again.path)[0]
    assert np.array_equal(one, two)
    assert again.take == 1
    assert len(list((tmp_path / "b").glob("*.wav"))) == 1


def test_the_best_candidate_is_kept_and_the_ranking_is_in_the_sidecar(tmp_path):
    request = dataclasses.replace(REQUEST, candidates=4, takes=2)
    clips = produce(SmallBand(), request, tmp_path)
    for clip in clips:
        ranking = clip.sidecar["candidates"]
        assert len(ranking) == 4
        assert [one["score"] for one in ranking] == sorted(one["score"] for one in ranking)
        assert ranking[0]["seed"] == clip.seed
        assert clip.seed % 2 == 0, "the even seeds need no stretching"


def test_a_clips_notes_lie_beside_it_as_midi(tmp_path):
    request = dataclasses.replace(REQUEST, midi_out=True, takes=2)
    clips = produce(SmallBand(), request, tmp_path / "a")
    for clip in clips:
        assert clip.midi == str(Path(clip.path).with_suffix(".mid"))
        told = clip.sidecar["midi"]
        song = mido.MidiFile(clip.midi)
        assert song.length == pytest.approx(REQUEST.grid.duration_s, abs=0.01)
        notes = [event for track in song.tracks for event in track if event.type == "note_on"]
        assert len(notes) == sum(part["notes"] for part in told["parts"].values()) > 0
        assert {event.channel + 1 for event in notes} == {part["channel"] for part in told["parts"].values()}
    again = reproduce(clips[0].path + ".json", SmallBand(), tmp_path / "b")
    assert Path(again.midi).read_bytes() == Path(clips[0].midi).read_bytes()
    remove_files(Path(clips[0].path))
    assert not Path(clips[0].midi).exists()


def test_large_requests_are_made_in_bounded_batches(tmp_path):
    cascade = SmallBand()
    request = dataclasses.replace(REQUEST, bars=1, takes=5, candidates=4)
    assert len(produce(cascade, request, tmp_path)) == 5
    assert cascade.batches == [16, 4]


def test_progress_rises_to_one_and_audio_comes_with_its_take(tmp_path):
    fractions, heard = [], []
    produce(
        SmallBand(),
        dataclasses.replace(REQUEST, takes=2),
        tmp_path,
        on_progress=lambda p: fractions.append(p.fraction),
        on_audio=lambda take, start, audio: heard.append((take, start, audio.shape[0])),
    )
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)
    assert heard == [(0, 0, 2), (1, 0, 2)]


@pytest.mark.parametrize("after", range(1, 11))
def test_a_cancelled_job_leaves_no_file(tmp_path, after):
    calls = iter(range(1, 1000))
    request = dataclasses.replace(REQUEST, takes=3, bars=1)
    with pytest.raises(Cancelled):
        produce(SmallBand(), request, tmp_path, cancelled=lambda: next(calls) >= after)
    assert list(tmp_path.iterdir()) == []


def test_a_strict_request_that_does_not_fit_is_refused_and_an_ordinary_one_is_marked_poor(tmp_path):
    off = dataclasses.replace(REQUEST, fit=False)
    (clip,) = produce(SmallBand(), off, tmp_path / "a")
    assert clip.fit == "off"
    assert clip.tempo_error_pct == pytest.approx(3, abs=0.3)
    with pytest.raises(PoorFit, match="the tempo is off by"):
        produce(SmallBand(), dataclasses.replace(off, strict=True), tmp_path / "b")
    assert not (tmp_path / "b").exists() or [file.name for file in (tmp_path / "b").iterdir()] == []


def test_a_samples_folder_that_cannot_be_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        produce(SmallBand(), REQUEST, tmp_path / "file")


def test_a_sidecar_that_says_too_little_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="how its clip was made"):
        reproduce({"format": 1, "clip": {}}, SmallBand(), tmp_path)


def test_float_clips_keep_every_bit(tmp_path):
    request = dataclasses.replace(REQUEST, sample_format="float32", fit=False, loudness_lufs=None, seed=2)
    cascade = SmallBand()
    (clip,) = produce(cascade, request, tmp_path)
    written, _ = soundfile.read(clip.path, dtype="float32")
    made = cascade.generate(request)[0].audio
    assert soundfile.info(clip.path).subtype == "FLOAT"
    assert written.shape[0] == request.grid.samples()
    middle = slice(96_000, 300_000)
    assert np.array_equal(written.T[:, middle], made[:, middle])


RAMP = TempoMap((TempoPoint(0, 96, ramp=True), TempoPoint(8, 112)))


def test_a_clip_over_a_ramp_follows_it_and_says_so(tmp_path):
    request = GenerateRequest(prompt="x", tempo_map=RAMP, bars=3, seed=1)
    (clip,) = produce(SmallBand(), request, tmp_path / "out")
    assert clip.samples == soundfile.info(clip.path).frames == RAMP.samples(request.signature, 3)
    assert clip.bpm == pytest.approx(RAMP.mean_bpm(request.signature, 3))
    assert clip.fit == "good"
    assert clip.tempo_error_pct < 0.3
    assert abs(clip.downbeat_error_ms) < 12
    assert read_chunks(clip.path)["cue"] == [round(RAMP.seconds(4 * bar) * 48_000) for bar in range(3)]
    assert GenerateRequest.from_dict(clip.sidecar["request"]).tempo_map == RAMP
    again = reproduce(clip.path + ".json", SmallBand(), tmp_path / "again")
    assert Path(again.path).read_bytes()[-100_000:] == Path(clip.path).read_bytes()[-100_000:]
    found = describe(clip.path)
    assert found["claimed"]["exact_length"]
    assert found["claimed"]["tempo_map"] == RAMP.to_list()
    assert found["errors"]["downbeat_error_ms"] == pytest.approx(clip.downbeat_error_ms, abs=1)


def context_file(folder: Path, grid: Grid, late_s: float, gain: float = 0.2) -> str:
    song = np.roll(
        band(Grid(grid.bpm, grid.signature, 8), Key.parse("A minor")), round(late_s * 48_000), axis=1
    )
    file = folder / "song.wav"
    soundfile.write(file, gain * song.T, 48_000, subtype="FLOAT")
    return str(file)


class Musician(SmallBand):
    """Plays along with a context whose first bar begins late, a little off the beat."""

    late_s = 0.0

    def generate(self, request, **kwargs):
        takes = super().generate(request, **kwargs)
        for take in takes:
            take.audio = np.roll(take.audio, round(self.late_s * 48_000), axis=1)
        return takes


def test_a_part_made_in_a_context_keeps_its_place_and_takes_key_and_level(tmp_path):
    grid = Grid(112.0, bars=4)
    late_s = grid.beat_s * 1.5
    context = context_file(tmp_path, grid, late_s)
    cascade = Musician(off=1.0)
    cascade.late_s = late_s + 0.02
    request = GenerateRequest(prompt="x", task="complete", context=context, bpm=112.0, bars=4, seed=2)
    (clip,) = produce(cascade, request, tmp_path / "out")
    assert abs(clip.downbeat_error_ms) < 12
    assert clip.sidecar["context"]["key"] == "A minor"
    assert clip.sidecar["context"]["downbeat_s"] == pytest.approx(late_s, abs=0.012)
    assert abs(clip.sidecar["measured"]["level"]["gain_db"]) > 1
    loud, song = soundfile.read(clip.path)[0].std(), soundfile.read(context)[0].std()
    assert loud == pytest.approx(song, rel=0.5)


def swung_file(folder: Path, grid: Grid, ratio: float) -> str:
    song = groove.swing(drums(grid), grid, 1.0, ratio)
    file = folder / "swung.wav"
    soundfile.write(file, song.T, 48_000, subtype="FLOAT")
    return str(file)


@pytest.mark.parametrize(("asked", "wanted"), [(None, 1.7), (1.0, 1.0), (1.4, 1.4)])
def test_a_part_takes_the_swing_of_its_context_unless_the_request_names_another(tmp_path, asked, wanted):
    grid = Grid(108.0, bars=4)
    context = swung_file(tmp_path, grid, 1.7)
    request = GenerateRequest(
        prompt="x", task="complete", context=context, bpm=108.0, bars=4, seed=2, swing=asked
    )
    (clip,) = produce(SmallBand(), request, tmp_path / "out")
    assert clip.sidecar["context"]["swing"] == pytest.approx(1.7, abs=0.08)
    audio = soundfile.read(clip.path, dtype="float32")[0].T
    assert measure(audio, grid=grid).swing == pytest.approx(wanted, abs=0.1)
    assert clip.fit in ("good", "untouched")
    assert abs(clip.downbeat_error_ms) < 12


def test_a_repainted_song_stays_aligned_with_its_source(tmp_path):
    grid = Grid(112.0, bars=2)
    context = context_file(tmp_path, grid, 0.3)
    cascade = Musician(off=1.0)
    cascade.late_s = 0.3
    request = GenerateRequest(
        prompt="x",
        task="repaint",
        context=context,
        bpm=112.0,
        signature="4/4",
        bars=2,
        seed=2,
        repaint_s=(0, 1),
        sample_format="float32",
    )
    (clip,) = produce(cascade, request, tmp_path / "out")
    made = cascade.generate(request)[0].audio
    written = soundfile.read(clip.path, dtype="float32")[0].T
    assert clip.fit == "off"
    assert np.array_equal(written[:, 100_000:200_000], made[:, 100_000:200_000])


def test_a_clip_is_spotted_to_where_its_context_was_recorded(tmp_path):
    grid = Grid(112.0, bars=4)
    plain = soundfile.read(context_file(tmp_path, grid, 0.0))[0].T.astype(np.float32)
    stamped = tmp_path / "stamped.wav"
    data = MusicalData(bpm=112, numerator=4, denominator=4, quarters=32, time_reference=480_000)
    stamped.write_bytes(wav_bytes(plain, 48_000, "pcm24", data))
    context = AudioRange(str(stamped), 1.0)
    request = GenerateRequest(prompt="x", task="complete", context=context, bpm=112.0, bars=2, seed=2)
    (clip,) = produce(SmallBand(), request, tmp_path / "out")
    assert read_chunks(clip.path)["bext"]["time_reference"] == 480_000 + 48_000


def silent_file(folder: Path, noise: int = 0, sounds_from_s: float = 8.0) -> str:
    """Eight seconds of nothing but the noise of 16 bits, and of music from a second on."""
    audio = np.random.default_rng(0).integers(-noise, noise + 1, (8 * 48_000, 2)) / 2**15
    start = round(sounds_from_s * 48_000)
    audio[start:] += drums(Grid(120.0, bars=4)).T[: len(audio) - start]
    file = folder / "quiet.wav"
    soundfile.write(file, audio, 48_000)
    return str(file)


@pytest.mark.parametrize("kind", ["reference", "context"])
@pytest.mark.parametrize("noise", [0, 2])
def test_a_silent_reference_or_context_is_refused_before_anything_is_made(tmp_path, kind, noise):
    cascade, file = SmallBand(), silent_file(tmp_path, noise)
    request = GenerateRequest(prompt="x", bpm=120, bars=2, seed=2, **{kind: file})
    with pytest.raises(UnreadableAudio, match=f"quiet.wav is silent: expected a {kind} in which"):
        produce(cascade, request, tmp_path / "out")
    assert cascade.batches == []


def test_the_part_that_is_named_must_sound(tmp_path):
    file = silent_file(tmp_path, sounds_from_s=4.0)
    request = GenerateRequest(prompt="x", bpm=120, bars=2, seed=2, reference=AudioRange(file, 1.0, 3.0))
    with pytest.raises(UnreadableAudio, match=r"silent from 1\.00 to 3\.00 s.* name another part"):
        produce(SmallBand(), request, tmp_path / "out")


def test_a_silent_place_of_a_song_can_be_made_anew(tmp_path):
    file = silent_file(tmp_path, sounds_from_s=4.0)
    request = GenerateRequest(
        prompt="x", bpm=120, signature="4/4", bars=4, seed=2, task="repaint", context=file, repaint_s=(0, 2)
    )
    assert len(produce(SmallBand(), request, tmp_path / "out")) == 1


class Silent(SmallBand):
    """Makes nothing of some seeds: silence, or what is not a number."""

    def generate(self, request, **kwargs):
        takes = super().generate(request, **kwargs)
        for take in takes:
            if take.seed in (3, 4):
                take.audio = np.full_like(take.audio, 0.0 if take.seed == 3 else np.nan)
        return takes


@pytest.mark.parametrize("seed", [3, 4])
def test_a_clip_that_came_out_silent_is_an_error_and_no_file(tmp_path, seed):
    request = dataclasses.replace(REQUEST, bars=1, seed=seed)
    with pytest.raises(SilentClip, match=f"what seed {seed} made"):
        produce(Silent(), request, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (clip,) = produce(Silent(), dataclasses.replace(request, seed=2, candidates=3), tmp_path / "out")
    assert clip.seed == 2, "a candidate without sound is never the best"


def test_a_clip_is_not_made_again_from_audio_that_has_changed(tmp_path):
    grid = Grid(112.0, bars=2)
    context = context_file(tmp_path, grid, 0.0)
    before = Path(context).stat()
    request = GenerateRequest(
        prompt="x", task="complete", context=AudioRange(context, 0, 4), bpm=112.0, seed=2
    )
    (clip,) = produce(SmallBand(), request, tmp_path / "out")
    assert clip.sidecar["heard"]["context"].startswith("sha256:")
    again = reproduce(clip.path + ".json", SmallBand(), tmp_path / "again")
    assert soundfile.read(again.path)[0].tolist() == soundfile.read(clip.path)[0].tolist()
    context_file(tmp_path, grid, 0.4)  # the same name and length
    os.utime(context, ns=(before.st_atime_ns, before.st_mtime_ns))  # and the same time
    with pytest.raises(InvalidRequest, match="the file of its context holds something else by now"):
        reproduce(clip.path + ".json", SmallBand(), tmp_path / "again")
    (moved,) = produce(SmallBand(), request, tmp_path / "out")
    places = [one.sidecar["context"]["downbeat_s"] for one in (clip, moved)]
    assert places[0] == pytest.approx(0.0, abs=0.02)
    assert places[1] == pytest.approx(0.4, abs=0.02)


class Guided(SmallBand):
    """Was given the grid, and plays the same hit on every quarter: nothing in it tells the bar."""

    def generate(self, request, **kwargs):
        audio = np.zeros((2, request.grid.samples() + 24_000), np.float32)
        hit = np.random.default_rng(0).standard_normal(700) * np.exp(-np.arange(700) / 100) * 0.4
        for beat in range(int(request.grid.beats)):
            at = round(beat * request.grid.beat_s * 48_000)
            audio[:, at : at + 700] += hit.astype(np.float32)
        return [Played(0, request.seed, audio, on_bar=True)]


def test_a_clip_made_on_the_grid_is_not_turned_on_a_guess(tmp_path):
    (clip,) = produce(Guided(), dataclasses.replace(REQUEST, key=None), tmp_path)
    changes = clip.sidecar["measured"]["changes"]
    assert not any("downbeat" in change for change in changes)
    assert abs(clip.downbeat_error_ms) < 12
