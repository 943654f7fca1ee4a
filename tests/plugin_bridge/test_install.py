"""Installer, status, doctor and monitor: the folders of three platforms, never over foreign files."""

import hashlib
import json
import os
import re
import shutil
import socket
import threading
from pathlib import Path

import pytest

from plugin_bridge import cli, folders, install
from plugin_bridge.ableton.AceStep import osc
from plugin_bridge.doctor import examine
from plugin_bridge.errors import AlreadyExists, BridgeError, StorageError
from plugin_bridge.monitor import Monitor
from tests.support.live.daemon import Daemon
from tests.support.live.studio import free_port


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The daemon's home; the musician's own home is elsewhere, and empty too."""
    folder = tmp_path / "data"
    monkeypatch.setenv("ACESTEP_HOME", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return folder


def machine(platform: str, user: Path) -> folders.Machine:
    return folders.Machine(platform, user, {})


@pytest.mark.parametrize(
    ("platform", "live", "reaper", "vst3"),
    [
        (
            "darwin",
            "Music/Ableton/User Library/Remote Scripts",
            "Library/Application Support/REAPER/Scripts",
            "Library/Audio/Plug-Ins/VST3",
        ),
        (
            "win32",
            "Documents/Ableton/User Library/Remote Scripts",
            "AppData/Roaming/REAPER/Scripts",
            "AppData/Local/Programs/Common/VST3",
        ),
        ("linux", "Music/Ableton/User Library/Remote Scripts", ".config/REAPER/Scripts", ".vst3"),
    ],
)
def test_each_platform_has_its_folders(
    platform: str, live: str, reaper: str, vst3: str, tmp_path: Path
) -> None:
    here = machine(platform, tmp_path)
    assert folders.live_folder(here) == tmp_path / live
    assert folders.reaper_folder(here) == tmp_path / reaper
    assert folders.plugin_folders(here)[".vst3"] == tmp_path / vst3


def test_a_user_library_that_was_moved_is_found_in_lives_settings(tmp_path: Path) -> None:
    moved = tmp_path / "big disk" / "R&B Library"
    moved.mkdir(parents=True)
    for number, (version, path) in enumerate([("11.3", tmp_path / "old"), ("12.2", moved.parent)]):
        file = tmp_path / "Library" / "Preferences" / "Ableton" / f"Live {version}" / "Library.cfg"
        file.parent.mkdir(parents=True)
        file.write_text(
            f'<Ableton><ContentLibrary><UserLibrary><LibraryProject Id="0"><ProjectName '
            f'Value="R&amp;B Library" /><ProjectPath Value="{path}" /></LibraryProject></UserLibrary>'
        )
        os.utime(file, (1000 + number, 1000 + number))
    assert folders.live_folder(machine("darwin", tmp_path)) == moved / "Remote Scripts"


def test_live_gets_its_script_and_is_told_how_to_start_the_daemon(
    home: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = home.parent / "scripts"
    folder.mkdir()
    assert cli.main(["install", "live", "--folder", str(folder)]) == 0
    names = {path.name for path in (folder / "AceStep").iterdir()}
    assert {"__init__.py", "script.py", "osc.py"} <= names
    assert "Control Surface" in capsys.readouterr().out
    command = json.loads((home / "live.json").read_text())["daemon"]
    assert command[-1] == "serve"
    assert Path(command[0]).is_file()


def test_a_dry_run_writes_nothing(home: Path, capsys: pytest.CaptureFixture) -> None:
    folder = home.parent / "scripts"
    folder.mkdir()
    assert cli.main(["install", "live", "--dry-run", "--folder", str(folder)]) == 0
    assert "would copy" in capsys.readouterr().out
    assert not list(folder.iterdir())
    assert not home.exists()


@pytest.mark.parametrize("target", folders.TARGETS)
@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_mistyped_folder_is_refused_and_not_made(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture, command: str, target: str
) -> None:
    mistyped = tmp_path / "Remote Scirpts"
    assert cli.main([command, target, "--folder", str(mistyped)]) == 2
    told = capsys.readouterr().err
    assert f"there is no folder {mistyped}: expected {folders.MEANT[target]}" in told
    assert not mistyped.exists()


def test_a_folder_is_the_same_wherever_it_is_named_from(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "scripts"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["install", "reaper", "--folder", "scripts"]) == 0
    monkeypatch.chdir(folder)
    assert cli.main(["uninstall", "reaper", "--folder", "."]) == 0
    assert not list(folder.iterdir())


def test_what_lay_in_a_folder_that_is_gone_can_be_forgotten(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scripts"
    folder.mkdir()
    assert cli.main(["install", "reaper", "--folder", str(folder)]) == 0
    shutil.rmtree(folder)
    assert cli.main(["uninstall", "reaper", "--folder", str(folder)]) == 0
    assert json.loads((home / "installed.json").read_text()) == {}


def test_what_is_installed_can_be_taken_away_without_a_trace(home: Path) -> None:
    folder = home.parent / "scripts"
    (folder / "Other").mkdir(parents=True)
    (folder / "Other" / "mine.py").write_text("mine")
    assert cli.main(["install", "live", "--folder", str(folder)]) == 0
    cache = folder / "AceStep" / "__pycache__"
    cache.mkdir()
    (cache / "osc.cpython-311.pyc").write_bytes(b"compiled by Live")
    assert cli.main(["uninstall", "live", "--folder", str(folder), "--dry-run"]) == 0
    assert (folder / "AceStep" / "osc.py").exists()
    assert cli.main(["uninstall", "live", "--folder", str(folder)]) == 0
    assert [path.name for path in folder.iterdir()] == ["Other"]
    assert json.loads((home / "installed.json").read_text()) == {}


def plan(tmp_path: Path, **contents: str) -> folders.Installation:
    source = tmp_path / "source"
    source.mkdir(exist_ok=True)
    files = {}
    for name, text in contents.items():
        (source / name).write_text(text)
        files[f"AceStep/{name}"] = source / name
    return folders.Installation("live", tmp_path / "scripts", files, "")


def test_a_newer_release_replaces_ours_and_removes_what_it_no_longer_has(home: Path, tmp_path: Path) -> None:
    install.install(plan(tmp_path, one="1", two="2"), home)
    newer = plan(tmp_path, one="1.1", three="3")
    assert install.state_of(newer, home) == "older"
    install.install(newer, home)
    inside = tmp_path / "scripts" / "AceStep"
    assert {path.name: path.read_text() for path in inside.iterdir()} == {"one": "1.1", "three": "3"}
    assert install.state_of(newer, home) == "installed"


def test_a_foreign_file_stops_the_installation_before_anything_is_written(home: Path, tmp_path: Path) -> None:
    inside = tmp_path / "scripts" / "AceStep"
    inside.mkdir(parents=True)
    (inside / "two").write_text("somebody else's")
    with pytest.raises(AlreadyExists, match="two"):
        install.install(plan(tmp_path, one="1", two="2"), home)
    assert [path.name for path in inside.iterdir()] == ["two"]


def test_a_changed_file_of_ours_is_neither_overwritten_nor_removed(home: Path, tmp_path: Path) -> None:
    ours = plan(tmp_path, one="1", two="2")
    install.install(ours, home)
    changed = tmp_path / "scripts" / "AceStep" / "one"
    changed.write_text("with my own ideas")
    assert install.state_of(ours, home) == "changed"
    with pytest.raises(AlreadyExists):
        install.install(plan(tmp_path, one="1.1", two="2"), home)
    steps = install.uninstall([tmp_path / "scripts"], home)
    assert {step.path.name: step.action for step in steps} == {"one": "leave", "two": "remove"}
    assert changed.read_text() == "with my own ideas"


def test_a_folder_that_cannot_be_written_is_told(home: Path, tmp_path: Path) -> None:
    (tmp_path / "scripts").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="--folder"):
        install.install(plan(tmp_path, one="1"), home)


def test_the_musicians_settings_stay_when_the_daemons_command_is_added(home: Path) -> None:
    home.mkdir()
    (home / "live.json").write_text('{"port": 9200}')
    install.write_live_settings(home, ["acestep", "serve"])
    install.write_live_settings(home, ["another"])
    assert json.loads((home / "live.json").read_text()) == {"port": 9200, "daemon": ["acestep", "serve"]}
    (home / "live.json").write_text("{")
    with pytest.raises(BridgeError, match="broken"):
        install.write_live_settings(home, ["acestep"])
    (home / "live.json").write_bytes(b'{"host": "\xff"}')
    with pytest.raises(BridgeError, match="it is not UTF-8 text"):
        install.write_live_settings(home, ["acestep"])


def test_built_plugins_go_to_the_folders_of_their_formats(home: Path, tmp_path: Path) -> None:
    built = tmp_path / "build" / "Release"
    for name in (
        "ACE-Step.vst3/Contents/x86_64-linux/ACE-Step.so",
        "ACE-Step.lv2/manifest.ttl",
        "ACE-Step.clap",
    ):
        (built / name).parent.mkdir(parents=True, exist_ok=True)
        (built / name).write_bytes(b"plugin")
    (built / "ACE-Step.clap").chmod(0o755)
    user = tmp_path / "user"
    for one in folders.plans("vst", machine("linux", user), built=tmp_path / "build"):
        install.install(one, home)
    assert (user / ".vst3" / "ACE-Step.vst3" / "Contents" / "x86_64-linux" / "ACE-Step.so").is_file()
    assert (user / ".lv2" / "ACE-Step.lv2" / "manifest.ttl").is_file()
    assert os.access(user / ".clap" / "ACE-Step.clap", os.X_OK)


def test_plugins_for_another_system_are_not_installed(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for system, beginning in (("windows", b"MZ\x90\x00"), ("linux", b"\x7fELF")):
        (tmp_path / "build" / system).mkdir(parents=True)
        (tmp_path / "build" / system / "ACE-Step.clap").write_bytes(beginning)
    for platform, folder in (("linux", "linux"), ("win32", "windows")):
        (one,) = folders.plans("vst", machine(platform, tmp_path), built=tmp_path / "build")
        assert one.files["ACE-Step.clap"].parent.name == folder
    with pytest.raises(BridgeError, match="another system"):
        folders.plans("vst", machine("darwin", tmp_path), built=tmp_path / "build")


def test_a_release_whose_files_are_not_those_of_its_sums_is_refused(home: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "release" / "ACE-Step.clap"
    plugin.parent.mkdir()
    plugin.write_bytes(b"plugin")
    sum_of = hashlib.sha256(b"plugin").hexdigest()
    (plugin.parent / "SHA256SUMS").write_text(f"{sum_of}  ACE-Step.clap\n")
    assert len(folders.plans("vst", machine("linux", tmp_path), built=plugin.parent)) == 1
    plugin.write_bytes(b"plugin, damaged on its way")
    with pytest.raises(BridgeError, match=r"ACE-Step\.clap .*SHA256SUMS"):
        folders.plans("vst", machine("linux", tmp_path), built=plugin.parent)
    (plugin.parent / "SHA256SUMS").write_text(f"{sum_of}  another.clap\n")
    with pytest.raises(BridgeError, match=r"ACE-Step\.clap .*SHA256SUMS"):
        folders.plans("vst", machine("linux", tmp_path), built=plugin.parent)


def test_without_a_built_plugin_the_fix_is_named(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(["install", "vst", "--from", str(tmp_path)]) == 2
    assert "--from" in capsys.readouterr().err


def test_the_installer_looks_where_the_plugins_readme_builds() -> None:
    root = Path(folders.__file__).parents[1]
    readme = (root / "plugin_bridge" / "vst" / "README.md").read_text("utf-8")
    built = re.search(r"^cmake -S plugin_bridge/vst -B (\S+)", readme, re.MULTILINE)
    assert built is not None
    assert root / built[1] in folders.BUILT
    assert "plugin-bridge install vst" in readme


def test_a_plugin_built_as_the_readme_says_is_found_without_naming_its_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(folders, "BUILT", (tmp_path / "build", tmp_path / "other"))
    assert cli.main(["install", "vst"]) == 2
    told = capsys.readouterr().err
    assert str(tmp_path / "build") in told
    assert "cmake --build" in told
    (tmp_path / "build" / "bin").mkdir(parents=True)
    (tmp_path / "build" / "bin" / "AceStepBridge.clap").write_bytes(b"plugin")
    (tmp_path / "plugins").mkdir()
    assert cli.main(["install", "vst", "--folder", str(tmp_path / "plugins")]) == 0
    assert (tmp_path / "plugins" / "AceStepBridge.clap").read_bytes() == b"plugin"


def test_status_tells_each_target(home: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["install", "reaper"]) == 0
    assert cli.main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    states = {line.split()[0]: line.split()[1] for line in lines if line.split()[:1] and line[0] in "lvr"}
    assert (states["live"], states["reaper"]) == ("absent", "installed")
    assert cli.main(["status", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows["live"]) == {"name", "title", "state", "installed", "where", "note", "install"}
    assert (rows["live"]["installed"], rows["reaper"]["installed"]) == (False, True)


def test_usage_errors_are_exit_code_2_and_help_loads_no_grpc(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["install", "cubase"]) == 2
    assert cli.main(["--help"]) == 0


def test_the_doctor_of_a_machine_without_a_daemon_says_how_to_start_it(
    home: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACESTEP_ADDRESS", "127.0.0.1:9")
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "FAIL" in out
    assert "acestep serve" in out


@pytest.mark.heavy
def test_the_doctor_finds_a_running_daemon_healthy(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ACESTEP_HOME", str(daemon.home))
    findings = list(examine(machine("linux", tmp_path), daemon.home))
    assert not [finding.text for finding in findings if finding.good is False]
    assert any("OSC" in finding.text and finding.good for finding in findings)
    (daemon.home / "presets.json").write_text("[{}]")
    findings = list(examine(machine("linux", tmp_path), daemon.home))
    (daemon.home / "presets.json").unlink()
    assert ["presets.json" in finding.text for finding in findings if finding.good is False] == [True]


def test_the_doctor_names_an_installed_script_of_another_wire_version(home: Path, tmp_path: Path) -> None:
    here = machine("linux", tmp_path)
    (script,) = folders.plans("live", here)
    install.install(script, home)
    file = script.folder / "AceStep" / "daemon.py"
    file.write_text(file.read_text().replace('WIRE_VERSION = "1"', 'WIRE_VERSION = "0"'))
    bad = [finding.text for finding in examine(here, home) if finding.good is False]
    assert any("wire version 0" in text and "plugin-bridge install live" in text for text in bad)


@pytest.mark.heavy
def test_the_monitor_prints_requests_and_answers_of_a_controller(daemon: Daemon) -> None:
    lines: list[str] = []
    monitor = Monitor(("127.0.0.1", daemon.osc_port), lines.append, relay_port=0)
    stop = threading.Event()
    thread = threading.Thread(target=lambda: monitor.run(stop.is_set))
    thread.start()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as controller:
            controller.settimeout(5)
            controller.sendto(osc.encode("/acestep/ping"), ("127.0.0.1", monitor.relay_port))
            ((address, _),) = osc.decode(controller.recv(8192))
            controller.sendto(b"\0", ("127.0.0.1", monitor.relay_port))
            controller.recv(8192)  # the daemon's complaint
    finally:
        stop.set()
        thread.join()
        monitor.close()
    assert address == "/acestep/pong"
    assert any("→ daemon /acestep/ping" in line for line in lines)
    assert any("daemon → /acestep/pong" in line for line in lines)
    assert any("no OSC" in line for line in lines)


def test_the_monitor_survives_a_daemon_that_is_not_there() -> None:
    monitor = Monitor(("127.0.0.1", free_port()), lambda line: None)
    turns = iter(range(3))
    monitor.run(lambda: next(turns, None) is None)
    monitor.close()
