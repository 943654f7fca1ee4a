"""Files from real life: lengths that nobody knew, headers that lie, channel layouts, broken chunks."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acestep.clips.inspect import describe
from acestep.errors import UnreadableAudio
from acestep.hearing.onsets import mono
from acestep.request import AudioRange
from acestep.sound.audio import load_audio, probe, source_notes
from acestep.sound.chunks import read_layout
from acestep.sound.containers import view_of
from lora_studio.data.sound import survey
from tests.support.wav_files import FRAMES, RATE_HZ, chunk, noise, wav, written

PCM = (noise() * 32767).astype("<i2").tobytes()
FMT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 2, RATE_HZ, RATE_HZ * 4, 4, 16))


@pytest.mark.parametrize(
    "declared", [0, 0x7F000000, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFF00, 0xFFFFFFDB, 0xFFFFFFFF]
)
@pytest.mark.parametrize("info", [b"", chunk(b"LIST", b"INFOISFT\x06\0\0\0Lavf60")])
def test_a_wav_whose_length_nobody_knew_is_read_to_its_end_and_says_so(
    tmp_path: Path, declared: int, info: bytes
) -> None:
    file = wav(tmp_path / "a.wav", FMT, info, chunk(b"data", PCM, declared), size=declared)
    audio = load_audio(file, sample_rate_hz=RATE_HZ)
    assert np.abs(audio.samples.T - np.frombuffer(PCM, "<i2").reshape(-1, 2) / 32768).max() < 1e-6
    assert "does not say how long it is" in audio.notes[0]
    assert survey(file).notes == audio.notes


@pytest.mark.parametrize("declared", [8, 4_000, 60_000])
def test_sound_behind_a_stale_length_is_read_as_well(tmp_path: Path, declared: int) -> None:
    file = wav(tmp_path / "a.wav", FMT, chunk(b"data", PCM, declared), size=declared + 36)
    assert probe(file).frames == FRAMES
    assert "read to the end" in probe(file).notes[0]


@pytest.mark.parametrize(
    "behind",
    [b"", chunk(b"LIST", b"INFO"), chunk(b"id3 ", bytes(51)), b"TAG" + bytes(125), b"\0" * 20_000, b"<html>"],
)
def test_what_is_no_sound_behind_the_sound_is_not_read(tmp_path: Path, behind: bytes) -> None:
    file = wav(tmp_path / "a.wav", FMT, chunk(b"data", PCM), behind)
    assert (probe(file).frames, probe(file).notes) == (FRAMES, ())


def test_an_empty_wav_and_one_cut_off_are_still_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableAudio, match="no samples"):
        probe(wav(tmp_path / "empty.wav", FMT, chunk(b"data", b""), chunk(b"LIST", b"INFO")))
    with pytest.raises(UnreadableAudio, match="cut off"):
        probe(wav(tmp_path / "cut.wav", FMT, chunk(b"data", PCM[: len(PCM) // 2], len(PCM))))
    with pytest.raises(UnreadableAudio, match="cut off"):
        probe(wav(tmp_path / "head.wav", FMT))


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
@pytest.mark.parametrize("known", [True, False])
def test_long_wav_formats_are_read_with_all_their_chunks(tmp_path: Path, magic: bytes, known: bool) -> None:
    acid = chunk(b"acid", struct.pack("<IHHfIHHf", 4 | 2, 57, 0x8000, 0, 2, 4, 4, 120.0))
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, len(PCM) if known else 0, 0, 0))
    sound = chunk(b"data", PCM, 0xFFFFFFFF) + (chunk(b"LIST", b"INFOINAM\x04\0\0\0Loop") if known else b"")
    file = wav(tmp_path / "a.wav", ds64, FMT, acid, sound, magic=magic, size=0xFFFFFFFF)
    found = describe(file)
    assert (found["samples"], found["claimed"]["bpm"], found["tags"]["bpm"]) == (FRAMES, 120, 120)
    assert ("info" in found["chunks"]) == known


@pytest.mark.parametrize(
    ("broken", "note"),
    [
        (chunk(b"smpl", bytes(32)), "smpl chunk has 32 bytes"),
        (chunk(b"smpl", struct.pack("<9I", *[0] * 7, 32769, 0) + bytes(24)), "counts 32769 loops and has 1"),
        (chunk(b"acid", bytes(20)), "acid chunk has 20 bytes"),
        (chunk(b"cue ", struct.pack("<7I", 5, *[0] * 6)), "counts 5 points and has 1"),
        (chunk(b"cue ", b""), "cue chunk has 0 bytes"),
        (chunk(b"bext", bytes(256)), "bext chunk has 256"),
        (chunk(b"LIST", b"INFOINAM\xff\xff\0\0abcd"), "LIST chunk has an entry"),
        (chunk(b"acid", struct.pack("<IHHfIHHf", 4, 60, 0, 0, 4, 4, 4, float("nan"))), "not a number"),
        (chunk(b"acid", struct.pack("<IHHfIHHf", 4, 60, 0, 0, 4, 4, 4, float("-inf"))), "not a number"),
        (chunk(b"LIST", b"INFO", 0x40000000), "longer than the file"),
    ],
)
def test_a_broken_chunk_behind_good_sound_is_passed_over_with_a_note(
    tmp_path: Path, broken: bytes, note: str
) -> None:
    found = describe(wav(tmp_path / "a.wav", FMT, chunk(b"data", PCM), broken))
    assert found["samples"] == FRAMES
    assert any(note in said for said in found["notes"]), found["notes"]


@pytest.mark.parametrize(
    "before",
    [
        chunk(b"LIST", b"INFOINAM\x04\0\0\0Loop", 99_999_999),
        chunk(b"LIST", b"INFOINAM\x04\0\0\0Loop", 17),
        chunk(b"junk", bytes(50), 10),
        b"JUNK\x05\0\0\0abcde",  # an odd length without the byte that belongs behind it
    ],
)
def test_a_chunk_of_a_wrong_length_does_not_hide_the_sound(tmp_path: Path, before: bytes) -> None:
    file = wav(tmp_path / "a.wav", FMT, before, chunk(b"data", PCM))
    assert probe(file).frames == FRAMES
    layout = read_layout(file)
    assert layout is not None
    assert layout.first(b"data") is not None


def test_a_tag_in_front_of_a_wav_does_no_harm(tmp_path: Path) -> None:
    file = wav(tmp_path / "a.wav", FMT, chunk(b"data", PCM))
    file.write_bytes(b"ID3\x03\0\0\0\0\x02\0" + bytes(256) + file.read_bytes())
    assert probe(file).frames == FRAMES


@pytest.mark.parametrize(
    ("frames", "size"), [(0, 0), (0, 8), (0x1FC00000, 0x7F000008), (2**32 - 1, 2**32 - 1)]
)
def test_an_aiff_from_a_pipe_is_read_to_its_end(tmp_path: Path, frames: int, size: int) -> None:
    file = tmp_path / "a.aiff"
    content = written(file, noise())
    at = content.index(b"COMM") + 10
    content[at : at + 4] = struct.pack(">I", frames)
    at = content.index(b"SSND") + 4
    content[at : at + 4] = struct.pack(">I", size)
    file.write_bytes(content)
    assert load_audio(file, sample_rate_hz=RATE_HZ).samples.shape == (2, FRAMES)
    assert probe(file).notes


@pytest.mark.parametrize(
    ("kind", "unknown"),
    [("au", b"\0\0\0\0"), ("au", b"\x7f\xff\xff\xff"), ("au", b"\xff" * 4), ("caf", b"\xff" * 8)],
)
def test_other_containers_without_a_length_are_read(tmp_path: Path, kind: str, unknown: bytes) -> None:
    file = tmp_path / f"a.{kind}"
    content = written(file, noise(), format=kind.upper())
    at = 8 if kind == "au" else content.index(b"data") + 4
    content[at : at + len(unknown)] = unknown
    file.write_bytes(content)
    assert probe(file).frames == FRAMES


def with_total(flac: bytearray, samples: int) -> bytes:
    """A FLAC whose header says how long it is."""
    flac[21] = flac[21] & 0xF0 | samples >> 32
    flac[22:26] = struct.pack(">I", samples & 0xFFFFFFFF)
    return bytes(flac)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("total", [0, 1_000, FRAMES * 3])
def test_a_flac_of_unknown_or_wrong_length_is_read_whole(
    tmp_path: Path, subtype: str, channels: int, total: int
) -> None:
    file = tmp_path / "a.flac"
    samples = noise(channels)
    file.write_bytes(with_total(written(file, samples, subtype=subtype), total))
    audio = load_audio(file, sample_rate_hz=RATE_HZ)
    assert np.abs(audio.samples[0] - samples[:, 0]).max() < 1e-4
    assert audio.notes
    assert survey(file).seconds == pytest.approx(1.0)


def test_a_flac_that_a_crash_ended_is_read_up_to_its_last_whole_frame(tmp_path: Path) -> None:
    file = tmp_path / "a.flac"
    content = with_total(written(file, noise()), 0)
    file.write_bytes(content[: len(content) * 2 // 3])
    assert 0.5 < probe(file).duration_s < 0.7
    assert load_audio(file).samples.shape[1] == pytest.approx(probe(file).duration_s * 48_000, abs=2)


def mp3(path: Path, mode: str) -> tuple[bytearray, int, int]:
    """A loud second, then quiet ones; where its sound begins, and where its number of frames is."""
    samples = np.concatenate([noise(), np.zeros((2 * FRAMES, 2)), noise() * 0.1])
    content = written(path, samples, bitrate_mode=mode)
    tag = content.find(b"Xing") if b"Xing" in content else content.find(b"Info")
    second = content.find(b"\xff\xfb", 4)
    return content, second, tag + 8


def joined(content: bytearray, first: int, count: int) -> bytes:
    return bytes(content) * 2


def without_count(content: bytearray, first: int, count: int) -> bytes:
    return bytes(content[first:])


def counting(frames: int) -> Callable[[bytearray, int, int], bytes]:
    def change(content: bytearray, first: int, count: int) -> bytes:
        return bytes(content[:count]) + struct.pack(">I", frames) + bytes(content[count + 4 :])

    return change


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
@pytest.mark.parametrize(
    ("change", "seconds"),
    [(without_count, 4), (counting(20), 4), (counting(0), 4), (counting(9_000), 4), (joined, 8)],
)
def test_an_mp3_without_a_true_length_is_read_to_its_end(
    tmp_path: Path, mode: str, change: Callable[[bytearray, int, int], bytes], seconds: float
) -> None:
    file = tmp_path / "a.mp3"
    file.write_bytes(change(*mp3(file, mode)))
    audio = load_audio(file)
    assert audio.samples.shape[1] / 48_000 == pytest.approx(
        seconds, abs=0.12
    )  # an MP3 is longer by its padding
    assert np.abs(audio.samples[:, -24_000:]).max() > 0.02  # the end is there, not only its length


def test_an_mp3_with_half_of_its_bytes_is_cut_off_and_one_with_tags_around_it_is_not(tmp_path: Path) -> None:
    file = tmp_path / "a.mp3"
    content = bytes(mp3(file, "VARIABLE")[0])
    file.write_bytes(b"ID3\x04\0\0\0\0\x02\0" + bytes(256) + content + b"TAG" + bytes(125))
    assert probe(file).duration_s == pytest.approx(4, abs=0.01)
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableAudio, match="cut off"):
        probe(file)


SIX = ("FL", "FR", "FC", "LFE", "BL", "BR")


@pytest.mark.parametrize(
    ("place", "side"), [("FC", 0), ("BL", -1), ("BR", 1), ("FL", -1), ("FR", 1), ("LFE", None)]
)
@pytest.mark.parametrize(
    ("kind", "order"), [("WAVEX", SIX), ("FLAC", SIX), ("OGG", ("FL", "FC", "FR", "BL", "BR", "LFE"))]
)
def test_surround_is_folded_by_where_its_channels_belong(
    tmp_path: Path, kind: str, order: tuple[str, ...], place: str, side: int | None
) -> None:
    file = tmp_path / "a.x"
    samples = np.zeros((RATE_HZ, 6))
    samples[:, order.index(place)] = 0.5 * np.sin(np.arange(RATE_HZ) * 0.03)
    soundfile.write(file, samples, RATE_HZ, format=kind)
    audio = load_audio(file)
    left, right = np.sqrt(np.square(audio.samples).mean(axis=1))
    if side is None:
        assert max(left, right) < 0.005
    elif side == 0:
        assert left == pytest.approx(right, rel=0.02)
        assert left > 0.05
    else:
        loud, quiet = (left, right) if side < 0 else (right, left)
        assert loud > 0.05 > 10 * quiet
    assert "6 channels" in audio.notes[0]


def test_a_channel_mask_says_where_channels_belong(tmp_path: Path) -> None:
    mask = 0x4 | 0x200 | 0x400  # centre and the two sides
    fmt = struct.pack("<HHIIHHHHI", 0xFFFE, 3, RATE_HZ, RATE_HZ * 6, 6, 16, 22, 16, mask)
    guid = b"\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    samples = np.zeros((RATE_HZ, 3), "<i2")
    samples[:, 0] = 9_000
    file = wav(tmp_path / "a.wav", chunk(b"fmt ", fmt + guid), chunk(b"data", samples.tobytes()))
    left, right = load_audio(file).samples.max(axis=1)
    assert left == right > 0.05
    assert "FC SL SR" in probe(file).notes[0]


def test_many_channels_of_no_layout_go_to_the_middle(tmp_path: Path) -> None:
    samples = np.zeros((RATE_HZ, 10))
    samples[:, 7] = 0.5
    written(tmp_path / "a.wav", samples)
    left, right = load_audio(tmp_path / "a.wav").samples.max(axis=1)
    assert left == right > 0


def test_opposite_channels_are_heard_also_when_only_a_part_is_so() -> None:
    tone = np.sin(np.arange(96_000) * 0.05)
    wide = np.stack([tone, -tone])
    assert np.square(mono(wide)).mean() == pytest.approx(0.5, rel=0.01)
    half = np.stack([tone, np.concatenate([-tone[:48_000], tone[48_000:]])])
    heard = mono(half)
    assert np.square(heard[:40_000]).mean() == pytest.approx(0.5, rel=0.05)
    assert np.square(heard[56_000:]).mean() == pytest.approx(0.5, rel=0.05)
    usual = np.stack([tone, 0.8 * tone])
    assert np.array_equal(mono(usual), usual.mean(axis=0))


def test_a_file_of_opposite_channels_is_not_silent(tmp_path: Path) -> None:
    tone = 0.4 * np.sin(np.arange(2 * RATE_HZ) * 0.05)
    written(tmp_path / "a.wav", np.stack([tone, -tone], axis=1))
    written(tmp_path / "b.wav", np.stack([tone, tone], axis=1))
    opposite, same = survey(tmp_path / "a.wav"), survey(tmp_path / "b.wav")
    assert np.abs(opposite.levels_db - same.levels_db).max() <= 0.5  # half a decibel


def test_a_file_that_is_as_it_says_is_read_as_it_is(tmp_path: Path) -> None:
    for name, options in (("a.aiff", {}), ("a.flac", {}), ("a.caf", {}), ("a.mp3", {})):
        written(tmp_path / name, noise(), **options)
        view = view_of(tmp_path / name)
        assert (view.head, view.notes) == (b"", ())


def test_an_aiff_whose_sound_begins_behind_its_end_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.aiff"
    content = written(file, noise())
    at = content.index(b"SSND")
    content[at + 4 : at + 12] = struct.pack(">II", 0, 0x7FFFFFFF)
    file.write_bytes(content)
    with pytest.raises(UnreadableAudio):
        load_audio(file)


def test_what_was_assumed_about_the_files_of_a_request_is_said_with_their_names(tmp_path: Path) -> None:
    file = wav(tmp_path / "kick.wav", FMT, chunk(b"data", PCM, 0))
    whole = wav(tmp_path / "whole.wav", FMT, chunk(b"data", PCM))
    gone = AudioRange(str(tmp_path / "gone.wav"))
    (note,) = source_notes(AudioRange(str(file)), AudioRange(str(whole)), None, gone)
    assert note.startswith("kick.wav: its header does not say how long it is")


@pytest.mark.parametrize("codec", ["GSM610", "G721_32", "NMS_ADPCM_16"])
def test_a_codec_that_cannot_seek_is_read_whole_and_in_part(tmp_path: Path, codec: str) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, noise(1, 16_000)[:, 0], 8_000, subtype=codec)
    whole = load_audio(file, sample_rate_hz=8_000).samples
    part = load_audio(file, 0.5, 1.5, sample_rate_hz=8_000).samples
    assert np.array_equal(part, whole[:, 4_000:12_000])


@pytest.mark.parametrize("value", [1e30, 32_767.0])
def test_numbers_that_are_no_sound_are_refused(tmp_path: Path, value: float) -> None:
    samples = noise(1).astype(np.float32)
    samples[7] = value
    written(tmp_path / "a.wav", samples, subtype="FLOAT")
    with pytest.raises(UnreadableAudio, match="not audio: values up to"):
        describe(tmp_path / "a.wav")
    with pytest.raises(UnreadableAudio, match="not audio: values up to"):
        survey(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "behind", [np.random.default_rng(1).bytes(50_001), b"no sound " * 9_000, b"\xff" * 9_000]
)
def test_rubbish_behind_the_sound_is_not_read(tmp_path: Path, behind: bytes) -> None:
    file = wav(tmp_path / "a.wav", FMT, chunk(b"data", PCM))
    file.write_bytes(file.read_bytes() + behind)
    assert probe(file).frames == FRAMES


@pytest.mark.parametrize("declared", [0, 0xFFFFFFF0, 0xFFFFFFFF])
def test_chunks_behind_sound_of_unknown_length_are_no_sound(tmp_path: Path, declared: int) -> None:
    info = chunk(b"LIST", b"INFOINAM\x04\0\0\0Loop")
    file = wav(tmp_path / "a.wav", FMT, chunk(b"data", PCM, declared), info)
    assert probe(file).frames == FRAMES
    assert describe(file)["tags"]["title"] == "Loop"


def test_the_mp3_decoder_is_kept_off_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.mp3"
    file.write_bytes(b"\xff\xfb\0\0" * 50)
    with pytest.raises(UnreadableAudio):
        load_audio(file)
    assert capfd.readouterr().err == ""
