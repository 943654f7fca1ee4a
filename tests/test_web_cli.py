"""`acestep web`: flags, ports and what is missing, each in a process of its own."""

import contextlib
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from plugin_bridge.web import cli
from plugin_bridge.web.daemon import OwnDaemon

needs_gradio = pytest.mark.skipif(find_spec("gradio") is None, reason="the page is an optional part")
ROOT = Path(__file__).resolve().parent.parent


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
def page() -> Iterator[str]:
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
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield re.search(r"http://\S+", process.stdout.readline())[0]  # type: ignore[index]
        finally:
            process.terminate()


@pytest.mark.heavy
@needs_gradio
def test_it_serves_the_page_and_its_files_without_a_daemon(page: str) -> None:
    for path, expected in (("", "ACE-Step bridge"), ("bridge/static/main.js", "import")):
        with urllib.request.urlopen(page + path) as answer:
            assert expected in answer.read().decode()
