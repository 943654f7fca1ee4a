"""Clips on disk: names, sidecars, whole files only, and nothing ever overwritten."""

import errno
import json
import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep.clip import (
    Clip,
    clip_stem,
    read_sidecar,
    remove_clip,
    slug,
    sweep_unfinished,
    write_clip,
    write_file,
)
from acestep.errors import InvalidRequest, NotFound, StorageError
from acestep.grid import Grid, Signature
from acestep.key import Key

WHEN = time.strptime("2026-11-22 21:45:01", "%Y-%m-%d %H:%M:%S")


def sidecar() -> dict:
    return {
        "format": 1,
        "clip": {
            "job": "j1",
            "take": 0,
            "seed": 7,
            "bpm": 92.5,
            "signature": "4/4",
            "key": "A minor",
            "bars": 4.0,
            "duration_s": 1.0,
            "samples": 48000,
            "sample_rate_hz": 48000,
            "tempo_error_pct": 0.1,
            "downbeat_error_ms": None,
            "key_match": "same key",
            "fit": "good",
            "prompt": "dusty",
            "cascade": "nano",
            "adapters": [["mine", 0.8]],
        },
    }


def test_names_sort_by_time_and_say_what_is_inside():
    stem = clip_stem("Dusty breakbeat!", Grid(92.5), Key.parse("Am"), 0, WHEN)
    assert stem == "20261122-214501_dusty-breakbeat_92.5bpm_Am_4bars_t1"
    odd = clip_stem("x", Grid(127.37, Signature(7, 8), 1), None, 3, WHEN)
    assert odd == "20261122-214501_x_127.37bpm_7-8_1bar_t4"


@given(st.text(max_size=200))
def test_a_slug_is_always_a_safe_short_name(text):
    name = slug(text)
    assert 1 <= len(name) <= 40
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_a_clip_is_written_whole_with_its_sidecar_and_read_back(tmp_path):
    clip = write_clip(tmp_path / "new" / "folder", "a", ".wav", b"audio", sidecar())
    assert (tmp_path / "new" / "folder" / "a.wav").read_bytes() == b"audio"
    assert sorted([file.name for file in (tmp_path / "new" / "folder").iterdir()]) == ["a.wav", "a.wav.json"]
    assert Clip.load(clip.path) == clip == Clip.load(clip.path + ".json")
    assert clip.adapters == (("mine", 0.8),)
    assert clip.sidecar["clip"]["name"] == "a.wav"


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"precious")
    (tmp_path / "a-2.wav.json").write_text("precious too")
    names = [write_clip(tmp_path, "a", ".wav", b"new", sidecar()).name for _ in range(2)]
    assert names == ["a-3.wav", "a-4.wav"]
    assert (tmp_path / "a.wav").read_bytes() == b"precious"
    assert (tmp_path / "a-2.wav.json").read_text() == "precious too"
    with pytest.raises(StorageError, match="overwritten"):
        write_file(tmp_path / "a.wav", b"x")


def test_a_full_disk_leaves_nothing_and_is_a_storage_error(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        write_clip(tmp_path, "a", ".wav", b"audio", sidecar())
    assert [file.name for file in (tmp_path).iterdir()] == []


def test_a_folder_that_is_a_file_is_a_storage_error(tmp_path):
    (tmp_path / "f").write_text("x")
    with pytest.raises(StorageError, match="not a folder"):
        write_clip(tmp_path / "f", "a", ".wav", b"audio", sidecar())


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_a_storage_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="permissions"):
        write_clip(tmp_path, "a", ".wav", b"audio", sidecar())


def test_without_hard_links_files_still_appear_whole(tmp_path, monkeypatch):
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "a.wav").write_bytes(b"precious")
    clip = write_clip(tmp_path, "a", ".wav", b"audio", sidecar())
    assert clip.name == "a-2.wav"
    assert sorted([file.name for file in (tmp_path).iterdir()]) == ["a-2.wav", "a-2.wav.json", "a.wav"]


def test_half_written_files_of_a_dead_process_are_swept(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".acestep-{dead.pid}-abc123.part").write_bytes(b"half")
    (tmp_path / f".acestep-{os.getppid()}-abc123.part").write_bytes(b"in work")
    (tmp_path / ".other.part").write_bytes(b"not ours")
    assert sweep_unfinished(tmp_path) == 1
    assert sorted([file.name for file in (tmp_path).iterdir()]) == [
        f".acestep-{os.getppid()}-abc123.part",
        ".other.part",
    ]


def test_removing_a_clip_removes_its_companions_only(tmp_path):
    clip = write_clip(tmp_path, "a", ".wav", b"audio", sidecar())
    write_file(tmp_path / "a.mid", b"midi")
    (tmp_path / "b.wav").write_bytes(b"other")
    remove_clip(clip)
    assert [file.name for file in (tmp_path).iterdir()] == ["b.wav"]


def test_missing_and_foreign_sidecars_are_clear_errors(tmp_path):
    with pytest.raises(NotFound):
        read_sidecar(tmp_path / "a.wav")
    for text in ("{", "[]", '{"format": 99}', "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")):
        (tmp_path / "a.wav.json").write_text(text)
        with pytest.raises(InvalidRequest):
            read_sidecar(tmp_path / "a.wav")
    (tmp_path / "a.wav.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(InvalidRequest):
        Clip.load(tmp_path / "a.wav")
