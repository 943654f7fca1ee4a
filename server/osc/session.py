"""Settings by OSC: what each message must look like, and the sessions that keep them.

A session turns messages into the fields of `GenerateRequest`, which does the validation.
"""

import math
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from acestep.errors import InvalidRequest
from acestep.music.grid import BPM_RANGE, Grid, Signature
from acestep.request import TASKS, AudioRange, GenerateRequest

MAX_SESSIONS = 256
MAX_NAME_CHARS = 80
Address = tuple[str, int]  # host, port
Fields = dict[str, Any]  # names of GenerateRequest, and "folder"


@dataclass(frozen=True)
class Setting:
    """One message: its arguments as (type, name) and how they become fields. `optional` trailing ones."""

    arguments: tuple[tuple[str, str], ...]
    fields: Callable[..., Fields]
    optional: int = 0
    opens: str = ""  # a field that a lone "" leaves open again: to the context, or to the request's default

    @property
    def usage(self) -> str:
        """`s path [f start_s f end_s]`."""
        words = [f"{kind} {name}" for kind, name in self.arguments]
        required, rest = words[: len(words) - self.optional], words[len(words) - self.optional :]
        return " ".join([*required, *([f"[{' '.join(rest)}]"] if rest else [])])


def _single(kind: str, name: str, field_name: str, empty: Any = ...) -> Setting:
    """A setting of one value for one field; `""` becomes `empty` where that is given."""
    return Setting(
        ((kind, name),),
        lambda value: {field_name: empty if empty is not ... and value == "" else value},
    )


def _audio(name: str) -> Setting:
    def fields(path: str, start_s: float = 0.0, end_s: float | None = None) -> Fields:
        return {name: AudioRange(path, start_s, end_s) if path else None}

    return Setting((("s", "path"), ("f", "start_s"), ("f", "end_s")), fields, optional=2)


def _split_adapter(text: str) -> Fields:
    name, colon, scale = text.rpartition(":")
    if not colon:
        return {"adapter": (text, 1.0)}
    try:
        return {"adapter": (name, float(scale))}
    except ValueError:
        return {"adapter": (text, 1.0)}


# Settings of one value: as messages, and by name behind the prompt of /acestep/generate.
_SINGLE: dict[str, Setting] = {
    "tempo": Setting((("f", "bpm"),), lambda value: {"bpm": value}, opens="bpm"),
    "bars": Setting((("f", "bars"),), lambda value: {"bars": value}, opens="bars"),
    "key": _single("s", "key", "key", None),
    "seed": Setting((("i", "seed"),), lambda seed: {"seed": None if seed == -1 else seed}),
    "takes": _single("i", "takes", "takes"),
    "candidates": _single("i", "candidates", "candidates"),
    "lyrics": _single("s", "lyrics", "lyrics"),
    "cascade": _single("s", "cascade", "cascade"),
    "stages": _single("s", "names", "stages"),
    "strength": _single("f", "strength", "strength"),
    "loudness": Setting((("f", "lufs"),), lambda lufs: {"loudness_lufs": lufs or None}),
    "swing": Setting((("f", "swing"),), lambda swing: {"swing": swing or None}),
    "task": _single("s", "task", "task", ""),
    "track": _single("s", "track", "track"),
    "steps": _single("i", "steps", "steps"),
    "guidance": _single("f", "guidance", "guidance"),
    "fit": _single("b", "fit", "fit"),
    "strict": _single("b", "strict", "strict"),
    "guide": _single("b", "guide", "guide"),
    "format": _single("s", "format", "format", "wav"),
    "sample_format": _single("s", "sample_format", "sample_format", "pcm24"),
    "folder": _single("s", "folder", "folder"),
}

# /acestep/NAME
MESSAGES: dict[str, Setting] = {
    **_SINGLE,
    "signature": Setting(
        (("i", "numerator"), ("i", "denominator")),
        lambda over, under: {"signature": Signature(over, under)},
        opens="signature",
    ),
    "reference": _audio("reference"),
    "context": _audio("context"),
    "repaint": Setting((("f", "start_s"), ("f", "end_s")), lambda a, b: {"repaint_s": (a, b) if b else None}),
    "adapter": Setting(
        (("s", "name"), ("f", "scale")), lambda name, scale=1.0: {"adapter": (name, scale)}, optional=1
    ),
}  # fmt: skip

