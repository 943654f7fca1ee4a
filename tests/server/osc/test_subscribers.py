"""Whoever subscribes, from wherever: no job fails by it, and the daemon never talks to itself."""

import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.daemon import Daemon
from server.jobs.events import Accepted, Hub
from server.osc.monitor import Monitors
from server.osc.packets import Message, encode, parse
from server.osc.socket import OscSocket
from tests.support.daemons import Osc, StandIn, generate, own_address, running, settings, stub

HOSTILE: dict[str, Any] = {
    "port 0": ("127.0.0.1", 0),
    "port 70000": ("127.0.0.1", 70_000),
    "negative port": ("127.0.0.1", -1),
    "port as float": ("127.0.0.1", 9001.0),
    "port as text": ("127.0.0.1", "9001"),
    "no port": ("127.0.0.1",),
    "none": None,
    "unresolvable host": ("no-such-host.invalid", 9001),
    "host of any length": ("a" * 300, 9001),
    "host with a zero": ("127.0.0.1\0", 9001),
    "host that is not a text": (b"\xff\xfe", 9001),
    "host that is a number": (7, 9001),
    "broadcast": ("255.255.255.255", 9001),
    "unreachable": ("240.0.0.1", 9001),
    "other family": ("2001:db8::1", 9001),
}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with running(settings(tmp_path), StandIn()) as found:
        yield found


@pytest.fixture
def osc(daemon: Daemon) -> Iterator[Osc]:
    with Osc(daemon.osc.port) as client:
        yield client


@pytest.mark.parametrize("name", HOSTILE)
def test_no_address_makes_sending_fail(name: str) -> None:
    opened = OscSocket(("127.0.0.1", 0))
    try:
        opened.send(encode("/acestep/pong"), HOSTILE[name])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as friend:
            friend.bind(("127.0.0.1", 0))
            friend.settimeout(5)
            assert opened.send(encode("/acestep/pong"), friend.getsockname())
            assert parse(friend.recv(100)) == [Message("/acestep/pong", ())]
    finally:
        opened.close()


def test_hostile_subscribers_and_audiences_fail_no_job_and_osc_goes_on(daemon: Daemon, osc: Osc) -> None:
    for target in HOSTILE.values():
        if isinstance(target, tuple) and len(target) == 2:
            daemon.osc._listeners._subscribers[target] = target
            daemon.osc._monitors._asked[target] = None
    with stub(daemon.grpc.port) as client:
        assert generate(client, prompt="by gRPC")[-1].WhichOneof("event") == "done"
    osc.send("generate", "by OSC", "takes", 2)
    assert osc.until("done", "error")[0] == "done"
    osc.send("tempo", "no number")
    assert osc.until("error")[1][0] == "invalid_request"
    assert osc.waiting() == []


@pytest.mark.parametrize("port", [0.0, -5, 70_000, 65_536, 2.5, "9001", "", b"\0\0", float("nan")])
def test_a_port_that_is_none_is_refused_and_subscribes_nobody(daemon: Daemon, osc: Osc, port: Any) -> None:
    if isinstance(port, bytes):
        osc.send_bytes(b"/acestep/subscribe\0\0,b\0\0\0\0\0\2\0\0\0\0")
    elif port == 0.0:  # a button that comes up
        osc.send("subscribe", port)
        assert osc.waiting() == []
        return
    else:
        osc.send("subscribe", port)
    assert osc.until("error")[1][0] == "invalid_request"
    assert not daemon.osc._listeners._subscribers


def test_the_daemons_own_port_cannot_be_subscribed(daemon: Daemon, osc: Osc) -> None:
    osc.send("subscribe", daemon.osc.port)
    reason, message, _ = osc.until("error")[1]
    assert reason == "invalid_request"
    assert "daemon's own" in message
    assert osc.waiting() == []
    assert not daemon.osc._listeners._subscribers


