"""Which daemon a command means, and flags that a running daemon would ignore: refused with what to do."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.daemon import Daemon
from tests.support.commands import run
from tests.support.daemons import StandIn, running, settings


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with running(settings(tmp_path), StandIn()) as found:
        yield found


@pytest.fixture
def made_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts of clips that the command makes in its own process."""
    prompts: list[str] = []

    def made(config: object, job: Any, bar: object) -> list[Any]:
        prompts.append(job.request.prompt)
        return []

    monkeypatch.setattr("server.cli.generate._here", made)
    return prompts


@pytest.mark.parametrize(
    "flags", [("--samples", "other"), ("--device", "cuda"), ("--planner", "nope"), ("--precision", "int8")]
)
def test_what_a_daemon_chose_at_its_start_cannot_be_chosen_for_one_clip(
    daemon: Daemon, made_here: list[str], flags: tuple[str, str]
) -> None:
    code, out, error = run("generate", "p", *flags)
    assert (code, out) == (2, "")
    assert f"{flags[0]} is chosen when the daemon starts" in error
    assert "--local" in error
    assert (daemon.queue.jobs(), made_here) == ([], [])
    assert run("generate", "p", *flags, "--local")[0] == 0
    assert made_here == ["p"]


def test_flags_that_say_what_the_daemon_runs_with_are_fine(daemon: Daemon, tmp_path: Path) -> None:
    assert run("generate", "p", "--samples", str(tmp_path / "samples"), "--device", "cpu", "--quiet")[0] == 0
    assert run("generate", "p", "--device", "auto", "--precision", "auto", "--quiet")[0] == 0
    (tmp_path / "link").symlink_to(tmp_path / "samples")
    assert run("generate", "p", "--samples", str(tmp_path / "link"), "--quiet")[0] == 0
    assert len(daemon.queue.jobs()) == 3


def test_with_a_home_given_only_its_own_daemon_counts(
    daemon: Daemon, made_here: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACESTEP_GRPC_PORT", str(daemon.grpc.port))
    assert run("generate", "p", "--home", str(tmp_path / "h9"))[0] == 0
    assert (daemon.queue.jobs(), made_here) == ([], ["p"])
    assert "no daemon runs here" in run("status", "--home", str(tmp_path / "h9"))[1]
    stale = tmp_path / "h9"  # its daemon was killed, and the port is another's now
    stale.mkdir(exist_ok=True)
    (stale / "daemon.json").write_bytes(daemon.config.running_file.read_bytes())
    assert run("generate", "p", "--home", str(stale))[0] == 0
    assert (daemon.queue.jobs(), made_here) == ([], ["p", "p"])
    code, _, error = run("generate", "p", "--home", str(stale), "--grpc-port", str(daemon.grpc.port))
    assert code == 1
    assert str(daemon.config.home) in error
    assert run("generate", "p", "--home", str(daemon.config.home), "--quiet")[0] == 0
    assert len(daemon.queue.jobs()) == 1


def test_a_home_that_the_environment_names_is_as_strict_as_the_option(
    daemon: Daemon, made_here: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = str(daemon.grpc.port)
    monkeypatch.setenv("ACESTEP_HOME", str(tmp_path / "h9"))
    for command in (("status",), ("jobs",), ("models",), ("cancel", "x"), ("generate", "p")):
        code, _, error = run(*command, "--grpc-port", port)
        assert code == 1
        assert f"has its home in {daemon.config.home}, not in {tmp_path / 'h9'}" in error
        assert "ACESTEP_HOME" in error
    monkeypatch.setenv("ACESTEP_GRPC_PORT", port)
    assert "no daemon runs here" in run("status")[1]
    assert run("generate", "p")[0] == 0
    assert (daemon.queue.jobs(), made_here) == ([], ["p"])
    monkeypatch.setenv("ACESTEP_HOME", str(daemon.config.home))
    assert run("status", "--grpc-port", port)[0] == 0
    monkeypatch.delenv("ACESTEP_HOME")
    assert run("status", "--grpc-port", port)[0] == 0


@pytest.mark.parametrize("command", [("generate", "p"), ("jobs",), ("status",), ("models",), ("cancel", "x")])
def test_an_address_given_by_hand_has_to_answer(made_here: list[str], command: tuple[str, ...]) -> None:
    with socket.socket() as held:  # bound and not listening: nobody else can answer there
        held.bind(("127.0.0.1", 0))
        port = str(held.getsockname()[1])
        code, out, error = run(*command, "--grpc-port", port)
    assert (code, out) == (1, "")
    assert f"no daemon answers at 127.0.0.1:{port}" in error
    assert "leave out --grpc-port" in error
    assert made_here == []


@pytest.mark.timeout(15)
def test_a_program_that_holds_the_port_and_is_mute_is_not_waited_for_long(made_here: list[str]) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(5)
        code, _, error = run(
            "generate", "p", "--host", "127.0.0.1", "--grpc-port", str(mute.getsockname()[1])
        )
    assert code == 1
    assert "no daemon answers" in error
    assert made_here == []


def test_local_and_an_address_contradict_each_other(made_here: list[str]) -> None:
    code, _, error = run("generate", "p", "--local", "--grpc-port", "50551")
    assert code == 2
    assert "--grpc-port" in error
    assert made_here == []


@pytest.mark.parametrize("option", ["--host", "--osc-host"])
def test_an_address_that_is_not_this_machines_is_said_to_be_none(option: str) -> None:
    ports = ("--grpc-port", "0", "--osc-port", "0", "--osc-allow", "192.0.2.1")
    code, _, error = run("serve", option, "192.0.2.9", *ports)
    assert code == 1
    assert f"192.0.2.9: this machine has no such address; name one of its own with {option}" in error


@pytest.mark.skipif(sys.platform == "win32", reason="ports are held in another way there")
def test_a_taken_grpc_port_is_told_in_our_words_only(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        code, _, error = run("serve", "--grpc-port", str(port), "--osc-port", "0")
    assert code == 1
    assert f"gRPC port {port} on 127.0.0.1 is taken" in error
    raw = capfd.readouterr()
    assert "add_port" not in raw.err + error
    assert "fault of the program" not in error
