"""Both Python clients say why an upload was refused, also where that comes while they still send."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plugin_bridge import AsyncBridge, Bridge, errors
from protos.acestep.v1 import acestep_pb2 as pb
from server.daemon import Daemon
from server.grpc.quotas import UPLOADS
from tests.support.daemons import StandIn, running, settings, stub, until
from tests.support.live.studio import write_wav

Upload = Callable[[Path], Any]
TIMES = 12  # whether the refusal or the next chunk is first is chance


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with running(settings(tmp_path, max_upload_mb=1), StandIn()) as daemon:
        yield daemon


@pytest.fixture(params=["sync", "asyncio"])
def upload(request: pytest.FixtureRequest, daemon: Daemon) -> Upload:
    address = f"127.0.0.1:{daemon.grpc.port}"

    def blocking(path: Path) -> Any:
        with Bridge(address) as bridge:
            return bridge.upload(path)

    async def waiting(path: Path) -> Any:
        async with AsyncBridge(address) as bridge:
            return await bridge.upload(path)

    return blocking if request.param == "sync" else lambda path: asyncio.run(waiting(path))


@pytest.fixture
def large(tmp_path: Path) -> Path:
    (tmp_path / "large.wav").write_bytes(bytes(20 << 20))
    return tmp_path / "large.wav"


def test_one_that_is_too_large(upload: Upload, daemon: Daemon, large: Path) -> None:
    for _ in range(TIMES):
        with pytest.raises(errors.InvalidRequest, match="larger than 1 MB"):
            upload(large)
    assert list(daemon.config.uploads.iterdir()) == []


def test_one_that_is_no_audio(upload: Upload, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_bytes(b"no audio" * 100_000)
    with pytest.raises(errors.UnreadableAudio, match=r"text\.wav"):
        upload(tmp_path / "text.wav")
    (tmp_path / "text.txt").write_bytes(b"no audio")
    with pytest.raises(errors.InvalidRequest, match="ending"):
        upload(tmp_path / "text.txt")


def test_one_too_many(upload: Upload, daemon: Daemon, large: Path, tmp_path: Path) -> None:
    end = threading.Event()

    def slow() -> Iterator[pb.UploadChunk]:
        yield pb.UploadChunk(name="x.wav", data=b"R")
        end.wait()

    with stub(daemon.grpc.port) as client:
        calls = [client.Upload.future(slow()) for _ in range(UPLOADS.per_address)]
        until(lambda: len(list(daemon.config.uploads.iterdir())) == len(calls))
        for _ in range(TIMES):
            with pytest.raises(errors.Busy, match="uploads are open"):
                upload(large)
        end.set()
        for call in calls:
            call.cancel()
    until(lambda: not list(daemon.config.uploads.iterdir()))
    assert upload(write_wav(tmp_path / "mine.wav", 1)).duration_s == pytest.approx(1)


def test_one_whose_file_cannot_be_read_to_its_end(upload: Upload, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.symlink_to("/proc/self/mem")  # opens, but reading it fails
    if not broken.exists():
        pytest.skip("this system has no file that opens and cannot be read")
    with pytest.raises(errors.InvalidRequest, match=r"broken\.wav cannot be read"):
        upload(broken)


def test_one_whose_task_is_cancelled_is_ended(tmp_path: Path) -> None:
    made = settings(tmp_path, max_upload_mb=1000)
    huge = tmp_path / "huge.wav"
    with huge.open("wb") as file:
        file.truncate(900 << 20)

    async def give_up(port: int) -> None:
        async with AsyncBridge(f"127.0.0.1:{port}") as bridge:
            task = asyncio.ensure_future(bridge.upload(huge))
            while not list(made.uploads.iterdir()):
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with running(made, StandIn()) as daemon:
        asyncio.run(give_up(daemon.grpc.port))
        until(lambda: not list(made.uploads.iterdir()))
