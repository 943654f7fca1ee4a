"""One-shots: the clearest single hit of what a checkpoint made, alone, without tempo and loop.

Checkpoints make loops. A one-shot is made as a short and slow one, and the best of its hits is cut out.
"""

import re
import time

import numpy as np

from acestep.clips.clip import slug
from acestep.clips.fit import Fit
from acestep.hearing.measure import Measurement
from acestep.hearing.pitch import note_name
from acestep.hearing.singles import Single, cut, find_singles
from acestep.sound.limiter import CEILING_DB, Level
from acestep.sound.loudness import integrated_lufs, true_peak_db
from acestep.sound.riff import MusicalData
from acestep.sources.claim import SOFTWARE
from acestep.version import __version__

# The words that name a kind of hit. What names none of them is taken for a note.
WORDS = {
    "kick": ("kick", "kicks", "kickdrum", "bd", "bass drum", "808 kick"),
    "snare": ("snare", "snares", "clap", "claps", "rim", "rimshot"),
    "hat": ("hat", "hats", "hihat", "hi-hat", "cymbal", "ride", "crash", "shaker", "tambourine"),
    "tom": ("tom", "toms"),
    "percussion": ("percussion", "conga", "bongo", "cowbell", "clave", "agogo", "woodblock"),
}
OTHER_KIND_DB = 60.0  # by which a hit of another kind than asked for stands behind
CLEAR_DB = 30.0  # of rise and fall together: what has less is no clear single hit


def asked_kind(prompt: str) -> str | None:
    """The kind of hit that a prompt names first; None for a note."""
    places = {}
    for kind, words in WORDS.items():
        found = re.search(rf"\b({'|'.join(map(re.escape, words))})\b", prompt.lower())
        if found:
            places[kind] = found.start()
    return min(places, key=lambda kind: places[kind], default=None)


def loop_prompt(prompt: str) -> str:
    """What the checkpoint is told: for a drum that it makes drums, as their loops were captioned."""
    kind = asked_kind(prompt)
    part = "percussion" if kind == "percussion" else "drums"
    return prompt if kind is None or part in prompt.lower() else f"{prompt}, {part}"


def single_hit(audio: np.ndarray, sample_rate_hz: int, prompt: str) -> Fit:
    """The hit of `audio` [C, N] that is clearest, of the kind that the prompt names if there is one.

    The verdict is `single`, or `poor` where no clear hit of that kind is heard. Sound without any hit is kept
    whole.
    """
    kind = asked_kind(prompt)
    hits = find_singles(audio, sample_rate_hz, tonal=kind is None)
    if hits:
        hit = max(hits, key=lambda one: one.clarity_db - OTHER_KIND_DB * _is_other(one, kind))
        sound, clear = (
            cut(audio, hit, sample_rate_hz),
            not _is_other(hit, kind) and hit.clarity_db >= CLEAR_DB,
        )
        changes = (f"the clearest of {len(hits)} hits was cut out",)
    else:
        hit, sound, clear = None, audio, False
        changes = ("no single hit is heard in it: all of it was kept",)
    peak_db = true_peak_db(sound)
    gain_db = 0.0 if peak_db is None else CEILING_DB - peak_db
    sound = np.asarray(sound * 10 ** (gain_db / 20), np.float32)
    before, after = (_measured(part, sample_rate_hz) for part in (audio, sound))
    return Fit(
        sound,
        "single" if clear else "poor",
        before,
        after,
        changes,
        None,
        None,
        None,
        Level(gain_db, 0.0, None),
        hit,
    )


def told(hit: Single) -> dict[str, object]:
    """What is known of a hit, as plain JSON values for sidecars."""
    pitch = hit.pitch
    return {
        "kind": hit.kind,
        "sureness": round(hit.sureness, 3),
        "note": note_name(pitch.note) if pitch else None,
        "hz": round(pitch.hz, 2) if pitch else None,
        "cents": round(pitch.cents, 1) if pitch else None,
        "clarity_db": round(hit.clarity_db, 1),
    }


def one_shot_stem(prompt: str, hit: Single | None, take: int, when: time.struct_time) -> str:
    """`20261122-214501_punchy-kick_F1_t1`: the note it is tuned to, where it is."""
    note = f"{note_name(hit.pitch.note)}_" if hit and hit.pitch else ""
    return f"{time.strftime('%Y%m%d-%H%M%S', when)}_{slug(prompt)}_{note}t{take + 1}"


def single_sound(
    title: str,
    hit: Single | None,
    *,
    comment: str = "",
    created: str = "",
    extra: dict[str, str] | None = None,
) -> MusicalData:
    """What a file says that holds one sound: no tempo, no loop, the note it is tuned to."""
    return MusicalData(
        bpm=0.0,
        numerator=4,
        denominator=4,
        quarters=0,
        loop=False,
        note=hit.pitch.note if hit and hit.pitch else None,
        title=title,
        comment=comment,
        created=created,
        software=f"{SOFTWARE}{__version__}",
        extra=extra or {},
    )


def _is_other(hit: Single, kind: str | None) -> bool:
    return hit.kind != kind if kind else hit.kind not in ("bass", "note", "chord")


def _measured(audio: np.ndarray, sample_rate_hz: int) -> Measurement:
    return Measurement(
        audio.shape[1] / sample_rate_hz,
        sample_rate_hz,
        lufs=integrated_lufs(audio, sample_rate_hz),
        true_peak_db=true_peak_db(audio),
        notes=("a single hit has no tempo",),
    )
