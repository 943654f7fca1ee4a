"""The daemon's settings: `config.toml` in home < environment `ACESTEP_*` < flags.

`Config` is the list of all settings; each field has its type, range, default and one sentence of help. The
keys of the file, the variables, the flags, what errors expect and the table in README.md follow from it.
Reads and checks; opens nothing and creates nothing.

msgspec reads the values, not pydantic-settings: it is here for JSON anyway, it loads in milliseconds, and
argparse stays the one reader of command lines.
"""

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, inspect

from acestep import ranges
from acestep.checkpoints.memory import Precision, Size
from acestep.console.command import expanded
from acestep.console.spelling import number
from acestep.errors import InvalidRequest
from acestep.home import platform_home
from acestep.typed_json import fault_of
from protos import OWNER_FILE

GRPC_PORT = 50551
OSC_PORT = 9127
HOST = "127.0.0.1"
LogLevel = Literal["debug", "info", "warning", "error"]
Variant = Literal["", Size]
SWITCH_WORDS = {"yes": "true", "on": "true", "no": "false", "off": "false"}  # beside true, false, 1, 0


class Place(str):
    """A name, or the path of a folder, which is absolute."""

    __slots__ = ()


class PlaceOrNone(Place):
    """The same, or empty."""

    __slots__ = ()


class Network(str):
    """An address, or a network such as 192.168.1.0/24."""

    __slots__ = ()


def _one_of(words: Any) -> str:
    return f"one of {', '.join(get_args(words))}"


_Path = Annotated[Path, Meta(title="a path")]
_Place = Annotated[Place, Meta(title="a name, or the path of a folder")]
_PlaceOrNone = Annotated[PlaceOrNone, Meta(title="a name, the path of a folder, or empty")]
_Network = Annotated[Network, Meta(title="an address or network, for example 192.168.1.0/24")]
_Host = Annotated[str, Meta(min_length=1, title="an address or the name of a machine")]
_Level = Annotated[LogLevel, Meta(title=_one_of(LogLevel))]
_Size = Annotated[Variant, Meta(title=_one_of(Size))]
_Precision = Annotated[Precision, Meta(title=_one_of(Precision))]
_Cluster = Annotated[
    str, Meta(pattern=r"^(auto|[\w.\-]+:\d{1,5}|\[[0-9a-fA-F:.]+\]:\d{1,5})?$", title="auto, or HOST:PORT")
]
_Replicas = Annotated[
    str, Meta(pattern=r"^(0|[1-9]\d{0,2}(:[1-9]\d{0,2})?)?$", title="a number, or LEAST:MOST such as 1:8")
]
_Port = Annotated[int, Meta(ge=0, le=65_535)]
_Jobs = Annotated[int, Meta(ge=1, le=10_000)]


