"""What a field of a request is, and reading it: a value of its kind, or nothing where it says nothing."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from acestep.console.spelling import number as spelled
from plugin_bridge.errors import InvalidRequest
from plugin_bridge.web.rest.body import parsed, table

MAX_TEXT_CHARS = 8_192
NOTHING = (None, "")
UNKNOWN = ("n/a", "unknown", "auto")  # what ACE-Step's clients write where they know no tempo, key or meter


@dataclass(frozen=True)
class Field:
    """A field: `kind` is text, number, whole, switch, list or table.

    `setting` is the setting it becomes; `only` are the values that change nothing, where others cannot be
    done here for the reason `why`, or not in the task `of`.
    """

    name: str
    kind: str
    help: str
    aliases: tuple[str, ...] = ()
    setting: str = ""
    default: Any = None
    low: float | None = None
    high: float | None = None
    none: float | None = None  # the number that says "off"
    choices: tuple[str, ...] = ()
    only: tuple[Any, ...] | None = None
    why: str = ""
    of: str = ""  # the one task in which it means something; "": all
    own: bool = False  # a setting of this bridge that ACE-Step's server does not have

    def read(self, given: Any) -> Any:
        """The value; None where it says nothing. Raises InvalidRequest."""
        if self.only == ():  # whatever it is, it cannot be done: its kind is not the trouble
            said = given.strip() if isinstance(given, str) else given
            return None if said in (None, "", [], {}) else said
        value = BY_KIND[self.kind](self.name, given)
        if isinstance(value, str) and self.name in ("bpm", "key_scale", "time_signature"):
            value = None if value.lower() in UNKNOWN else value
        if self.choices and value is not None and value not in self.choices:
            raise InvalidRequest(
                f"{self.name} {shown(given)} is unknown: expected one of {', '.join(self.choices)}"
            )
        return value

    def check(self, value: Any, task: str) -> None:
        """Raises InvalidRequest for a number out of range, and for what the task cannot be told here."""
        if self.only is not None and value not in self.only and self.of in ("", task):
            raise InvalidRequest(f"{self.name} {shown(value)} cannot be done here: {self.why}")
        low, high, none = self.low, self.high, self.none
        if low is not None and high is not None and value != none and not low <= value <= high:
            raise InvalidRequest(f"{self.name} {value:.12g} is out of range: expected {low:g}–{high:g}")


def shown(value: Any) -> str:
    return f"{value!r:.60}"


def _text(name: str, given: Any) -> str | None:
    if given in NOTHING or given == []:
        return None
    text = f"{given:.12g}" if isinstance(given, int | float) and not isinstance(given, bool) else given
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARS or "\0" in text:
        raise InvalidRequest(
            f"{name} is {shown(given)}: expected text of at most {MAX_TEXT_CHARS} characters"
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequest(f"{name} holds bytes that are no text: expected UTF-8") from None
    return text.strip() or None


def _number(name: str, given: Any) -> float | None:
    if given in NOTHING or (isinstance(given, str) and given.strip().lower() in UNKNOWN):
        return None
    try:
        value = spelled(given) if isinstance(given, str) else given
        if isinstance(value, bool) or not math.isfinite(value):
            raise ValueError
        return float(value)
    except (ValueError, TypeError, OverflowError):
        raise InvalidRequest(f"{name} is {shown(given)}: expected a number") from None


def _whole(name: str, given: Any) -> int | None:
    value = _number(name, given)
    if value is None:
        return None
    if value != int(value):
        raise InvalidRequest(f"{name} is {shown(given)}: expected a whole number")
    return int(value)


def _switch(name: str, given: Any) -> bool | None:
    if given in NOTHING:
        return None
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False,
             "off": False}  # fmt: skip
    value = words.get(str(given).strip().lower()) if isinstance(given, str | bool | int) else None
    if value is None:
        raise InvalidRequest(f"{name} is {shown(given)}: expected true or false")
    return value


def _list(name: str, given: Any) -> list[str] | None:
    if given in NOTHING or given == []:
        return None
    values = given
    if isinstance(given, str):
        values = parsed(given) if given.lstrip().startswith("[") else re.split(r"[|,]", given)
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise InvalidRequest(f"{name} is {shown(given)}: expected a list of names")
    texts = (_text(name, one) for one in values)
    return [text for text in texts if text] or None


def _scales(name: str, given: Any) -> dict[str, float] | None:
    found = next((told for _, told in table({name: given}, name)), None)
    if not found:
        return None
    return {
        str(_text(name, one)): _number(f"{name} {one!r:.40}", scale) or 0.0 for one, scale in found.items()
    }


BY_KIND: dict[str, Callable[[str, Any], Any]] = {
    "text": _text,
    "number": _number,
    "whole": _whole,
    "switch": _switch,
    "list": _list,
    "table": _scales,
}


def snake(name: str) -> str:
    """`audioDuration` as `audio_duration`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
