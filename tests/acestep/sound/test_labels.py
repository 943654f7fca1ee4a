"""Tags as taggers really write them: every kind of ID3, Vorbis comments, LIST/INFO; what cannot be read."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acestep.clips.inspect import describe
from acestep.clips.production import produce
from acestep.music.key import Key
from acestep.sound.labels import key_in, read_labels, tempo_in
from lora_studio.data.captions import caption_from, is_caption
from lora_studio.data.sound import survey
from tests.support.lora_material import add_chunk
from tests.support.small_band import REQUEST, SmallBand

PICTURE = bytes(range(256)) * 8_000  # two megabytes, with many bytes that look like a frame's start


def syncsafe(size: int) -> bytes:
    return bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))


def frame(name: bytes, body: bytes, version: int = 3, flags: int = 0, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    if version == 2:
        return name + size.to_bytes(3, "big") + body
    return (
        name + (syncsafe(size) if version == 4 else size.to_bytes(4, "big")) + struct.pack(">H", flags) + body
    )


def tag(frames: bytes, version: int = 3, flags: int = 0) -> bytes:
    return b"ID3" + bytes((version, 0, flags)) + syncsafe(len(frames)) + frames


def text(value: str, encoding: int = 0) -> bytes:
    return bytes((encoding,)) + value.encode(("latin-1", "utf-16", "utf-16-be", "utf-8")[encoding])


def unsynchronised(body: bytes) -> bytes:
    return body.replace(b"\xff", b"\xff\x00")


BOTH = frame(b"TBPM", text("127.5 BPM", 1)) + frame(b"TKEY", text("F#m", 1))
TAGS = {
    "2.2": tag(frame(b"TBP", text("127,5"), 2) + frame(b"TKE", text("11A"), 2), 2),
    "2.3 in UTF-16": tag(BOTH),
    "2.4 in UTF-8": tag(frame(b"TBPM", text("127.5", 3), 4) + frame(b"TKEY", text("F♯m", 3), 4), 4),
    "behind a large picture": tag(frame(b"APIC", b"\0image/png\0\3\0" + PICTURE) + BOTH),
    "2.3 unsynchronised": tag(unsynchronised(frame(b"PRIV", b"x\0" + PICTURE[:999]) + BOTH), 3, 0x80),
    "2.4 unsynchronised frames": tag(
        frame(b"TBPM", unsynchronised(text("127.5", 1)), 4, 2) + frame(b"TKEY", text("F#m"), 4), 4, 0x80
    ),
    "2.3 with an extended header": tag(struct.pack(">IHI", 6, 0, 0) + BOTH, 3, 0x40),
    "2.4 with an extended header": tag(
        syncsafe(6) + b"\x01\0" + frame(b"TBPM", text("127.5"), 4) + frame(b"TKEY", text("F#m"), 4), 4, 0x40
    ),
    "2.4 with lengths of 2.3": tag(frame(b"TXXX", text("notes\0" + "x" * 300)) + BOTH, 4),
    "compressed": tag(
        frame(b"TBPM", struct.pack(">I", 6) + zlib.compress(text("127.5")), 3, 0x80)
        + frame(b"TKEY", text("F#m")),
    ),
    "2.4 with its own length": tag(
        frame(b"TBPM", syncsafe(6) + text("127.5"), 4, 1) + frame(b"TKEY", text("F#m"), 4), 4
    ),
    "custom fields": tag(
        frame(b"TXXX", text("BPM\x00127.5")) + frame(b"TXXX", text("INITIALKEY\x00F# minor +12 cents"))
    ),
    "whole and exact": tag(
        frame(b"TBPM", text("128")) + frame(b"TXXX", text("fBPM\x00127.5")) + frame(b"TKEY", text("4m"))
    ),
    "an unreadable value first": tag(frame(b"TBPM", text("fast")) + BOTH),
    "padding behind": tag(BOTH + bytes(3_000)),
}


@pytest.mark.parametrize("name", list(TAGS))
@pytest.mark.parametrize("where", ["mp3", "wav", "flac"])
def test_tempo_and_key_are_read_from_every_kind_of_id3(tmp_path: Path, name: str, where: str) -> None:
    file = tmp_path / f"a.{where}"
    soundfile.write(file, np.zeros((9_000, 1)), 44_100)
    if where == "wav":
        add_chunk(file, b"id3 ", TAGS[name])
    else:
        file.write_bytes(TAGS[name] + file.read_bytes())
    found = read_labels(file)
    assert (found.bpm, Key.parse(found.key)) == (127.5, Key.parse("F# minor"))
    assert any("fast" in note for note in found.unread) == (name == "an unreadable value first")


def vorbis(path: Path, *comments: bytes) -> Path:
    """A FLAC with these comments behind a picture."""
    soundfile.write(path, np.zeros((9_000, 1)), 44_100)
    content = path.read_bytes()
    last = content[4] & 0x80
    body = struct.pack("<I", 0) + struct.pack("<I", len(comments))
    body += b"".join(struct.pack("<I", len(one)) + one for one in comments)
    kinds = ((2, b"test" + PICTURE), (0x84, body))
    blocks = b"".join(bytes((kind,)) + len(block).to_bytes(3, "big") + block for kind, block in kinds)
    sound = 42  # behind the blocks that the writer made
    while not last:
        last = content[sound] & 0x80
        sound += 4 + int.from_bytes(content[sound + 1 : sound + 4], "big")
    path.write_bytes(b"fLaC\0" + content[5:42] + blocks + content[sound:])
    return path


@pytest.mark.parametrize(
    ("comments", "bpm", "key"),
    [
        ((b"BPM=174", b"INITIALKEY=8A"), 174, "A minor"),
        ((b"TEMPO=92,5", b"KEY=Am/C"), 92.5, ""),
        ((b"bpm=120.00 bpm", b"initial_key=1m"), 120, "A minor"),
        ((b"BPM=120", b"KEY=8A / Am"), 120, "A minor"),
        ((b"BPM=0", b"KEY=o"), None, ""),
    ],
)
def test_vorbis_comments_are_read_behind_large_pictures(
    tmp_path: Path, comments: tuple[bytes, ...], bpm: float | None, key: str
) -> None:
    found = read_labels(vorbis(tmp_path / "a.flac", *comments))
    assert (found.bpm, found.key) == (bpm, key)
    assert bool(found.unread) == (b"KEY=Am/C" in comments)


def test_an_ogg_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "a.ogg"
    with soundfile.SoundFile(file, "w", 44_100, 1) as sound:
        sound.title, sound.comment = "Rain", "warm dub chords"
        sound.write(np.zeros(9_000))
    found = read_labels(file)
    assert (found.title, found.comment) == ("Rain", "warm dub chords")


def ape(*items: tuple[str, str], flags: int = 0) -> bytes:
    body = b"".join(
        struct.pack("<II", len(value.encode()), flags) + name.encode() + b"\0" + value.encode()
        for name, value in items
    )
    head = struct.pack("<IIII", 2000, len(body) + 32, len(items), 0) + bytes(8)
    return b"APETAGEX" + head[:12] + struct.pack("<I", 0xA000_0000) + bytes(8) + body + b"APETAGEX" + head


@pytest.mark.parametrize("behind", [b"", b"TAG" + bytes(125)], ids=["last", "before ID3v1"])
def test_an_ape_tag_at_the_end_of_an_mp3_is_read(tmp_path: Path, behind: bytes) -> None:
    file = tmp_path / "a.mp3"
    soundfile.write(file, np.zeros(24_000), 24_000)
    items = (("Title", "Größe"), ("BPM", "127.5"), ("INITIALKEY", "11A"), ("Cover Art", "x\0y"))
    file.write_bytes(file.read_bytes() + ape(*items) + behind)
    tags = read_labels(file)
    assert (tags.bpm, tags.key, tags.title, tags.unread) == (127.5, "F# minor", "Größe", [])
    assert survey(file).seconds == pytest.approx(1.0, abs=0.15)


def test_a_broken_ape_tag_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.mp3"
    soundfile.write(file, np.zeros(24_000), 24_000)
    file.write_bytes(file.read_bytes() + b"APETAGEX" + struct.pack("<III", 2000, 1 << 30, 1) + bytes(12))
    assert "APE tag has a wrong length" in read_labels(file).unread[0]


def test_info_and_old_id3_are_read_with_their_encodings(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, np.zeros((9_000, 1)), 44_100)
    entries = b"".join(
        name + struct.pack("<I", len(value)) + value + b"\0" * (len(value) % 2)
        for name, value in ((b"INAM", "Für".encode("cp1252")), (b"IBPM", b"99.5"), (b"IKEY", b"Bbm\0"))
    )
    add_chunk(file, b"LIST", b"INFO" + entries)
    found = read_labels(file)
    assert (found.title, found.bpm, Key.parse(found.key)) == ("Für", 99.5, Key.parse("Bb minor"))
    old = tmp_path / "a.mp3"
    soundfile.write(old, np.zeros((9_000, 1)), 44_100)
    old.write_bytes(old.read_bytes() + b"TAG" + b"Rain".ljust(30, b"\0") + bytes(95))
    assert read_labels(old).title == "Rain"


@pytest.mark.parametrize(
    "content", [b"", b"ID3", b"ID3\x04\0\0\x7f\x7f\x7f\x7fTBPM\xff\xff\xff\xff", b"fLaC\x84\xff\xff\xff\0"]
)
def test_broken_tags_are_never_an_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.mp3"
    file.write_bytes(content)
    assert read_labels(file).to_dict() == {}


@pytest.mark.parametrize(
    ("said", "bpm"),
    [("128", 128), ("127,5", 127.5), ("127.5 BPM", 127.5), ("bpm: 90", 90), (" 92.50bpm ", 92.5),
     ("fast", None), ("128-130", None), ("12800", None), ("nan", None), ("", None), ("1e2", None)],
)  # fmt: skip
def test_tempi_are_read_as_they_are_written(said: str, bpm: float | None) -> None:
    assert tempo_in(said) == bpm


@pytest.mark.parametrize(
    ("said", "key"),
    [("Am", "A minor"), ("8A", "A minor"), ("08a", "A minor"), ("12B", "E major"), ("1d", "C major"),
     ("F#m +13", "F# minor"), ("Am-5 cents", "A minor"), ("C maj (+20 ct)", "C major"),
     ("A min / 8A", "A minor"), ("F-sharp minor", "F# minor"), ("8A/9A", ""), ("13A", ""), ("blue", "")],
)  # fmt: skip
def test_keys_are_read_as_they_are_written(said: str, key: str) -> None:
    found = key_in(said)
    assert (Key.parse(found) if found else None) == (Key.parse(key) if key else None)


@pytest.mark.parametrize(
    "comment",
    ["Processed by SoX", "Lavf60.3.100", "Encoded with LAME 3.100",
     "8A - Energy 7", "8A - 7",
     "0000A2C0 00000B31", "https://x.test/pack", "Ripped by EAC", "Made with REAPER", "Created in Ableton",
     "Exact Audio Copy", "short",
     "92.5 bpm 4/4; 4 bars; A minor; fit good; tempo off by 0 %, downbeat by -1.74 ms"],
)  # fmt: skip
def test_what_programs_leave_is_no_caption(comment: str) -> None:
    assert not is_caption(comment)


@pytest.mark.parametrize(
    "comment", ["warm analog pad with tape hiss", "recorded on tape in a stairwell", "made with an old piano"]
)
def test_what_a_musician_writes_is_a_caption(comment: str) -> None:
    assert is_caption(comment)


def test_an_encoders_comment_is_no_caption_and_an_unread_value_is_told(tmp_path: Path) -> None:
    file = tmp_path / "night drive.wav"
    soundfile.write(file, 0.3 * np.sin(np.arange(44_100) * 0.02), 44_100)
    tagged = frame(b"COMM", b"\0eng\0Processed by SoX") + frame(b"TKEY", text("H minor"))
    add_chunk(file, b"id3 ", tag(tagged))
    caption, source = caption_from(file, read_labels(file), "", survey(file))
    assert caption.startswith("night drive")
    assert source == "file name and measurement"
    assert any("'H minor'" in note for note in describe(file)["notes"])


def test_a_clip_of_ones_own_is_captioned_by_the_prompt_it_was_made_with(tmp_path: Path) -> None:
    (clip,) = produce(SmallBand(), REQUEST, tmp_path)
    Path(clip.path + ".json").unlink()  # a DAW copies the audio alone
    caption, source = caption_from(Path(clip.path), read_labels(Path(clip.path)), "", survey(Path(clip.path)))
    assert (caption, source) == ("dusty breakbeat", "the prompt it was made with")


def test_the_tags_of_a_file_are_described(tmp_path: Path) -> None:
    file = vorbis(tmp_path / "a.flac", b"BPM=127.5", b"TITLE=Rain")
    assert describe(file)["tags"] == {"bpm": 127.5, "title": "Rain"}
