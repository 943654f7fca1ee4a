"""What an audio file's own tags say, for a data set: tempo, key, signature, texts; which texts are captions.

Reading is the engine's (`acestep.sound.labels`).
"""

import re

from acestep.sound.labels import Tags
from acestep.sound.labels import read_labels as read_tags

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
MIN_CHARS = 9


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
