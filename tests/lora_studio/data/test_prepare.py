"""From a folder of audio to a data set: what is understood, what is skipped, and what is never lost."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acestep.errors import InvalidRequest, NotFound, StorageError
from acestep.music.key import Key
from lora_studio.data.captions import read_tags, read_text, with_trigger
from lora_studio.data.dataset import Dataset, Sample, read_dataset, write_dataset
from lora_studio.data.names import read_name, read_part
from lora_studio.data.preparing import prepare
from lora_studio.data.report import write_report
from tests.support.lora_material import acid, add_chunk, hits, id3, pulse, write


def by_name(dataset: Dataset) -> dict[str, Sample]:
    return {sample.audio_path: sample for sample in dataset.samples}


def reasons(dataset: Dataset) -> dict[str, str]:
    return {entry.path: entry.reason for entry in dataset.skipped}


@pytest.mark.parametrize(
    ("name", "bpm", "key"),
    [
        ("dusty_120bpm_Am", 120.0, "A minor"),
        ("Loop 92.5 BPM F# minor", 92.5, "F# minor"),
        ("break-174-Dm", 174.0, "D minor"),
        ("BPM128_Gbmaj_pad", 128.0, "F# major"),
        ("pad_Bb", None, ""),
        ("808_F#_120bpm", 120.0, ""),
        ("loop_174_C", 174.0, ""),
        ("deep_am_124bpm", 124.0, "A minor"),
        ("i am the walrus 124bpm", 124.0, ""),
        ("fm bass 120 bpm", 120.0, ""),
        ("pad f#m", None, "F# minor"),
        ("keys F-sharp-minor 90bpm", 90.0, "F# minor"),
        ("keys_E-flat_major", None, "Eb major"),
        ("strings a minor", None, "A minor"),
        ("8A - 128bpm - Night", 128.0, "A minor"),
        ("Night (6d) 121bpm", 121.0, "B major"),
        ("take 2B final", None, ""),
        ("take 3 final", None, ""),
        ("808 kick", None, ""),
        ("A day in May", None, ""),
        ("999bpm", None, ""),
    ],
)
def test_tempo_and_key_are_read_from_file_names(name: str, bpm: float | None, key: str) -> None:
    facts = read_name(name)
    assert facts.bpm == bpm
    assert (Key.parse(facts.key) if facts.key else None) == (Key.parse(key) if key else None)


@pytest.mark.parametrize(
    ("name", "root"), [("pad_Bb", 10), ("808_F#_120bpm", 6), ("Bass C2", 0), ("A day", None)]
)
def test_a_note_name_is_a_note_and_no_key(name: str, root: int | None) -> None:
    assert read_name(name).root == root


@pytest.mark.parametrize(
    ("path", "stem", "song"),
    [
        ("Song/drums.wav", "drums", "Song"),
        ("Song/Song_vox.wav", "vocals", "Song"),
        ("drums/night.wav", "drums", "night"),
        ("night_Bass.wav", "bass", "night"),
        ("Album/Song/01 Gtr.wav", "guitar", "Album/Song/01"),
        ("loop.wav", "", ""),
    ],
)
def test_stem_and_song_are_read_from_paths(path: str, stem: str, song: str) -> None:
    part = read_part(Path(path))
    assert (part.stem, part.song) == (stem, song)


def test_acid_and_id3_chunks_give_tempo_key_signature_and_beats(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", pulse(97, 2))
    add_chunk(path, b"acid", acid(97.5, 14, root=57, numerator=7, denominator=8))
    add_chunk(path, b"id3 ", id3({"TKEY": "Am", "TCON": "Trip hop", "TIT2": "Rain"}))
    tags = read_tags(path)
    assert (tags.bpm, tags.root, tags.signature, tags.beats) == (97.5, 9, "7/8", 14)
    assert (tags.key, tags.genre, tags.title) == ("A minor", "Trip hop", "Rain")


def test_a_broken_tag_is_not_found_and_does_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", pulse(97, 2))
    add_chunk(path, b"acid", b"\xff" * 24)
    add_chunk(path, b"id3 ", b"ID3\x04\0\0\x7f\x7f\x7f\x7fTBPM\xff\xff\xff\xff")
    assert read_tags(path).bpm is None


def test_every_format_rate_and_channel_count_becomes_bar_aligned_segments(tmp_path: Path) -> None:
    for number, (suffix, rate, channels) in enumerate(
        [("wav", 44_100, 1), ("aiff", 96_000, 2), ("flac", 22_050, 2), ("mp3", 48_000, 2), ("ogg", 44_100, 4)]
    ):
        audio = pulse(100, 8, 100 + 30 * number, rate, seed=number)
        write(tmp_path / f"part{number}_100bpm_Am.{suffix}", np.stack([audio] * channels, axis=1), rate)
    dataset = prepare(tmp_path)
    assert len(dataset.samples) == 5
    for sample in dataset.samples:
        assert (sample.bpm, sample.keyscale) == (100.0, "A minor")
        assert [segment.bars for segment in sample.segments] == [8.0]
        assert sample.segments[0].start_s == 0
        assert sample.segments[0].duration_s == pytest.approx(19.2, abs=0.06)  # MP3 pads


def test_a_long_file_is_cut_at_bars_and_its_repeats_and_silence_are_dropped(tmp_path: Path) -> None:
    first, second = pulse(120, 4, seed=1), pulse(120, 4, 180, seed=2)
    song = np.concatenate([first, second, first, np.zeros_like(first), second * 0.99])
    write(tmp_path / "long_120bpm.wav", song)
    dataset = prepare(tmp_path)  # 8 s pieces fit 20 s twice: the limit below makes them single
    assert len(dataset.samples) == 1
    from lora_studio.data.segments import Limits

    dataset = prepare(tmp_path, limits=Limits(longest_s=9))
    assert [segment.start_s for segment in dataset.samples[0].segments] == [0.0, 8.0]
    assert all(segment.bars == 4 for segment in dataset.samples[0].segments)
    told = " ".join(entry.reason for entry in dataset.skipped)
    assert "1 of 5 segments are silent" in told
    assert "2 of 5 segments are repeated" in told


def test_stems_of_a_song_line_up_and_share_tempo_and_cuts(tmp_path: Path) -> None:
    write(tmp_path / "Rain" / "drums.wav", hits(110, 8))
    write(tmp_path / "Rain" / "bass.flac", pulse(110, 8, 55, 44_100), 44_100)
    write(tmp_path / "Rain" / "Rain_keys.wav", pulse(110, 8, 440))
    add_chunk(tmp_path / "Rain" / "drums.wav", b"acid", acid(110, 32))
    dataset = prepare(tmp_path)
    assert {sample.stem for sample in dataset.samples} == {"drums", "bass", "keyboard"}
    assert {sample.song for sample in dataset.samples} == {"Rain"}
    assert {sample.bpm for sample in dataset.samples} == {110.0}
    starts = {tuple(s.start_s for s in sample.segments) for sample in dataset.samples}
    assert len(starts) == 1


def test_a_stem_of_another_length_is_used_alone_and_said_so(tmp_path: Path) -> None:
    write(tmp_path / "Rain" / "drums.wav", hits(110, 8))
    write(tmp_path / "Rain" / "bass.wav", pulse(110, 8, 55))
    write(tmp_path / "Rain" / "vocals.wav", pulse(110, 4, 440))
    dataset = prepare(tmp_path)
    assert by_name(dataset)["Rain/vocals.wav"].song == ""
    assert any("Rain/vocals.wav" in note and "used alone" in note for note in dataset.notes)


def test_numbered_loops_pair_by_number_and_not_all_with_all(tmp_path: Path) -> None:
    for number in ("01", "02"):
        write(tmp_path / f"drums_{number}.wav", hits(100, 2, seed=int(number)))
        write(tmp_path / f"bass_{number}.wav", pulse(100, 2, 50 + int(number)))
    songs = {sample.audio_path: sample.song for sample in prepare(tmp_path).samples}
    assert songs["drums_01.wav"] == songs["bass_01.wav"] != songs["drums_02.wav"] == songs["bass_02.wav"]


def test_tempo_and_key_are_measured_where_nobody_says_them(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", pulse(103, 8, 220) + hits(103, 8))
    sample = prepare(tmp_path).samples[0]
    assert sample.bpm == pytest.approx(103, rel=0.005)
    assert sample.sources["bpm"]["from"] == "measured"
    assert 0 < sample.sources["bpm"]["confidence"] <= 1


def test_captions_come_from_manifest_then_sidecar_then_tags_then_measurement(tmp_path: Path) -> None:
    for number, name in enumerate(("a_120bpm", "b_120bpm", "c_120bpm", "120bpm")):
        write(tmp_path / f"{name}.wav", pulse(120, 2, 100 + 20 * number, seed=number))
    (tmp_path / "a_120bpm.txt").write_text("from the sidecar")
    (tmp_path / "b_120bpm.txt").write_text("a dark loop\nthat rattles")
    add_chunk(tmp_path / "c_120bpm.wav", b"id3 ", id3({"TCON": "Dub techno"}))
    (tmp_path / "metadata.csv").write_text("file,text\na_120bpm.wav,from the manifest\n")
    found = by_name(prepare(tmp_path))
    assert found["a_120bpm.wav"].caption == "from the manifest"
    assert found["b_120bpm.wav"].caption == "a dark loop that rattles"
    assert found["c_120bpm.wav"].caption.startswith("dub techno")
    assert found["120bpm.wav"].sources["caption"]["from"] == "measurement"
    assert found["120bpm.wav"].caption


def test_tagged_and_keyed_sidecars_and_lyrics_are_told_apart() -> None:
    tagged = read_text(
        "<CAPTION>warm dub</CAPTION>\n<BPM>120</BPM> <KEYSCALE>A minor</KEYSCALE><LYRICS>\nla la\n"
    )
    assert (tagged["caption"], tagged["bpm"], tagged["keyscale"], tagged["lyrics"]) == (
        "warm dub", "120", "A minor", "la la",
    )  # fmt: skip
    keyed = read_text("caption: warm dub\nbpm: 120\nkey: Am\nsignature: 3/4\nlyrics: one\ntwo\n")
    assert keyed == {
        "caption": "warm dub",
        "bpm": "120",
        "key": "Am",
        "signature": "3/4",
        "lyrics": "one\ntwo",
    }
    assert read_text("[verse]\nhello") == {"lyrics": "[verse]\nhello"}
    assert read_text("warm dub") == {"caption": "warm dub"}


@pytest.mark.parametrize(
    "row",
    [
        {"audio_path": "a.wav", "keyscale": "A minor", "timesignature": "3", "bpm": 97},
        {"filename": "a.wav", "key": "Am", "signature": "3/4", "bpm": "97"},
        {"audio_path": "/elsewhere/music/a.wav", "key_scale": "A Minor", "time_signature": 3, "tempo": 97.0},
    ],
)
def test_key_and_signature_survive_every_field_name_others_use(
    row: dict[str, object], tmp_path: Path
) -> None:
    write(tmp_path / "a.wav", pulse(97, 3))
    document = {"metadata": {"custom_tag": "zork", "name": "Mine"}, "samples": [{**row, "caption": "dusty"}]}
    (tmp_path / "dataset.json").write_text(json.dumps(document))
    dataset = prepare(tmp_path)
    sample = dataset.samples[0]
    assert (sample.bpm, sample.keyscale, sample.timesignature, sample.caption) == (
        97.0,
        "A minor",
        "3",
        "dusty",
    )
    assert (dataset.custom_tag, dataset.name) == ("zork", "Mine")


def test_a_data_set_as_side_step_writes_it_is_read_whole(tmp_path: Path) -> None:
    # the fields and types of Side-Step's dataset_builder.py (koda-dernet/Side-Step, commit 76e1dd3)
    write(tmp_path / "Night" / "slow dub.wav", pulse(97, 3))
    write(tmp_path / "fast.wav", pulse(110, 4, seed=1))
    elsewhere = "/home/somebody/music"
    document = {
        "metadata": {
            "name": "local_dataset", "custom_tag": "zork", "tag_position": "append", "genre_ratio": 30,
            "created_at": "2026-02-14T10:00:00", "num_samples": 2,
        },
        "samples": [
            {
                "audio_path": f"{elsewhere}/Night/slow dub.wav", "filename": "slow dub.wav",
                "caption": "warm dub with tape echo", "genre": "dub", "lyrics": "[Instrumental]", "bpm": 97,
                "keyscale": "A minor", "timesignature": "3", "duration": 7, "is_instrumental": True,
                "custom_tag": "zork", "prompt_override": None,
            },
            {
                "audio_path": f"{elsewhere}/fast.wav", "filename": "fast.wav", "caption": "fast",
                "genre": "footwork", "lyrics": "[verse]\nla la", "bpm": None, "keyscale": "",
                "timesignature": "", "duration": 8, "is_instrumental": False, "custom_tag": "zork",
                "prompt_override": "genre",
            },
        ],
    }  # fmt: skip
    (tmp_path / "dataset.json").write_text(json.dumps(document, indent=2, ensure_ascii=False))
    dataset = prepare(tmp_path)
    assert (dataset.name, dataset.custom_tag, dataset.tag_position) == ("local_dataset", "zork", "append")
    assert not dataset.skipped
    samples = by_name(dataset)
    slow, fast = samples["Night/slow dub.wav"], samples["fast.wav"]
    assert (slow.caption, slow.genre, slow.bpm) == ("warm dub with tape echo", "dub", 97.0)
    assert (slow.keyscale, slow.timesignature, slow.is_instrumental) == ("A minor", "3", True)
    assert (fast.caption, fast.lyrics, fast.is_instrumental) == ("footwork", "[verse]\nla la", False)
    assert fast.bpm is not None  # null is measured, not taken for a tempo
    assert fast.sources["bpm"]["from"] == "measured"
    assert slow.segments
    assert fast.segments
    assert [note for note in dataset.notes if "genre_ratio" in note]
    assert not [note for note in dataset.notes if "kept but not used" in note]


def test_fields_nobody_knows_are_kept_and_reported(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", pulse(97, 3))
    (tmp_path / "dataset.json").write_text(
        json.dumps([{"audio_path": "a.wav", "mood": "blue", "bpm": "fast"}])
    )
    dataset = prepare(tmp_path)
    told = " ".join(dataset.notes)
    assert "mood" in told
    assert "'fast' is not a number" in told
    write_dataset(dataset, tmp_path / "dataset.studio.json")
    assert json.loads((tmp_path / "dataset.studio.json").read_text())["samples"][0]["mood"] == "blue"


def test_a_dataset_reads_back_as_written_and_edits_win_over_measurement(tmp_path: Path) -> None:
    write(tmp_path / "a_100bpm.wav", pulse(100, 8))
    write(tmp_path / "b_100bpm.wav", pulse(100, 8, 300, seed=3))
    path = tmp_path / "dataset.json"
    write_dataset(prepare(tmp_path), path)
    assert [s.segments for s in read_dataset(path).samples] == [s.segments for s in prepare(tmp_path).samples]
    document = json.loads(path.read_text())
    document["samples"][0].update(bpm=50, caption="my words", keyscale="C major")
    path.write_text(json.dumps(document))
    edited = prepare(tmp_path).samples[0]
    assert (edited.bpm, edited.caption, edited.keyscale) == (50, "my words", "C major")
    assert edited.segments[0].bars == 4  # cut anew for the tempo that was put in


@pytest.mark.parametrize(
    "content",
    [
        "[" * 200_000,
        '{"samples": 5}',
        "[[]]",
        '{"root": 5, "samples": []}',
        *(
            json.dumps({"format": "lora_studio/1", "samples": [{"audio_path": "a.wav", **wrong}]})
            for wrong in (
                {"downbeat_s": "x"},
                {"sources": 5},
                {"sources": {"bpm": 5}},
                {"segments": 5},
                {"segments": [5]},
                {"segments": [[0, "x", 1]]},
                {"segments": [[0]]},
                {"split": []},
                {"audio_path": 5},
                {"downbeat_s": 10**400},
            )
        ),
        '{"format": "lora_studio/1", "samples": [], "skipped": [1]}',
        '{"format": "lora_studio/1", "samples": [], "skipped": 1}',
        '{"format": "lora_studio/1", "samples": [], "skipped": [{"path": 1}]}',
    ],
    ids=lambda text: text[:60],
)
def test_a_dataset_with_values_of_the_wrong_kind_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "dataset.json"
    file.write_text(content)
    with pytest.raises(InvalidRequest, match=r"expected|not JSON"):
        read_dataset(file)


def test_somebody_elses_dataset_json_is_never_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "a_100bpm.wav", pulse(100, 8))
    theirs = json.dumps({"samples": [{"audio_path": "a_100bpm.wav"}]})
    (tmp_path / "dataset.json").write_text(theirs)
    with pytest.raises(StorageError, match="not written by lora_studio"):
        write_dataset(prepare(tmp_path), tmp_path / "dataset.json")
    assert (tmp_path / "dataset.json").read_text() == theirs


def test_whole_songs_are_held_out_and_always_the_same_ones(tmp_path: Path) -> None:
    for song in range(6):
        write(tmp_path / f"S{song}" / "drums.wav", hits(100, 2, seed=song))
        write(tmp_path / f"S{song}" / "bass.wav", pulse(100, 2, 60 + song, seed=song))
    splits = {s.audio_path: s.split for s in prepare(tmp_path).samples}
    assert splits == {s.audio_path: s.split for s in prepare(tmp_path).samples}
    held = {path.split("/")[0] for path, split in splits.items() if split == "held_out"}
    assert len(held) == 1
    assert all(splits[f"{song}/{stem}.wav"] == "held_out" for song in held for stem in ("drums", "bass"))


def test_bad_files_are_listed_with_reasons_and_stop_nothing(tmp_path: Path) -> None:
    write(tmp_path / "Ünïcode 音 ♯.wav", pulse(100, 2))
    write(tmp_path / "copy.flac", pulse(100, 2), subtype="PCM_16")
    write(tmp_path / "copy2.wav", soundfile.read(tmp_path / "copy.flac")[0])
    write(tmp_path / "silent.wav", np.zeros(96_000, np.float32))
    write(tmp_path / "blip.wav", pulse(100, 0.1))
    whole = write(tmp_path / "cut.wav", pulse(100, 2, 90, seed=5)).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mp3").write_bytes(b"this is no music" * 50)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "notes.docx").write_bytes(b"")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    dataset = prepare(tmp_path)
    told = reasons(dataset)
    assert "Ünïcode 音 ♯.wav" in by_name(dataset)
    assert "same audio as" in told["copy2.wav"]
    assert told["silent.wav"] == "silent"
    assert "shorter than" in told["blip.wav"]
    assert "cut off" in told["cut.wav"]
    assert set(told) >= {"text.mp3", "empty.wav"}
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_folders_without_music_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        prepare(tmp_path / "nowhere")
    with pytest.raises(InvalidRequest, match="holds no audio"):
        prepare(tmp_path)
    write(tmp_path / "silent.wav", np.zeros(96_000, np.float32))
    with pytest.raises(InvalidRequest, match=r"silent\.wav: silent"):
        prepare(tmp_path)
    with pytest.raises(InvalidRequest, match="is a file"):
        prepare(tmp_path / "silent.wav")


def test_an_hour_long_file_needs_no_more_memory_than_a_minute(tmp_path: Path) -> None:
    import resource

    rate = 8000
    minute = pulse(120, 30, rate=rate)
    with soundfile.SoundFile(tmp_path / "hour_120bpm.wav", "w", rate, 1) as file:
        for index in range(60):
            file.write(minute * (0.5 + index / 200))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    dataset = prepare(tmp_path)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert dataset.samples[0].duration == 3600
    assert grown_mb < 300  # the hour itself would be 1.4 GB at 48 kHz stereo float32


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_ten_thousand_files_are_all_told_of_in_bounded_memory(tmp_path: Path) -> None:
    import resource

    random, t = np.random.default_rng(0), np.arange(4400) / 8000
    names = {f"pack {n % 10}/hit{n:05}_100bpm_Am.wav" for n in range(10_000)}
    for name in sorted(names):
        pitch_hz, decay = random.uniform(60, 3000), random.uniform(2, 12)
        tone = 0.5 * np.exp(-decay * t) * np.sin(2 * np.pi * pitch_hz * t)
        write(tmp_path / name, tone.astype(np.float32), 8000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    dataset = prepare(tmp_path)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert set(by_name(dataset)) | set(reasons(dataset)) == names
    assert len(dataset.used()) > 5000  # those that sound alike are listed as repeats
    assert grown_mb < 300  # their audio at 48 kHz stereo would be 2 GB
    write_dataset(dataset, tmp_path / "dataset.json")
    again = prepare(tmp_path)
    assert [sample.segments for sample in again.samples] == [sample.segments for sample in dataset.samples]


def test_the_report_shows_files_skips_and_pictures_and_escapes_names(tmp_path: Path) -> None:
    write(tmp_path / "a<b>_100bpm_Am.wav", pulse(100, 2))
    write(tmp_path / "silent.wav", np.zeros(96_000, np.float32))
    write_report(prepare(tmp_path), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "a&lt;b&gt;_100bpm_Am.wav" in page
    assert "<b>_100bpm" not in page
    assert "silent" in page
    assert "100–110: 1" in page
    assert page.count("data:image/png;base64,") == 1  # the spectrogram of the file that is used
    heard = base64.b64decode(re.findall(r"data:audio/mpeg;base64,([^\"]+)", page)[0])
    sound, rate_hz = soundfile.read(io.BytesIO(heard))
    assert rate_hz == 48_000
    assert np.abs(sound).max() > 0.05
    assert "no keys found" not in page


def test_a_report_on_files_without_keys_says_so_instead_of_an_empty_chart(tmp_path: Path) -> None:
    write(tmp_path / "beat_100bpm.wav", pulse(100, 8))
    write_report(prepare(tmp_path), tmp_path / "report.html")
    assert "no keys found" in (tmp_path / "report.html").read_text()


def test_a_report_asks_for_nothing_from_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "beat_100bpm.wav", pulse(100, 8))
    write_report(prepare(tmp_path), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "http" not in page
    assert "<script" not in page


def test_the_trigger_word_goes_where_it_is_asked_and_only_once() -> None:
    assert with_trigger("warm dub", "zork") == "zork, warm dub"
    assert with_trigger("warm dub", "zork", "append") == "warm dub, zork"
    assert with_trigger("warm dub", "zork", "replace") == "zork"
    assert with_trigger("zork dub", "zork") == "zork dub"


@pytest.mark.parametrize("error", [RuntimeError("odd"), ValueError("odd"), OSError(5, "odd")])
@pytest.mark.parametrize("where", ["survey", "listen"])
def test_whatever_a_single_file_raises_it_is_listed_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, where: str
) -> None:
    write(tmp_path / "good.wav", pulse(120, 8))
    write(tmp_path / "odd.wav", pulse(100, 8))
    import lora_studio.data.preparing as preparing

    real = getattr(preparing, where)

    def failing(path: Path, *rest: float) -> object:
        if path.name == "odd.wav":
            raise error
        return real(path, *rest)

    monkeypatch.setattr(preparing, where, failing)
    dataset = prepare(tmp_path)
    assert list(by_name(dataset)) == ["good.wav"]
    assert "odd" in reasons(dataset)["odd.wav"]
