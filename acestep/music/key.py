"""Musical keys: a tonic and major or minor, written `F# minor`.

Reads the spellings people and files use (`Am`, `Gb maj`, `8A`, `1m`) and writes the tonic as it was read.
"""

import re
from dataclasses import dataclass, field

from acestep.errors import InvalidRequest

USUAL_FLATS = {"major": {1: "Db", 3: "Eb", 8: "Ab", 10: "Bb"}, "minor": {3: "Eb", 10: "Bb"}}
PITCH_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
MODES = ("major", "minor")
MAJOR_STEPS = (0, 2, 4, 5, 7, 9, 11)
MINOR_STEPS = (0, 2, 3, 5, 7, 8, 10)  # natural minor

_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTALS = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1, "sharp": 1, "flat": -1}
_WHEEL = r"0?([1-9]|1[0-2])([ABDM])"
_MODES = {
    "": "major",
    "maj": "major",
    "major": "major",
    "M": "major",
    "m": "minor",
    "min": "minor",
    "minor": "minor",
}


@dataclass(frozen=True)
class Key:
    """A key: `tonic` is a pitch class (0 = C … 11 = B), `mode` is "major" or "minor".

    `spelling` is how the tonic was asked for (`Eb`); it is written, but E♭ and D♯ are the same key.
    """

    tonic: int
    mode: str = "major"
    spelling: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.tonic not in range(12) or self.mode not in MODES:
            raise InvalidRequest(
                f"key {self.tonic!r} {self.mode!r} is not possible: expected 0–11 and major or minor"
            )

    @classmethod
    def parse(cls, text: object) -> "Key":
        """`"F# minor"`, `"f#m"`, `"Gb"` … → Key. Raises InvalidRequest for anything else (`H minor`)."""
        if isinstance(text, Key):
            return text
        if isinstance(text, str) and (place := re.fullmatch(_WHEEL, text.strip(), re.IGNORECASE)):
            return cls._on_wheel(int(place[1]), place[2].lower())
        pattern = r"\s*([A-Ga-g])[-_ ]?(#|♯|b|♭|sharp|flat)?\s*[-_ ]?\s*(major|minor|maj|min|M|m)?\s*"
        match = (
            re.fullmatch(pattern, text) or re.fullmatch(pattern, text.lower())
            if isinstance(text, str)
            else None
        )
        if match is None:
            raise InvalidRequest(
                f"key {text!r:.40} is not understood: expected A–G, # or b, and major or minor: F# minor"
            )
        step = _ACCIDENTALS[match[2] or ""]
        tonic = (_LETTERS[match[1].upper()] + step) % 12
        return cls(tonic, _MODES[match[3] or ""], match[1].upper() + ("b", "", "#")[step + 1])

    @classmethod
    def _on_wheel(cls, hour: int, letter: str) -> "Key":
        """DJ programs number the circle of fifths: Camelot (8A = A minor) and Open Key (1m = A minor)."""
        steps = hour - (8 if letter in "ab" else 1)
        return cls((steps * 7 + (9 if letter in "am" else 0)) % 12, "minor" if letter in "am" else "major")

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """The seven pitch classes of the scale, from the tonic up (natural minor)."""
        steps = MAJOR_STEPS if self.mode == "major" else MINOR_STEPS
        return tuple((self.tonic + step) % 12 for step in steps)

    @property
    def relative(self) -> "Key":
        """The key of the other mode with the same notes: A minor for C major."""
        if self.mode == "major":
            return Key((self.tonic + 9) % 12, "minor")
        return Key((self.tonic + 3) % 12, "major")

    @property
    def sharp(self) -> "Key":
        """The same key, written with a sharp: the one spelling that models and indexes know."""
        return Key(self.tonic, self.mode)

    @property
    def usual(self) -> "Key":
        """The same key in the spelling with the fewer accidentals: Bb major, but F# minor."""
        return Key(self.tonic, self.mode, USUAL_FLATS[self.mode].get(self.tonic, ""))

    @property
    def short(self) -> str:
        """For file names: `F#m`, `C`."""
        return self._tonic_name + ("m" if self.mode == "minor" else "")

    @property
    def _tonic_name(self) -> str:
        return self.spelling or PITCH_NAMES[self.tonic]

    def __str__(self) -> str:
        return f"{self._tonic_name} {self.mode}"