def default_samples() -> Path:
    """`<Music>/ACE-Step`, where every DAW's browser can be pointed to."""
    from platformdirs import user_music_path

    return user_music_path() / "ACE-Step"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting with its default. Paths are absolute once loaded."""

    home: Annotated[
        _Path, Meta(description="folder for data, settings and logs; default: the platform's data folder")
    ] = msgspec.field(default_factory=platform_home)
    samples: Annotated[
        _Path, Meta(description="folder the clips go to; default: ACE-Step in the music folder")
    ] = msgspec.field(default_factory=default_samples)
    host: Annotated[
        _Host, Meta(description="address gRPC listens on; beyond loopback needs TLS and a token")
    ] = HOST
    grpc_port: Annotated[_Port, Meta(description="port of gRPC; 0 takes any free one")] = GRPC_PORT
    osc_host: Annotated[
        _Host, Meta(description="address OSC listens on; beyond loopback needs osc_allow")
    ] = HOST
    osc_port: Annotated[_Port, Meta(description="port of OSC; 0 takes any free one")] = OSC_PORT
    osc_allow: Annotated[
        tuple[_Network, ...],
        Meta(description="addresses or networks that may send OSC, beside this machine"),
    ] = ()
    tls_cert: Annotated[
        _Path | None, Meta(description="certificate (PEM); default: tls/cert.pem in home if there")
    ] = None
    tls_key: Annotated[
        _Path | None, Meta(description="its private key (PEM); default: tls/key.pem in home")
    ] = None
    require_token: Annotated[
        bool, Meta(description="gRPC demands the token on this machine too (OSC has none)")
    ] = False
    allowed_folders: Annotated[
        tuple[_Path, ...], Meta(description="more folders that requests may name")
    ] = ()
    cascade: Annotated[
        _Place, Meta(description="name or folder of the cascade that requests use by default")
    ] = Place("nano")
    variant: Annotated[
        _Size,
        Meta(description="choose the cascade by size, or the best for this machine; empty: by `cascade`"),
    ] = ""
    planner: Annotated[
        _PlaceOrNone,
        Meta(description="language model that expands prompts, for example lm-0.6b; empty: none"),
    ] = PlaceOrNone("")
    precision: Annotated[_Precision, Meta(description="number format of the model's weights")] = "auto"
    device: Annotated[
        str,
        Meta(
            pattern=r"^(auto|cpu|mps|cuda(:\d{1,3})?)$",
            title="auto, cpu, cuda, cuda:N or mps",
            description="what computes",
        ),
    ] = "auto"
    cluster: Annotated[
        _Cluster,
        Meta(description="make clips on a Ray cluster: auto, or where its head node is; empty: here"),
    ] = ""
    replicas: Annotated[
        _Replicas,
        Meta(description="how many replicas; empty: those there are, else one; 0: those that others deploy"),
    ] = ""
    gpus_per_replica: Annotated[
        float, Meta(ge=0, le=16, description="GPUs of each replica; a cluster without any computes on CPUs")
    ] = 1.0
    cpus_per_replica: Annotated[
        int, Meta(ge=1, le=256, description="processor cores of each replica, and its threads")
    ] = 1
    max_queue: Annotated[_Jobs, Meta(description="jobs that may wait, over all senders")] = 64
    max_queue_per_client: Annotated[_Jobs, Meta(description="jobs that may wait per sender")] = 32
    max_upload_mb: Annotated[
        int, Meta(ge=1, le=100_000, description="size of one uploaded file, in megabytes")
    ] = 512
    max_uploads_mb: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="size of all uploads kept, in megabytes; the oldest go first"),
    ] = 4096
    osc_rate_hz: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="OSC messages per second and sender before they are refused"),
    ] = 2000
    idle_unload_min: Annotated[
        float,
        Meta(ge=0, le=100_000, description="unload the model after so many idle minutes; 0 never does"),
    ] = 0.0
    midi_input: Annotated[
        str, Meta(description="MIDI input to follow (clock) and be triggered by; empty: none")
    ] = ""
    midi_generate: Annotated[
        str,
        Meta(description="MIDI that generates: `note 60`, `cc 20`, with channel `note 60@10`; empty: none"),
    ] = ""
    midi_cancel: Annotated[str, Meta(description="MIDI that cancels, written likewise; empty: none")] = ""
    midi_prompt: Annotated[str, Meta(description="prompt of a MIDI trigger; empty: the last one used")] = ""
    log_level: Annotated[_Level, Meta(description="how much the log says")] = "info"

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


@dataclass(frozen=True)
class Option:
    """One setting: the names it goes by, and what is said of it."""

    name: str
    kind: inspect.Type
    type: Any  # what msgspec converts to: a type with its Meta
    help: str
    default: str  # as it is written in the file; empty where the help says it

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        return f"ACESTEP_{self.name.upper()}"

    @property
    def expected(self) -> str:
        """Its values, in words."""
        return _in_words(self.kind)

    @property
    def may_be_empty(self) -> bool:
        """Whether an empty text is a value, and not a mistake."""
        try:
            msgspec.convert("", self.type, dec_hook=partial(_custom, Path()))
        except ValueError:
            return False
        return True

    @property
    def plain_kind(self) -> inspect.Type:
        """The kind of value, without what is said of it."""
        return self.kind.type if isinstance(self.kind, inspect.Metadata) else self.kind


def _in_words(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata(type=inner, extra_json_schema=said):
            return str((said or {}).get("title") or _in_words(inner))
        case inspect.UnionType(types=kinds):
            return _in_words(next(one for one in kinds if not isinstance(one, inspect.NoneType)))
        case inspect.VarTupleType(item_type=item):
            return f"a list, each {_in_words(item)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=low, le=high):
            return f"a whole number, {ranges.span(low or 0, high or 0)}"
        case inspect.FloatType(ge=low, le=high):
            return f"a number, {ranges.span(low or 0, high or 0)}"
    return "text"


def _options() -> dict[str, Option]:
    types = get_type_hints(Config, include_extras=True)
    found = {}
    struct = inspect.type_info(Config)
    assert isinstance(struct, inspect.StructType)
    for item in struct.fields:
        assert isinstance(item.type, inspect.Metadata)  # every field has its sentence of help
        said = item.type.extra_json_schema or {}
        default = "" if item.default in ((), msgspec.NODEFAULT) else _as_written(item.default)
        found[item.name] = Option(item.name, item.type, types[item.name], said["description"], default)
    return found


def _as_written(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
    return str(value)


OPTIONS = _options()


def load(flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """The settings of this start. `flags` holds only what was given; None values do not count.

    A relative path in the file starts at the file's folder, others at the current one. An empty variable is
    no variable. Raises InvalidRequest for an unknown key of the file, naming the valid ones, and for wrong
    values. Variables that are not ours are left alone: other programs use the same prefix.
    """
    environ = os.environ if environ is None else environ
    here = Path()
    values: dict[str, Any] = {}
    for option in OPTIONS.values():
        if told := environ.get(option.variable):
            values[option.name] = _read(option, told, here, f"{option.variable} in the environment")
    for name, value in (flags or {}).items():
        if value is not None:
            values[name] = _read(OPTIONS[name], value, here, OPTIONS[name].flag)
    home = values.setdefault("home", platform_home())
    if home.exists() and not home.is_dir():
        raise InvalidRequest(f"{home} is a file: expected the folder that is to be the home")
    file = home / "config.toml"
    for name, value in _content(file).items():
        read = _read(OPTIONS[name], value, home, f"{name} in {file}")  # also where it does not count
        values.setdefault(name, read)
    for name, path in (("tls_cert", home / "tls" / "cert.pem"), ("tls_key", home / "tls" / "key.pem")):
        if path.exists():
            values.setdefault(name, path)
    return Config(**values)


def _content(path: Path) -> dict[str, Any]:
    try:
        settings = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be read ({error.strerror}): expected a file of settings"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{path} is not TOML: {fault_of(error)}") from None
    valid = sorted(set(OPTIONS) - {"home"})
    unknown = sorted(set(settings) - set(valid))
    if unknown:
        raise InvalidRequest(f"{path}: unknown key {', '.join(unknown)}; expected some of {', '.join(valid)}")
    return settings


def _read(option: Option, value: Any, folder: Path, where: str) -> Any:
    """The value as the setting's type; relative paths start at `folder`. InvalidRequest says `where`."""
    try:
        plain = _from_text(option, value) if isinstance(value, str) else value
        return msgspec.convert(plain, option.type, strict=False, dec_hook=partial(_custom, folder))
    except (ValueError, TypeError):  # ValueError: msgspec's own, and that of a number
        raise InvalidRequest(f"{where} is {value!r:.80}: expected {option.expected}") from None


def _from_text(option: Option, text: str) -> Any:
    """A text as people write it in a variable, a flag or the file, in the form that msgspec reads."""
    match option.plain_kind:
        case inspect.VarTupleType(item_type=item):
            of_paths = _in_words(item) == _in_words(OPTIONS["home"].kind)
            return [part for one in text.split(os.pathsep if of_paths else ",") if (part := one.strip())]
        case inspect.FloatType():
            return number(text)
        case inspect.BoolType():
            return SWITCH_WORDS.get(text.lower(), text)
    return text


def _custom(folder: Path, kind: type, value: object) -> object:
    """A value of a type that msgspec does not know. Raises ValueError."""
    if not isinstance(value, str | Path) or "\0" in str(value):
        raise ValueError
    text = str(value)
    if kind is Network:
        ipaddress.ip_network(text, strict=False)
        return Network(text)
    if not text and kind is not PlaceOrNone:
        raise ValueError
    if issubclass(kind, Place) and not text.startswith("~") and not {"/", os.sep} & set(text):
        return kind(text)
    path = (folder / expanded(text)).absolute()
    return kind(path) if issubclass(kind, Place) else path