# Names behind the prompt of /acestep/generate, each with one value
NAMED: dict[str, Setting] = {
    **_SINGLE,
    "bpm": _SINGLE["tempo"],
    "signature": _single("s", "signature", "signature", None),
    "reference": _single("s", "path", "reference", None),
    "reference_start": _single("f", "start_s", "reference.start_s"),
    "reference_end": _single("f", "end_s", "reference.end_s"),
    "context": _single("s", "path", "context", None),
    "context_start": _single("f", "start_s", "context.start_s"),
    "context_end": _single("f", "end_s", "context.end_s"),
    "repaint_start": _single("f", "start_s", "repaint.start_s"),
    "repaint_end": _single("f", "end_s", "repaint.end_s"),
    "adapter": Setting((("s", "name:scale"),), _split_adapter),
}


def read(what: str, setting: Setting, values: Sequence[Any]) -> Fields:
    """The fields that this message sets. Raises InvalidRequest, saying what was expected."""
    arguments = setting.arguments
    if setting.opens and list(values) == [""]:
        return {setting.opens: None}
    if not len(arguments) - setting.optional <= len(values) <= len(arguments):
        raise InvalidRequest(f"{what} has {len(values)} values: expected {setting.usage or 'none'}")
    read_values = []
    for (kind, name), value in zip(arguments, values, strict=False):
        value = _meant(kind, value)
        if not _TYPES[kind][1](value):
            raise InvalidRequest(
                f"{what}: {name} is {describe(value)}: expected {_TYPES[kind][0]} ({setting.usage})"
            )
        if kind == "f":
            value = shortest(value)
        read_values.append(bool(value) if kind == "b" else value)
    return setting.fields(*read_values)


def _meant(kind: str, value: Any) -> Any:
    """Fader apps send every number as a float, and switches as true and false."""
    if kind in ("i", "b") and isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if kind == "b" and isinstance(value, bool) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "f": ("a number", _is_number),
    "i": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "s": ("text", lambda value: isinstance(value, str)),
    "b": ("0 or 1", lambda value: isinstance(value, int) and value in (0, 1)),
}


def describe(value: Any) -> str:
    """A value in an error message, short whatever it is."""
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, bytes):
        return f"a blob of {len(value)} bytes"
    return repr(value)[:60]


def shortest(value: float) -> float:
    """OSC's `f` has 32 bits: 127.37 arrives as 127.37000274658203. This is the 127.37 that was meant."""
    if isinstance(value, int) or not math.isfinite(value):
        return value
    try:
        if struct.unpack(">f", struct.pack(">f", value))[0] != value:
            return value  # a double, meant as it is
        for digits in range(1, 10):
            short = float(f"{value:.{digits}g}")
            if struct.unpack(">f", struct.pack(">f", short))[0] == value:
                return short
    except OverflowError:
        pass
    return value


@dataclass
class Session:
    """The settings that one sender, or all senders of a host together, have made so far."""

    client: str  # for the queue's fair turns
    name: str = ""
    fields: Fields = field(default_factory=dict)
    last_prompt: str = ""

    def change(self, fields: Fields) -> None:
        """Makes the settings; each is checked by itself, so that their order does not matter."""
        changed = merged(self.fields, fields)
        check({name: changed[name] for name in changed if changed[name] is not self.fields.get(name)})
        self.fields = changed

    def request(self, prompt: str, named: Sequence[Any] = ()) -> tuple[GenerateRequest, str]:
        """The request made of prompt, settings and the name-value pairs for this job; and its folder."""
        if len(named) % 2:
            raise InvalidRequest(
                f"/acestep/generate has {len(named)} values after the prompt: expected pairs"
            )
        here: Fields = {}
        for name, value in zip(named[::2], named[1::2], strict=True):
            if not isinstance(name, str) or name not in NAMED:
                raise InvalidRequest(
                    f"/acestep/generate: {describe(name)} is not a setting: use one of {', '.join(NAMED)}"
                )
            here = merged(here, read(f"/acestep/generate {name}", NAMED[name], [value]))
        fields = {**self.fields, **_whole_ranges(here, self.fields)}
        folder = fields.pop("folder", "")
        request = GenerateRequest(prompt=prompt, **fields)
        self.last_prompt = prompt
        return request, folder

    def to_dict(self, longest: int | None = None) -> dict[str, Any]:
        """For /acestep/state: only what was set, as plain values; texts are cut after `longest` letters."""
        return {name: _plain(value, longest) for name, value in self.fields.items()}


