"""Which key a piece is in, how sure that is, and how far its tuning is from A = 440 Hz.

Works on mono samples. Unpitched material has no key. Pitch classes: 0 = C. Chroma arrays are [T, 12].
"""

from dataclasses import dataclass

import numpy as np

from acestep.hearing.evidence import chances, weights
from acestep.music.key import Key

# Chosen by hand where nothing else is said; `python -m tests.benchmarks.fit` prints what comes of them
# of keys. Which key is right is learned (`evidence`).
ANALYSIS_RATE_HZ = 12_000  # enough for MELODY_HZ and its partials
WINDOW = 4096  # 341 ms: semitones apart from about 100 Hz up; interpolation does the rest
HOP = 1024  # 85 ms
FRAME_S = HOP / ANALYSIS_RATE_HZ
FRAMES_AT_ONCE = 256  # bounds memory
BASS_HZ = (38.0, 180.0)  # about D#1 to F3
MELODY_HZ = (180.0, 2000.0)  # about F#3 to B6
FLOOR = 1e-3  # peaks 60 dB below the loudest are not heard
PROMINENCE = 2.5  # a tone stands out of its surroundings by this factor
MIN_TONES_PER_S = 6.0  # fewer peaks are no pitched material
MIN_PITCHED = 0.95  # of 1.6·coherence + profile match: drums and noise reach 0.65, the plainest music 1.05
MIN_COHERENCE = 0.12  # below, there is no tuning to tell

# Strength of each pitch class above the tonic: Krumhansl and Kessler 1982, as listening tests found it,
# sharpened towards the scale and the tonic triad, which loops dwell on.
PROFILES = {
    "major": np.array([6.6, 1.6, 3.5, 1.8, 4.8, 4.1, 1.9, 5.4, 1.8, 3.8, 2.0, 3.0]),
    "minor": np.array([6.6, 1.9, 3.5, 5.2, 1.9, 3.8, 1.9, 5.2, 3.8, 2.0, 3.6, 2.2]),
}
CHORD_S = (
    0.5  # what one chord is told from; chosen by hand, and the weights in evidence.json were learned with it
)
SAME_KEY, SAME_NOTES, OTHER_KEY = "same key", "same notes", "other"
# Of the tones: partials of fifths and thirds put some beside a scale that is played alone. Chosen by hand.
SCALE_MARGIN = 0.05
EXPECTED_BONUS = 1.1  # a key that was asked for is three times as likely as another


@dataclass(frozen=True)
class Tonality:
    """What was heard. `key` is None for unpitched material; confidences are 0–1."""

    key: Key | None
    confidence: float
    runner_up: Key | None
    tuning_cents: float | None
    chroma: np.ndarray  # [T, 12] melody
    bass: np.ndarray  # [T, 12]
    frame_s: float
    scores: np.ndarray  # [24] major keys from C, then minor keys; higher is likelier

    @property
    def pitch_classes(self) -> tuple[float, ...]:
        """Share of all tones by pitch class, C first; () for unpitched material."""
        if self.key is None:
            return ()
        shares = _share(self.chroma.sum(axis=0)) + 0.5 * _share(self.bass.sum(axis=0))
        return tuple(float(share) for share in _share(shares))


@dataclass(frozen=True)
class Tones:
    """Tones over time: melody and bass [T, 12], a frame every FRAME_S; tuning is None without pitches."""

    chroma: np.ndarray
    bass: np.ndarray
    tuning_cents: float | None
    coherence: float  # of the tones' distances from semitones: noise has about 0, music 0.3–1
    count: int


def hear_tones(samples: np.ndarray, sample_rate_hz: int) -> Tones:
    """The tones in mono samples [N]."""
    import soxr

    low = soxr.resample(samples.astype(np.float32, copy=False), sample_rate_hz, ANALYSIS_RATE_HZ, "MQ")
    frame, hz, weight, frames = _tones(low)
    tuning, coherence = _tuning_cents(hz, weight)
    return Tones(
        _folded(frame, hz, weight, frames, MELODY_HZ, tuning or 0.0),
        _folded(frame, hz, weight, frames, BASS_HZ, tuning or 0.0),
        tuning,
        coherence,
        len(hz),
    )


