"""A caption for each file: the musician's own words first, measured ones last.

Order: manifest, sidecar text, tags, words of the file name, description from band levels.
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from acestep.errors import InvalidRequest
from acestep.sound.labels import Tags
from acestep.sound.labels import read_labels as read_tags
from acestep.typed_json import fault_of, read_text_of
from lora_studio.data.names import STEM_WORDS
from lora_studio.data.sound import BAND_EDGES_HZ, FRAME_S, Survey

__all__ = ["Tags", "is_caption", "is_own_label", "read_tags"]

_PROGRAMS = r"""lavf|lavc|lame|libsndfile|ffmpeg|sox|audacity|exact audio copy|eac|dbpoweramp|itunes|itunnorm|
cdparanoia|xiph\.org|reaper|pro ?tools|cubase|nuendo|logic pro|garageband|fl studio|ableton|wavelab|audition|
sound ?forge|twistedwave|rekordbox|traktor|serato|mixed in key|zoom|tascam"""
_BY_MACHINES = re.compile(
    r"(processed|encoded|ripped|generated|converted|resampled) (by|with|using|from)\b"
    r"|\b(created|made|rendered|exported|recorded|written)( \w+)? (by|with|in|from|using|on)( \w+)? ("
    + _PROGRAMS.replace("\n", "")
    + r")\b"
    r"|^\W*(lavf|lavc|lame|libsndfile|ffmpeg|sox|audacity|exact audio copy|eac|itunes|itunnorm)(?![a-z])"
    r"|https?:|www\.|\.com\b|copyright|\(c\)|©|all rights|royalty|^track \d|^energy \d|replaygain",
    re.IGNORECASE,
)
_CODES = re.compile(r"[\s0-9a-f+\-/.:,#|]*", re.IGNORECASE)  # iTunes' numbers, checksums, dates
# `8A - 7`, as DJ programs write
_KEY_AND_ENERGY = re.compile(r"\s*(0?[1-9]|1[0-2])[abdm]\b[\s\-–/|]*(energy)?\s*\d*\s*", re.IGNORECASE)
# what our own clips say of how they fit; their title is the prompt
_OWN_LABEL = re.compile(r"\d+(\.\d+)? bpm \d+/\d+; .*\bfit \w+")
MIN_CHARS = 9  # of a text: a shorter one is no caption


def is_own_label(comment: str) -> bool:
    """Whether a comment is the label of a clip that was made here."""
    return _OWN_LABEL.match(comment.strip()) is not None


def is_caption(comment: str) -> bool:
    """Whether a comment is a musician's description, and not what an encoder, a shop or a DJ program left."""
    text = comment.strip()
    return (
        len(text) >= MIN_CHARS
        and not is_own_label(text)
        and not _BY_MACHINES.search(text)
        and not _CODES.fullmatch(text)
        and not _KEY_AND_ENERGY.fullmatch(text)
    )


MAX_SIDECAR_BYTES = 100_000  # a longer text is no caption
_TAGGED = re.compile(
    r"<(CAPTION|LYRICS|BPM|KEYSCALE|TIMESIGNATURE|GENRE|LANGUAGE|CUSTOM_TAG)>(.*?)(?=</?[A-Z_]+>|\Z)", re.S
)
_LINE = re.compile(
    r"^\s*(caption|genre|bpm|tempo|key|keyscale|signature|time_?signature|language|lyrics|custom_tag|trigger|"
    r"is_instrumental|stem|song)\s*[:=]\s*(.*)$",
    re.I,
)
_SECTION = re.compile(r"^\s*\[[^\]]+\]\s*$", re.M)
_NOISE = """loop loops final bounce export audio track take version ver copy sample stem stems the and wav mp3
bpm key maj min major minor untitled new bars bar"""
_NOISE_WORDS = frozenset(_NOISE.split()) | {word for words in STEM_WORDS.values() for word in words}


@dataclass
class SidecarText:
    """Fields found beside an audio file, under the names of dataset.json (or any of their spellings)."""

    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_sidecars(audio: Path) -> SidecarText:
    """`NAME.json`, `NAME.wav.json` (our own clips), `NAME.caption.txt`, `NAME.lyrics.txt`, `NAME.txt`."""
    found = SidecarText()
    for path in (audio.with_suffix(".json"), audio.with_name(audio.name + ".json")):
        document = _json(path, found)
        request = document.get("request")
        if isinstance(request, dict):  # a clip of ours remembers what it was asked for
            document = {
                "caption": request.get("prompt", ""),
                **{k: request.get(k) for k in ("bpm", "key", "signature", "lyrics")},
            }
        found.values.update({name: value for name, value in document.items() if value not in (None, "")})
    for suffix, name in ((".caption.txt", "caption"), (".lyrics.txt", "lyrics")):
        text = _text(audio.with_suffix(suffix), found)
        if text:
            found.values[name] = text
    text = _text(audio.with_suffix(".txt"), found)
    if text:
        for name, value in read_text(text).items():
            found.values.setdefault(name, value)
    return found


