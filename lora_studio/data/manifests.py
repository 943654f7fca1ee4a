"""Side files of a data set as spreadsheets and other systems write them: rows, and the files they name."""

import csv
import io
import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from acestep.errors import InvalidRequest
from acestep.typed_json import fault_of, read_text_of

SEPARATORS = (",", ";", "\t", "|")
MAX_TABLE_BYTES = 64 << 20


def table_rows(path: Path, names: Iterable[str]) -> list[tuple[int, dict[str, Any]]]:
    """The rows of a CSV or JSON-lines file with their line or row numbers, without empty ones.

    A table must have a column of `names`. Raises InvalidRequest for a file that cannot be read.
    """
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise InvalidRequest(f"{path.name} is larger than {MAX_TABLE_BYTES >> 20} MB")
        text = read_text_of(path)
        rows = _json_rows(text) if path.suffix.lower() == ".jsonl" else _csv_rows(text, set(names))
    except OSError as error:
        raise InvalidRequest(f"{path.name} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError, csv.Error) as error:
        raise InvalidRequest(f"{path.name} cannot be read as a manifest: {fault_of(error)}") from error
    return rows


def _json_rows(text: str) -> list[tuple[int, dict[str, Any]]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not an object")
            rows.append((number, row))
    return rows


def _csv_rows(text: str, names: set[str]) -> list[tuple[int, dict[str, Any]]]:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    first, _, rest = text.lstrip("\ufeff\n").partition("\n")
    told = first.strip().lower()
    separator = ""
    if told.startswith("sep=") and len(told) == 5:  # Excel's own first line
        separator, (first, _, _) = first.strip()[4], rest.partition("\n")
    else:
        rest = f"{first}\n{rest}"
    separator = separator or max(SEPARATORS, key=lambda each: _fit(first, each, names))
    table = list(csv.reader(io.StringIO(rest, newline=""), delimiter=separator, skipinitialspace=True))
    if not table:
        return []
    header = [name.strip() for name in table[0]]
    if not names & {_spelled(name) for name in header}:
        raise ValueError(
            f"it has no column that names audio files: expected one of {', '.join(sorted(names))}"
        )
    rows = []
    for number, cells in enumerate(table[1:], 1):
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if name}
        if any(row.values()):
            rows.append((number, row))
    return rows


def _fit(line: str, separator: str, names: set[str]) -> tuple[bool, int]:
    """How well a separator suits a header: it leaves a known name, and makes many columns."""
    columns = [_spelled(name) for name in next(csv.reader([line], delimiter=separator), [])]
    return bool(names & set(columns)), len(columns)


def _spelled(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


class Places:
    """Where the files of a folder are, by names that other systems wrote."""

    def __init__(self, files: Sequence[str]) -> None:
        self._paths: dict[str, str] = {}
        self._folded: dict[str, set[str]] = defaultdict(set)
        self._names: dict[str, set[str]] = defaultdict(set)
        for relative in files:
            self._paths[_same(relative)] = relative
            self._folded[_same(relative).casefold()].add(relative)
            self._names[_same(relative).rpartition("/")[2].casefold()].add(relative)

    def find(self, named: str) -> str:
        """The file's relative path; "" where there is none, or where it could be several.

        Tried: the path as named, its ends (data sets move between machines), other letter cases, the name.
        """
        parts = _parts(named)
        ends = ["/".join(parts[start:]) for start in range(len(parts))]
        for end in ends:
            if end in self._paths:
                return self._paths[end]
        for end in ends:
            if len(found := self._folded.get(end.casefold(), set())) == 1:
                return next(iter(found))
        found = self._names.get(parts[-1].casefold(), set()) if parts else set()
        return next(iter(found)) if len(found) == 1 else ""


def _parts(named: str) -> list[str]:
    """`C:\\a\\b.wav`, `file:///a/b%20c.wav`, `./a/b.wav` → their parts."""
    text = named.strip().strip('"')
    if text.lower().startswith("file:"):
        text = unquote(text[5:])
    if "\\" in text:
        text = text.replace("\\", "/")
    if len(text) > 1 and text[1] == ":":
        text = text[2:]
    return [part for part in _same(text).split("/") if part not in ("", ".", "..")]


def _same(text: str) -> str:
    """One spelling: macOS writes é as two characters, others as one."""
    return unicodedata.normalize("NFC", text)
