"""What a piece of audio is, musically: tempo, beats, bar, key, tuning, loudness, seam – and how sure that is.

Puts the parts together (onsets, tempo, beats, tonality, loudness); decides nothing about what should be.
A hint (`grid`, `key`) says which reading of an ambiguous tempo is meant; it never replaces a measurement.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from acestep.hearing.attack import levels
from acestep.hearing.beats import Beats, Harmony, find_beats, read_bar
from acestep.hearing.meter import estimate_meter
from acestep.hearing.onsets import mono, onset_curve, pick_onsets
from acestep.hearing.tempo import asked_tempo, estimate_tempo, loop_tempo
from acestep.hearing.tonality import Tonality, measure_tonality
from acestep.music.grid import SAMPLE_RATE_HZ, Grid, Signature
from acestep.music.key import Key
from acestep.sound.audio import repair
from acestep.sound.loudness import integrated_lufs, seam_error, true_peak_db

# Chosen by hand.
MIN_BEAT_S = 1.0  # nothing shorter has a tempo
WILD_DRIFT_PCT = 6.0  # a tempo that moves by more than this is not one number


@dataclass(frozen=True)
class Measurement:
    """What was heard. None means that it is not there, or not sure enough to be stated."""

    duration_s: float
    sample_rate_hz: int
    bpm: float | None = None
    tempo_confidence: float = 0.0
    tempo_alternatives: tuple[float, ...] = ()
    beats_s: tuple[float, ...] = ()
    downbeat_s: float | None = None  # the first bar's start
    downbeat_confidence: float = 0.0
    meter: int | None = None  # beats per bar: 2, 3, 4 or 6; None: unsure
    meter_confidence: float = 0.0
    drift_pct: float = 0.0
    steady: bool = True
    swing: float | None = None  # long : short eighth
    key: Key | None = None
    key_confidence: float = 0.0
    key_runner_up: Key | None = None
    key_scores: tuple[float, ...] = ()
    tuning_cents: float | None = None
    pitch_classes: tuple[float, ...] = ()  # share of the tones by pitch class, C first; () without a key
    lufs: float | None = None
    true_peak_db: float | None = None
    seam_error: float = 0.0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, rounded to what is meant."""
        rounded = {
            name: None if value is None else round(value, digits)
            for name, value, digits in (
                ("duration_s", self.duration_s, 6),
                ("bpm", self.bpm, 3),
                ("tempo_confidence", self.tempo_confidence, 3),
                ("downbeat_s", self.downbeat_s, 4),
                ("downbeat_confidence", self.downbeat_confidence, 3),
                ("meter_confidence", self.meter_confidence, 3),
                ("drift_pct", self.drift_pct, 2),
                ("swing", self.swing, 2),
                ("key_confidence", self.key_confidence, 3),
                ("tuning_cents", self.tuning_cents, 1),
                ("lufs", self.lufs, 2),
                ("true_peak_db", self.true_peak_db, 2),
                ("seam_error", self.seam_error, 2),
            )
        }
        return rounded | {
            "sample_rate_hz": self.sample_rate_hz,
            "tempo_alternatives": list(self.tempo_alternatives),
            "beats_s": [round(beat, 4) for beat in self.beats_s],
            "meter": self.meter,
            "steady": self.steady,
            "key": str(self.key) if self.key else None,
            "pitch_classes": [round(share, 3) for share in self.pitch_classes],
            "key_runner_up": str(self.key_runner_up) if self.key_runner_up else None,
            "notes": list(self.notes),
        }