def measure_tonality(samples: np.ndarray, sample_rate_hz: int, expected: Key | None = None) -> Tonality:
    """Key and tuning of mono samples [N]; `expected` decides between keys that are about as likely."""
    tones = hear_tones(samples, sample_rate_hz)
    scores = key_scores(tones.chroma, tones.bass)
    if expected is not None:
        scores[expected.tonic + (0 if expected.mode == "major" else 12)] += EXPECTED_BONUS
    order = np.argsort(-scores)
    keys = [Key(int(i) % 12, "major" if i < 12 else "minor").usual for i in order[:2]]
    pitched = (
        tones.tuning_cents is not None
        and tones.count >= MIN_TONES_PER_S * min(len(samples) / sample_rate_hz, 30)
        and 1.6 * tones.coherence + profile_match(tones.chroma, tones.bass) > MIN_PITCHED
    )
    return Tonality(
        keys[0] if pitched else None,
        float(chances(scores)[order[0]]) if pitched else 0.0,
        keys[1] if pitched else None,
        tones.tuning_cents if pitched else None,
        tones.chroma,
        tones.bass,
        FRAME_S,
        scores,
    )


def key_features(chroma: np.ndarray, bass: np.ndarray) -> np.ndarray:
    """[D, 12] evidence by pitch class: tones and bass of the whole and of its beginning, chords by root.

    Moving the music up by a semitone rolls every row by one; that is all the model below knows of pitch.
    """
    edge = max(1, len(bass) // 8)
    rows = [
        np.sqrt(_share(chroma.sum(axis=0))),
        _share(chroma.sum(axis=0)),
        np.sqrt(_share(bass.sum(axis=0))),
        _share(bass.sum(axis=0)),
        _share(bass[:edge].sum(axis=0)),
        _share(chroma[:edge].sum(axis=0)),
        _share((chroma > 0).sum(axis=0).astype(float)),
    ]
    return np.concatenate([np.stack(rows), _chords(chroma, bass)])


def _chords(chroma: np.ndarray, bass: np.ndarray) -> np.ndarray:
    """[4, 12] share of major and minor triads by root, over all and at the beginning."""
    span = max(1, round(CHORD_S * ANALYSIS_RATE_HZ / HOP))
    count = max(1, len(chroma) // span)
    pieces = np.stack([part.sum(axis=0) for part in np.array_split(np.sqrt(chroma), count)])
    lows = np.stack([part.sum(axis=0) for part in np.array_split(np.sqrt(bass), count)])
    pieces = pieces / np.maximum(np.linalg.norm(pieces, axis=1, keepdims=True), 1e-9)
    lows = lows / np.maximum(lows.sum(axis=1, keepdims=True), 1e-9)
    likeness = np.concatenate(
        [
            pieces + np.roll(pieces, -third, axis=1) + np.roll(pieces, -7, axis=1) + 0.5 * lows
            for third in (4, 3)
        ],
        axis=1,
    )
    best = np.eye(24)[np.argmax(likeness, axis=1)] * (pieces.sum(axis=1, keepdims=True) > 0)
    whole, first = best.mean(axis=0), best[: max(1, count // 8)].mean(axis=0)
    return np.concatenate([whole.reshape(2, 12), first.reshape(2, 12)])


def key_scores(chroma: np.ndarray, bass: np.ndarray) -> np.ndarray:
    """[24] how well each key explains the tones, major keys from C first; the softmax is their chance."""
    if chroma.sum() + bass.sum() <= 0:
        return np.zeros(24)
    evidence = key_features(chroma, bass)
    rolled = np.stack([np.roll(evidence, -tonic, axis=1).ravel() for tonic in range(12)])
    scores: np.ndarray = (rolled @ weights("key").T).T.ravel()
    return scores


def profile_match(chroma: np.ndarray, bass: np.ndarray) -> float:
    """Best correlation of the tones with any key's profile: how much this is music in a key at all."""
    blend = _share(chroma.sum(axis=0)) + 0.5 * _share(bass.sum(axis=0))
    return max(
        _correlation(blend, np.roll(profile, tonic)) for profile in PROFILES.values() for tonic in range(12)
    )


def _share(values: np.ndarray) -> np.ndarray:
    total = values.sum()
    return values / total if total > 0 else np.zeros_like(values)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0


def _tones(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Spectral peaks that last: frame, frequency in hertz, weight; and the number of frames."""
    import scipy.fft

    padded = np.pad(samples, (WINDOW // 2, WINDOW // 2 + HOP))
    views = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    shape = np.hanning(WINDOW).astype(np.float32)
    top_bin = int(MELODY_HZ[1] * 1.02 * WINDOW / ANALYSIS_RATE_HZ)
    blocks = [
        np.abs(scipy.fft.rfft(views[i : i + FRAMES_AT_ONCE] * shape, axis=1)[:, :top_bin])
        for i in range(0, len(views), FRAMES_AT_ONCE)
    ]
    size = np.concatenate(blocks)
    if size.max(initial=0) <= 1e-4:
        return np.zeros(0, int), np.zeros(0), np.zeros(0), len(size)
    lasting = np.minimum(size, np.maximum(np.roll(size, 1, axis=0), np.roll(size, -1, axis=0)))
    level = np.cumsum(np.pad(size, ((0, 0), (13, 12)), mode="reflect"), axis=1)
    surroundings = (level[:, 24:] - np.pad(level, ((0, 0), (1, 0)))[:, : level.shape[1] - 24]) / 25
    peak = np.zeros_like(size, bool)
    peak[:, 1:-1] = (size[:, 1:-1] >= size[:, :-2]) & (size[:, 1:-1] > size[:, 2:])
    peak &= (lasting > PROMINENCE * 0.5 * surroundings[:, : size.shape[1]]) & (lasting > FLOOR * size.max())
    frame, bins = np.nonzero(peak)
    logs = np.log(size + 1e-12)
    left, middle, right = logs[frame, bins - 1], logs[frame, bins], logs[frame, bins + 1]
    bend = left - 2 * middle + right
    hz = (bins + np.where(bend < 0, 0.5 * (left - right) / np.where(bend == 0, -1, bend), 0)) * (
        ANALYSIS_RATE_HZ / WINDOW
    )
    heard = hz > BASS_HZ[0]
    return frame[heard], hz[heard], np.sqrt(lasting[frame, bins])[heard], len(size)


def _tuning_cents(hz: np.ndarray, weight: np.ndarray) -> tuple[float | None, float]:
    """Offset from A = 440 Hz, −50 … 50, and its coherence; None when tones lie anywhere, as in noise."""
    chosen = (hz > MELODY_HZ[0]) & (hz < MELODY_HZ[1])
    if chosen.sum() < 8:
        chosen = hz > 0
    if chosen.sum() < 8:
        return None, 0.0
    turn = np.exp(2j * np.pi * 12 * np.log2(hz[chosen] / 440.0))
    mean = np.sum(weight[chosen] * turn) / np.sum(weight[chosen])
    coherence = float(abs(mean))
    return (float(np.angle(mean) / (2 * np.pi) * 100) if coherence > MIN_COHERENCE else None), coherence


def _folded(
    frame: np.ndarray,
    hz: np.ndarray,
    weight: np.ndarray,
    frames: int,
    limits_hz: tuple[float, float],
    tuning_cents: float,
) -> np.ndarray:
    chosen = (hz >= limits_hz[0]) & (hz < limits_hz[1])
    pitch = 69 + 12 * np.log2(hz[chosen] / 440.0) - tuning_cents / 100
    nearest = np.rint(pitch)
    centred = np.square(np.cos(np.pi * (pitch - nearest)))
    index = frame[chosen] * 12 + nearest.astype(int) % 12
    sums = np.bincount(index, weight[chosen] * centred, minlength=frames * 12)
    return sums[: frames * 12].reshape(frames, 12)


def compare_keys(asked: Key, heard: Key | None, pitch_classes: tuple[float, ...]) -> str | None:
    """ "same key", "same notes" or "other": how the heard key compares to the asked one.

    A minor and C major have the same notes. Neighbours have them too if the one note that differs is hardly
    played: then the asked scale holds as much of the tones as the best one. None if nothing is heard.
    """
    if heard is None:
        return None
    if heard == asked:
        return SAME_KEY
    if heard == asked.relative or not pitch_classes:
        return SAME_NOTES if heard == asked.relative else OTHER_KEY
    shares = np.array(pitch_classes)
    held = [shares[list(Key(tonic).pitch_classes)].sum() for tonic in range(12)]
    mine = shares[list(asked.pitch_classes)].sum()
    return SAME_NOTES if mine >= max(held) - SCALE_MARGIN else OTHER_KEY
