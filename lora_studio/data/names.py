"""What file and folder names say: tempo, key, and which stem of which song a file is.

Looks at names only.
"""

import re
from dataclasses import dataclass
from pathlib import PurePath

from acestep.errors import InvalidRequest
from acestep.music.grid import BPM_RANGE
from acestep.music.key import Key

# ACE-Step's track names, and the words musicians use for them.
STEM_WORDS: dict[str, tuple[str, ...]] = {
    "drums": ("drums", "drum", "drm", "drms", "beat", "breakbeat", "kit"),
    "percussion": ("percussion", "percs", "perc", "shaker", "tambourine", "congas", "bongos"),
    "bass": ("bass", "sub", "subbass", "808"),
    "vocals": ("vocals", "vocal", "vox", "voice", "leadvocal", "acapella", "acappella"),
    "backing_vocals": ("backing", "backingvocals", "bgv", "bgvs", "bvs", "choir", "harmonies"),
    "guitar": ("guitar", "guitars", "gtr", "gtrs"),
    "keyboard": ("keyboard", "keyboards", "keys", "piano", "rhodes", "organ", "epiano"),
    "synth": ("synth", "synths", "lead", "pad", "pads", "arp", "pluck"),
    "strings": ("strings", "string", "violin", "cello", "viola"),
    "brass": ("brass", "horns", "horn", "trumpet", "trombone", "sax"),
    "woodwinds": ("woodwinds", "woodwind", "flute", "clarinet", "oboe"),
    "fx": ("fx", "sfx", "riser", "atmos", "ambience"),
    "other": ("other", "others", "rest", "accompaniment", "instrumental", "melody", "music"),
    "mix": ("mix", "mixdown", "master", "full", "fullmix", "mixture"),
}
_STEM_OF = {word: stem for stem, words in STEM_WORDS.items() for word in words}

_SEPARATOR = r"[\s_\-.,()\[\]]+"
_BPM = re.compile(
    r"(?<![\d.])(\d{2,3}(?:[.,]\d{1,3})?)[\s_-]?bpm|bpm[\s_-]?(\d{2,3}(?:[.,]\d{1,3})?)(?!\d)", re.I
)
_START, _END = r"(?:(?<=[\s_\-.,(\[])|^)", r"(?=[\s_\-.,)\]]|$)"
_TONIC = r"[A-Ga-g][\s_-]?(?:sharp|flat)|[A-Ga-g](?:#|b|♯|♭)?"
_KEY_WORDS = re.compile(rf"{_START}({_TONIC})[\s_-]?(maj|major|min|minor){_END}", re.I)
_KEY_SHORT = re.compile(rf"{_START}([A-G](?:#|b|♯|♭)?)(m|M){_END}")
_KEY_LOWER = re.compile(rf"{_START}([a-g](?:#|b|♯|♭)?)(m){_END}")  # `am` is a word as well
_NOTE = re.compile(rf"{_START}([A-G](?:#|b|♯|♭|[\s_-]?sharp|[\s_-]?flat)?)(?:-?\d)?{_END}")
_WHEEL = re.compile(rf"{_START}((?:0?[1-9]|1[0-2])[AB]|(?:0?[1-9]|1[0-2])[md]){_END}")  # Camelot, Open Key
_SIGNATURE = re.compile(
    r"(?<!\d)(\d{1,2})[-_ ]?(?:/|over|-|_)[-_ ]?(2|4|8|16)(?:[\s_-]?(?:time|sig)\b)", re.I
)


@dataclass(frozen=True)
class NameFacts:
    """Facts read from a name, each with how sure it is (0–1); None or "" where the name says nothing."""

    bpm: float | None = None
    bpm_confidence: float = 0.0
    key: str = ""
    key_confidence: float = 0.0
    signature: str = ""
    root: int | None = None  # pitch class of a note name without a mode


def read_name(stem_of_file: str) -> NameFacts:
    """Tempo, key and signature in a file name: `_120bpm_Am`, `92.5 BPM F# minor`, `loop_174_Dm`."""
    bpm, bpm_confidence = _bpm(stem_of_file)
    key, key_confidence = _key(stem_of_file, bpm is not None)
    if bpm is None and (key or _note(stem_of_file) is not None):
        bpm, bpm_confidence = _bare_bpm(stem_of_file), 0.6
    found = _SIGNATURE.search(stem_of_file)
    signature = f"{int(found[1])}/{found[2]}" if found and 1 <= int(found[1]) <= 32 else ""
    root = None if key else _note(stem_of_file)
    return NameFacts(bpm, bpm_confidence if bpm else 0.0, key, key_confidence, signature, root)


