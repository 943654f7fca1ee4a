"""The daemon's settings: `config.toml` in home < environment `ACESTEP_*` < flags.

Reads and checks; opens nothing and creates nothing. One dataclass is the list of all settings: its field
names are the keys of the file, the environment names (in capitals) and the flags (with dashes).
"""

import dataclasses
import ipaddress
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acestep import ranges
from acestep.console.command import expanded
from acestep.console.spelling import number
from acestep.errors import InvalidRequest
from acestep.home import platform_home
from protos import OWNER_FILE

GRPC_PORT = 50551
OSC_PORT = 9127
HOST = "127.0.0.1"
LOG_LEVELS = ("debug", "info", "warning", "error")


def default_home() -> Path:
    """Where the platform keeps data, unless `ACESTEP_HOME` says otherwise."""
    return platform_home()


def default_samples() -> Path:
    """`<Music>/ACE-Step`, where every DAW's browser can be pointed to."""
    from platformdirs import user_music_path

    return user_music_path() / "ACE-Step"


def _setting(default: Any, doc: str) -> Any:
    if isinstance(default, list | tuple):
        return field(default=tuple(default), metadata={"doc": doc})
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting with its default. Paths are absolute once loaded."""

    home: Path = field(default_factory=default_home, metadata={"doc": "folder for data, settings and logs"})
    samples: Path = field(default_factory=default_samples, metadata={"doc": "folder the clips go to"})
    host: str = _setting(HOST, "address gRPC listens on; beyond loopback needs TLS and a token")
    grpc_port: int = _setting(GRPC_PORT, "port of gRPC; 0 takes any free one")
    osc_host: str = _setting(HOST, "address OSC listens on; beyond loopback needs osc_allow")
    osc_port: int = _setting(OSC_PORT, "port of OSC; 0 takes any free one")
    osc_allow: tuple[str, ...] = _setting((), "addresses or networks that may send OSC, beside this machine")
    tls_cert: Path | None = _setting(None, "certificate (PEM); default: tls/cert.pem in home if there")  # noqa: RUF009
    tls_key: Path | None = _setting(None, "its private key (PEM); default: tls/key.pem in home")  # noqa: RUF009
    require_token: bool = _setting(False, "gRPC demands the token on this machine too (OSC has none)")
    allowed_folders: tuple[Path, ...] = _setting((), "more folders that requests may name")
    cascade: str = _setting("nano", "name or folder of the cascade that requests use by default")
    variant: str = _setting("", "auto, l, m, s or nano: choose the cascade by size, for this machine")
    planner: str = _setting("", "language model that expands prompts, for example lm-0.6b; empty: none")
    precision: str = _setting("auto", "auto, float32, bfloat16, or int8 weights for the transformers")
    device: str = _setting("auto", "auto, cpu, cuda, cuda:N or mps")
    max_queue: int = _setting(64, "jobs that may wait, over all senders")
    max_queue_per_client: int = _setting(32, "jobs that may wait per sender")
    max_upload_mb: int = _setting(512, "size of one uploaded file, in megabytes")
    max_uploads_mb: int = _setting(4096, "size of all uploads kept; the oldest go first")
    osc_rate_hz: int = _setting(2000, "OSC messages per second and sender before they are refused")
    idle_unload_min: float = _setting(0.0, "unload the model after so many idle minutes; 0 never does")
    midi_input: str = _setting("", "MIDI input to follow (clock) and be triggered by; empty: none")
    midi_generate: str = _setting("", "what generates: `note 60`, `cc 20`, with channel `note 60@10`")
    midi_cancel: str = _setting("", "what cancels, in the same words")
    midi_prompt: str = _setting("", "prompt of a MIDI trigger; empty: the last one used")
    log_level: str = _setting("info", "debug, info, warning or error")

    def __post_init__(self) -> None:
        home = expanded(self.home).absolute()
        set_ = object.__setattr__
        set_(self, "home", home)
        set_(self, "samples", expanded(self.samples).absolute())
        set_(self, "allowed_folders", tuple(expanded(p).absolute() for p in self.allowed_folders))
        for name, file in (("tls_cert", "cert.pem"), ("tls_key", "key.pem")):
            path = getattr(self, name) or (home / "tls" / file if (home / "tls" / file).exists() else None)
            set_(self, name, expanded(path).absolute() if path else None)
        for name in ("grpc_port", "osc_port"):
            ranges.number(name, getattr(self, name), 0, 65535)
        ranges.number("max_queue", self.max_queue, 1, 10_000)
        ranges.number("max_queue_per_client", self.max_queue_per_client, 1, 10_000)
        ranges.number("max_upload_mb", self.max_upload_mb, 1, 100_000)
        ranges.number("max_uploads_mb", self.max_uploads_mb, 1, 1_000_000)
        ranges.number("osc_rate_hz", self.osc_rate_hz, 1, 1_000_000)
        ranges.number("idle_unload_min", self.idle_unload_min, 0, 100_000)
        from acestep.checkpoints.memory import CHOICES, PRECISIONS

        for name, choices in (("variant", ("", *CHOICES)), ("precision", PRECISIONS)):
            if getattr(self, name) not in choices:
                listed = ", ".join(choice for choice in choices if choice)
                raise InvalidRequest(f"{name} {getattr(self, name)!r}: expected one of {listed}")
        if self.log_level not in LOG_LEVELS:
            raise InvalidRequest(f"log_level {self.log_level!r}: expected one of {', '.join(LOG_LEVELS)}")
        for entry in self.osc_allow:
            _network(entry)

    @property
    def token_file(self) -> Path:
        """The secret that callers beyond loopback show."""
        return self.home / "token"

    @property
    def owner_file(self) -> Path:
        """The secret by which the running daemon knows its own user on this machine."""
        return self.home / OWNER_FILE

    @property
    def captures(self) -> Path:
        """Where bridges write what they captured from the DAW; requests may always name it."""
        return self.home / "captures"

    @property
    def uploads(self) -> Path:
        """Where references streamed up by gRPC are kept."""
        return self.home / "uploads"

    @property
    def trash(self) -> Path:
        """Where trashed clips wait to be restored."""
        return self.home / "trash"

    @property
    def running_file(self) -> Path:
        """Ports and process of the running daemon, for those who look for it."""
        return self.home / "daemon.json"


FIELDS = {item.name: item for item in dataclasses.fields(Config)}


def load(flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """The settings of this start. `flags` holds only what was given; None values do not count.

    Raises InvalidRequest for an unknown key of the file, naming the valid ones, and for wrong values.
    Environment names that are not ours are left alone: other programs use the same prefix.
    """
    environ = os.environ if environ is None else environ
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    from_environment = {
        name: environ[f"ACESTEP_{name.upper()}"] for name in FIELDS if environ.get(f"ACESTEP_{name.upper()}")
    }
    home = expanded(given.get("home") or from_environment.get("home") or default_home())
    values: dict[str, Any] = {}
    for source, settings in (
        (str(home / "config.toml"), _read(home / "config.toml")),
        ("the environment", from_environment),
        ("the flags", given),
    ):
        for name, value in settings.items():
            values[name] = _typed(name, value, source)
    values["home"] = home
    return Config(**values)


def _read(path: Path) -> dict[str, Any]:
    try:
        settings = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be read ({error.strerror}): expected a file of settings"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        from acestep.typed_json import fault_of

        raise InvalidRequest(f"{path} is not TOML: {fault_of(error)}") from None
    valid = sorted(set(FIELDS) - {"home"})
    unknown = sorted(set(settings) - set(valid))
    if unknown:
        raise InvalidRequest(f"{path}: unknown key {', '.join(unknown)}; expected some of {', '.join(valid)}")
    return settings


def _typed(name: str, value: Any, source: str) -> Any:
    """`value` as the field's type; text is read as the environment and flags give it."""
    kind = str(FIELDS[name].type)
    try:
        if "tuple" in kind:
            parts = value.split(os.pathsep if "Path" in kind else ",") if isinstance(value, str) else value
            items = [str(part).strip() for part in parts if str(part).strip()]
            if any("\0" in item for item in items):
                raise ValueError
            return tuple(Path(item) for item in items) if "Path" in kind else tuple(items)
        if "Path" in kind:
            if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
                raise ValueError
            return Path(value)
        if "bool" in kind:
            return value if isinstance(value, bool) else _BOOLS[str(value).lower()]
        if "int" in kind:
            return _whole(value)
        if "float" in kind:
            if isinstance(value, bool):
                raise ValueError
            return number(value) if isinstance(value, str) else float(value)
        if not isinstance(value, str):
            raise ValueError
        return value
    except (ValueError, KeyError, TypeError, OverflowError):
        kind = kind.replace("<class '", "").replace("'>", "").replace("pathlib.", "").removesuffix(" | None")
        expected = EXPECTED.get(kind, kind)
        raise InvalidRequest(f"{name} = {value!r:.80} in {source}: expected {expected}") from None


EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "Path": "a path",
    "tuple[str, ...]": "a list of texts",
    "tuple[Path, ...]": "a list of paths",
}
_BOOLS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False}


def _whole(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    return int(value)


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        raise InvalidRequest(
            f"osc_allow entry {entry!r} is not an address or network: expected for example 192.168.1.0/24"
        ) from None
