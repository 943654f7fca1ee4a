"""`plugin-bridge monitor`: what others send and what the daemon answers, and whether a daemon is there."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plugin_bridge.monitor import Monitor
from tests.support.daemons import WAIT_S, Osc, StandIn, running, settings
from tests.support.live.studio import free_port


@contextlib.contextmanager
def monitoring(port: int) -> Iterator[tuple[list[str], list[str]]]:
    """A running monitor: the lines it shows, and what it tells of the daemon."""
    lines: list[str] = []
    told: list[str] = []
    monitor = Monitor(("127.0.0.1", port), lines.append, tell=told.append)
    stop = threading.Event()
    thread = threading.Thread(target=lambda: monitor.run(stop.is_set))
    thread.start()
    try:
        yield lines, told
    finally:
        stop.set()
        thread.join()
        monitor.close()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_shows_what_others_send_and_what_they_are_answered(tmp_path: Path) -> None:
    with running(settings(tmp_path), StandIn()) as daemon, Osc(daemon.osc.port) as pad:
        with monitoring(daemon.osc.port) as (lines, told):
            until(lambda: told)
            pad.send("tempo", 92.5)
            pad.send("generate", "dusty\x1b[31m break", "bars", 2)
            pad.until("done")
            until(lambda: any("/acestep/done" in line for line in lines))
        assert told == [f"the daemon answers on port {daemon.osc.port}"]
        sender = f"127.0.0.1:{pad.port} → daemon"
        assert any(f"{sender} /acestep/tempo 92.5" in line for line in lines)
        (asked,) = [line for line in lines if "/acestep/generate" in line]
        assert asked.endswith(r"/acestep/generate 'dusty\x1b[31m break' 'bars' 2")
        assert not any("/acestep/heard" in line or "/acestep/monitor" in line for line in lines)


def test_what_others_send_is_told_only_to_those_who_ask_and_until_they_leave(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(running(settings(tmp_path), StandIn()))
        pad, plain, monitor = (stack.enter_context(Osc(daemon.osc.port)) for _ in range(3))
        plain.send("subscribe")
        monitor.send("monitor")
        monitor.send("ping")
        assert monitor.receive()[0] == "pong"  # its own messages are no news to it
        pad.send("bars", 2)
        assert monitor.until("heard")[1] == [f"127.0.0.1:{pad.port}", "/acestep/bars 2"]
        assert set(plain.waiting()) <= {"pong"}
        monitor.send("unsubscribe")
        monitor.waiting()
        pad.send("bars", 3)
        assert pad.waiting() == []
        assert monitor.waiting() == []


def test_it_says_that_no_daemon_is_there_and_when_one_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugin_bridge.monitor.SUBSCRIBE_EVERY_S", 0.1)
    port = free_port()
    with monitoring(port) as (_, told):
        until(lambda: told)
        assert "no daemon answers" in told[0]
        assert "acestep serve" in told[0]
        with running(settings(tmp_path, osc_port=port), StandIn()):
            until(lambda: len(told) == 2)
            assert told[1] == f"the daemon answers on port {port}"
        until(lambda: len(told) == 3)  # and when it is gone again
        assert "no daemon answers" in told[2]
