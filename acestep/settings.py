"""What a setting of a request is: its kind of value, its range, and the names it goes by.

The settings themselves are the fields of `acestep.request.GenerateRequest`: each field carries one `Setting`,
and everything else that names settings (command line, OSC, the wire, the page, the bridges' tables, the
READMEs) is made from these entries. A kind checks a value and brings it into the form that a request keeps.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from acestep import ranges
from acestep.errors import InvalidRequest
from acestep.music.grid import Signature
from acestep.music.key import Key
from acestep.music.parts import parts_text, read_parts
from acestep.music.tempo_map import TempoMap

MAX_ADAPTERS = 8
MAX_ADAPTER_SCALE = 4.0
MAX_ADAPTER_CHARS = 1_000  # the command line may name one by its path
MAX_AUDIO_S = 36_000
MAX_TOGETHER = 32  # files that sound together as one context
MAX_REGION_S = 600
# Every door through which a setting can be made.
BRIDGES = {
    "command": "`acestep generate`",
    "osc": "OSC",
    "python": "Python client",
    "page": "page in the browser",
    "live": "Ableton Live",
    "reaper": "REAPER",
    "plugin": "VST3/CLAP/LV2 plugin",
}
T = TypeVar("T")
GROUPS = ("music", "sound", "run", "file")


@dataclass(frozen=True)
class AudioRange:
    """A stretch of an audio file, in seconds; `end_s=None` means to its end.

    `plus` begin together with it, and all are heard as one sound (see `sound.together`).
    """

    path: str
    start_s: float = 0.0
    end_s: float | None = None
    plus: tuple["AudioRange", ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path.strip() or "\0" in self.path:
            raise InvalidRequest(
                f"audio path {self.path!r} is empty or not a path: expected the path of an audio file"
            )
        _SECONDS.read("start of the audio", self.start_s)
        if self.end_s is not None:
            _SECONDS.read("end of the audio", self.end_s)
            if self.end_s <= self.start_s:
                raise InvalidRequest(
                    f"audio range {self.start_s:g}–{self.end_s:g} s is empty: it must end after it starts"
                )
        if not self.plus:
            object.__setattr__(self, "plus", ())
            return
        others = tuple(_audio_range(one) for one in _list("audio", self.plus, "files that sound together"))
        if len(others) >= MAX_TOGETHER or any(one.plus for one in others):
            raise InvalidRequest(
                f"{1 + len(others)} files are to sound together: expected at most {MAX_TOGETHER}, in one list"
            )
        object.__setattr__(self, "plus", others)

    @property
    def sources(self) -> tuple["AudioRange", ...]:
        """Every file that is heard, each by itself."""
        return (dataclasses.replace(self, plus=()), *self.plus)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        own = {"path": self.path, "start_s": self.start_s, "end_s": self.end_s}
        return own | ({"plus": [one.to_dict() for one in self.plus]} if self.plus else {})


class Kind(Protocol):
    """What values a setting takes."""

    def read(self, name: str, value: object) -> Any:
        """The value as a request keeps it. Raises InvalidRequest, naming the setting."""

    @property
    def expected(self) -> str:
        """The values in a few words, for help texts and tables."""


@dataclass(frozen=True)
class Number:
    """A number from `low` to `high`, counted in `unit`."""

    low: float
    high: float
    unit: str = ""

    def read(self, name: str, value: object) -> float:
        return ranges.number(name, value, self.low, self.high, self.unit)

    @property
    def expected(self) -> str:
        return ranges.span(self.low, self.high, self.unit)


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`."""

    low: int
    high: int

    def read(self, name: str, value: object) -> int:
        return ranges.whole(name, value, self.low, self.high)

    @property
    def expected(self) -> str:
        return ranges.span(self.low, self.high)


@dataclass(frozen=True)
class Text:
    """Words, at most `limit` characters of them."""

    limit: int

    def read(self, name: str, value: object) -> str:
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} is a {type(value).__name__}: expected text")
        if len(value) > self.limit:
            raise InvalidRequest(f"{name} has {len(value)} characters: expected at most {self.limit}")
        return _text(name, value)

    @property
    def expected(self) -> str:
        return f"up to {self.limit:,} characters"