@pytest.mark.skipif(not own_address(), reason="this machine has no address but loopback")
def test_nor_by_any_other_address_of_this_machine(tmp_path: Path) -> None:
    host = own_address()
    made = settings(tmp_path, osc_host="0.0.0.0", osc_allow=(host,))
    with running(made, StandIn()) as daemon, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.bind((host, 0))
        client.sendto(encode("/acestep/subscribe", daemon.osc.port), (host, daemon.osc.port))
        (answer,) = parse(client.recv(8_192))
        assert answer.address == "/acestep/error"
        assert "daemon's own" in str(answer.values[1])
        assert not daemon.osc._listeners._subscribers


def test_what_claims_to_come_from_the_daemon_itself_is_not_answered(daemon: Daemon, osc: Osc) -> None:
    forged = ("127.0.0.1", daemon.osc.port)
    for message in (encode("/acestep/subscribe"), encode("/acestep/monitor"), encode("/nonsense")):
        daemon.osc.receive(message, forged)
    assert not daemon.osc._listeners._subscribers
    assert osc.waiting() == []


def test_two_daemons_that_are_subscribed_to_each_other_fall_silent(tmp_path: Path, daemon: Daemon) -> None:
    """What one tells is not a question to the other, so nothing is answered for ever."""
    with (
        running(settings(tmp_path / "second"), StandIn()) as second,
        Osc(daemon.osc.port) as client,
        Osc(second.osc.port) as other,
    ):
        client.send("subscribe", second.osc.port)
        other.send("subscribe", daemon.osc.port)
        client.send("subscribe")
        client.waiting()
        client.send("generate", "p")
        client.until("done")
        client.send("tempo", -1)
        assert client.until("error")
        assert client.waiting() == []


@pytest.mark.parametrize("name", ["pong", "accepted", "error", "state", "heard"])
def test_an_answer_is_no_message_and_is_not_answered(osc: Osc, name: str) -> None:
    osc.send(name, "anything")
    assert osc.waiting() == []


def test_the_port_goes_on_after_an_error_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = OscSocket(("127.0.0.1", 0))
    real, errors = opened._socket, [errno.ENETDOWN, errno.ENOBUFS, errno.ECONNRESET]

    class Flaky:
        def recvfrom(self, size: int) -> Any:
            if errors:
                raise OSError(errors.pop(), "trouble")
            return real.recvfrom(size)

        def close(self) -> None:
            real.close()

    monkeypatch.setattr(opened, "_socket", Flaky())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.sendto(b"hello", ("127.0.0.1", opened.port))
        assert opened.receive() == (b"hello", client.getsockname())
    opened.close()


def test_a_listener_that_fails_harms_neither_the_job_nor_the_others() -> None:
    hub, heard = Hub(), []

    def fails(event: Any) -> None:
        raise OverflowError("sendto(): port must be 0-65535.")

    hub.listen(fails)
    hub.listen(heard.append)
    hub.publish(Accepted("1", 0, 1))
    assert heard == [Accepted("1", 0, 1)]


def test_a_refused_job_leaves_no_audience(daemon: Daemon, osc: Osc) -> None:
    daemon.queue.limit = 0
    osc.send("generate", "p")
    assert osc.until("error")[1][0] == "busy"
    assert not daemon.osc._listeners._audience


@pytest.mark.parametrize("value", [1e300, -1e300, 2**40, -(2**40), float("nan"), float("inf")])
def test_numbers_that_osc_cannot_carry_are_told_as_near_as_can_be(value: float) -> None:
    (message,) = parse(encode("/acestep/progress", value))
    assert len(message.values) == 1


def test_monitors_that_cannot_be_reached_are_no_trouble() -> None:
    opened, monitors = OscSocket(("127.0.0.1", 0)), Monitors()
    monitors.add(("127.0.0.1", 0), ())
    monitors.tell(opened, Message("/acestep/ping", ()), ("127.0.0.1", 9))
    opened.close()
