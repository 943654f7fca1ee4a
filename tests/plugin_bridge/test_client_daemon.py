"""The Python client, synchronous and asyncio, against the real daemon with a real (tiny) cascade."""

import asyncio
import inspect
import threading
import time
from pathlib import Path

import pytest

from plugin_bridge import AsyncBridge, Bridge, errors
from plugin_bridge.words import Accepted, Audio, ClipReady, Done, Failed, Progress
from tests.support.daemons import certify, own_address
from tests.support.live.daemon import Daemon
from tests.support.live.studio import write_wav

pytestmark = pytest.mark.heavy


@pytest.fixture
def bridge(daemon: Daemon) -> Bridge:
    with Bridge(daemon.address) as bridge:
        yield bridge  # type: ignore[misc]


def test_a_job_is_accepted_makes_progress_sounds_early_and_ends_with_its_clips(bridge: Bridge) -> None:
    events = list(
        bridge.generate("rain", bpm=92.5, bars=2, takes=2, seed=7, key="A minor", stream_audio=True)
    )
    assert isinstance(events[0], Accepted)
    assert events[0].seed == 7
    assert isinstance(events[-1], Done)
    assert events[-1].clips == 2
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(fractions)
    sound = [event for event in events if isinstance(event, Audio)]
    assert {event.take for event in sound} == {0, 1}
    assert all(len(event.pcm_f32le) % (4 * event.channels) == 0 for event in sound)
    clips = [event.clip for event in events if isinstance(event, ClipReady)]
    assert [(clip.take, clip.seed) for clip in clips] == [(0, 7), (1, 8)]
    assert clips[0].samples == round(8 * 60 / 92.5 * 48_000)
    assert clips[0].fit in ("good", "poor", "untouched", "unmeasured")  # noise may have nothing to measure
    assert all(Path(clip.path).is_file() for clip in clips)


def test_waiting_for_the_clips_is_one_call(bridge: Bridge) -> None:
    (clip,) = bridge.generate("wind", bars=1).clips()
    assert clip.prompt == "wind"
    assert clip in bridge.clips("wind")


def test_cancelling_from_another_thread_raises_cancelled(bridge: Bridge) -> None:
    events = bridge.generate("long, and cancelled by another thread", bars=64)
    threading.Timer(0.3, events.cancel).start()
    with pytest.raises(errors.Cancelled):
        list(events)
    _wait_until_idle(bridge)
    assert [job.state for job in bridge.jobs() if "another thread" in job.prompt] == ["cancelled"]


def test_cancelling_a_job_by_its_id_ends_the_call_with_the_reason(bridge: Bridge) -> None:
    events = bridge.generate("also long", bars=64)
    first = next(events)
    bridge_2 = Bridge(bridge.target.address)
    assert bridge_2.cancel(first.job).id == first.job
    bridge_2.close()
    _wait_until_idle(bridge)
    (job,) = [job for job in bridge.jobs() if job.id == first.job]
    assert (job.state, job.reason) == ("cancelled", "cancelled")


def test_a_detached_job_goes_on_and_can_be_watched_from_its_beginning(bridge: Bridge) -> None:
    with bridge.generate("detached", bars=1, detached=True) as events:
        job = next(events).job
    watched = list(bridge.watch(job))
    assert isinstance(watched[0], Accepted)
    assert isinstance(watched[-1], Done)


