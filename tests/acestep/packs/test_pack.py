"""Packs: clips to take away, and brought back, also from strangers."""

import json
import re
import shutil
import stat
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile

from acestep.clips.clip import Clip
from acestep.clips.production import produce
from acestep.request import GenerateRequest
from server.cli import acestep as cli
from server.library.index import ClipLibrary
from server.library.search import Search
from tests.support.small_band import SmallBand

DRUMS = GenerateRequest(prompt="dusty beat", bpm=92.5, bars=2, seed=2)
BASS = GenerateRequest(prompt="sub bass", bpm=92.5, bars=2, key="F# minor", seed=4)


@pytest.fixture(autouse=True)
def home(home_of_its_own: Path) -> Path:
    return home_of_its_own


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Two clips of one length, with an idea in common, and a MIDI file beside the first."""
    folder = tmp_path_factory.mktemp("made")
    clips = [produce(SmallBand(), request, folder)[0] for request in (DRUMS, BASS)]
    for clip, part in zip(clips, ("drums", "bass"), strict=True):
        sidecar = clip.sidecar
        sidecar["clip"] |= {"idea": "idea-7", "part": part, "starred": part == "bass", "tags": ["mine"]}
        Path(clip.path + ".json").write_text(json.dumps(sidecar))
    Path(clips[0].path).with_suffix(".mid").write_bytes(b"MThd\0\0\0\6\0\0\0\1\3\xc0MTrk\0\0\0\4\0\xff\x2f\0")
    return [Clip.load(clip.path) for clip in clips]


@pytest.fixture(scope="module")
def packed(made: list[Clip], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two clips as a ZIP file, which nobody changes."""
    out = tmp_path_factory.mktemp("packed") / "idea.zip"
    assert cli.main(["pack", *(clip.path for clip in made), "--out", str(out)]) == 0
    return out


