"""Samples as instruments: which key plays which, as SFZ (version 1) and as a preset of Decent Sampler.

Both formats are text, and name their samples by paths beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

# General MIDI's percussion keys, the usual one first; then other keys that drummers play the kind on.
DRUM_KEYS = {
    "kick": (36, 35),
    "snare": (38, 40, 39, 37),
    "hat": (42, 46, 44),
    "tom": (45, 47, 48, 50, 43, 41),
    "percussion": (56, 54, 70, 60, 61, 62, 63, 64, 65, 66, 67, 68),
}
FREE_KEYS = range(72, 128)  # for what has no key left
LOWEST_KEY, HIGHEST_KEY = 0, 127


@dataclass(frozen=True)
class Zone:
    """A sample on the keys `low` to `high`; `root` plays it as it is. One `choke`: they stop each other."""

    sample: str
    root: int
    low: int
    high: int
    choke: str = ""
    whole: bool = True  # plays to its end, however soon the key is let go


def drum_zones(samples: Sequence[tuple[str, str, int | None]]) -> list[Zone]:
    """(path, kind, note) → a key each. Hats choke each other."""
    zones: list[Zone] = []
    taken: set[int] = set()
    late = []
    for path, kind, _ in samples:
        key = next((key for key in DRUM_KEYS.get(kind, ()) if key not in taken), None)
        if key is None:
            late.append((path, kind))
            continue
        taken.add(key)
        zones.append(Zone(path, key, key, key, "hat" if kind == "hat" else ""))
    free = [key for key in (*FREE_KEYS, *reversed(range(FREE_KEYS.start))) if key not in taken]
    zones += [
        Zone(path, key, key, key, "hat" if kind == "hat" else "")
        for (path, kind), key in zip(late, free, strict=False)
    ]
    return zones


def note_zones(samples: Sequence[tuple[str, str, int | None]]) -> list[Zone]:
    """(path, kind, note) → all keys, each played by the sample that is nearest to it."""
    tuned = sorted(((note, path) for path, _, note in samples if note is not None), key=lambda one: one[0])
    first_of: dict[int, str] = {}
    for note, path in tuned:
        first_of.setdefault(note, path)
    notes = list(first_of)
    zones = []
    for place, note in enumerate(notes):
        low = LOWEST_KEY if place == 0 else (notes[place - 1] + note) // 2 + 1
        high = HIGHEST_KEY if place == len(notes) - 1 else (note + notes[place + 1]) // 2
        zones.append(Zone(first_of[note], note, low, high, whole=False))
    return zones


def sfz(zones: Sequence[Zone]) -> str:
    """An SFZ file."""
    chokes = {
        name: number for number, name in enumerate(dict.fromkeys(one.choke for one in zones if one.choke), 1)
    }
    lines = []
    for zone in zones:
        keys = f"lokey={zone.low} hikey={zone.high} pitch_keycenter={zone.root}"
        mode = "loop_mode=one_shot" if zone.whole else "loop_mode=no_loop ampeg_release=0.1"
        choke = ""
        if zone.choke:
            number = chokes[zone.choke]
            choke = f" group={number} off_by={number} off_mode=fast"
        lines.append(f"<region> {keys} {mode}{choke} sample={zone.sample}")
    return "\n".join(lines) + "\n"


def decent_sampler(zones: Sequence[Zone]) -> str:
    """A .dspreset file."""
    groups: dict[tuple[str, bool], list[Zone]] = {}
    for zone in zones:
        groups.setdefault((zone.choke, zone.whole), []).append(zone)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<DecentSampler minVersion="1.0.0">', "  <groups>"]
    for (choke, whole), inside in groups.items():
        silencing = (
            f' tags={quoteattr(choke)} silencedByTags={quoteattr(choke)} silencingMode="fast"'
            if choke
            else ""
        )
        lines.append(f'    <group release="{4.0 if whole else 0.1}"{silencing}>')
        lines += [
            f'      <sample path={quoteattr(zone.sample)} rootNote="{zone.root}" loNote="{zone.low}" '
            f'hiNote="{zone.high}"/>'
            for zone in inside
        ]
        lines.append("    </group>")
    return "\n".join([*lines, "  </groups>", "</DecentSampler>"]) + "\n"