def test_watching_everything_hears_other_peoples_jobs(bridge: Bridge) -> None:
    heard: list[type] = []
    everything = bridge.watch()

    def listen() -> None:
        for event in everything:
            heard.append(type(event))
            if isinstance(event, Done | Failed):
                return

    listener = threading.Thread(target=listen)
    listener.start()
    time.sleep(0.3)  # the daemon hears of the subscription
    bridge.generate("heard", bars=1).clips()
    listener.join(120)
    assert heard[0] is Accepted
    assert heard[-1] is Done


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"bpm": 5.0}, errors.InvalidRequest, "30"),
        ({"signature": "5/5"}, errors.InvalidRequest, "time signature"),
        ({"key": "H minor"}, errors.InvalidRequest, "key"),
        ({"context": "/etc/passwd"}, errors.ForbiddenPath, "allowed folders"),
        ({"folder": "/etc"}, errors.ForbiddenPath, "allowed folders"),
        ({"cascade": "nobody"}, errors.NotFound, "nobody"),
        ({"reference": "upload:nothing"}, errors.BridgeError, "upload"),
    ],
)
def test_a_refusal_comes_back_as_its_typed_error(
    settings: dict[str, object], error: type[errors.BridgeError], words: str, bridge: Bridge
) -> None:
    with pytest.raises(error, match=words) as raised:
        bridge.generate("x", **settings).clips()
    assert raised.value.reason != "internal"


def test_unknown_names_are_not_found(bridge: Bridge) -> None:
    for call in (bridge.cancel, bridge.star, bridge.trash, bridge.restore, bridge.load_cascade):
        with pytest.raises(errors.NotFound):
            call("nobody-has-this")
    with pytest.raises(errors.NotFound):
        bridge.rename("nobody-has-this", "x")
    with pytest.raises(errors.NotFound):
        bridge.tag("nobody-has-this", ["x"])
    with pytest.raises(errors.NotFound):
        list(bridge.watch("nobody-has-this"))
    with pytest.raises(errors.NotFound):
        bridge.download("nobody-has-this.wav")


def test_a_clip_can_be_starred_trashed_restored_and_fetched(bridge: Bridge, tmp_path: Path) -> None:
    (clip,) = bridge.generate("keeper", bars=1).clips()
    assert bridge.star(clip.name).starred
    assert [found.name for found in bridge.clips(starred=True)] == [clip.name]
    assert not bridge.star(clip.name, False).starred
    fetched = bridge.download(clip.name, tmp_path)
    assert fetched.read_bytes() == Path(clip.path).read_bytes()
    assert bridge.trash(clip.name).trashed
    assert clip.name not in [found.name for found in bridge.clips()]
    assert not Path(clip.path).exists()
    assert bridge.restore(clip.name).path == clip.path
    assert Path(clip.path).exists()


def test_a_clip_can_be_renamed_and_tagged(bridge: Bridge) -> None:
    events = bridge.generate("keeper", bars=1)
    (clip,) = events.clips()
    assert clip.tags == ()
    assert bridge.tag(clip.name, ["groove", "late"]).tags == ("groove", "late")
    renamed = bridge.rename(clip.name, "my keeper")
    assert (renamed.name, renamed.tags) == ("my keeper.wav", ("groove", "late"))
    assert bridge.clips("groove keeper") == [renamed]
    assert [event.clip for event in bridge.watch(events.job) if isinstance(event, ClipReady)] == [renamed]
    with pytest.raises(errors.InvalidRequest, match="the name"):
        bridge.rename(renamed.name, "a/b")
    with pytest.raises(errors.InvalidRequest, match="expected a list"):
        bridge.tag(renamed.name, "groove")
    assert bridge.tag(renamed.name, []).tags == ()
    assert bridge.rename(renamed.name, clip.name).path == clip.path


def test_uploaded_audio_serves_as_reference(bridge: Bridge, tmp_path: Path) -> None:
    upload = bridge.upload(write_wav(tmp_path / "mine.wav", 3))
    assert upload.duration_s == pytest.approx(3)
    assert bridge.generate("like mine", bars=1, reference=(upload.path, 0.5, 2.5)).clips()


def test_a_file_that_is_no_audio_is_refused_at_the_door(bridge: Bridge, tmp_path: Path) -> None:
    path = tmp_path / "text.wav"
    path.write_text("no audio")
    with pytest.raises(errors.UnreadableAudio):
        bridge.upload(path)
    with pytest.raises(errors.InvalidRequest, match="cannot be read"):
        bridge.upload(tmp_path / "missing.wav")


def test_status_cascades_and_adapters_are_told(bridge: Bridge, daemon: Daemon) -> None:
    status = bridge.status()
    assert status.samples_folder == str(daemon.samples)
    assert status.osc_port == daemon.osc_port
    assert any(cascade.loaded for cascade in bridge.cascades())
    assert bridge.adapters() == []