def read_text(text: str) -> dict[str, Any]:
    """Fields of a text sidecar: `<CAPTION>…` tags, `caption: …` lines, plain lyrics or a plain caption."""
    tagged = {name.lower(): value.strip() for name, value in _TAGGED.findall(text) if value.strip()}
    if tagged:
        return tagged
    values: dict[str, Any] = {}
    current = ""
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            current = match[1].lower()
            values[current] = match[2].strip()
        elif current in ("lyrics", "caption") and line.strip():
            values[current] = f"{values[current]}\n{line.rstrip()}".strip()
    if values:
        return {name: value for name, value in values.items() if value}
    if _SECTION.search(text) or len(text.splitlines()) > 8:
        return {"lyrics": text.strip()}
    return {"caption": " ".join(text.split())}


def _json(path: Path, found: SidecarText) -> Mapping[str, Any]:
    text = _text(path, found)
    if not text:
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        found.notes.append(f"{path.name} is not JSON ({fault_of(error)}) and is ignored")
        return {}
    return document if isinstance(document, dict) else {}


def _text(path: Path, found: SidecarText) -> str:
    try:
        if not path.is_file():
            return ""
        if path.stat().st_size > MAX_SIDECAR_BYTES:
            found.notes.append(f"{path.name} is larger than {MAX_SIDECAR_BYTES // 1000} kB and is ignored")
            return ""
        return read_text_of(path).strip()
    except OSError as error:
        found.notes.append(f"{path.name} cannot be read ({error.strerror}) and is ignored")
        return ""


def caption_from(path: Path, tags: Tags, stem: str, survey: Survey) -> tuple[str, str]:
    """(caption, where it came from) when the musician wrote none."""
    measured = describe(survey, stem)
    if is_caption(tags.comment):
        return tags.comment, "tags"
    if is_own_label(tags.comment) and tags.title:
        return tags.title, "the prompt it was made with"
    words = name_words(path.stem)
    if tags.genre or tags.title:
        own = ", ".join(part for part in (tags.genre.lower(), " ".join(words), measured) if part)
        return own, "tags"
    if words:
        return f"{' '.join(words)}, {measured}", "file name and measurement"
    return measured, "measurement"


def name_words(stem: str) -> list[str]:
    """Words of a file name that describe: no numbers, keys, stems or words like `final`."""
    stem = unicodedata.normalize("NFC", stem)  # macOS writes é as two characters
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem)
    words = [word.lower() for word in re.split(r"[\W\d_]+", spaced)]
    return [word for word in words if len(word) > 2 and word not in _NOISE_WORDS][:8]


def describe(survey: Survey, stem: str) -> str:
    """Plain words for what the band levels show: brightness, attack, density, dynamics."""
    levels = survey.levels_db
    loud = levels > max(float(levels.max()) - 35, -60)
    if not loud.any():
        return "silence"
    power = np.power(10.0, survey.bands[loud] / 10).sum(axis=0)
    centres = np.sqrt(np.maximum(BAND_EDGES_HZ[:-1], 40) * np.array(BAND_EDGES_HZ[1:], dtype=np.float64))
    centroid_hz = float(np.exp((np.log(centres) * power).sum() / power.sum()))
    rises = np.diff(levels) > 6
    onsets_per_s = float(rises.sum()) / (len(levels) * FRAME_S)
    spread_db = float(np.percentile(levels[loud], 95) - np.percentile(levels[loud], 20))
    words = [stem.replace("_", " ") if stem and stem not in ("other", "mix") else ""]
    words.append(
        "dark"
        if centroid_hz < 250
        else "warm"
        if centroid_hz < 800
        else "bright"
        if centroid_hz > 3000
        else ""
    )
    words.append("percussive" if onsets_per_s > 2.5 else "sustained" if onsets_per_s < 0.5 else "")
    words.append("sparse" if loud.mean() < 0.5 else "dense" if spread_db < 6 else "dynamic")
    return ", ".join(word for word in words if word)


def with_trigger(caption: str, trigger: str, position: str = "prepend") -> str:
    """The caption as it is trained: with the trigger word before, after or instead of it."""
    if not trigger or trigger.lower() in caption.lower():
        return caption
    if position == "replace" or not caption:
        return trigger
    if position not in ("prepend", "append"):
        raise InvalidRequest(f"tag_position {position!r} is unknown: expected prepend, append or replace")
    return f"{trigger}, {caption}" if position == "prepend" else f"{caption}, {trigger}"
