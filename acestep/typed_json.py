"""JSON and text files that others may have written: read with types and limits, or refused in one sentence.

The types are those of a dataclass or of annotations; limits are `msgspec.Meta` in them. Results are plain
values: no NaN, no infinite number, no half of a surrogate pair, nothing nested deeper than `MAX_DEPTH`.
"""

import re
import stat
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from acestep.errors import AceStepError, InvalidRequest

MAX_BYTES = 4 << 20
MAX_DEPTH = 48
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
)  # fmt: skip
T = TypeVar("T")

Text = Annotated[str, msgspec.Meta(max_length=10_000)]
Name = Annotated[str, msgspec.Meta(max_length=300)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]  # uint32 on the wire
Size = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Fields = dict[str, Any]

_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "nothing",
}


def read(
    path: Path, kind: type[T], *, error: type[AceStepError] = InvalidRequest, max_bytes: int = MAX_BYTES
) -> T:
    """The content of a JSON file as a `kind`.

    Raises `error` for wrong content, and FileNotFoundError or NotADirectoryError if there is no file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise error(f"{path} is not a file: expected one with JSON")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as found:
        raise error(f"{path} cannot be read ({found.strerror or found})") from found
    return parse(content, kind, str(path), error=error, max_bytes=max_bytes)


def parse(
    content: bytes | str,
    kind: type[T],
    where: str,
    *,
    error: type[AceStepError] = InvalidRequest,
    max_bytes: int = MAX_BYTES,
) -> T:
    """JSON text (UTF-8, with or without a byte order mark) as a `kind`; `where` names it in the error."""
    try:
        raw = content.encode() if isinstance(content, str) else content
        if len(raw) > max_bytes:
            raise error(f"{where} is larger than {max_bytes >> 10} kB: expected a smaller file")
        values = msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as found:
        if isinstance(found, AceStepError):
            raise
        raise error(f"{where} is not JSON: {_sentence(found)}") from found
    if _deeper_than(values, MAX_DEPTH):
        raise error(f"{where} is nested deeper than {MAX_DEPTH} levels: expected a smaller file")
    return convert(values, kind, where, error=error)


def convert(values: Any, kind: type[T], where: str, *, error: type[AceStepError] = InvalidRequest) -> T:
    """Plain values as a `kind`; unknown names are left out, missing and wrong ones raise `error`."""
    try:
        return msgspec.convert(values, kind)
    except (ValueError, TypeError) as found:
        raise error(f"{where} is not as expected: {_sentence(found)}") from found


def read_text_of(path: Path) -> str:
    """A text file in whatever encoding: UTF-8, UTF-16 as Excel's Unicode text, or Windows' Western one.

    Raises OSError.
    """
    raw = path.read_bytes()
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return raw.decode(encoding, "replace")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if (raw and not text) or "\0" in text:
        zeros = [raw[start:2000:2].count(0) for start in (0, 1)]
        if max(zeros) > len(raw[:2000]) // 8:  # text of two bytes a letter, without a mark
            return raw.decode("utf-16-le" if zeros[1] > zeros[0] else "utf-16-be", "replace")
        return text or raw.decode("cp1252", "replace")
    return text


def fault_of(error: Exception) -> str:
    """Why a text is not JSON or TOML, in plain words."""
    if isinstance(error, UnicodeDecodeError):
        at = error.object[: error.start].count(b"\n") + 1
        return f"line {at} is not UTF-8 text: save the file as UTF-8"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _deeper_than(values: Any, depth: int) -> bool:
    level = [values]
    for _ in range(depth):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    return any(isinstance(value, dict | list) for value in level)


def _sentence(error: Exception) -> str:
    """msgspec's message in plain words: `bars: expected a number, got text`."""
    what, _, place = fault_of(error).partition(" - at ")
    what = re.sub(r"`([\w |]+)`", lambda found: _in_words(found[1]), what)
    place = re.sub(r"^`\$\.?|`$", "", place)
    what = what if what.startswith("JSON") else what[:1].lower() + what[1:]
    return f"{place}: {what}" if place else what


def _in_words(kinds: str) -> str:
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds.split(" | "))
