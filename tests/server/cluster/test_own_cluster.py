"""`--cluster auto` where none runs: a cluster of the daemon's own, which nobody else reaches."""

import importlib.util
import ipaddress
from pathlib import Path

import psutil
import pytest

from tests.support.cluster import OnCluster, alive, ray_folder, soon
from tests.support.daemons import settings

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="`make install-cluster` installs Ray"),
]


def is_loopback(ip: str) -> bool:
    """Also ::ffff:127.0.0.1, as which a socket for both kinds of addresses tells 127.0.0.1."""
    address = ipaddress.ip_address(ip)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def test_it_listens_on_the_loopback_only_keeps_its_token_and_leaves_nothing(tmp_path: Path) -> None:
    with ray_folder(), OnCluster(settings(tmp_path), "auto", "--replicas", "1") as daemon:
        daemon.ready(1)
        job = daemon.ended(daemon.ask(prompt="dusty breakbeat", bpm=120, bars=1, seed=1))
        assert (job.state, len(job.clips)) == ("done", 1)
        processes = psutil.Process(daemon.process.pid).children(recursive=True)
        assert len(processes) > 3
        doors = {
            (one.name(), door.laddr.ip)
            for one in (psutil.Process(daemon.process.pid), *processes)
            for door in one.net_connections("inet")
            if door.status == psutil.CONN_LISTEN
        }
        assert {(name, ip) for name, ip in doors if not is_loopback(ip)} == set()
        assert (daemon.home / "ray_token").stat().st_mode & 0o077 == 0
        assert not (daemon.home / "cluster" / "cascade").exists()  # its replicas have the daemon's own home
        assert daemon.terminate() == 0
        soon(lambda: not any(alive(one.pid) for one in processes))