def merged(old: Fields, new: Fields) -> Fields:
    """`old` with `new` over it; adapters are added up by name, and the name "" clears them."""
    result = {**old, **new}
    if "adapter" in result:
        name, scale = result.pop("adapter")
        others = [item for item in old.get("adapters", ()) if item[0] != name]
        result["adapters"] = (*others, (name, scale)) if name else ()
    return result


def _whole_ranges(here: Fields, session: Fields) -> Fields:
    """Puts `reference.start_s` and the like into the range they belong to, this job's or the session's."""
    fields = {name: value for name, value in here.items() if "." not in name}
    for whole in ("reference", "context"):
        parts = {name.split(".")[1]: value for name, value in here.items() if name.startswith(whole + ".")}
        if not parts:
            continue
        audio = fields.get(whole, session.get(whole))
        if audio is None:
            raise InvalidRequest(f"{whole}_start or {whole}_end without {whole}: name the file as well")
        known = vars(audio) if isinstance(audio, AudioRange) else {"path": audio}
        fields[whole] = AudioRange(**{**known, **parts})
    if "repaint.start_s" in here or "repaint.end_s" in here:
        start_s, end_s = session.get("repaint_s") or (0.0, 0.0)
        fields["repaint_s"] = (here.get("repaint.start_s", start_s), here.get("repaint.end_s", end_s))
    return fields


def check(fields: Fields) -> None:
    """Raises InvalidRequest for a value that can be in no request, whatever the other settings are."""
    for name, value in fields.items():
        if value is None:
            continue
        if name in ("bpm", "signature"):
            Grid(bars=1.0, **{name: value})
        elif name == "bars":
            Grid(bpm=BPM_RANGE[1], bars=value)
        elif name == "repaint_s":
            if value and not 0 <= value[0] < value[1]:
                raise InvalidRequest(
                    f"repaint region {value[0]:g}–{value[1]:g} s is empty: expected start < end"
                )
        elif name == "task":
            if value and value not in TASKS:
                raise InvalidRequest(f"task {value!r} is unknown: expected one of {', '.join(TASKS)}")
        elif name == "track":
            GenerateRequest(prompt="-", task="lego", context=AudioRange("-"), track=value)
        elif name != "folder":
            GenerateRequest(prompt="-", **{name: value})


def _plain(value: Any, longest: int | None) -> Any:
    if isinstance(value, AudioRange):
        return {"path": value.path, "start_s": value.start_s, "end_s": value.end_s}
    if isinstance(value, tuple | list):
        return [_plain(item, longest) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)[:longest]


class Sessions:
    """The sessions of all addresses: one shared per host, and those that asked for their own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sessions: OrderedDict[Address | str, Session] = OrderedDict()

    def of(self, address: Address) -> Session:
        """The address's own session, or the one its host shares."""
        with self._lock:
            if address in self._sessions:
                self._sessions.move_to_end(address)
                return self._sessions[address]
            return self.shared(address[0])

    def shared(self, host: str) -> Session:
        """The session that all senders of a host share unless they ask for their own."""
        return self._get(host, f"osc:{host}")

    def name(self, address: Address, name: str) -> Session:
        """Gives the address a session of its own, or renames it; `""` takes it away."""
        if len(name) > MAX_NAME_CHARS:
            raise InvalidRequest(
                f"session name has {len(name)} characters: expected at most {MAX_NAME_CHARS}"
            )
        if not name:
            with self._lock:
                self._sessions.pop(address, None)
            return self.of(address)
        session = self._get(address, f"osc:{address[0]}:{address[1]}")
        session.name = name
        session.client = f"{name} ({address[0]}:{address[1]})"
        return session

    def _get(self, owner: Address | str, client: str) -> Session:
        with self._lock:
            session = self._sessions.setdefault(owner, Session(client))
            self._sessions.move_to_end(owner)
            if len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
        return session
