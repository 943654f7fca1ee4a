"""One writer for the whole code base: whole or not at all, and nothing left behind."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from acestep import files

ROOT = Path(__file__).parents[2]


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def test_a_file_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    files.write_whole(tmp_path / "a", b"one")
    files.write_whole(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two"
    assert names(tmp_path) == ["a"]


def test_what_fails_in_the_middle_leaves_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")

    def fails() -> None:
        with files.appearing(tmp_path / "a") as hidden:
            hidden.write_bytes(b"half")
            raise RuntimeError("full")

    with pytest.raises(RuntimeError):
        fails()
    assert (tmp_path / "a").read_bytes() == b"one"
    assert names(tmp_path) == ["a"]


def test_nobody_sees_a_file_before_it_is_whole(tmp_path: Path) -> None:
    with files.appearing(tmp_path / "a") as hidden:
        hidden.write_bytes(b"half")
        assert hidden.parent == tmp_path
        assert hidden.name.startswith(".")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").exists()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_private_file_was_never_anybody_elses(tmp_path: Path) -> None:
    with files.appearing(tmp_path / "a", private=True) as hidden:
        assert stat.S_IMODE(hidden.stat().st_mode) == 0o600
        hidden.write_bytes(b"secret")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_what_must_not_overwrite_does_not(tmp_path: Path) -> None:
    assert files.write_new(tmp_path / "a", b"one")
    assert not files.write_new(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"one"
    assert names(tmp_path) == ["a"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with files.appearing_folder(tmp_path / "new" / "folder") as hidden:
        (hidden / "inside").mkdir()
        (hidden / "inside" / "a").write_bytes(b"x")
        assert not (tmp_path / "new" / "folder").exists()
    assert (tmp_path / "new" / "folder" / "inside" / "a").read_bytes() == b"x"

    def fails() -> None:
        with files.appearing_folder(tmp_path / "new" / "other") as hidden:
            (hidden / "a").write_bytes(b"x")
            raise RuntimeError("full")

    with pytest.raises(RuntimeError):
        fails()
    assert names(tmp_path / "new") == ["folder"]


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys\n"
        "from acestep import files\n"
        "with files.appearing_folder(pathlib.Path(sys.argv[1])) as hidden:\n"
        "    (hidden / 'a').write_bytes(b'half')\n"
        "    os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "folder")], check=False, cwd=ROOT)
    living = tmp_path / f".acestep-{os.getppid()}-abc123.part"
    living.write_bytes(b"in work")
    assert len(names(tmp_path)) == 2
    with files.appearing_folder(tmp_path / "folder"):
        pass
    assert names(tmp_path) == [living.name, "folder"]


def test_nobody_else_writes_a_file_and_renames_it() -> None:
    """What is renamed elsewhere is not a file that was just written; each has its reason."""
    moved = {
        "acestep/files.py",
        "acestep/clips/clip.py",  # a job's hidden folder, whose clips appear together
        "acestep/checkpoints/pull.py",  # a folder that was fetched
        "acestep/training/distill.py",  # the state of a run, written by several processes
        "server/cli/batch/results.py",  # adds a line to a file, and brings it to the disk
        "server/jobs/notes.py",  # writes in place, where the room was taken beforehand
        "server/library/database.py",  # a damaged file is set aside
        "lora_studio/adapters/library.py",  # an adapter that is removed
        "acestep/console/command.py",  # a fault's report, in a new file of the system's temporary folder
        "plugin_bridge/ableton/AceStep/script.py",  # a session's name
    }
    writes = re.compile(  # clips are renamed by the daemon alone, which others ask
        r"(?<!bridge)(?<!calls)(?<!library)\.rename\(|os\.(replace|link|fsync)\(|(hidden|temporary|partial)\.replace\(|NamedTemporaryFile"
    )
    found = {
        path.relative_to(ROOT).as_posix()
        for part in ("acestep", "server", "lora_studio", "plugin_bridge")
        for path in (ROOT / part).rglob("*.py")
        if writes.search(path.read_text("utf-8"))
    }
    assert found <= moved
