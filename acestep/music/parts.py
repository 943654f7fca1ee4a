"""The parts of an idea: which are asked for, in one text – `drums: dusty breakbeat; bass: warm sub; lead`.

A part is a role such as drums or bass, and may have words of its own. Which parts a checkpoint can play is
decided where the checkpoint is known.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from acestep.errors import InvalidRequest

MAX_PARTS = 12
MAX_NAME_CHARS = 40
MAX_WORDS_CHARS = 500
MIX = "mix"  # what all parts of an idea together are called
EXPECTED = 'expected for example "drums, bass, lead", or "drums: dusty breakbeat; bass: warm sub, sparse"'
_NAME = re.compile(r"[^\W_]+(_[^\W_]+)*")  # letters and digits of any script


@dataclass(frozen=True)
class Part:
    """One role of an idea, with what it should sound like in words of its own ("" for none)."""

    name: str
    words: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.words}" if self.words else self.name


def read_parts(name: str, value: object) -> tuple[Part, ...]:
    """The parts in a text, a list of names, or a mapping of names to words; `name` is the setting's.

    Raises InvalidRequest for what is no list of parts, for more than MAX_PARTS, and for one named twice.
    """
    parts = tuple(_part(name, *pair) for pair in _pairs(name, value))
    if len(parts) > MAX_PARTS:
        raise InvalidRequest(f"{name} has {len(parts)} parts: expected at most {MAX_PARTS}")
    names = [part.name for part in parts]
    if twice := sorted({one for one in names if names.count(one) > 1}):
        raise InvalidRequest(
            f"{name} names {', '.join(twice)} twice: expected each part once; two of a kind are two ideas"
        )
    return parts


def parts_text(parts: Sequence[Part]) -> str:
    """The text that `read_parts` reads."""
    return "; ".join(map(str, parts)) if any(part.words for part in parts) else ", ".join(map(str, parts))


def spelt(name: str) -> str:
    """A part's name as requests keep it: `Backing Vocals` is `backing_vocals`."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


def _pairs(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield from _split(value)
    elif isinstance(value, Mapping) and all(isinstance(one, str) for pair in value.items() for one in pair):
        yield from value.items()
    elif isinstance(value, list | tuple) and all(isinstance(one, str | Part) for one in value):
        for one in value:
            yield (one.name, one.words) if isinstance(one, Part) else _named(one)
    else:
        raise InvalidRequest(f"{name} {value!r:.80} are not parts: {EXPECTED}")


def _split(text: str) -> Iterator[tuple[str, str]]:
    """Parts are separated by semicolons or lines, and by commas up to the first part with words: behind its
    colon a comma belongs to the words, unless another part with a colon follows it."""
    for piece in re.split(r"[;\n]", text):
        held: tuple[str, str] | None = None
        for one in piece.split(","):
            if held is not None and ":" not in one:
                held = (held[0], f"{held[1]}, {one.strip()}")
                continue
            if held is not None:
                yield held
            held = _named(one) if ":" in one else None
            if held is None and one.strip():
                yield one, ""
        if held is not None:
            yield held


def _named(text: str) -> tuple[str, str]:
    name, _, words = text.partition(":")
    return name, words


def _part(setting: str, name: str, words: str) -> Part:
    found, words = spelt(name), " ".join(words.split())
    if found == MIX:
        raise InvalidRequest(f"{setting} names {MIX}: it is made of every idea by itself, leave it out")
    if len(found) > MAX_NAME_CHARS or not _NAME.fullmatch(found):
        raise InvalidRequest(f"{setting} has a part {name.strip()!r:.60}, which is no name: {EXPECTED}")
    if len(words) > MAX_WORDS_CHARS or ";" in words:
        raise InvalidRequest(
            f"{setting}: the words of {found} are {words!r:.60}: expected at most {MAX_WORDS_CHARS} "
            "characters without a semicolon"
        )
    return Part(found, words)
