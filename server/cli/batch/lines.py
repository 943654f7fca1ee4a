"""The requests of a batch: an object of JSON on each line, with the names that `GenerateRequest` has.

Each request has an identity, by which a batch that was stopped knows what it has made. It follows from the
line's content: lines may be moved, added and taken out between two runs.
"""

import dataclasses
import functools
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from acestep import typed_json
from acestep.console.command import expanded, explain
from acestep.errors import InvalidRequest
from acestep.request import AudioRange, GenerateRequest

MAX_LINE_BYTES = 1 << 20
UPLOADED = "upload:"  # a file that the daemon has already, see Upload of the wire


@dataclass(frozen=True)
class Line:
    """A request, and the line it stands on."""

    number: int  # from 1
    request: GenerateRequest  # with a seed

    @functools.cached_property
    def id(self) -> str:
        """What this request is known by."""
        return id_of(self.request.to_json())


@dataclass(frozen=True)
class Refused:
    """A line that is no request, and why."""

    number: int
    reason: str
    message: str


@dataclass(frozen=True)
class Requests:
    """What a file asks for."""

    lines: list[Line] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    repeated: dict[int, int] = field(default_factory=dict)  # number of a line → of an earlier one like it


def read_requests(path: Path) -> Requests:
    """All requests of a file. Raises InvalidRequest where it cannot be read, or asks for nothing."""
    try:
        text = typed_json.read_text_of(path)
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be read ({error.strerror or error}): expected a file with a request on each line"
        ) from None
    found, first, alike = Requests(), dict[str, int](), Counter[str]()
    for number, words in enumerate(text.split("\n"), 1):
        if not words.strip():
            continue
        try:
            request = _request(words, path.absolute().parent)
        except (ValueError, TypeError, OSError, RecursionError) as error:
            found.refused.append(Refused(number, *explain(error)))
            continue
        if request.seed is None:
            plain = request.to_json()
            request = dataclasses.replace(request, seed=_seed(plain, alike[plain]))
            alike[plain] += 1
        line = Line(number, request)
        if line.id in first:
            found.repeated[number] = first[line.id]
        else:
            first[line.id] = number
            found.lines.append(line)
    if not (found.lines or found.refused):
        raise InvalidRequest(
            f'{path} is empty: expected a request on each line, for example {{"prompt": "dusty breakbeat", '
            f'"bpm": 92.5}}'
        )
    return found


def id_of(request_json: str) -> str:
    """The identity of a request that `GenerateRequest.to_json` wrote."""
    return hashlib.sha256(request_json.encode()).hexdigest()[:16]


def _request(words: str, folder: Path) -> GenerateRequest:
    values = typed_json.parse(words, typed_json.Fields, "the line", max_bytes=MAX_LINE_BYTES)
    request = GenerateRequest.from_dict(values)
    return dataclasses.replace(
        request, reference=_placed(request.reference, folder), context=_placed(request.context, folder)
    )


def _placed(audio: AudioRange | None, folder: Path) -> AudioRange | None:
    """The same audio; a path that is not absolute begins where the file with the requests lies."""
    if audio is None or audio.path.startswith(UPLOADED):
        return audio
    return dataclasses.replace(audio, path=str((folder / expanded(audio.path)).resolve()))


def _seed(request_json: str, before: int) -> int:
    """The seed of a line that names none: its own, and the same in each run; `before` lines are alike."""
    digest = hashlib.sha256(f"{request_json} {before}".encode()).digest()
    return int.from_bytes(digest[:4]) >> 1
