"""What a clip may be called and tagged with: names that every system's disks hold, tags of a few words."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

from acestep.errors import InvalidRequest
from acestep.sources.sidecar import SIDECAR_ENDING
from protos import AUDIO_ENDINGS

MAX_NAME_BYTES = 255 - len(
    SIDECAR_ENDING
)  # disks hold names of 255 bytes, and the sidecar's is the longer one
FORBIDDEN = '<>:"/\\|?*'  # on Windows; clips go from one machine to another
DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)
JOINERS = "\u200c\u200d"  # invisible, but part of Persian words and of emoji
MAX_TAGS = 32
MAX_TAG_CHARS = 40


def file_name(wanted: str, present: str) -> str:
    """The new name of a clip's file, whose ending stays as it is at present. Raises InvalidRequest."""
    ending = Path(present).suffix
    name = unicodedata.normalize("NFC", wanted).strip()
    other = PureWindowsPath(name).suffix.lower()
    stem = name[: -len(ending)].strip() if ending and other == ending.lower() else name
    if stem == name and other in AUDIO_ENDINGS and stem:
        raise InvalidRequest(f"the name {name!r:.80} ends in {other}, the file in {ending}: the ending stays")
    for letter in stem:
        if letter in FORBIDDEN or not (letter.isprintable() or letter in JOINERS):
            raise InvalidRequest(
                f"the name {stem!r:.80} has {letter!r} in it: "
                f"expected none of {FORBIDDEN} and nothing invisible"
            )
    if not stem or stem.startswith("."):
        raise InvalidRequest(f"the name {name!r:.80} is empty or begins with a dot: expected a few letters")
    if DEVICES.fullmatch(stem):
        raise InvalidRequest(f"the name {stem!r:.80} is a device on Windows: choose another")
    if len((stem + ending).encode()) > MAX_NAME_BYTES:
        raise InvalidRequest(f"the name {stem!r:.40} is too long: expected at most {MAX_NAME_BYTES} bytes")
    return stem + ending


def tags(wanted: Iterable[str]) -> list[str]:
    """The tags in the order given, each once whatever its case. Raises InvalidRequest."""
    kept: dict[str, str] = {}
    for one in wanted:
        tag = " ".join(unicodedata.normalize("NFC", one).split())
        if not tag or len(tag) > MAX_TAG_CHARS:
            raise InvalidRequest(
                f"the tag {one!r:.80} is not possible: expected 1–{MAX_TAG_CHARS} characters"
            )
        if "," in tag or not all(letter.isprintable() or letter in JOINERS for letter in tag):
            raise InvalidRequest(
                f"the tag {one!r:.80} has a comma or something invisible in it: expected words alone"
            )
        kept.setdefault(tag.casefold(), tag)
    if len(kept) > MAX_TAGS:
        raise InvalidRequest(f"{len(kept)} tags are too many: expected at most {MAX_TAGS}")
    return list(kept.values())