@dataclass(frozen=True)
class Choice:
    """One of a few words; each with what it means. Capitals do not matter."""

    words: Mapping[str, str]

    def read(self, name: str, value: object) -> str:
        word = value.lower() if isinstance(value, str) else ""
        if word not in self.words:
            raise InvalidRequest(f"{name} {value!r:.80} is unknown: expected one of {', '.join(self.words)}")
        return word

    @property
    def expected(self) -> str:
        return ", ".join(self.words)


@dataclass(frozen=True)
class Switch:
    """On or off."""

    expected = "on or off"

    def read(self, name: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise InvalidRequest(f"{name} is {value!r:.40}: expected true or false")
        return value


@dataclass(frozen=True)
class TimeSignature:
    """A time signature, `7/8`."""

    expected = "N/D, for example 4/4 or 7/8"

    def read(self, name: str, value: object) -> Signature:
        return Signature.parse(value)


@dataclass(frozen=True)
class Tonality:
    """A key, `F# minor`."""

    expected = "a tonic and major or minor, for example F# minor"

    def read(self, name: str, value: object) -> Key | None:
        return Key.parse(value) if value else None


@dataclass(frozen=True)
class AudioFile:
    """An audio file, or a stretch of one; `several` may sound together as one."""

    several: bool = False

    @property
    def expected(self) -> str:
        one = "an audio file, or from one second of it to another"
        return f"{one}; up to {MAX_TOGETHER} together" if self.several else one

    def read(self, name: str, value: object) -> AudioRange:
        if self.several and isinstance(value, list | tuple) and value:
            first, *others = map(_audio_range, value)
            value = dataclasses.replace(first, plus=(*first.plus, *others))
        found = _audio_range(value)
        if found.plus and not self.several:
            raise InvalidRequest(f"{name} is {1 + len(found.plus)} files: expected one")
        return found


def _audio_range(value: object) -> AudioRange:
    if isinstance(value, AudioRange):
        return value
    if isinstance(value, str | Path):
        return AudioRange(str(value))
    if isinstance(value, Mapping) and {"path"} <= set(value) <= {"path", "start_s", "end_s", "plus"}:
        return AudioRange(**value)
    raise InvalidRequest(
        f"audio {value!r:.80} is not a file: expected a path, or a path with start and end in seconds"
    )


@dataclass(frozen=True)
class Region:
    """A start and an end, in seconds."""

    expected = f"start and end in seconds, 0–{MAX_REGION_S}"

    def read(self, name: str, value: object) -> tuple[float, float]:
        ends = _list(name, value, "a start and an end in seconds")
        if len(ends) != 2:
            raise InvalidRequest(
                f"{name} {value!r:.80} is not a region: expected a start and an end in seconds"
            )
        second = Number(0, MAX_REGION_S, "s")
        start_s, end_s = (
            second.read(f"{name} {end}", at) for end, at in zip(("start", "end"), ends, strict=True)
        )
        if end_s <= start_s:
            raise InvalidRequest(
                f"{name} region {start_s:g}–{end_s:g} s is empty: the end must come after the start"
            )
        return float(start_s), float(end_s)


@dataclass(frozen=True)
class Names:
    """Some names, for example of stages."""

    expected = "names, for example l, m"

    def read(self, name: str, value: object) -> tuple[str, ...]:
        names = value.replace(",", " ").split() if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(one, str) and one for one in names):
            raise InvalidRequest(f"{name} {value!r:.80} are not names: expected for example ('l', 'm')")
        return tuple(names)