def _bpm(name: str) -> tuple[float | None, float]:
    found = _BPM.search(name)
    if found is None:
        return None, 0.0
    bpm = float((found[1] or found[2]).replace(",", "."))
    return (bpm, 0.95) if BPM_RANGE[0] <= bpm <= BPM_RANGE[1] else (None, 0.0)


def _bare_bpm(name: str) -> float | None:
    """A lone number that can be a tempo; believed only beside a key (`loop_174_Dm`)."""
    numbers = [float(part) for part in re.split(_SEPARATOR, name) if re.fullmatch(r"\d{2,3}", part)]
    likely = [number for number in numbers if 60 <= number <= 200]
    return likely[0] if len(likely) == 1 else None


def _key(name: str, has_bpm: bool) -> tuple[str, float]:
    """A key needs a word or an `m` for its mode: a note name alone is a note (`808_F#`), not F# major."""
    if found := _KEY_WORDS.search(name):
        return _parsed(f"{found[1]} {found[2].lower()}"), 0.95
    if found := _KEY_SHORT.search(name):
        return _parsed(found[1] + found[2]), 0.9
    for found in _KEY_LOWER.finditer(name):
        if len(found[1]) > 1 or (has_bpm and _stands_by_tempo(name, found)):
            return _parsed(found[1] + found[2]), 0.8 if len(found[1]) > 1 else 0.6
    for found in _WHEEL.finditer(name):
        alone = name[: found.start()].strip(" ([") == "" or name[found.end() :].strip(" )]") == ""
        bracketed = name[max(0, found.start() - 1) : found.start()] in ("(", "[")
        if bracketed or (has_bpm and (alone or _stands_by_tempo(name, found))):
            return _parsed(found[1]), 0.75
    return "", 0.0


def _stands_by_tempo(name: str, found: re.Match[str]) -> bool:
    """`pad_am_124bpm`, `124bpm_am`: where a word so short is a key."""
    tempo = _BPM.search(name)
    if tempo is None:
        return False
    after = tempo.start() >= found.end()
    between = name[found.end() : tempo.start()] if after else name[tempo.end() : found.start()]
    return re.fullmatch(_SEPARATOR, between) is not None


def _note(name: str) -> int | None:
    """The pitch class of a note name that stands alone: the last one, as names end in what was played."""
    notes = [found[1] for found in _NOTE.finditer(name) if len(found[1]) > 1 or found.end() == len(name)]
    key = _parsed(notes[-1]) if notes else ""
    return Key.parse(key).tonic if key else None


def _parsed(text: str) -> str:
    try:
        return str(Key.parse(text[0].upper() + text[1:]))
    except InvalidRequest:
        return ""


@dataclass(frozen=True)
class Part:
    """Which stem of which song; `stem` is "" when the name gives none.

    `song` keeps take numbers (`drums_01` belongs to `bass_01`), `folder_song` does not (`drums 1` and
    `drums 2` beside `bass`); which of the two is meant shows only when all files are known.
    """

    stem: str = ""
    song: str = ""
    folder_song: str = ""


def read_part(path: PurePath) -> Part:
    """Stem and song of a path relative to the data folder.

    `Song/drums.wav` and `Song/Song_drums.wav` → drums of Song; `drums/song1.wav` → drums of song1.
    """
    words = _words(_KEY_WORDS.sub(" ", _BPM.sub(" ", path.stem)))
    named = next((index for index in reversed(range(len(words))) if words[index] in _STEM_OF), None)
    folder = path.parent.name if path.parent.parts else ""
    folder_stem = next((_STEM_OF[word] for word in _words(folder) if word in _STEM_OF), "")
    if folder_stem and len(_words(folder)) <= 2:
        above = "/".join(path.parent.parts[:-1])
        rest = "_".join(word for word in words if _STEM_OF.get(word) != folder_stem) or "_".join(words)
        return Part(folder_stem, _join(above, rest), _join(above, rest))
    if named is None:
        return Part()
    rest_words = [word for index, word in enumerate(words) if index != named]
    if folder and all(word in _words(folder) or word.isdigit() for word in rest_words):
        rest_words = [word for word in rest_words if word.isdigit()]
    numberless = [word for word in rest_words if not (word.isdigit() and len(word) <= 2)]
    above = "/".join(path.parent.parts)
    return Part(
        _STEM_OF[words[named]], _join(above, "_".join(rest_words)), _join(above, "_".join(numberless))
    )


def _join(above: str, rest: str) -> str:
    return "/".join(part for part in (above, rest) if part)


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.split(_SEPARATOR, spaced) if word]