def test_the_client_finds_the_running_daemon_by_itself(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACESTEP_HOME", str(daemon.home))
    with Bridge() as bridge:
        assert bridge.target.address == daemon.address
        assert bridge.status().home == str(daemon.home)


def test_both_clients_offer_the_same() -> None:
    def offers(cls: type) -> dict[str, list[str]]:
        public = [name for name in dir(cls) if not name.startswith("_")]
        return {name: list(inspect.signature(getattr(cls, name)).parameters) for name in public}

    assert offers(Bridge) == offers(AsyncBridge)


def test_the_asyncio_client_does_the_same(daemon: Daemon, tmp_path: Path) -> None:
    async def work() -> None:
        async with AsyncBridge(daemon.address) as bridge:
            upload = await bridge.upload(write_wav(tmp_path / "mine.wav", 2))
            events = [event async for event in await bridge.generate("async", bars=1, reference=upload.path)]
            assert isinstance(events[0], Accepted)
            assert isinstance(events[-1], Done)
            (clip,) = [event.clip for event in events if isinstance(event, ClipReady)]
            fetched = await bridge.download(clip.name, tmp_path)
            assert fetched.read_bytes() == Path(clip.path).read_bytes()
            assert (await bridge.star(clip.name)).starred
            assert clip.name in [found.name for found in await bridge.clips("async")]
            assert (await bridge.tag(clip.name, ["odd"])).tags == ("odd",)
            assert (await bridge.rename(clip.name, "async keeper")).name == "async keeper.wav"
            with pytest.raises(errors.InvalidRequest):
                await (await bridge.generate("x", bpm=5)).clips()
            with pytest.raises(errors.NotFound):
                await bridge.cancel("nobody-has-this")
            assert (await bridge.status()).version
            assert await bridge.jobs(limit=1)
            assert await bridge.cascades()

    asyncio.run(work())


def test_cancelling_the_task_cancels_the_job_and_cancelling_the_call_raises_cancelled(daemon: Daemon) -> None:
    async def work() -> None:
        async with AsyncBridge(daemon.address) as bridge:
            events = await bridge.generate("call cancelled", bars=64)
            asyncio.get_running_loop().call_later(0.3, events.cancel)
            with pytest.raises(errors.Cancelled):
                await events.clips()
            task = asyncio.ensure_future((await bridge.generate("task cancelled", bars=64)).clips())
            await asyncio.sleep(0.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(work())
    with Bridge(daemon.address) as bridge:
        _wait_until_idle(bridge)
        states = {job.prompt: job.state for job in bridge.jobs()}
    assert (states["call cancelled"], states["task cancelled"]) == ("cancelled", "cancelled")


def test_a_daemon_beyond_loopback_takes_its_certificate_token_and_uploads(
    tiny_nano: Path, tmp_path: Path
) -> None:
    host = own_address()
    if not host:
        pytest.skip("this machine has no address but loopback")
    remote = Daemon(tmp_path, tiny_nano)
    certificate = certify(remote.home, host)
    remote.start([*remote.command, "--host", host])
    try:
        token = (remote.home / "token").read_text().strip()
        address = f"{host}:{remote.grpc_port}"
        with (
            Bridge(address, certificate=certificate, token="wrong-" + token) as bridge,
            pytest.raises(errors.Unauthenticated),
        ):
            bridge.status()
        with Bridge(address, certificate=certificate, token=token) as bridge:
            reference = write_wav(tmp_path / "only on my side.wav", 2)
            (clip,) = bridge.generate("far", bars=1, reference=(reference, 0.0, 1.5)).clips()
            assert bridge.download(clip.name, tmp_path).is_file()
    finally:
        remote.stop()


def _wait_until_idle(bridge: Bridge) -> None:
    until = time.monotonic() + 120
    while bridge.status().running_job or bridge.status().queued:
        assert time.monotonic() < until, "a cancelled job still runs"
        time.sleep(0.05)
