"""The Python client on its own: names, errors, files. With a daemon: test_client_daemon.py."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import plugin_bridge
from plugin_bridge import calls, errors, settings, words
from protos.acestep.v1 import acestep_pb2 as pb
from protos.setting import Setting
from protos.table import SETTINGS


def test_the_package_offers_two_names() -> None:
    assert plugin_bridge.__all__ == ["AsyncBridge", "Bridge"]
    with pytest.raises(AttributeError):
        plugin_bridge.Brigde  # noqa: B018


def test_importing_the_client_loads_no_torch_and_importing_the_package_no_grpc() -> None:
    script = (
        "import sys, plugin_bridge; assert 'grpc' not in sys.modules, 'grpc'\n"
        "from plugin_bridge import AsyncBridge, Bridge\n"
        "heavy = {'torch', 'librosa', 'diffusers', 'numpy', 'acestep.model', 'server'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_field_of_the_wires_request_can_be_set() -> None:
    # how a clip was made is for the command line's --from only
    fields = {field.name for field in pb.GenerateRequest.DESCRIPTOR.fields} - {"prompt", "made_json"}
    assert {name.removesuffix("_s") for name in settings.NAMES} == {
        name.removesuffix("_s") for name in fields
    }


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (words.Clip, pb.Clip),
        (words.ListedJob, pb.Job),
        (words.Status, pb.Status),
        (words.Cascade, pb.Cascade),
        (words.Adapter, pb.Adapter),
        (words.Upload, pb.UploadResponse),
        (words.Progress, pb.Progress),
        (words.Audio, pb.Audio),
        (words.Accepted, pb.Accepted),
        (words.Done, pb.Done),
        (words.Failed, pb.Failed),
    ],
)
def test_a_dataclass_has_every_field_of_its_message(cls: type, message: type) -> None:
    fields = {field.name for field in message.DESCRIPTOR.fields}  # type: ignore[attr-defined]
    assert {field.name for field in dataclasses.fields(cls)} - {"job"} == fields - {"job"}


def test_a_printed_clip_is_one_short_line() -> None:
    clip = pb.Clip(name="a.wav", bpm=92.5, key="A minor", bars=1, fit="good", sidecar_json="{" * 5_000)
    event = words.read_event(pb.JobEvent(job="j", clip=clip))
    assert str(event) == "ClipReady(a.wav: 92.5 bpm, A minor, 1 bar, fit good)"
    assert len(repr(event)) < 600


def test_settings_become_the_wires_request(tmp_path: Path) -> None:
    request = settings.wire_request(
        "rain",
        {
            "bpm": 127.37,
            "signature": "7/8",
            "reference": (tmp_path / "a.wav", 1.5, None),
            "context": "upload:abc",
            "adapters": {"mine": 0.5},
            "stages": ["l", "m"],
            "repaint_s": (1.0, 2.0),
            "seed": None,
        },
    )
    assert (request.prompt, request.bpm, request.signature) == ("rain", 127.37, "7/8")
    assert request.reference == pb.AudioRange(path=str(tmp_path / "a.wav"), start_s=1.5)
    assert request.context.path == "upload:abc"
    assert list(request.adapters) == [pb.AdapterUse(name="mine", scale=0.5)]
    assert list(request.stages) == ["l", "m"]
    assert request.repaint == pb.Region(start_s=1, end_s=2)
    assert not request.HasField("seed")


def test_a_relative_path_is_made_absolute_because_the_daemon_has_another_working_folder() -> None:
    assert settings.wire_request("x", {"context": "loop.wav"}).context.path == str(
        Path("loop.wav").absolute()
    )


@pytest.mark.parametrize("wrong", [{"tempo": 120}, {"bpm": "fast"}, {"takes": -1}, {"bars": [1]}])
def test_a_wrong_setting_is_refused_before_anything_is_sent(wrong: dict[str, object]) -> None:
    with pytest.raises(errors.InvalidRequest, match=rf"{next(iter(wrong))}\b.*expected"):
        settings.wire_request("x", wrong)


WRONG = {
    "number": "fast", "whole": 1.5, "text": 5, "choice": 5, "signature": 5, "key": 5, "switch": "maybe",
    "names": 5, "adapters": 5, "tempi": 5, "region": [1], "audio": 5, "parts": 5,
}  # fmt: skip


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda one: one.name)
def test_a_value_of_the_wrong_type_is_told_with_the_settings_name(setting: Setting) -> None:
    wrong = WRONG[setting.kind]
    prompt, more = (wrong, {}) if setting.name == "prompt" else ("x", {setting.name: wrong})
    with pytest.raises(errors.InvalidRequest, match=rf"^{setting.name} is .*: expected \w"):
        settings.wire_request(prompt, more)


def test_a_daemon_that_is_down_is_named_with_the_fix() -> None:
    with (
        plugin_bridge.Bridge("127.0.0.1:9") as bridge,
        pytest.raises(errors.Unavailable, match=r"127\.0\.0\.1:9.*acestep serve"),
    ):
        bridge.status()


def test_a_daemon_elsewhere_needs_its_certificate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACESTEP_HOME", str(tmp_path))
    with pytest.raises(errors.Unavailable, match="certificate"):
        plugin_bridge.Bridge("192.0.2.1:50551")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/tmp/x"])
def test_loopback_is_local(address: str) -> None:
    assert calls.Target(address).is_local


@pytest.mark.parametrize("address", ["192.168.1.2:1", "127.0.0.1.example.org:1", "studio:50551"])
def test_another_machine_is_not_local(address: str) -> None:
    assert not calls.Target(address).is_local


def test_another_wire_version_is_refused_with_the_fix() -> None:
    told = words.read(words.Status, pb.Status(version="9.0", wire_version="99"))
    with pytest.raises(errors.Unsupported, match="same release"):
        calls.check_wire(told, "127.0.0.1:50551")


def test_a_download_appears_whole_and_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"mine")
    for expected in ("a-2.wav", "a-3.wav"):
        with calls.Download("a.wav", tmp_path) as file:
            file.write(pb.DownloadChunk(data=b"new"))
            assert not (tmp_path / expected).exists()
        assert file.path == tmp_path / expected
        assert file.path.read_bytes() == b"new"
    assert (tmp_path / "a.wav").read_bytes() == b"mine"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_download_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> None:
        with calls.Download("a.wav", tmp_path) as file:
            file.write(pb.DownloadChunk(data=b"half"))
            raise errors.Unavailable("gone")

    with pytest.raises(errors.Unavailable):
        broken()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../up.wav", "/etc/a.wav", "..\\up.wav"])
def test_a_downloads_name_never_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    with calls.Download(name, tmp_path / "in") as file:
        pass
    assert file.path.parent == tmp_path / "in"


@pytest.mark.parametrize("name", ["", "..", ".hidden", "x/.."])
def test_a_download_without_a_proper_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidRequest):
        calls.Download(name, tmp_path)


def test_a_file_that_is_no_certificate_is_refused_before_anything_connects(tmp_path: Path) -> None:
    (tmp_path / "junk.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVE")
    with pytest.raises(errors.InvalidRequest, match=r"junk\.wav holds no certificate: expected PEM"):
        plugin_bridge.Bridge("studio:50551", certificate=tmp_path / "junk.wav")
