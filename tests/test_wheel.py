"""The wheel as somebody else installs it: in an environment of its own, outside of the checkout, offline."""

import json
import re
import subprocess
import urllib.error
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath

import pytest
import soundfile

from acestep.version import __version__
from tests.support.fresh import RELEASES, Fresh, build_wheel, install

pytestmark = pytest.mark.heavy
PACKAGES = {"acestep", "server", "protos", "plugin_bridge", "lora_studio"}
CARRIED = {".py", ".pyi", ".typed", ".json", ".safetensors", ".proto", ".html", ".js", ".css", ".lua", ".mp3"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    return install(wheel, tmp_path_factory.mktemp("fresh"), "web")


def test_it_carries_what_runs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [PurePosixPath(name) for name in archive.namelist() if not name.endswith("/")]
    packages = [name for name in names if not name.parts[0].endswith(".dist-info")]
    assert {name.parts[0] for name in packages} == PACKAGES
    others = [str(name) for name in packages if name.suffix not in CARRIED]
    assert sorted(others) == [
        "acestep/hearing/pitches.LICENSE",  # of a network by others
        "acestep/nano/weights/README.md",  # the model's card
    ]
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(map(str, packages))


def test_all_of_it_comes_from_there(fresh: Fresh) -> None:
    script = (
        f"import {', '.join(sorted(PACKAGES))}; print({', '.join(f'{p}.__file__' for p in sorted(PACKAGES))})"
    )
    done = fresh.run("python", "-c", script)
    assert done.returncode == 0, done.stderr
    assert all(Path(file).is_relative_to(fresh.packages) for file in done.stdout.split())


def test_a_clip_is_made(fresh: Fresh) -> None:
    asked = ("dusty breakbeat", "--bpm", "120", "--bars", "2", "--seed", "7", "--local", "--quiet")
    done = fresh.run("acestep", "generate", *asked)
    assert done.returncode == 0, done.stderr
    clip = Path(done.stdout.strip())
    assert clip.is_relative_to(fresh.user / "samples")
    assert soundfile.info(clip).frames == 2 * 4 * 48_000 // 2
    assert json.loads(clip.with_name(f"{clip.name}.json").read_text("utf-8"))["request"]["seed"] == 7


def test_the_page_answers_and_starts_a_daemon(fresh: Fresh) -> None:
    command = [str(fresh.commands / "acestep"), "web", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=fresh.user, env=fresh.environment
    ) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(found[0].partition("?")[0])
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with browser.open(found[0]) as answer:
                assert "ACE-Step bridge" in answer.read().decode()
        finally:
            process.terminate()
            process.wait(60)


def test_assistants_find_the_tools(fresh: Fresh) -> None:
    told = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": told}
    done = subprocess.run(
        [str(fresh.commands / "acestep"), "mcp", "--no-start"],
        input=json.dumps(asked) + "\n", capture_output=True, text=True, check=False, timeout=60,
        cwd=fresh.user, env=fresh.environment,
    )  # fmt: skip
    assert "generate_clip" in json.loads(done.stdout)["result"]["instructions"], done.stderr


@pytest.mark.parametrize("command", ["acestep", "lora_studio", "plugin-bridge"])
def test_the_commands_tell_how_they_are_used(fresh: Fresh, command: str) -> None:
    done = fresh.run(command, "--help")
    assert (done.returncode, done.stdout.split()[:2]) == (0, ["usage:", command]), done.stderr
    version = fresh.run(command, "--version")
    assert version.returncode == 0, version.stderr


def test_the_bridges_are_installed_and_taken_away(fresh: Fresh) -> None:
    for target, file in (("live", "AceStep/__init__.py"), ("reaper", "ACE-Step/acestep.py")):
        folder = fresh.user / target
        folder.mkdir()
        done = fresh.run("plugin-bridge", "install", target, "--folder", folder)
        assert done.returncode == 0, done.stderr
        assert (folder / file).is_file()
        assert fresh.run("plugin-bridge", "uninstall", target, "--folder", folder).returncode == 0
        assert not (folder / file).exists()
    settings = json.loads((fresh.user / "home" / "live.json").read_text("utf-8"))
    assert Path(settings["daemon"][0]).is_relative_to(fresh.commands)


def test_plugins_of_a_release_are_installed_and_without_them_it_says_where_to_get_them(fresh: Fresh) -> None:
    done = fresh.run("plugin-bridge", "install", "vst")
    assert done.returncode == 1
    assert f"{RELEASES}/v{__version__}/plugins.json cannot be downloaded" in done.stderr
    assert "--from" in done.stderr
    assert "clone of the repository" in done.stderr
    release = fresh.user / "release"
    release.mkdir()
    (release / "AceStepBridge.clap").write_bytes(b"plugin")
    done = fresh.run("plugin-bridge", "install", "vst", "--from", release)
    assert done.returncode == 0, done.stderr
    assert (fresh.user / ".clap" / "AceStepBridge.clap").read_bytes() == b"plugin"
