"""Side files as spreadsheets and other systems write them, and what happens when they disagree."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acestep.errors import InvalidRequest
from acestep.typed_json import read_text_of
from lora_studio.data.captions import name_words, read_sidecars
from lora_studio.data.preparing import prepare
from lora_studio.data.scan import Places, Scan, scan
from tests.support.lora_material import acid, add_chunk, pulse, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("a.wav", "sub/b.wav"):
        soundfile.write(tmp_path / name, 0.3 * np.sin(np.arange(9_000) * 0.05), 44_100)
    return tmp_path


def captions(found: Scan) -> dict[str, str]:
    files = [file for group in found.groups for file in group.files]
    return {file.relative: file.manifest.caption for file in files if file.manifest}


TABLES = {
    "commas": "file_name,caption,bpm\na.wav,für Gitarre,100\n".encode(),
    "a mark in front": "\ufefffile_name,caption,bpm\na.wav,für Gitarre,100\n".encode(),
    "semicolons and decimal commas": "file_name;caption;bpm\na.wav;für Gitarre;100,0\n".encode(),
    "tabs": "file_name\tcaption\tbpm\na.wav\tfür Gitarre\t100\n".encode(),
    "bars": "file_name|caption|bpm\na.wav|für Gitarre|100\n".encode(),
    "Excel's first line": "sep=;\r\nfile_name;caption;bpm\r\na.wav;für Gitarre;100\r\n".encode("cp1252"),
    "Windows' letters": "file_name,caption,bpm\na.wav,für Gitarre,100\n".encode("cp1252"),
    "Excel's Unicode text": "file_name\tcaption\tbpm\na.wav\tfür Gitarre\t100\n".encode("utf-16"),
    "two bytes a letter, no mark": "file_name\tcaption\tbpm\na.wav\tfür Gitarre\t100\n".encode("utf-16-le"),
    "capitals and spaces": "File Name, Caption, BPM\na.wav, für Gitarre, 100\n".encode(),
    "empty rows and cells": b"file_name,caption,bpm,\n,,,\na.wav,f\xc3\xbcr Gitarre,100,\n,,,\n",
    "commas in a semicolon table": "file_name;caption;bpm\na.wav;für Gitarre;100\n\n".encode(),
    "quotes": 'file_name,caption,bpm\n"a.wav","für Gitarre",100\n'.encode(),
    "units": b'file_name,caption,bpm\na.wav,"f\xc3\xbcr Gitarre",100.0 BPM\n',
    "old Mac lines": "file_name,caption,bpm\ra.wav,für Gitarre,100\r".encode(),
}


@pytest.mark.parametrize("name", list(TABLES))
def test_tables_of_every_program_are_read(folder: Path, name: str) -> None:
    (folder / "metadata.csv").write_bytes(TABLES[name])
    found = scan(folder)
    assert captions(found) == {"a.wav": "für Gitarre"}
    assert [file.manifest.bpm for group in found.groups for file in group.files if file.manifest] == [100.0]
    assert found.skipped == []


def test_a_table_is_found_whatever_the_case_of_its_name(folder: Path) -> None:
    (folder / "Metadata.CSV").write_text("file_name;caption;key\nA.WAV;warm;8A / Am\n")
    (file,) = [file for group in scan(folder).groups for file in group.files if file.manifest]
    assert file.manifest
    assert (file.manifest.caption, file.manifest.keyscale) == ("warm", "A minor")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_words_of_a_name_stay_whole_however_its_accents_are_written(form: str) -> None:
    assert name_words(unicodedata.normalize(form, "Größe_Café_loop")) == ["größe", "café"]


def test_a_caption_of_several_lines_is_one_cell(folder: Path) -> None:
    (folder / "metadata.csv").write_text('file_name,caption\na.wav,"warm, soft\nand slow"\n')
    assert captions(scan(folder)) == {"a.wav": "warm, soft\nand slow"}


NAMED = [
    "sub/b.wav", "sub\\b.wav", ".\\sub\\b.wav",
    "C:\\Users\\me\\pack\\sub\\b.wav", "/Volumes/Disk/pack/sub/b.wav",
    "file:///home/me/sub/b.wav", "Sub/B.WAV", "b.wav", '"sub/b.wav"', "D:/pack/sub\\b.wav",
]  # fmt: skip


@pytest.mark.parametrize("named", NAMED)
def test_paths_of_other_systems_find_their_files(folder: Path, named: str) -> None:
    (folder / "metadata.jsonl").write_text(json.dumps({"file_name": named, "text": "warm"}) + "\n")
    assert captions(scan(folder)) == {"sub/b.wav": "warm"}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_letters_with_accents_are_the_same_however_they_are_written(form: str, written: str) -> None:
    places = Places([unicodedata.normalize(form, "Gérard/für.wav")])
    found = places.find(unicodedata.normalize(written, "Gérard/für.wav"))
    assert found == unicodedata.normalize(form, "Gérard/für.wav")
    assert places.find(unicodedata.normalize(written, "FÜR.wav")) == found


def test_a_name_that_could_be_two_files_is_none_of_them() -> None:
    places = Places(["one/a.wav", "two/a.wav", "A.wav"])
    assert places.find("one/a.wav") == "one/a.wav"
    assert places.find("elsewhere/a.wav") == "A.wav"
    assert Places(["one/a.wav", "two/a.wav"]).find("three/a.wav") == ""
    assert places.find("") == ""


UNREADABLE = {
    "metadata.csv": b"id,label\n1,foo\n",
    "key_bpm.csv": b"",
    "metadata.jsonl": b'{"file_name": "a.wav"}\n{broken\n',
    "manifest.json": b'{"samples": 5}',
    "dataset.json": b"[" * 200_000,
}


@pytest.mark.parametrize("name", list(UNREADABLE))
def test_a_side_file_that_cannot_be_read_is_listed_and_ends_nothing(folder: Path, name: str) -> None:
    (folder / name).write_bytes(UNREADABLE[name])
    found = scan(folder)
    assert len(found.groups) == 2
    assert [entry.path for entry in found.skipped] == [name]
    assert (folder / name).read_bytes() == UNREADABLE[name]


def test_a_row_without_a_file_is_told_and_the_others_are_read(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,caption\n,lost\na.wav,warm\ngone.wav,x\n")
    found = scan(folder)
    assert captions(found) == {"a.wav": "warm"}
    assert any("row 1" in note for note in found.notes)
    assert [(entry.path, "no such audio file" in entry.reason) for entry in found.skipped] == [
        ("gone.wav", True)
    ]


def test_our_own_data_set_must_be_right_because_it_was_edited(folder: Path) -> None:
    row = {"audio_path": "a.wav", "split": "often"}
    (folder / "dataset.json").write_text(json.dumps({"format": "lora_studio/1", "samples": [row]}))
    with pytest.raises(InvalidRequest, match="split"):
        scan(folder)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_texts_beside_a_file_are_read_in_their_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("für Gitarre, warm und leise".encode(encoding))
    assert read_text_of(tmp_path / "a.txt").strip("\ufeff") == "für Gitarre, warm und leise"
    assert read_sidecars(tmp_path / "a.wav").values["caption"] == "für Gitarre, warm und leise"


def test_a_tempo_from_the_musicians_own_manifest_is_sure(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", pulse(100, 2))
    (tmp_path / "metadata.csv").write_text("file_name,caption,bpm\na.wav,warm,100\n")
    sample = prepare(tmp_path).samples[0]
    assert (sample.bpm, sample.sources["bpm"]) == (100, {"from": "manifest", "confidence": 1.0})


def test_a_tempo_that_name_tag_and_length_contradict_is_told(tmp_path: Path) -> None:
    write(tmp_path / "loop_100bpm.wav", pulse(100, 2))
    add_chunk(tmp_path / "loop_100bpm.wav", b"acid", acid(87, 8))
    dataset = prepare(tmp_path)
    (told,) = (note for note in dataset.notes if "its tempo is said to be" in note)
    for words in ("87 (tags)", "100 (file name)", "whole bars at 100", "100 is used"):
        assert words in told
    assert dataset.samples[0].bpm == 100


def test_what_was_assumed_about_a_file_is_in_the_data_sets_notes(tmp_path: Path) -> None:
    file = write(tmp_path / "loop_100bpm.wav", pulse(100, 2))
    content = bytearray(file.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\x00\xf0\xff\x7f"
    file.write_bytes(content)
    notes = prepare(tmp_path).notes
    assert any(note.startswith("loop_100bpm.wav: its header does not say") for note in notes)
