"""A machine that several people use: what lies in the home is its owner's, and links lead nowhere else."""

import contextlib
import json
import logging
import os
import socket
import struct
import time
from pathlib import Path

import grpc
import pytest

from acestep.clips.clip import Clip
from acestep.errors import ForbiddenPath, InvalidRequest, NotFound
from acestep.request import GenerateRequest
from acestep.sources.sidecar import read_sidecar
from protos.acestep.v1 import acestep_pb2 as pb
from protos.reasons import MAX_HEADER_BYTES, for_header
from server import logs
from server.jobs.job import Job
from server.library.index import ClipLibrary
from server.library.search import Search
from server.osc.packets import encode
from server.osc.server import ANSWER_BYTES_AT_ONCE, ANSWER_BYTES_PER_S, MAX_PACKET_ANSWER_BYTES, MAX_REFUSALS
from server.security import AllowedFolders, private_folder, read_private_key
from tests.support.daemons import (
    Osc,
    StandIn,
    certify,
    generate,
    reason,
    running,
    settings,
    stub,
    write_short_clip,
)

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no modes")


@posix
def test_only_its_owner_can_look_into_a_home_also_one_that_was_open(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / "jobs.sqlite").touch(mode=0o644)
    before = os.umask(0o022)
    try:
        with running(settings(tmp_path, require_token=True), StandIn()) as daemon:
            token = (("authorization", f"Bearer {daemon.config.token_file.read_text().strip()}"),)
            with stub(daemon.grpc.port) as calls:
                list(calls.Generate(pb.GenerateRequest(prompt="p"), metadata=token, timeout=60))
            files = [path for path in home.rglob("*") if path.is_file() or path.is_dir()]
            open_ones = [path.name for path in (home, *files) if path.stat().st_mode & 0o077]
            names = {path.name for path in files}
            assert names >= {"jobs.sqlite", "clips.sqlite", "daemon.json", "daemon.log", "token"}
    finally:
        os.umask(before)
    assert open_ones == []


@posix
def test_logs_stay_private_when_a_new_file_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_FILE_BYTES", 2_000)
    logs.start(tmp_path, "info")
    try:
        for number in range(50):
            logs.get("test").info("event", number=number)
    finally:
        logs.stop()
        logging.getLogger("acestep").propagate = True
    files = list(tmp_path.glob("daemon.log*"))
    assert len(files) > 1
    assert [oct(file.stat().st_mode & 0o077) for file in files] == ["0o0"] * len(files)


@posix
def test_a_home_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(InvalidRequest, match="another user"):
        private_folder(tmp_path / "theirs")


@posix
def test_a_tls_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("key")
    for mode, good in ((0o600, True), (0o400, True), (0o644, False), (0o604, False), (0o660, False)):
        key.chmod(mode)
        if good:
            assert read_private_key(key) == b"key"
        else:
            with pytest.raises(InvalidRequest, match="chmod 600"):
                read_private_key(key)


@posix
def test_a_daemon_does_not_start_with_a_key_for_all_to_read_or_of_another_kind(tmp_path: Path) -> None:
    pytest.importorskip("ssl")
    if not any((Path(folder) / "openssl").exists() for folder in os.environ["PATH"].split(os.pathsep)):
        pytest.skip("openssl is not installed")
    certify(tmp_path / "home", "127.0.0.1")
    key = tmp_path / "home" / "tls" / "key.pem"
    key.chmod(0o644)
    with pytest.raises(InvalidRequest, match="read by others"), running(settings(tmp_path), StandIn()):
        pass
    key.chmod(0o600)
    key.write_text("no key")
    with pytest.raises(InvalidRequest, match="PEM"), running(settings(tmp_path), StandIn()):
        pass


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """Samples, trash, and a folder that nobody may name, with a secret in it."""
    for name in ("samples", "trash", "outside", "user"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "secret.wav").write_bytes(b"secret")
    return tmp_path


@pytest.fixture
def library(places: Path) -> ClipLibrary:
    allowed = AllowedFolders([places / "samples"], places / "user")
    return ClipLibrary(places / "clips.sqlite", [places / "samples"], places / "trash", allowed.check)


def made(folder: Path, prompt: str) -> Clip:
    return write_short_clip(Job(GenerateRequest(prompt=prompt, seed=1), folder, "test"), 0)


def plant(places: Path, folder: str, name: str, **outer: object) -> Path:
    """A link to the secret with a sidecar that calls it a clip."""
    honest = made(places / "samples", "honest")
    sidecar = {**read_sidecar(honest.path), **outer}
    link = places / folder / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(places / "outside" / "secret.wav")
    link.with_name(f"{name}.json").write_text(json.dumps(sidecar))
    return link


@posix
@pytest.mark.parametrize("folder", ["samples", "samples/deeper", "trash/x"])
def test_a_link_to_a_file_outside_with_a_sidecar_is_no_clip(
    library: ClipLibrary, places: Path, folder: str
) -> None:
    (places / "trash" / "x").mkdir()
    plant(places, folder, "a.wav")
    library.refresh()
    found = [*library.search(Search()), *library.search(Search(trashed=True))]
    assert [clip.prompt for clip in found] == ["honest"]


@posix
def test_a_folder_that_is_a_link_outside_holds_no_clips(library: ClipLibrary, places: Path) -> None:
    made(places / "outside", "theirs")
    (places / "samples" / "deeper").symlink_to(places / "outside")
    assert library.refresh() == 0