@dataclass(frozen=True)
class AdapterScales:
    """Adapters, each with how strongly it is used."""

    expected = (
        f"up to {MAX_ADAPTERS} names, each with a scale of −{MAX_ADAPTER_SCALE:g} to {MAX_ADAPTER_SCALE:g}"
    )

    def read(self, name: str, value: object) -> tuple[tuple[str, float], ...]:
        pairs = [self._pair(one) for one in _list("adapters", value, "names, or pairs of a name and a scale")]
        if len(pairs) > MAX_ADAPTERS:
            raise InvalidRequest(f"{len(pairs)} adapters at once: expected at most {MAX_ADAPTERS}")
        return tuple(pairs)

    def _pair(self, item: object) -> tuple[str, float]:
        if isinstance(item, str):
            item = (item, 1.0)
        if not isinstance(item, list | tuple) or len(item) != 2:
            raise InvalidRequest(
                f"adapter {item!r:.80} is not an adapter: expected a name and a scale: ('dusty', 0.8)"
            )
        name, scale = item
        if not isinstance(name, str) or not name.strip():
            raise InvalidRequest(
                f"adapter {name!r:.80} is not a name: `lora_studio list` lists those that are here"
            )
        if len(name) > MAX_ADAPTER_CHARS:
            raise InvalidRequest(
                f"adapter {name[:40]!r}… has a name of {len(name)} characters: that is too long"
            )
        _text("the name of an adapter", name)
        Number(-MAX_ADAPTER_SCALE, MAX_ADAPTER_SCALE).read(f"scale of adapter {name[:80]}", scale)
        return name, float(scale)


@dataclass(frozen=True)
class Tempi:
    """A tempo map: where the tempo changes, and how."""

    expected = "for example 0 100 ramp, 16 120"

    def read(self, name: str, value: object) -> TempoMap:
        return TempoMap.parse(value)


@dataclass(frozen=True)
class Parts:
    """Parts of an idea, each perhaps with words of its own; kept as one text (see `music.parts`)."""

    expected = "for example drums, bass, lead"

    def read(self, name: str, value: object) -> str:
        if isinstance(value, str):
            _text(name, value)
        return parts_text(read_parts(name, value))


@dataclass(frozen=True)
class Setting:
    """One entry of the table."""

    kind: Kind
    help: str  # a sentence that a musician understands; it says what holds when the setting is left out
    group: str  # where help texts and the page show it: one of GROUPS
    wire: int  # its number in the proto's GenerateRequest
    title: str = ""  # on the page; default: the name
    flag: str = ""  # `acestep generate --FLAG`; default: the name
    osc: str = ""  # /acestep/OSC; default: the flag
    proto: str = ""  # its field in the proto; default: the name
    none: float | None = None  # the number that says None where a door has numbers only
    without: Mapping[str, str] = field(default_factory=dict)  # bridge → why it leaves this out
    name: str = ""
    default: Any = None

    def read(self, value: object) -> Any:
        """The value as a request keeps it. Raises InvalidRequest for one that no request can have."""
        if value is None and (self.default is None or self.none is not None):
            return None
        if value == "" and self.default == "":
            return ""
        return self.kind.read(self.osc, value)


def entry(kind: Kind, help: str, group: str, wire: int, **more: Any) -> dict[str, Setting]:
    """The metadata of a dataclass field that is a setting; `more` are further fields of `Setting`."""
    return {"setting": Setting(kind, help, group, wire, **more)}


def setting(default: T, kind: Kind, help: str, group: str, wire: int, **more: Any) -> T:
    """A dataclass field with a default that is a setting."""
    return field(default=default, metadata=entry(kind, help, group, wire, **more))


def table(fields: Sequence["dataclasses.Field[Any]"]) -> dict[str, Setting]:
    """The settings of a dataclass's fields by name, each with its name, default and spellings filled in."""
    found = {}
    for item in fields:
        if "setting" in item.metadata:
            one: Setting = item.metadata["setting"]
            flag = one.flag or item.name
            found[item.name] = dataclasses.replace(
                one,
                name=item.name,
                default="" if item.default is dataclasses.MISSING else item.default,
                title=one.title or item.name.replace("_", " ").capitalize(),
                flag=flag.replace("_", "-"),
                osc=one.osc or flag,
                proto=one.proto or item.name,
            )
    return found


def _list(name: str, value: object, expected: str) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise InvalidRequest(f"{name} {value!r:.80} is not a list: expected {expected}")
    return value


def _text(name: str, text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half a pair of UTF-16, or a byte of a file name: no font and no model has it
        raise InvalidRequest(f"{name} holds {text!r:.80}, bytes that are not text: expected UTF-8") from None
    return text


_SECONDS = Number(0, MAX_AUDIO_S, "s")
