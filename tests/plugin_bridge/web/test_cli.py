"""`acestep web`: flags, ports and what is missing, each in a process of its own."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from plugin_bridge.errors import InvalidRequest
from plugin_bridge.web import cli
from plugin_bridge.web.daemon import OwnDaemon
from plugin_bridge.web.keys import read_or_create_token
from tests.support.daemons import Process, certify, own_address, settings

needs_gradio = pytest.mark.skipif(find_spec("gradio") is None, reason="the page is an optional part")
ROOT = Path(__file__).resolve().parents[3]


def test_help_loads_no_gradio() -> None:
    script = (
        "import sys, plugin_bridge.web, plugin_bridge.web.cli as cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'gradio', 'grpc', 'uvicorn'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--daemon" in done.stdout


def test_without_the_extra_it_says_how_to_get_it() -> None:
    script = (
        "import sys; sys.modules['gradio'] = None\n"
        "import plugin_bridge.web.cli as cli; sys.exit(cli.main([]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 1
    assert "gradio" in done.stderr
    assert "-m pip install gradio" in done.stderr


@needs_gradio
def test_a_taken_port_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert cli.main(["--port", str(taken.getsockname()[1])]) == 1
    assert "--port" in capsys.readouterr().err


@needs_gradio
def test_a_certificate_without_its_key_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--certificate", "x.pem"]) == 2
    assert "--private-key" in capsys.readouterr().err


def test_a_daemon_that_cannot_start_leaves_its_last_words() -> None:
    own = OwnDaemon(["--grpc-port", "no-port"])
    own.start()
    own.stop()
    state = own.state()
    assert (state["started"], state["running"]) == (True, False)
    assert state["command"] == "acestep serve --grpc-port no-port"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[str]:
    """The address that the command prints."""
    command = [
        sys.executable,
        "-m",
        "plugin_bridge.web",
        "--port",
        "0",
        "--no-start",
        "--daemon",
        "127.0.0.1:9",
    ]
    env = {**os.environ, "ACESTEP_HOME": str(tmp_path / "home")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env) as process:
        assert process.stdout is not None
        try:
            yield re.search(r"http://\S+", process.stdout.readline())[0]  # type: ignore[index]
        finally:
            process.terminate()


@pytest.mark.heavy
@needs_gradio
def test_it_serves_the_page_and_its_files_without_a_daemon_to_whom_it_gave_the_token(page: str) -> None:
    plain = page.partition("?")[0]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(plain)
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(page) as answer:
        assert "ACE-Step bridge" in answer.read().decode()
    with browser.open(plain + "bridge/static/main.js") as answer:
        assert "import" in answer.read().decode()
    for closed in ("gradio_api/proxy=http://x", "login", "monitoring"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            browser.open(plain + closed)
    with pytest.raises(
        urllib.error.HTTPError, match="503"
    ):  # only clips, and who would know them is not there
        browser.open(plain + "gradio_api/file=/etc/passwd")


@pytest.mark.heavy
@needs_gradio
def test_flags_for_a_daemon_of_its_own_are_said_to_be_unused_where_one_runs(tmp_path: Path) -> None:
    with contextlib.closing(socket.socket()) as runs:
        runs.bind(("127.0.0.1", 0))
        runs.listen()
        address = f"127.0.0.1:{runs.getsockname()[1]}"
        flags = ["--port", "0", "--daemon", address, "--samples", str(tmp_path)]
        env = {**os.environ, "ACESTEP_HOME": str(tmp_path / "home")}
        command = [sys.executable, "-m", "plugin_bridge.web", *flags]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env) as process:
            assert process.stderr is not None
            told = process.stderr.readline()
            process.terminate()
    assert told.startswith(f"a daemon runs at {address} already: --samples would only count")


posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no modes")


@posix
def test_the_pages_token_is_kept_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "page-token"
    token = read_or_create_token(file)
    assert (len(token) >= 32, read_or_create_token(file)) == (True, token)
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with pytest.raises(InvalidRequest, match="chmod 600"):
        read_or_create_token(file)
    file.chmod(0o600)
    for text in ("", "short", "x" * 20 + "; path=/", "é" * 20):
        file.write_text(text)
        with pytest.raises(InvalidRequest, match="delete it"):
            read_or_create_token(file)


@needs_gradio
def test_a_daemons_certificate_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cert.pem"
    assert cli.main(["--port", "0", "--daemon", "192.0.2.1:5", "--daemon-certificate", str(file)]) == 2
    assert f"--daemon-certificate {file} is not there" in capsys.readouterr().err


@pytest.mark.heavy
@needs_gradio
def test_a_daemon_elsewhere_is_reached_with_the_certificate_that_is_named(tmp_path: Path) -> None:
    host = own_address()
    if not host:
        pytest.skip("this machine has no address but loopback")
    far = settings(tmp_path / "far")
    certificate = certify(far.home, host)
    shutil.copy(certificate, tmp_path / "theirs.pem")
    with Process(far, "--host", host) as daemon:
        command = [sys.executable, "-m", "plugin_bridge.web", "--port", "0"]
        command += ["--daemon", f"{host}:{daemon.grpc_port}", "--daemon-certificate", "theirs.pem"]
        token = (far.home / "token").read_text().strip()
        env = {**os.environ, "ACESTEP_TOKEN": token, "ACESTEP_HOME": str(tmp_path / "near")}
        env |= {"PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=env) as process:
            assert process.stdout is not None
            try:
                page = re.search(r"http://\S+", process.stdout.readline())[0]  # type: ignore[index]
                browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
                browser.open(page).read()
                address = page.partition("?")[0]
                with browser.open(f"{address}bridge/models") as answer:
                    assert "nano" in answer.read().decode()
            finally:
                process.terminate()


@posix
@needs_gradio
def test_a_key_that_others_can_read_or_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for file in (certificate, key):
        file.write_text("no PEM")
    flags = ["--port", "0", "--certificate", str(certificate), "--private-key", str(key)]
    key.chmod(0o644)
    assert cli.main(flags) == 2
    assert "chmod 600" in capsys.readouterr().err
    key.chmod(0o600)
    assert cli.main(flags) == 2
    assert "PEM" in capsys.readouterr().err
