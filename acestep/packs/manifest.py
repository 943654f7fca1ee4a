"""What a pack says of itself in its `pack.json`."""

from dataclasses import dataclass
from typing import Annotated

import msgspec

from acestep.typed_json import Name, Text

PACK_FORMAT = 1
MANIFEST, COVER, LICENCE = "pack.json", "index.html", "LICENSE.txt"
STEMS, KIT, MIX = "stems", "kit", "mix"
MOST_CLIPS = 99  # numbered with two digits

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Packed:
    """A clip in a pack: its file there, what it was called, its SHA-256, and its MIDI file ("" for none)."""

    file: Name
    name: Name
    part: Name
    sha256: Digest
    midi: Name = ""


@dataclass(frozen=True)
class Pack:
    """What a pack holds. `mix` is a file; `mixed_here` says that it is no clip of its own but the sum of the
    stems, turned by `mix_gain_db`."""

    format: int
    made_by: Name
    title: Text
    idea: Name
    created: Name
    clips: Annotated[tuple[Packed, ...], msgspec.Meta(min_length=1, max_length=MOST_CLIPS)]
    mix: Name = ""
    mixed_here: bool = False
    mix_gain_db: float = 0.0
    kit: bool = False
    notes: tuple[Text, ...] = ()