@pytest.fixture
def pack(packed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copy(packed, tmp_path / "idea.zip")


@pytest.fixture(scope="module")
def unpacked(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a folder."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)
    return folder / "idea"


class Links(HTMLParser):
    """Everything that a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value for name, value in attributes if name in ("src", "href") and value]


def test_a_pack_has_stems_mix_midi_kit_cover_and_licence(made: list[Clip], unpacked: Path) -> None:
    out = unpacked
    names = {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()}
    assert names >= {
        "stems/01_drums_92.5bpm.wav",
        "stems/01_drums_92.5bpm.wav.json",
        "stems/01_drums_92.5bpm.mid",
        "stems/02_bass_92.5bpm_Fsm.wav",
        "mix_92.5bpm.wav",
        "index.html",
        "LICENSE.txt",
        "pack.json",
        "kit/kit.json",
        "kit/drums.sfz",
    }
    assert all(re.fullmatch(r"[A-Za-z0-9._/-]+", name) for name in names), "no disk and no browser minds them"
    for number, clip in enumerate(made, 1):
        (stem,) = (out / "stems").glob(f"{number:02d}_*.wav")
        assert stem.read_bytes() == Path(clip.path).read_bytes()
    mix = soundfile.read(out / "mix_92.5bpm.wav")[0]
    total = sum(soundfile.read(clip.path)[0] for clip in made)
    gain = 10 ** (json.loads((out / "pack.json").read_text())["mix_gain_db"] / 20)
    assert np.abs(mix - total * gain).max() < 1e-3, "in phase, the stems make the mix"
    said = (out / "LICENSE.txt").read_text()
    assert "dusty beat" in said
    assert "small band" in said


def test_the_cover_refers_only_to_what_is_in_the_pack(unpacked: Path) -> None:
    out = unpacked
    page = Links()
    page.feed((out / "index.html").read_text("utf-8"))
    assert page.tags.count("audio") >= 5
    assert "script" not in page.tags
    for link in page.found:
        assert (out / unquote(link)).is_file(), link


def test_a_pack_is_brought_back_as_it_was(made: list[Clip], pack: Path, tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    assert cli.main(["import", str(pack)]) == 0
    library = ClipLibrary(tmp_path / "clips.sqlite", [folder], tmp_path / "trash")
    found = {clip.name: clip for clip in library.search(Search())}
    library.close()
    assert set(found) == {clip.name for clip in made}
    for clip in made:
        again = found[clip.name]
        assert Path(again.path).read_bytes() == Path(clip.path).read_bytes()
        assert (again.starred, again.tags, again.seed, again.prompt) == (
            clip.starred,
            clip.tags,
            clip.seed,
            clip.prompt,
        )
        assert again.sidecar["clip"]["idea"] == "idea-7"
        assert again.sidecar["request"] == clip.sidecar["request"]
    assert Path(found[made[0].name].path).with_suffix(".mid").is_file()


def test_importing_twice_leaves_one_of_each(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["import", str(pack)]) == 0
    before = sorted((tmp_path / "samples").iterdir())
    capsys.readouterr()
    assert cli.main(["import", str(pack)]) == 0
    told = capsys.readouterr()
    assert (told.out, "2 clips of it here already" in told.err) == ("", True)
    assert sorted((tmp_path / "samples").iterdir()) == before


def test_a_clip_of_the_same_name_stays(made: list[Clip], pack: Path, tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    other = tmp_path / "samples" / made[0].name
    other.write_bytes(b"mine")
    assert cli.main(["import", str(pack)]) == 0
    assert other.read_bytes() == b"mine"
    assert (tmp_path / "samples" / f"{Path(made[0].name).stem}-2.wav").is_file()


def test_an_idea_is_packed_by_its_id(
    made: list[Clip], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = str(Path(made[0].path).parent)
    assert cli.main(["pack", "idea-7", "--out", str(tmp_path / "a.zip"), "--samples", samples]) == 0
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        clips = json.loads(archive.read("a/pack.json"))["clips"]
    assert sorted(one["part"] for one in clips) == ["bass", "drums"]
    capsys.readouterr()
    assert cli.main(["pack", "idea-8", "--out", str(tmp_path / "b.zip"), "--samples", samples]) == 2
    assert "no clip and no idea 'idea-8'" in capsys.readouterr().err


def test_a_pack_tells_nobody_where_files_lay(made: list[Clip], tmp_path: Path) -> None:
    secret = tmp_path / "private" / "reference.wav"
    secret.parent.mkdir()
    shutil.copy(made[0].path, secret)
    request = GenerateRequest(
        prompt="more", bpm=92.5, bars=1, seed=2, reference=str(secret), cascade="/opt/models/x"
    )
    (clip,) = produce(SmallBand(), request, tmp_path / "clips")
    assert cli.main(["pack", clip.path, "--out", str(tmp_path / "out")]) == 0
    for file in (tmp_path / "out").rglob("*"):
        if file.is_file() and file.suffix in (".json", ".html", ".txt"):
            assert str(tmp_path) not in file.read_text("utf-8"), file
    (sidecar,) = (tmp_path / "out" / "stems").glob("*.json")
    told = json.loads(sidecar.read_text())["request"]
    assert (told["reference"]["path"], told["cascade"]) == ("reference.wav", "x")
    assert "reference.wav" in (tmp_path / "out" / "LICENSE.txt").read_text()


def test_nothing_is_packed_over_or_without_its_clips(
    made: list[Clip], pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = pack.read_bytes()
    assert cli.main(["pack", made[0].path, "--out", str(pack)]) != 0
    assert "nothing is overwritten" in capsys.readouterr().err
    assert pack.read_bytes() == before
    loose = tmp_path / "loose.wav"
    shutil.copy(made[0].path, loose)
    for line, said in (([str(loose)], "sidecar"), ([str(tmp_path / "gone.wav")], "is not there")):
        assert cli.main(["pack", *line, "--out", str(tmp_path / "new.zip")]) == 2
        assert said in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir() if file.name != "home") == [
        "idea.zip",
        "loose.wav",
    ]


def changed(pack: Path, to: Path, **members: Any) -> Path:
    """A copy of a pack with other members, by the ends of their names; None leaves one out."""
    with zipfile.ZipFile(pack) as source, zipfile.ZipFile(to, "w") as target:
        for info in source.infolist():
            name = info.filename.rpartition("/")[2]
            content = members.get(name, source.read(info))
            if content is not None:
                target.writestr(info, content(source.read(info)) if callable(content) else content)
    return to


def told(**values: Any) -> Any:
    """Changes of pack.json; `file` is the first clip's."""

    def change(content: bytes) -> str:
        manifest = json.loads(content)
        for name in ("file", "name", "midi", "sha256"):
            if name in values:
                manifest["clips"][0][name] = values[name]
        manifest |= {name: value for name, value in values.items() if name in manifest}
        return json.dumps(manifest)

    return change


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"file": "../../evil.wav"}, "leads out of it"),
        ({"file": "/etc/evil.wav"}, "leads out of it"),
        ({"file": "stems\\..\\evil.wav"}, "leads out of it"),
        ({"file": "C:/evil.wav"}, "leads out of it"),
        ({"midi": "../evil.mid"}, "leads out of it"),
        ({"midi": "stems/evil.exe"}, "MIDI as .mid"),
        ({"file": "stems/evil.py"}, "as a clip"),
        ({"file": "stems/none.wav"}, "there is no stems/none.wav"),
        ({"sha256": "0" * 64}, "not what was packed"),
        ({"format": 2}, "format 2"),
        ({"clips": []}, "clips"),
        ({"clips": "many"}, "clips"),
    ],
)
def test_a_pack_that_was_changed_is_refused_whole(
    pack: Path, tmp_path: Path, manifest: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = changed(pack, tmp_path / "bad.zip", **{"pack.json": told(**manifest)})
    assert cli.main(["import", str(bad)]) == 2
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "samples").glob("*")) if (tmp_path / "samples").exists() else True
    assert not list(tmp_path.rglob("evil*"))


