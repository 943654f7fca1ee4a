"""Who may ask for what: paths behind symlinks, tokens, TLS, networks, rates."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st

from acestep.errors import AceStepError, ForbiddenPath, InvalidRequest, Unauthenticated
from protos.acestep.v1 import acestep_pb2 as pb
from protos.acestep.v1 import acestep_pb2_grpc
from server.security import (
    AllowedFolders,
    RateLimit,
    Senders,
    check_token,
    is_loopback,
    read_or_create_token,
)
from tests.support.daemons import Osc, StandIn, generate, reason, running, settings


@pytest.fixture
def folders(tmp_path: Path) -> AllowedFolders:
    for name in ("samples", "home/Music", "home/.ssh", "outside"):
        (tmp_path / name).mkdir(parents=True)
    return AllowedFolders([tmp_path / "samples"], tmp_path / "home")


def test_files_in_allowed_folders_and_in_the_users_home_may_be_named(
    folders: AllowedFolders, tmp_path: Path
) -> None:
    for name in ("samples/a.wav", "home/Music/a.wav", "samples/not/there.wav"):
        assert folders.check(str(tmp_path / name)) == tmp_path / name


@pytest.mark.parametrize(
    "name", ["outside/a.wav", "home/.ssh/id", "samples/../outside/a.wav", "samples2/a.wav", "", "home/../x"]
)
def test_everything_else_may_not(folders: AllowedFolders, tmp_path: Path, name: str) -> None:
    with pytest.raises(ForbiddenPath, match="outside the allowed folders"):
        folders.check(str(tmp_path / name))


def test_symlinks_are_followed_before_deciding(folders: AllowedFolders, tmp_path: Path) -> None:
    (tmp_path / "outside" / "secret.wav").touch()
    (tmp_path / "samples" / "file.wav").symlink_to(tmp_path / "outside" / "secret.wav")
    (tmp_path / "samples" / "folder").symlink_to(tmp_path / "outside")
    (tmp_path / "home" / "Music" / "keys").symlink_to(tmp_path / "home" / ".ssh")
    for name in (
        "samples/file.wav",
        "samples/folder/secret.wav",
        "samples/folder/no.wav",
        "home/Music/keys/id",
    ):
        with pytest.raises(ForbiddenPath, match="behind"):
            folders.check(str(tmp_path / name))
    (tmp_path / "outside" / "back").symlink_to(tmp_path / "samples")
    assert folders.check(str(tmp_path / "outside" / "back" / "a.wav")) == tmp_path / "samples" / "a.wav"


def test_a_loop_of_symlinks_is_refused(folders: AllowedFolders, tmp_path: Path) -> None:
    one, two = tmp_path / "samples" / "one", tmp_path / "samples" / "two"
    one.symlink_to(two)
    two.symlink_to(one)
    with pytest.raises(ForbiddenPath):
        folders.check(str(one / "a.wav"))


@pytest.mark.parametrize("path", ["", " ", "a.wav", "./a", "a\0b", "/" + "x" * 5000])
def test_what_is_no_absolute_path_is_refused(folders: AllowedFolders, path: str) -> None:
    with pytest.raises(InvalidRequest):
        folders.check(path)


@given(st.text(max_size=200))
def test_any_text_is_a_path_inside_or_refused(text: str) -> None:
    allowed = AllowedFolders([Path("/srv/samples")], Path("/srv/user"))
    for path in (text, f"/srv/samples/{text}", f"~{text}"):
        try:
            found = allowed.check(path)
        except AceStepError:
            continue
        assert found.is_relative_to("/srv/samples") or found.is_relative_to("/srv/user")


def test_the_token_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    token = read_or_create_token(file)
    assert len(token) >= 32
    assert read_or_create_token(file) == token
    if os.name == "posix":
        assert file.stat().st_mode & 0o777 == 0o600
        file.chmod(0o644)
        with pytest.raises(InvalidRequest, match="chmod 600"):
            read_or_create_token(file)
    file.chmod(0o600)
    for content, expected in ((b"short", "too short"), (b"\xff" * 40, "damaged")):
        file.write_bytes(content)
        with pytest.raises(InvalidRequest, match=expected):
            read_or_create_token(file)


@pytest.mark.parametrize("given_header", ["", "Bearer", "Bearer x", "secret-token", "Bearer sécret"])
def test_a_wrong_token_is_refused(given_header: str) -> None:
    with pytest.raises(Unauthenticated):
        check_token("secret-token", given_header)
    check_token("secret-token", "Bearer secret-token")


def test_loopback_is_told_from_the_rest() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.2", "example.org", ""))


def test_only_listed_senders_beside_this_machine_may_send() -> None:
    senders = Senders(["192.168.1.20", "10.0.0.0/8"])
    assert all(senders.allows(host) for host in ("127.0.0.1", "192.168.1.20", "10.2.3.4"))
    assert not any(senders.allows(host) for host in ("192.168.1.21", "8.8.8.8", "nonsense"))


def test_a_stranger_by_osc_is_not_even_answered(tmp_path: Path) -> None:
    with running(settings(tmp_path), StandIn()) as daemon, Osc(daemon.osc.port) as osc:
        daemon.osc.receive(b"/acestep/subscribe\0\0,i\0\0\0\0\x27\x10", ("203.0.113.9", 9000))
        daemon.osc.receive(b"/acestep/tempo\0\0,s\0\0x\0\0\0", ("203.0.113.9", osc.port))
        assert osc.waiting() == []


def test_rates_are_bounded_per_sender() -> None:
    now = [0.0]
    limit = RateLimit(10, 3, clock=lambda: now[0])
    assert [limit.allows("a") for _ in range(4)] == [True, True, True, False]
    assert limit.allows("b")
    now[0] = 0.1
    assert [limit.allows("a") for _ in range(2)] == [True, False]


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Any]:
    """A daemon on all interfaces, with a certificate of its own."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    tls = tmp_path / "home" / "tls"
    tls.mkdir(parents=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=acestep", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(tls / "key.pem"), "-out", str(tls / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    with running(settings(tmp_path, host="0.0.0.0"), StandIn()) as daemon:
        yield daemon


def test_beyond_loopback_every_call_needs_tls_and_the_token(secure: Any) -> None:
    target = f"localhost:{secure.grpc.port}"
    pem = secure.config.tls_cert.read_bytes()
    token = secure.config.token_file.read_text().strip()
    with grpc.insecure_channel(target) as plain, pytest.raises(grpc.RpcError):
        acestep_pb2_grpc.DaemonStub(plain).GetStatus(pb.GetStatusRequest(), timeout=5)
    with grpc.secure_channel(target, grpc.ssl_channel_credentials(pem)) as channel:
        stub = acestep_pb2_grpc.DaemonStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        for metadata in ((), (("authorization", "Bearer wrong"),)):
            for call in (
                lambda m: stub.GetStatus(pb.GetStatusRequest(), metadata=m, timeout=5),
                lambda m: list(stub.Generate(pb.GenerateRequest(prompt="p"), metadata=m, timeout=5)),
                lambda m: stub.Upload(iter([]), metadata=m, timeout=5),
                lambda m: health.Check(health_pb2.HealthCheckRequest(), metadata=m, timeout=5),
            ):
                with pytest.raises(grpc.RpcError) as caught:
                    call(metadata)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
                assert reason(caught.value) == "unauthenticated"
        assert secure.queue.jobs() == []
        right = (("authorization", f"Bearer {token}"),)
        assert stub.GetStatus(pb.GetStatusRequest(), metadata=right, timeout=5).version
        events = list(stub.Generate(pb.GenerateRequest(prompt="p"), metadata=right, timeout=20))
        assert events[-1].WhichOneof("event") == "done"
    assert token not in (secure.config.home / "logs" / "daemon.log").read_text()


def test_a_token_can_be_demanded_on_this_machine_as_well(tmp_path: Path) -> None:
    with (
        running(settings(tmp_path, require_token=True), StandIn()) as daemon,
        grpc.insecure_channel(f"127.0.0.1:{daemon.grpc.port}") as channel,
        pytest.raises(grpc.RpcError),
    ):
        generate(acestep_pb2_grpc.DaemonStub(channel), prompt="p")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"tls_cert": "cert.pem"}, "has no key beside it: set tls_key"),
        ({"tls_key": "key.pem"}, "has no certificate beside it: set tls_cert"),
        ({"tls_cert": "gone.pem", "tls_key": "key.pem"}, "gone.pem cannot be read"),
    ],
)
def test_half_of_a_certificate_is_refused_by_what_is_missing(
    tmp_path: Path, given: dict[str, str], says: str
) -> None:
    (tmp_path / "key.pem").touch(mode=0o600)
    made = settings(tmp_path, **{name: tmp_path / file for name, file in given.items()})
    with pytest.raises(InvalidRequest, match=says), running(made, StandIn()):
        pass