def measure(
    audio: np.ndarray,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    *,
    grid: Grid | None = None,
    key: Key | None = None,
    on_bar: bool = False,
) -> Measurement:
    """Measures `audio` [C, N]. `grid` and `key` are what was asked for, if anything was; `on_bar` says that
    the clip was made to begin with a bar, by a checkpoint that is given the grid as input.
    """
    audio, bad = repair(np.atleast_2d(audio).astype(np.float32, copy=False))
    notes = [f"{bad} samples were not numbers"] if bad else []
    samples = mono(audio) if audio.shape[1] else np.zeros(0, np.float32)
    duration_s = audio.shape[1] / sample_rate_hz
    if duration_s < 0.02 or np.abs(samples - samples.mean()).max() < 1e-4:
        return Measurement(
            duration_s,
            sample_rate_hz,
            notes=(*notes, "silence: nothing to measure" if duration_s >= 0.02 else "too short"),
        )
    if np.mean(np.abs(audio) >= 0.9999) > 1e-4:
        notes.append("clipped")
    tonality = measure_tonality(samples, sample_rate_hz, key)
    values: dict[str, Any] = _rhythm(samples, sample_rate_hz, grid, tonality, notes, on_bar)
    if tonality.key is None:
        notes.append("no key")
    return Measurement(
        duration_s,
        sample_rate_hz,
        **values,
        key=tonality.key,
        key_confidence=tonality.confidence,
        key_runner_up=tonality.runner_up,
        key_scores=tuple(float(score) for score in tonality.scores) if tonality.key else (),
        tuning_cents=tonality.tuning_cents,
        pitch_classes=tonality.pitch_classes,
        lufs=integrated_lufs(audio, sample_rate_hz),
        true_peak_db=true_peak_db(audio),
        seam_error=seam_error(audio, sample_rate_hz),
        notes=tuple(notes),
    )


def _rhythm(
    samples: np.ndarray,
    sample_rate_hz: int,
    grid: Grid | None,
    tonality: Tonality,
    notes: list[str],
    on_bar: bool,
) -> dict[str, Any]:
    """Tempo, beats, bar and swing as Measurement's fields; {} when there is no beat."""
    duration_s = len(samples) / sample_rate_hz
    if duration_s < MIN_BEAT_S:
        notes.append(f"no beat: {duration_s:.2f} s are too short for one")
        return {}
    curve = onset_curve(samples, sample_rate_hz)
    onsets = pick_onsets(curve)
    signature = grid.signature if grid else Signature()
    harmony = Harmony(tonality.chroma, tonality.bass, tonality.frame_s)
    tempo = estimate_tempo(
        curve,
        onsets,
        expected_bpm=grid.bpm if grid else None,
        quarters_per_bar=signature.quarters_per_bar,
        duration_s=duration_s,
        bar_likeness=lambda bpm: float(
            read_bar(curve, onsets, harmony, bpm, Signature(), duration_s).scores.max()
        ),
    )
    if tempo is None:
        notes.append("no beat")
        return {}
    meter, meter_confidence = estimate_meter(curve, tempo.bpm)
    if grid is None and meter in (2, 3, 6):
        signature = Signature(meter, 4) if meter != 6 else Signature(6, 8)
    bpm = loop_tempo(onsets, tempo.bpm, duration_s, signature.quarters_per_bar)
    if grid is not None:
        bpm = asked_tempo(onsets, bpm, grid.bpm)
    level_db = levels(samples[None], sample_rate_hz, crisp=True)
    beats: Beats = find_beats(
        curve, onsets, harmony, bpm, signature, duration_s, level_db=level_db, on_bar=on_bar
    )
    confidence = tempo.confidence
    if not beats.steady:
        notes.append(f"the tempo moves by {beats.drift_pct:.1f} %")
        confidence *= min(1.0, WILD_DRIFT_PCT / max(beats.drift_pct, 0.1))
    return {
        "bpm": beats.bpm,
        "tempo_confidence": confidence,
        "tempo_alternatives": tempo.alternatives,
        "beats_s": tuple(float(beat) for beat in beats.beats_s),
        "downbeat_s": beats.downbeat_s,
        "downbeat_confidence": beats.downbeat_confidence,
        "meter": meter,
        "meter_confidence": meter_confidence,
        "drift_pct": beats.drift_pct,
        "steady": beats.steady,
        "swing": beats.swing,
    }
