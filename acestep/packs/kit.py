"""A kit: the best single hits of some clips, each a file of its own, and as instruments for samplers.

A kit is a folder: `samples/kick_01_F1.wav` …, `drums.sfz` and `drums.dspreset`, for notes `notes.sfz` and
`notes.dspreset`, and `kit.json`, which says where each hit comes from. It appears whole or not at all.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acestep.clips.choose import colour_distance, spectrum_shape
from acestep.clips.clip import storage_errors
from acestep.clips.oneshot import single_sound, told
from acestep.errors import AlreadyExists, InvalidRequest
from acestep.files import appearing_folder
from acestep.hearing.onsets import mono
from acestep.hearing.pitch import note_name
from acestep.hearing.singles import Single, cut, find_singles
from acestep.hearing.tonality import measure_tonality
from acestep.music.grid import SAMPLE_RATE_HZ
from acestep.packs.instruments import Zone, decent_sampler, drum_zones, note_zones, sfz
from acestep.sound.audio import read_audio
from acestep.sound.encode import encode
from acestep.sound.limiter import CEILING_DB
from acestep.sound.loudness import true_peak_db
from acestep.sources.claim import SOFTWARE
from acestep.version import __version__

KIT_FORMAT = 1
SAMPLES = "samples"
EACH = 4  # hits of a kind, unless somebody asks for another number
MOST_EACH = 32
NOTES = ("bass", "note")
SAME_SOUND = 0.08  # distance of two hits' colours (1 is 10 dB): nearer ones are the same hit played again
UNSURE_DB = 20.0  # by which a hit whose kind is a guess stands behind a sure one


@dataclass(frozen=True)
class Sample:
    """One hit of a kit: its file's name, its sound [C, N], and where it was cut from."""

    name: str
    audio: np.ndarray
    hit: Single
    source: Path

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values for `kit.json`."""
        return {
            "file": f"{SAMPLES}/{self.name}",
            **told(self.hit),
            "from": self.source.name,
            "start_s": round(self.hit.start / SAMPLE_RATE_HZ, 6),
            "duration_s": round(self.audio.shape[1] / SAMPLE_RATE_HZ, 6),
        }


def write_kit(clips: Sequence[Path], folder: Path, *, each: int = EACH) -> list[Sample]:
    """Cuts the hits of `clips`, and writes the kit as a new `folder`; the samples in it.

    `each` is how many of a kind are kept. Raises UnreadableAudio, InvalidRequest where no clip has hits, and
    AlreadyExists where there is such a folder.
    """
    if folder.exists():
        raise AlreadyExists(f"{folder} exists, and nothing is overwritten: name a folder that is new")
    samples = find_samples(clips, each=each)
    with storage_errors(folder.parent), appearing_folder(folder) as hidden:
        write_samples(samples, hidden)
    return samples


def find_samples(clips: Sequence[Path], *, each: int = EACH) -> list[Sample]:
    """The best hits of `clips`, in the order of their names. Raises as `write_kit`."""
    if not 1 <= each <= MOST_EACH:
        raise InvalidRequest(f"{each} hits of a kind are not possible: expected 1–{MOST_EACH}")
    found: dict[str, list[tuple[Single, np.ndarray, Path]]] = {}
    for clip in clips:
        audio = read_audio(clip)
        tonal = measure_tonality(mono(audio), SAMPLE_RATE_HZ).key is not None
        for hit in find_singles(audio, SAMPLE_RATE_HZ, tonal=tonal):
            found.setdefault(hit.kind, []).append((hit, cut(audio, hit, SAMPLE_RATE_HZ), clip))
    if not found:
        names = ", ".join(clip.name for clip in clips)
        raise InvalidRequest(
            f"no hits are heard in {names:.300}: nothing there begins clearly enough to be cut out, as in a "
            "pad; expected drums, or notes that are struck or plucked"
        )
    samples = []
    for kind, hits in found.items():
        best = sorted(hits, key=lambda one: -_worth(one[0]))
        kept = _one_a_note(best) if kind in NOTES else _different(best)[:each]
        for number, (hit, sound, clip) in enumerate(kept, 1):
            samples.append(Sample(sample_name(hit, number), levelled(sound), hit, clip))
    return sorted(samples, key=lambda sample: sample.name)


def write_samples(samples: Sequence[Sample], folder: Path) -> None:
    """The files of a kit, into a folder that has none of them."""
    (folder / SAMPLES).mkdir()
    for sample in samples:
        (folder / SAMPLES / sample.name).write_bytes(_wav(sample))
    for name, zones in _instruments(samples):
        (folder / f"{name}.sfz").write_text(sfz(zones), "utf-8")
        (folder / f"{name}.dspreset").write_text(decent_sampler(zones), "utf-8")
    told = {
        "format": KIT_FORMAT,
        "made_by": f"{SOFTWARE}{__version__}",
        "samples": [sample.to_dict() for sample in samples],
    }
    (folder / "kit.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")


def sample_name(hit: Single, number: int) -> str:
    """`kick_01_F1.wav`; without a note where the hit has no clear pitch."""
    note = f"_{note_name(hit.pitch.note)}" if hit.pitch else ""
    return f"{hit.kind}_{number:02d}{note}.wav"


def levelled(sound: np.ndarray) -> np.ndarray:
    """The sound with its true peak at the ceiling of all clips."""
    peak_db = true_peak_db(sound)
    if peak_db is None:
        return sound
    return np.asarray(sound * 10 ** ((CEILING_DB - peak_db) / 20), np.float32)


def _worth(hit: Single) -> float:
    return hit.clarity_db + UNSURE_DB * hit.sureness


def _different(hits: list[tuple[Single, np.ndarray, Path]]) -> list[tuple[Single, np.ndarray, Path]]:
    """Those that sound otherwise than all before them."""
    kept: list[tuple[Single, np.ndarray, Path]] = []
    colours: list[np.ndarray] = []
    for one in hits:
        colour = spectrum_shape(one[1])
        if all(colour_distance(colour, other) > SAME_SOUND for other in colours):
            kept.append(one)
            colours.append(colour)
    return kept


def _one_a_note(hits: list[tuple[Single, np.ndarray, Path]]) -> list[tuple[Single, np.ndarray, Path]]:
    """The first of every note, low notes first."""
    first: dict[int, tuple[Single, np.ndarray, Path]] = {}
    for one in hits:
        if one[0].pitch is not None:
            first.setdefault(one[0].pitch.note, one)
    return [first[note] for note in sorted(first)]


def _instruments(samples: Sequence[Sample]) -> list[tuple[str, list[Zone]]]:
    def named(notes: bool) -> list[tuple[str, str, int | None]]:
        return [
            (f"{SAMPLES}/{one.name}", one.hit.kind, one.hit.pitch.note if one.hit.pitch else None)
            for one in samples
            if (one.hit.kind in NOTES) == notes
        ]

    made = [("drums", drum_zones(named(False))), ("notes", note_zones(named(True)))]
    return [(name, zones) for name, zones in made if zones]


def _wav(sample: Sample) -> bytes:
    comment = f"{sample.hit.kind} out of {sample.source.name}, {sample.hit.start / SAMPLE_RATE_HZ:.3f} s"
    data = single_sound(Path(sample.name).stem, sample.hit, comment=comment)
    return encode(sample.audio, SAMPLE_RATE_HZ, "wav", "pcm24", data)