def test_names_that_a_pack_chooses_do_not_leave_the_folder(pack: Path, tmp_path: Path) -> None:
    bad = changed(pack, tmp_path / "bad.zip", **{"pack.json": told(name="../../../evil .wav")})
    assert cli.main(["import", str(bad)]) == 0
    assert all(file.parent == tmp_path / "samples" for file in tmp_path.rglob("evil*"))
    assert len(list((tmp_path / "samples").glob("*.wav"))) == 2


def test_what_is_no_pack_is_refused_in_a_sentence(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = pack.read_bytes()
    cases = {"cut.zip": whole[: len(whole) // 2], "text.zip": b"hello", "empty.zip": b""}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
    damaged = bytearray(whole)
    with zipfile.ZipFile(pack) as archive:
        damaged[archive.getinfo("idea/stems/01_drums_92.5bpm.wav").header_offset + 9_000] ^= 0xFF
    (tmp_path / "damaged.zip").write_bytes(bytes(damaged))
    with zipfile.ZipFile(tmp_path / "foreign.zip", "w") as archive:
        archive.writestr("photos/one.jpg", b"x")
    (tmp_path / "folder").mkdir()
    changed(pack, tmp_path / "mute.zip", **{"01_drums_92.5bpm.wav.json": b"{}"})
    for name in (*cases, "damaged.zip", "foreign.zip", "folder", "mute.zip", "missing.zip"):
        assert cli.main(["import", str(tmp_path / name)]) == 2, name
        error = capsys.readouterr().err
        assert "Traceback" not in error
        assert "fault of the program" not in error, error
    assert not list((tmp_path / "samples").glob("*")) if (tmp_path / "samples").exists() else True


def test_a_link_in_a_pack_is_not_followed(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(pack) as source:
        manifest = json.loads(source.read("idea/pack.json"))
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr("pack.json", json.dumps(manifest))
        link = zipfile.ZipInfo(manifest["clips"][0]["file"])
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert cli.main(["import", str(tmp_path / "link.zip")]) == 2
    assert "there is no" in capsys.readouterr().err
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(pack) as source:
        source.extractall(folder)
    stem = folder / "idea" / manifest["clips"][0]["file"]
    stem.unlink()
    stem.symlink_to("/etc/hostname")
    assert cli.main(["import", str(folder / "idea")]) == 2
    assert "there is no" in capsys.readouterr().err
