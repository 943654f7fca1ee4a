"""Live's scale as one of our keys: a tonic and major or minor.

The rule: the third above the root decides. Three semitones make it minor, four major. A scale with both
thirds is what its name says, Major or Minor, else it has no key; so has one with neither (sus scales). No key
means that it is left open.
"""

from __future__ import annotations

from typing import Any, Sequence

PITCH_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

# Only for Lives that do not tell the intervals.
_BY_NAME = {
    "Major": "major",
    "Lydian": "major",
    "Mixolydian": "major",
    "Major Pentatonic": "major",
    "Harmonic Major": "major",
    "Minor": "minor",
    "Dorian": "minor",
    "Phrygian": "minor",
    "Locrian": "minor",
    "Harmonic Minor": "minor",
    "Melodic Minor": "minor",
    "Minor Pentatonic": "minor",
    "Minor Blues": "minor",
}


def mode(name: str, intervals: Sequence[int] = ()) -> str:
    """major, minor, or "" where the scale is neither."""
    if not intervals:
        return _BY_NAME.get(name, "")
    steps = {int(step) % 12 for step in intervals}
    minor, major = 3 in steps, 4 in steps
    if minor and major:
        return "minor" if "Minor" in name else "major" if "Major" in name else ""
    if minor:
        return "minor"
    return "major" if major else ""


def key(song: Any) -> str:
    """`"F# minor"`, or "" when the set's scale is off, has no such mode, or this Live cannot tell."""
    if not getattr(song, "scale_mode", False):
        return ""
    name = str(getattr(song, "scale_name", ""))
    found = mode(name, tuple(getattr(song, "scale_intervals", ())))
    return f"{PITCH_NAMES[int(song.root_note) % 12]} {found}" if found else ""
