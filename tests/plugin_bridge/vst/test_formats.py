"""Other formats and hosts: LV2 (its validator, jalv under JACK), CLAP (qtractor's scanner), pedalboard."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.hosts import building
from tests.support.hosts.building import PARAMETERS
from tests.support.hosts.peer import Peer, eventually

pytestmark = [pytest.mark.hosts, pytest.mark.heavy, pytest.mark.timeout(1800)]

SYMBOLS = [name.lower().replace(" ", "_") for name in PARAMETERS]
URI = "urn:acestep:bridge"


def test_the_lv2_bundle_is_valid() -> None:
    building.need("lv2_validate")
    done = building.run(["lv2_validate", *sorted(building.plugin().lv2.glob("*.ttl"))])
    assert "Found 0 errors" in done.stdout + done.stderr


def test_lv2_ports_have_the_symbols_of_the_first_release() -> None:
    building.need("lv2info")
    told = building.run(["lv2info", URI], LV2_PATH=f"{building.plugin().lv2.parent}:/usr/lib/lv2").stdout
    symbols = re.findall(r"Symbol:\s+(\w+)", told)
    assert [symbol for symbol in symbols if symbol in SYMBOLS] == SYMBOLS


def test_the_clap_is_recognised_by_qtractors_scanner() -> None:
    scanner = next(Path("/usr/lib").glob("*/qtractor/qtractor_plugin_scan"), Path("qtractor_plugin_scan"))
    building.need(scanner)
    done = subprocess.run(
        [scanner], input=f"CLAP:{building.plugin().clap}\n", capture_output=True, text=True, timeout=60,
        check=False, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )  # fmt: skip
    assert "CLAP|ACE-Step Bridge|2:2|" in done.stdout, done.stdout + done.stderr


def test_pedalboard_keeps_audio_and_state(tmp_path: Path) -> None:
    def ask(task: str) -> object:
        output = building.run_in_hosts_python("pedalboard_host.py", task, building.plugin().vst3, tmp_path)
        return json.loads(output.strip().splitlines()[-1])

    assert ask("changing_blocks") is True
    state = ask("state")
    assert state == {
        "names": SYMBOLS, "bars": 12, "key": "F# minor", "strength": 0.25, "same_instance": True
    }  # fmt: skip


def test_jalv_under_jack_hands_its_tempo_on(tmp_path: Path) -> None:
    building.need("jackd", "jalv", "jack_transport")
    server = f"acestep-{os.getpid()}"
    environment = {
        **os.environ,
        "JACK_DEFAULT_SERVER": server,
        "JACK_NO_AUDIO_RESERVATION": "1",
        "LV2_PATH": f"{building.plugin().lv2.parent}:/usr/lib/lv2",
        "ACESTEP_HOME": str(tmp_path),
    }
    log = (tmp_path / "jack.log").open("wb")
    with Peer() as peer:
        environment["ACESTEP_OSC_PORT"] = str(peer.port)
        jack = subprocess.Popen(
            ["jackd", "-n", server, "-r", "-d", "dummy", "-r", "48000", "-p", "512"],
            env=environment,
            stdout=log,
            stderr=log,
        )
        jalv = None
        try:
            eventually(
                lambda: "jack" in _ports(environment) or "system:" in _ports(environment), "no JACK", 20
            )
            jalv = subprocess.Popen(
                ["jalv", URI], env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True
            )
            peer.wait_for("/acestep/ping")
            assert jalv.stdin
            transport = subprocess.Popen(
                ["jack_transport"], env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True
            )
            assert transport.stdin
            for word in ("master", "tempo 77", "locate 0", "play"):
                print(word, file=transport.stdin, flush=True)
                time.sleep(0.3)
            time.sleep(1.0)
            print("set trigger 1", file=jalv.stdin, flush=True)
            request = peer.wait_for("/acestep/generate")[0]
            print("stop\nexit", file=transport.stdin, flush=True)
            transport.communicate(timeout=10)
        finally:
            for process in (jalv, jack):  # a killed server stays in JACK's table, which has room for eight
                if process:
                    process.terminate()
                    try:
                        process.communicate(timeout=10)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.communicate()
            log.close()
    assert request[request.index("tempo") + 1] == pytest.approx(77.0)
    assert request[request.index("signature") + 1] == "4/4"


def _ports(environment: dict[str, str]) -> str:
    return subprocess.run(["jack_lsp"], env=environment, capture_output=True, text=True, check=False).stdout
