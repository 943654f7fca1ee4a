"""Every call of the wire as a value: method, request, and how its answer is read.

The synchronous and the asynchronous client both send these; this module itself sends nothing.
"""

import json
import os
import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import grpc

from acestep import files
from acestep.console.command import expanded
from acestep.home import home as users_home
from plugin_bridge import words
from plugin_bridge.errors import InvalidRequest, Unavailable, Unsupported
from protos import AUDIO_ENDINGS, OWNER_FILE, OWNER_KEY, WIRE_VERSION, speaks_ours
from protos.acestep.v1 import acestep_pb2 as pb

ADDRESS = "127.0.0.1:50551"
CHUNK_BYTES = 256 * 1024
TIMEOUT_S = 20.0
MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # a decoded window of 20 s stereo float32 is 7.7 MB
LOOPBACK = ("127.0.0.1", "localhost", "::1")

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """One unary call: the stub's method, its request, how the answer is read."""

    method: str
    request: Any
    read: Callable[[Any], T]
    timeout_s: float | None = TIMEOUT_S


@dataclass(frozen=True)
class Target:
    """Where the daemon is, and what proves who asks."""

    address: str = ADDRESS
    token: str = ""
    certificate: bytes = b""
    owner_key: str = ""  # tells this user's own daemon who asks, so that any of the user's files may be named

    @classmethod
    def find(
        cls,
        address: str = "",
        token: str = "",
        certificate: str | Path = "",
        own_files: bool = True,
        home: Path | None = None,
    ) -> "Target":
        """Arguments, else the environment (`ACESTEP_ADDRESS`, `ACESTEP_TOKEN`, `ACESTEP_CERTIFICATE`), else
        this machine's daemon as `daemon.json`, `token` and `tls/cert.pem` in the home tell (the user's,
        unless one is named)."""
        home = home or users_home()
        running = announced(home) or ADDRESS
        address = address or os.environ.get("ACESTEP_ADDRESS", "") or running
        token = (token or os.environ.get("ACESTEP_TOKEN", "") or written_token(home)).strip()
        if not token.isascii() or not token.isprintable():  # a header could not carry it
            where = f"ACESTEP_TOKEN, or the file {home / 'token'}"
            raise InvalidRequest(f"the token is damaged ({where}): copy it again from the daemon's home")
        file = certificate or os.environ.get("ACESTEP_CERTIFICATE", "")
        path = expanded(file) if file else home / "tls" / "cert.pem"
        pem = _certificate(path)
        if not pem and (file or not cls(address).is_local):
            raise Unavailable(
                f"a daemon at {address} needs its certificate, and {path} cannot be read: "
                f"copy it from the daemon's home, or name it with `certificate=`, or ACESTEP_CERTIFICATE"
            )
        return cls(address, token, pem, owner_key(home, address) if own_files else "")

    @property
    def is_local(self) -> bool:
        """True where the daemon shares this machine's disk and needs neither TLS nor token."""
        try:
            host = urlsplit(f"//{self.address}").hostname or ""
        except ValueError:  # half of an IPv6 address
            host = ""
        return self.address.startswith("unix:") or host in LOOPBACK

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    @property
    def generate_metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call carries that names files."""
        return (*self.metadata, *(((OWNER_KEY, self.owner_key),) if self.owner_key else ()))

    def channel(self) -> grpc.Channel:
        """A new connection; whoever asks for it closes it."""
        if secure := self.credentials:
            return grpc.secure_channel(self.address, secure, options=self.options)
        return grpc.insecure_channel(self.address, options=self.options)

    @property
    def credentials(self) -> grpc.ChannelCredentials | None:
        """TLS against the daemon's own certificate, else against those that everybody trusts; None on
        loopback without a certificate."""
        if not self.certificate and self.is_local:
            return None
        return grpc.ssl_channel_credentials(self.certificate or None)

    options = (
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.enable_http_proxy", 0),  # a proxy has no business between a bridge and its daemon
        ("grpc.initial_reconnect_backoff_ms", 200),  # a daemon that is restarted is found within a second,
        ("grpc.max_reconnect_backoff_ms", 1000),  # not after gRPC's two minutes
    )


def _certificate(path: Path) -> bytes:
    """The certificate in a file; b"" where none can be read. Raises InvalidRequest where it holds another
    thing, which gRPC would only tell on stderr."""
    pem = _read(path)
    if pem:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii"))
        except (ssl.SSLError, ValueError):
            raise InvalidRequest(
                f"{path} holds no certificate: expected PEM, as tls/cert.pem in the daemon's home is"
            ) from None
    return pem


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def reachable(host: str) -> str:
    """A daemon that listens everywhere is reached by loopback."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def address_of(host: str, port: int) -> str:
    """`host:port` as gRPC writes it."""
    host = reachable(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def announced(home: Path) -> str:
    """The address of the daemon of a home, as it wrote it down itself; "" where none runs."""
    try:
        told = json.loads(_read(home / "daemon.json"))
        return address_of(str(told["host"]), int(told["grpc_port"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def written_token(home: Path) -> str:
    """What the daemon of a home wants to be shown by callers; "" for nothing."""
    return _read(home / "token").decode("ascii", "replace").strip()


def owner_key(home: Path, address: str) -> str:
    """What tells the daemon of a home that its own user asks; "" for a daemon at any other address."""
    if not Target(address).is_local or address != announced(home):
        return ""
    return _read(home / OWNER_FILE).decode("utf-8", "replace").strip()


def check_wire(status: words.Status, address: str) -> None:
    """Raises Unsupported when daemon and bridge speak different wire versions, with the fix."""
    if not speaks_ours(status.wire_version):
        raise Unsupported(
            f"the daemon at {address} ({status.version}) speaks wire version {status.wire_version or '?'}, "
            f"this bridge speaks {WIRE_VERSION}: install the same release on both sides "
            f"(`make install` in the newer clone) and restart `acestep serve`"
        )


def status() -> Call[words.Status]:
    return Call("GetStatus", pb.GetStatusRequest(), lambda answer: words.read(words.Status, answer))


def jobs(limit: int) -> Call[list[words.ListedJob]]:
    return Call(
        "ListJobs", pb.ListJobsRequest(limit=limit), lambda answer: _all(words.ListedJob, answer.jobs)
    )


def cancel(job: str) -> Call[words.ListedJob]:
    return Call("CancelJob", pb.CancelJobRequest(job=job), lambda answer: words.read(words.ListedJob, answer))


def clips(words_: str, filters: dict[str, Any]) -> Call[list[words.Clip]]:
    try:
        request = pb.ListClipsRequest(words=words_, **filters)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"not a filter for clips: {error}") from error
    return Call("ListClips", request, lambda answer: _all(words.Clip, answer.clips))


def star(name: str, starred: bool) -> Call[words.Clip]:
    return Call("StarClip", pb.StarClipRequest(name=name, starred=starred), _clip)


def rename(name: str, new_name: str) -> Call[words.Clip]:
    return Call("RenameClip", pb.RenameClipRequest(name=name, new_name=new_name), _clip)


def tag(name: str, tags: Iterable[str]) -> Call[words.Clip]:
    if isinstance(tags, str):
        raise InvalidRequest(f"tags {tags!r:.60} are one text: expected a list of words")
    return Call("TagClip", pb.TagClipRequest(name=name, tags=tags), _clip)


def trash(name: str) -> Call[words.Clip]:
    return Call("TrashClip", pb.ClipName(name=name), _clip)


def restore(name: str) -> Call[words.Clip]:
    return Call("RestoreClip", pb.ClipName(name=name), _clip)


def cascades() -> Call[list[words.Cascade]]:
    return Call("ListCascades", pb.ListCascadesRequest(), lambda answer: _all(words.Cascade, answer.cascades))


def load_cascade(name: str) -> Call[words.Cascade]:
    return Call("LoadCascade", pb.CascadeName(name=name), _cascade, timeout_s=None)


def unload_cascade(name: str) -> Call[words.Cascade]:
    return Call("UnloadCascade", pb.CascadeName(name=name), _cascade, timeout_s=None)


def adapters() -> Call[list[words.Adapter]]:
    return Call("ListAdapters", pb.ListAdaptersRequest(), lambda answer: _all(words.Adapter, answer.adapters))


def load_adapter(name: str) -> Call[words.Adapter]:
    return Call("LoadAdapter", pb.AdapterName(name=name), _adapter, timeout_s=None)


def unload_adapter(name: str) -> Call[words.Adapter]:
    return Call("UnloadAdapter", pb.AdapterName(name=name), _adapter, timeout_s=None)


def _clip(answer: pb.Clip) -> words.Clip:
    return words.read(words.Clip, answer)


def _cascade(answer: pb.Cascade) -> words.Cascade:
    return words.read(words.Cascade, answer)


def _adapter(answer: pb.Adapter) -> words.Adapter:
    return words.read(words.Adapter, answer)


def _all(cls: type[T], answers: Any) -> list[T]:
    return [words.read(cls, answer) for answer in answers]


def upload_chunks(path: Path) -> Iterator[pb.UploadChunk]:
    """The file's name, then its bytes. Raises InvalidRequest for a file that is none or cannot be read."""
    if path.suffix.lower() not in AUDIO_ENDINGS:
        raise InvalidRequest(f"upload {path.name!r}: expected a name ending in {', '.join(AUDIO_ENDINGS)}")
    try:
        with path.open("rb") as file:
            yield pb.UploadChunk(name=path.name)
            while data := file.read(CHUNK_BYTES):
                yield pb.UploadChunk(data=data)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read ({error.strerror}): expected an audio file") from error


def read_upload(answer: pb.UploadResponse) -> words.Upload:
    return words.read(words.Upload, answer)


class Download:
    """A file that grows under a hidden name and appears whole, or not at all; nothing is overwritten."""

    def __init__(self, name: str, folder: str | os.PathLike[str]) -> None:
        safe = Path(name.replace("\\", "/")).name  # a daemon's name never leads out of the folder
        if not safe or safe.startswith("."):
            raise InvalidRequest(f"clip name {name!r} is not a file name")
        self.path = _free(expanded(folder) / safe)
        self._hidden = files.hidden_in(self.path.parent)
        self._hidden.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._hidden.open("xb")

    def write(self, chunk: pb.DownloadChunk) -> None:
        self._file.write(chunk.data)

    def __enter__(self) -> "Download":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is not None:
            self._hidden.unlink()
            return
        while not files.rename_new(self._hidden, self.path):  # the name was taken meanwhile
            self.path = _free(self.path)
        self._hidden.unlink(missing_ok=True)


def _free(path: Path) -> Path:
    """The path, or the first `name-2.wav`, `name-3.wav` … that is not taken."""
    for number in range(2, 10_000):
        if not path.exists():
            return path
        stem = path.stem if number == 2 else path.stem.rpartition("-")[0]
        path = path.with_name(f"{stem}-{number}{path.suffix}")
    raise InvalidRequest(f"{path.parent} is full of files named like {path.name}")