@posix
def test_a_clip_that_became_a_link_is_neither_served_nor_changed(library: ClipLibrary, places: Path) -> None:
    clip = made(places / "samples", "honest")
    library.add(clip)
    Path(clip.path).unlink()
    Path(clip.path).symlink_to(places / "outside" / "secret.wav")
    for act in (
        lambda: library.file(clip.name),
        lambda: library.star(clip.name, True),
        lambda: library.rename(clip.name, "other"),
        lambda: library.tag(clip.name, ["a"]),
        lambda: library.move_to_trash(clip.name),
    ):
        with pytest.raises((ForbiddenPath, NotFound)):  # whether or not the library has looked since
            act()
    assert (places / "outside" / "secret.wav").read_bytes() == b"secret"


@pytest.mark.parametrize("target", ["outside", "user/.ssh", "samples/../outside"])
def test_a_sidecar_cannot_say_that_a_clip_came_from_anywhere(
    library: ClipLibrary, places: Path, target: str
) -> None:
    clip = made(places / "samples", "honest")
    library.add(clip)
    trashed = Path(library.move_to_trash(clip.name).path)
    file = trashed.with_name(trashed.name + ".json")
    file.write_text(json.dumps({**read_sidecar(trashed), "trashed_from": str(places / target)}))
    os.utime(file, (1, 1))
    library.refresh()
    with pytest.raises(ForbiddenPath):
        library.restore(clip.name)
    assert trashed.is_file()
    assert not (places / target / clip.name).exists()


def test_folders_that_jobs_wrote_to_stay_open_to_the_library(library: ClipLibrary, places: Path) -> None:
    (places / "elsewhere").mkdir()
    clip = made(places / "elsewhere", "by its owner")
    library.add(clip)
    library.refresh()
    library.move_to_trash(clip.name)
    assert library.restore(clip.name).path == clip.path
    assert library.file(clip.name) == Path(clip.path)


@posix
def test_a_planted_link_is_not_downloaded(tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(b"secret")
    with running(settings(tmp_path), StandIn()) as daemon, stub(daemon.grpc.port) as calls:
        clip = generate(calls, prompt="honest")[-2].clip
        Path(clip.path).unlink()
        Path(clip.path).symlink_to("/etc/passwd")
        with pytest.raises(grpc.RpcError) as caught:
            list(calls.Download(pb.DownloadRequest(name=clip.name), timeout=20))
        assert reason(caught.value) in ("forbidden_path", "not_found")


def bundle(message: bytes) -> bytes:
    """As many of a message as 8 kB hold."""
    part = struct.pack(">i", len(message)) + message
    return b"#bundle\0" + b"\0" * 8 + part * ((8_192 - 16) // len(part))


@pytest.mark.parametrize("message", [b"/x\0\0", encode("/acestep/tempo", "x"), encode("/acestep/status")])
def test_a_bundle_is_answered_within_bytes(tmp_path: Path, message: bytes) -> None:
    with running(settings(tmp_path), StandIn()) as daemon, Osc(daemon.osc.port) as osc:
        osc.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        osc.send_bytes(bundle(message))
        osc.socket.settimeout(1)
        of_one = []
        with contextlib.suppress(TimeoutError):
            while True:
                of_one.append(osc.socket.recv(65_536))
        assert 0 < sum(map(len, of_one)) <= MAX_PACKET_ANSWER_BYTES
        began = time.monotonic()
        for _ in range(20):
            osc.send_bytes(bundle(message))
        osc.socket.settimeout(1)
        answers = []
        try:
            while True:
                answers.append(osc.socket.recv(65_536))
        except TimeoutError:
            pass
        took_s = time.monotonic() - began
        assert 0 < sum(map(len, answers)) <= ANSWER_BYTES_AT_ONCE + took_s * ANSWER_BYTES_PER_S
        osc.socket.settimeout(20)
        assert osc.waiting() == []  # what is asked afterwards is answered again


def test_of_a_bundle_of_wrong_messages_the_first_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    with running(settings(tmp_path), StandIn()) as daemon, Osc(daemon.osc.port) as osc:
        osc.send_bytes(bundle(encode("/acestep/tempo", "x")))
        answers = [osc.receive() for _ in range(MAX_REFUSALS + 1)]
        assert "more messages" in answers[-1][1][1]
        assert osc.waiting() == []


@pytest.mark.parametrize("letter", ["x", "é", "音", "🎹", "\n", "%"])
def test_an_error_text_of_any_length_arrives_with_its_status(tmp_path: Path, letter: str) -> None:
    assert len(for_header(letter * 100_000)) <= MAX_HEADER_BYTES + 2
    name = letter * 60_000
    with running(settings(tmp_path), StandIn()) as daemon, stub(daemon.grpc.port) as calls:
        for call, request in (
            (calls.CancelJob, pb.CancelJobRequest(job=name)),
            (calls.StarClip, pb.StarClipRequest(name=name)),
            (calls.LoadAdapter, pb.AdapterName(name=name)),
            (calls.LoadCascade, pb.CascadeName(name=name)),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(request, timeout=20)
            assert reason(caught.value) in ("not_found", "invalid_request", "internal", "storage_error")


def test_a_prompt_that_would_steer_a_terminal_is_written_out_in_logs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with running(settings(tmp_path), StandIn()) as daemon, stub(daemon.grpc.port) as calls:
        generate(calls, prompt="\x1b[2J\x9b31m\nforged line\u202e")
        log = (daemon.config.home / "logs" / "daemon.log").read_text()
    said = capfd.readouterr().err
    for text in (log, said):
        assert "u001b[2J" in text
        assert not set("\x1b\x9b\u202e") & set(text)
    assert not any(line.startswith("forged") for line in said.splitlines())
