"""The page with a daemon elsewhere, and with none: it fetches what it shows, starts what it needs."""

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Tab, serving
from tests.support.daemons import Process, certify, own_address, settings
from tests.support.studio import cards, generate, needs_browser

pytestmark = needs_browser


def test_a_daemon_elsewhere_is_reached_by_tls_and_token_and_its_clips_come_here(
    driver: Any, cascade: str, tmp_path: Path
) -> None:
    host = own_address()
    if not host:
        pytest.skip("this machine has no address but loopback")
    made = settings(tmp_path / "far")
    certificate = certify(made.home, host)
    with Process(made, "--host", host, "--cascade", cascade) as daemon:
        address = f"{host}:{daemon.grpc_port}"
        secrets = {"ACESTEP_TOKEN": "wrong", "ACESTEP_CERTIFICATE": str(certificate)}
        with serving(address, tmp_path / "near", environment=secrets) as page:
            driver.get(page)
            tab = Tab(driver, page)
            tab.until(lambda: tab.all('.pill[data-state="down"]'), "refusal")
            tab.until(lambda: "token" in " ".join(tab.texts(".pill")), "the daemon's own words")
        secrets["ACESTEP_TOKEN"] = (made.home / "token").read_text().strip()
        with serving(address, tmp_path / "near", environment=secrets) as page:
            tab = Tab(driver, page).open()
            generate(tab, "from afar", bars="1", takes="1")
            [path] = cards(tab, 1)
            assert path.is_relative_to(made.samples)
            tab.press("More like this", ".card")
            tab.until(lambda: tab.all('.picker.filled[data-role="reference"]'), "reference")
            tab.click("#go")
            cards(tab, 2)
            # The reference was sent to the daemon; its name there is enough to make the clip again.
            tab.press("Again", ".card")
            tab.until(lambda: tab.value("#seed"), "kept seed")
            tab.click("#go")
            cards(tab, 3)
            tab.show("Set-up")
            tab.until(lambda: any(address in text for text in tab.texts(".panel")), "its address")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_where_no_daemon_runs_the_page_starts_one_again_on_request_and_ends_it_with_itself(
    driver: Any, tmp_path: Path
) -> None:
    port, home = free_port(), tmp_path / "home"
    flags = ("--samples", str(tmp_path / "samples"), "--osc-port", "0")
    with serving(f"127.0.0.1:{port}", home, *flags) as page:
        tab = Tab(driver, page).open()
        assert listens(port)
        os.kill(_process_of(home), signal.SIGKILL)
        tab.until(lambda: tab.all('.pill[data-state="down"]'), "sign that the daemon is gone")
        tab.click("#start-daemon")
        tab.until(lambda: tab.all('.pill[data-state="up"]'), "daemon that is back")
        tab.show("Set-up")
        tab.until(lambda: "Started by this page" in " ".join(tab.texts(".panel")), "who started it")
        assert str(tmp_path / "samples") in " ".join(tab.texts(".panel"))
    deadline = time.monotonic() + 30
    while listens(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not listens(port), "the daemon outlived the page that started it"


def _process_of(home: Path) -> int:
    return int(json.loads((home / "daemon.json").read_text())["pid"])
