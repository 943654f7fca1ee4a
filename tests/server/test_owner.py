"""The daemon's own user on this machine may name any file and folder; nobody else may."""

import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import soundfile

from plugin_bridge import Bridge, errors
from protos import OWNER_KEY
from protos.acestep.v1 import acestep_pb2 as pb
from server.cli import acestep as cli
from server.daemon import Daemon
from server.security import is_owner
from tests.support.daemons import StandIn, reason, running, settings, stub


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon that its own user finds by its home, as at home."""
    monkeypatch.setenv("ACESTEP_HOME", str(tmp_path / "home"))
    with running(settings(tmp_path), StandIn()) as found:
        yield found


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that no setting allows, with a file in it."""
    folder = tmp_path / "clone"
    folder.mkdir()
    soundfile.write(folder / "drums.wav", np.zeros(48_000, np.float32), 48_000)
    monkeypatch.chdir(folder)
    return folder


def test_the_command_line_reads_and_writes_wherever_its_user_may(
    daemon: Daemon, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        cli.main(["generate", "pad", "--context", "drums.wav", "--out", "clips", "--bpm", "120", "--quiet"])
        == 0
    )
    clip = Path(capsys.readouterr().out.strip())
    assert (clip.parent, clip.is_file()) == (outside / "clips", True)
    (job,) = daemon.queue.jobs()
    assert job.request.context is not None
    assert job.request.context.path == str(outside / "drums.wav")  # the sidecar names the file itself
    assert cli.main(["generate", "--from", str(clip) + ".json", "--quiet"]) == 0


def test_a_python_program_names_files_relative_to_where_it_runs(daemon: Daemon, outside: Path) -> None:
    with Bridge() as bridge:
        (clip,) = bridge.generate("pad", context="drums.wav", bpm=120, folder=outside).clips()
    assert Path(clip.path).parent == outside
    with Bridge(own_files=False) as bridge, pytest.raises(errors.ForbiddenPath):
        bridge.generate("pad", context="drums.wav").clips()


@pytest.mark.parametrize("key", ["", "wrong"])
def test_without_the_key_the_folders_stay_as_they_are_set(daemon: Daemon, outside: Path, key: str) -> None:
    request = pb.GenerateRequest(prompt="p", context=pb.AudioRange(path=str(outside / "drums.wav")))
    with stub(daemon.grpc.port) as caller, pytest.raises(grpc.RpcError) as refused:
        list(caller.Generate(request, metadata=((OWNER_KEY, key),)))
    assert reason(refused.value) == "forbidden_path"


@pytest.mark.skipif(sys.platform == "win32", reason="rights are other things there")
def test_the_key_is_its_users_alone_new_at_each_start_and_gone_at_the_end(tmp_path: Path) -> None:
    made = settings(tmp_path)
    keys = []
    for _ in range(2):
        with running(made, StandIn()):
            assert stat.S_IMODE(made.owner_file.stat().st_mode) == 0o600
            keys.append(made.owner_file.read_text())
        assert not made.owner_file.exists()
    assert keys[0] != keys[1]


def test_only_callers_of_this_machine_can_be_the_owner() -> None:
    for peer in ("ipv4:127.0.0.1:5000", "ipv6:%5B::1%5D:5000", "unix:/run/acestep"):
        assert is_owner("secret", "secret", peer)
        assert not is_owner("secret", "", peer)
        assert not is_owner("", "", peer)
    for peer in ("ipv4:192.168.1.7:5000", "ipv6:[2001:db8::1]:5000", "somewhere"):
        assert not is_owner("secret", "secret", peer)
