"""The settings of a request as options of `acestep generate`: made from the table, and read back into fields.

What a value may be is checked by the request; here only the kind of value is read.
"""

import argparse
from pathlib import Path
from typing import Any

from acestep.console.spelling import number, scaled
from acestep.console.usage import maybe_empty
from acestep.errors import InvalidRequest
from acestep.request import SETTINGS
from acestep.settings import (
    AdapterScales,
    AudioFile,
    Choice,
    Names,
    Number,
    Region,
    Setting,
    Switch,
    Tempi,
    Text,
    TimeSignature,
    Tonality,
    Whole,
)

MAY_BE_EMPTY = ("lyrics",)  # beside --from: without them
SHOWN: dict[type, str] = {
    Whole: "N",
    TimeSignature: "N/D",
    Tonality: "KEY",
    Names: "L,M",
    AdapterScales: "NAME[:SCALE]",
    Tempi: "MAP",
}


TAKEN = ("midi",)  # here it names a file to read: see `generate`


def add(group: Any, setting: Setting) -> None:
    """The option of a setting, in a group of an argparse parser."""
    flag, kind, doc = f"--{setting.flag}", setting.kind, setting.help
    if not isinstance(kind, Text | Choice | Switch | AudioFile) and setting.name != "seed":
        doc = f"{doc} ({kind.expected})"
    doc = doc.replace("%", "%%")
    names = [flag]
    spoken = setting.osc.replace("_", "-")
    if spoken not in (setting.flag, *TAKEN):  # OSC's name as well, the usual one last
        names.insert(0, f"--{spoken}")
    more: dict[str, Any] = {"dest": setting.name, "help": doc, "default": None}
    shown = SHOWN.get(type(kind), "TEXT")
    if isinstance(kind, Switch):
        group.add_argument(*names, action=argparse.BooleanOptionalAction, **more)
    elif isinstance(kind, Choice):
        group.add_argument(*names, type=str.lower, choices=tuple(kind.words), **more)
    elif isinstance(kind, Number):
        kind_of_value = str if _has_off(setting) else float
        group.add_argument(*names, type=kind_of_value, metavar="X", **more)
    elif isinstance(kind, Whole):
        group.add_argument(*names, type=int, metavar=shown, **more)
    elif isinstance(kind, Region):
        group.add_argument(*names, nargs=2, type=float, metavar=("START", "END"), **more)
    elif isinstance(kind, AdapterScales):
        group.add_argument(
            *names, action="append", metavar=shown, **{**more, "help": f"{doc} May be repeated."}
        )
    elif isinstance(kind, AudioFile):
        if kind.several:
            more |= {"action": "append", "help": f"{doc} Given again: files that sound together."}
        group.add_argument(*names, type=Path, metavar="FILE", **more)
        for end, doc in (("start", "from this second of it"), ("end", "to this second of it")):
            group.add_argument(
                f"{flag}-{end}", dest=f"{setting.name}_{end}", type=float, metavar="S", help=doc
            )
    else:
        of_text = maybe_empty if setting.name in MAY_BE_EMPTY else str
        group.add_argument(*names, type=of_text, metavar=shown, **more)


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The request's fields for the options that were given. Raises InvalidRequest, naming the option."""
    values = {}
    for setting in SETTINGS.values():
        value = vars(arguments).get(setting.name)  # a setting may be left out here
        if isinstance(setting.kind, AudioFile):
            value = _audio(setting, value, arguments)
        if value is not None:
            values[setting.name] = _read(setting, value)
    return values


def _read(setting: Setting, value: Any) -> Any:
    if isinstance(value, str):
        value.encode("utf-8")  # UnicodeEncodeError: bytes of another encoding
    if _has_off(setting):
        return _number_or_off(setting, value)
    if isinstance(setting.kind, AdapterScales):
        return tuple(_adapter(text) for text in value)
    if isinstance(setting.kind, Region):
        return tuple(value)
    return value


def _audio(
    setting: Setting, given: Path | list[Path] | None, arguments: argparse.Namespace
) -> dict[str, Any] | None:
    files: list[Path | None] = [*given] if isinstance(given, list) else [given]
    path, *others = files
    start_s = getattr(arguments, f"{setting.name}_start")
    end_s = getattr(arguments, f"{setting.name}_end")
    if path is None:
        if start_s is not None or end_s is not None:
            raise InvalidRequest(
                f"--{setting.flag}-start and --{setting.flag}-end need --{setting.flag} FILE"
            )
        return None
    plus = [{"path": str(one.absolute())} for one in others if one is not None]
    return {"path": str(path.absolute()), "start_s": start_s or 0.0, "end_s": end_s, "plus": plus}


def _has_off(setting: Setting) -> bool:
    """Whether leaving a number out means something else than having none."""
    return isinstance(setting.kind, Number) and setting.default is not None and setting.none is not None


def _number_or_off(setting: Setting, text: str) -> float | None:
    if text.strip().lower() == "off":
        return None
    try:
        return number(text)
    except ValueError:
        raise InvalidRequest(
            f'--{setting.flag} {text!r}: expected a number such as {setting.default:g}, or "off"'
        ) from None


def _adapter(text: str) -> tuple[str, float]:
    try:
        return scaled(text)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
