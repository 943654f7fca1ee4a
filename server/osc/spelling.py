"""How each setting is spelled by OSC: as a message of its own, and by name behind the prompt of a request.

Both are made from the table in `acestep.request`. Values become fields of `GenerateRequest`, and that
checks them.
"""

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from acestep.console.spelling import scaled
from acestep.errors import InvalidRequest
from acestep.music.grid import Signature
from acestep.request import SETTINGS
from acestep.settings import (
    AdapterScales,
    AudioFile,
    AudioRange,
    Number,
    Region,
    Setting,
    Switch,
    TimeSignature,
    Whole,
)
from server.osc.packets import Value

Fields = dict[str, Any]  # names of GenerateRequest, "folder", and "context+" for one more file
TOGETHER = "with"  # one more file for the context


@dataclass(frozen=True)
class Spelling:
    """One message: its arguments as (type, name) and how they become fields. `optional` trailing ones."""

    arguments: tuple[tuple[str, str], ...]
    fields: Callable[..., Fields]
    optional: int = 0
    clears: str = ""  # the field that a lone "" takes back: to the context's, or to the default

    @property
    def usage(self) -> str:
        """`s path [f start_s f end_s]`."""
        words = [f"{_SHOWN.get(kind, kind)} {name}" for kind, name in self.arguments]
        required, rest = words[: len(words) - self.optional], words[len(words) - self.optional :]
        return " ".join([*required, *([f"[{' '.join(rest)}]"] if rest else [])])


def _letter(setting: Setting) -> str:
    """OSC's type of a setting that is one value."""
    match setting.kind:
        case Number():
            return "f"
        case Whole():
            return "i"
        case Switch():
            return "b"
    return "s"


def _one(setting: Setting) -> Spelling:
    """A setting of one value."""

    def fields(value: Value) -> Fields:
        if setting.none is not None and value == setting.none:
            return {setting.name: None}
        return {setting.name: value}

    return Spelling(((_letter(setting), setting.name),), fields, clears=setting.name)


def _signature(setting: Setting) -> Spelling:
    arguments = (("i", "numerator"), ("i", "denominator"))
    return Spelling(
        arguments, lambda over, under: {setting.name: Signature(over, under)}, clears=setting.name
    )


def _audio(setting: Setting) -> Spelling:
    def fields(path: str, start_s: float = 0.0, end_s: float | None = None) -> Fields:
        return {setting.name: AudioRange(path, start_s, end_s)}

    return Spelling((("s", "path"), ("f", "start_s"), ("f", "end_s")), fields, 2, clears=setting.name)


def _together(setting: Setting) -> Spelling:
    """One more file that sounds together with the setting's."""

    def fields(path: str, start_s: float = 0.0, end_s: float | None = None) -> Fields:
        return {f"{setting.name}+": AudioRange(path, start_s, end_s)}

    return Spelling((("s", "path"), ("f", "start_s"), ("f", "end_s")), fields, 2)


def _region(setting: Setting) -> Spelling:
    arguments = (("f", "start_s"), ("f", "end_s"))
    return Spelling(
        arguments, lambda start, end: {setting.name: (start, end) if end else None}, clears=setting.name
    )


def _adapter(setting: Setting) -> Spelling:
    arguments = (("s", "name"), ("f", "scale"))
    return Spelling(arguments, lambda name, scale=1.0: {"adapter": (name, scale)}, 1)


def _ends(osc: str, name: str) -> dict[str, Spelling]:
    """`reference_start` and the like: the ends of a range by name."""
    return {
        f"{osc}_{end}": Spelling((("f", f"{end}_s"),), lambda at, to=f"{name}.{end}_s": {to: at})
        for end in ("start", "end")
    }


def _split_adapter(text: str) -> Fields:
    try:
        return {"adapter": scaled(text)}
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


def _messages() -> dict[str, Spelling]:
    """Every setting as a message, by what follows /acestep/."""
    found = {}
    for setting in _offered():
        make: Callable[[Setting], Spelling] = {
            TimeSignature: _signature,
            AudioFile: _audio,
            Region: _region,
            AdapterScales: _adapter,
        }.get(type(setting.kind), _one)
        found[setting.osc] = make(setting)
        if isinstance(setting.kind, AudioFile) and setting.kind.several:
            found[TOGETHER] = _together(setting)
    return {**found, "folder": _FOLDER}


def _named() -> dict[str, Spelling]:
    """Every setting as one value by name, and also by the name that Python and the wire know it by."""
    found: dict[str, Spelling] = {}
    for setting in _offered():
        match setting.kind:
            case AudioFile():
                path = Spelling(
                    (("s", "path"),), lambda path, to=setting.name: {to: path}, clears=setting.name
                )
                found |= {setting.osc: path, **_ends(setting.osc, setting.name)}
                if setting.kind.several:
                    found[TOGETHER] = Spelling(
                        (("s", "path"),), lambda path, to=setting.name: {f"{to}+": AudioRange(path)}
                    )
                    found |= _ends(TOGETHER, f"{setting.name}+")
            case Region():
                found |= _ends(setting.osc, setting.name)
            case AdapterScales():
                found[setting.osc] = Spelling((("s", "name:scale"),), _split_adapter)
            case _:
                found[setting.osc] = found[setting.name] = _one(setting)
    return {**found, "folder": _FOLDER}


def _offered() -> list[Setting]:
    return [one for one in SETTINGS.values() if one.name != "prompt" and "osc" not in one.without]


_FOLDER = Spelling((("s", "folder"),), lambda folder: {"folder": folder})
MESSAGES = _messages()
NAMED = _named()


def read(what: str, spelling: Spelling, values: Sequence[Value]) -> Fields:
    """The fields that this message sets. Raises InvalidRequest, saying what was expected."""
    arguments = spelling.arguments
    if spelling.clears and list(values) == [""]:
        return {spelling.clears: SETTINGS[spelling.clears].default}
    if not len(arguments) - spelling.optional <= len(values) <= len(arguments):
        raise InvalidRequest(f"{what} has {len(values)} values: expected {spelling.usage or 'none'}")
    read_values = []
    for (kind, name), value in zip(arguments, values, strict=False):
        value = _meant(kind, value)
        if not _TYPES[kind][1](value):
            one = (
                what if len(arguments) == 1 else f"{what}: {name}"
            )  # a lone value is called as its sender does
            raise InvalidRequest(f"{one} is {describe(value)}: expected {_TYPES[kind][0]} ({spelling.usage})")
        if kind == "f" and isinstance(value, int | float):
            value = shortest(value)
        read_values.append(bool(value) if kind == "b" else value)
    return spelling.fields(*read_values)


def _meant(kind: str, value: Value) -> Value:
    """Fader apps send every number as a float, and switches as true and false."""
    if kind in ("i", "b") and isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if kind == "b" and isinstance(value, bool) else value


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, tuple[str, Callable[[Value], bool]]] = {
    "f": ("a number", _is_number),
    "i": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "s": ("text", lambda value: isinstance(value, str)),
    "b": ("0 or 1", lambda value: isinstance(value, int) and value in (0, 1)),
}


_SHOWN = {"b": "i"}  # a switch is the number 0 or 1; in OSC itself b is a blob


def describe(value: Value) -> str:
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
