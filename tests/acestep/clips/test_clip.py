"""Clips on disk: names, sidecars, whole files only, and nothing ever overwritten."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep.clips.clip import (
    Clip,
    Staging,
    clip_stem,
    remove_files,
    slug,
    sweep_unfinished,
    write_file,
)
from acestep.errors import InvalidRequest, NotFound, StorageError
from acestep.music.grid import Grid, Signature
from acestep.music.key import Key
from acestep.sources.sidecar import read_sidecar
from tests.support.clip_files import write_clip

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
    stem = clip_stem("Dusty breakbeat!", Grid(92.5), Key.parse("Am"), "t1", WHEN)
    assert stem == "20261122-214501_dusty-breakbeat_92.5bpm_Am_4bars_t1"
    odd = clip_stem("x", Grid(127.37, Signature(7, 8), 1), None, "t4", WHEN)
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
    remove_files(Path(clip.path))
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


def test_the_clips_of_a_job_appear_together_or_not_at_all(tmp_path):
    with Staging(tmp_path) as staging:
        for _ in range(3):
            staging.add("a", ".wav", b"audio", sidecar())
        assert [file.name for file in tmp_path.iterdir() if not file.name.startswith(".")] == []
        assert [clip.name for clip in staging.publish()] == ["a.wav", "a-2.wav", "a-3.wav"]
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json"] * 3 + [".wav"] * 3
    with Staging(tmp_path / "other") as staging:
        staging.add("a", ".wav", b"audio", sidecar())
    assert list((tmp_path / "other").iterdir()) == []


def no_links(*_: object) -> None:
    raise OSError(errno.EPERM, "no hard links here")


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("taken", ["a.wav", "a.wav.json", "a.mid"])
def test_a_name_that_is_taken_while_clips_wait_is_left_alone(tmp_path, taken, links, monkeypatch):
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    with Staging(tmp_path) as staging:
        staging.add("a", ".wav", b"audio", sidecar() | {"midi": {}}, b"MThd")
        (tmp_path / taken).write_bytes(b"precious")
        (clip,) = staging.publish()
    assert (clip.name, clip.sidecar["clip"]["name"]) == ("a-2.wav", "a-2.wav")
    assert (tmp_path / taken).read_bytes() == b"precious"
    assert Path(clip.midi).read_bytes() == b"MThd"
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(
        [taken, "a-2.mid", "a-2.wav", "a-2.wav.json"]
    )


def test_a_clip_says_where_its_midi_file_is_as_long_as_it_is_there(tmp_path):
    clip = write_clip(tmp_path, "a", ".wav", b"audio", sidecar() | {"midi": {}}, b"MThd")
    assert clip.midi == str(tmp_path / "a.mid")
    (tmp_path / "a.mid").unlink()
    assert Clip.load(clip.path).midi == ""
    write_file(tmp_path / "b.mid", b"somebody's")
    assert write_clip(tmp_path, "b", ".wav", b"audio", sidecar()).name == "b-2.wav"


def killed_at(step: int, folder, links: bool) -> bool:
    """Writes two clips in a process that dies before its step of that number; whether it came through."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    left = step

    def counted(function):
        def call(*args, **kwargs):
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(9)
            return function(*args, **kwargs)

        return call

    os.link = counted(os.link) if links else no_links
    os.fsync = counted(os.fsync)
    for name in ("mkdir", "rename", "unlink"):
        setattr(type(folder), name, counted(getattr(type(folder), name)))
    try:
        with Staging(folder) as staging:
            for _ in range(2):
                staging.add("a", ".wav", b"audio", sidecar() | {"midi": {}}, b"MThd")
            staging.publish()
    finally:
        os._exit(0)


@pytest.mark.skipif(os.name == "nt", reason="renames need no links there")
@pytest.mark.parametrize("links", [True, False])
def test_a_kill_at_any_step_leaves_no_orphans_and_no_taken_names(tmp_path, links):
    seen = set()
    for step in range(60):
        folder = tmp_path / str(step)
        folder.mkdir()
        done = killed_at(step, folder, links)
        sweep_unfinished(folder)
        names = sorted(file.name for file in folder.iterdir())
        whole = [f"{stem}{end}" for stem in ("a-2", "a") for end in (".mid", ".wav", ".wav.json")]
        assert names in ([], whole), step
        assert all(Clip.load(file).sidecar["clip"]["name"] == file.name for file in folder.glob("*.wav"))
        seen.add(len(names))
        if done:
            break
    assert done
    assert seen == {0, 6}


def test_numbers_that_json_has_not_become_null(tmp_path):
    odd = sidecar() | {"measured": {"lufs": float("-inf"), "parts": [float("nan"), 1.0]}}
    clip = write_clip(tmp_path, "a", ".wav", b"audio", odd)
    assert clip.sidecar["measured"] == {"lufs": None, "parts": [None, 1.0]}
