"""A clip in words for people: "4 bars", "no tempo", what is off about it, and the line a command prints.

The judge is imported only when a clip is described.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from acestep.music.grid import bars_in_words

if TYPE_CHECKING:
    from acestep.clips.clip import Clip

VERDICTS = {
    "good": "fits after small changes",
    "untouched": "fits as it was made",
    "unmeasured": "has no beat and no key to judge by",
    "unsure": "has too few clear attacks to tell how it lies on the beat",
    "off": "left as it was made",
    "single": "one clear hit",
}


def count(number: float, thing: str) -> str:
    """`1 clip`, `4 clips`, `0 jobs`: the word as the number asks for it."""
    return f"{number:g} {thing}{'' if number == 1 else 's'}"


def tempo(bpm: float | None) -> str:
    """`92.5 bpm`, or `no tempo`."""
    return f"{bpm:g} bpm" if bpm else "no tempo"


def verdict(clip: "Clip") -> str:
    """How well the clip fits, in a few words."""
    from acestep.clips.verdict import Errors

    if not clip.bpm:
        return VERDICTS.get(clip.fit, "holds no clear single hit of what was asked for")
    off = Errors(clip.tempo_error_pct, clip.downbeat_error_ms, clip.key_match).misses()
    said = VERDICTS.get(clip.fit, "")
    if not off:
        return said or "does not fit"
    return "; ".join([said, ", ".join(off)]) if said else f"does not fit: {', '.join(off)}"


def describe(clip: "Clip") -> str:
    """Tempo, key, length, loudness and verdict on one line."""
    lufs = _after(clip.sidecar).get("lufs")
    loudness = "silent" if lufs is None else f"{lufs:.1f} LUFS"
    if not clip.bpm:
        hit = clip.sidecar.get("hit")
        note = hit.get("note") if isinstance(hit, dict) else None
        return ", ".join([note or "no note", f"{clip.duration_s:.2f} s", loudness, verdict(clip)])
    signature = "" if clip.signature == "4/4" else f" in {clip.signature}"
    return ", ".join(
        [
            tempo(clip.bpm) + signature,
            clip.key or "no key",
            bars_in_words(clip.bars),
            loudness,
            verdict(clip),
        ]
    )


def _after(sidecar: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was measured of the finished clip, as far as its sidecar says."""
    measured = sidecar.get("measured")
    after = measured.get("after") if isinstance(measured, dict) else None
    return after if isinstance(after, dict) else {}
