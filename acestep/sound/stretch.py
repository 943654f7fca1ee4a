"""Changing the length and pitch of audio: Signalsmith Stretch for the body, the attacks kept as they were.

Audio is [C, N] float32; `factor` is new length over old.
"""

import numpy as np

# Chosen by hand; `python -m tests.benchmarks.fit` prints how sharp hits stay.
PAD_S = 0.25  # context on both sides, so that edges are as good as the middle
ATTACK_S = 0.045  # kept from the original behind every onset …
TRANSPOSED_ATTACK_S = 0.012  # … when its pitch changes: too short to hear another pitch in
ATTACK_LEAD_S = 0.004  # … and before it
FADE_S = 0.006  # into and out of a kept attack
SEED = 0  # the stretcher's own noise must be the same every time
JOINT_S = 0.010  # where two pieces of different stretch meet


def stretch(
    audio: np.ndarray, sample_rate_hz: int, factor: float, semitones: float = 0.0, *, loop: bool = False
) -> np.ndarray:
    """`audio` made `factor` times as long and moved by `semitones`; exactly `round(N · factor)` samples.

    `loop` says that the end goes on at the beginning.
    """
    length = round(audio.shape[1] * factor)
    if length == audio.shape[1] and semitones == 0:
        return audio
    pad = min(round(PAD_S * sample_rate_hz), audio.shape[1] - 1)
    padded = np.pad(audio, ((0, 0), (pad, pad)), mode="wrap" if loop else "constant")
    whole = _signalsmith(padded, sample_rate_hz, factor, semitones)
    start = round(pad * factor)
    piece = whole[:, start : start + length]
    return np.pad(piece, ((0, 0), (0, length - piece.shape[1]))) if piece.shape[1] < length else piece


def _signalsmith(audio: np.ndarray, sample_rate_hz: int, factor: float, semitones: float) -> np.ndarray:
    """Stretched and transposed [C, ≈ N · factor]; always the same for the same input."""
    from python_stretch.Signalsmith import Stretch

    stretcher = Stretch(SEED)
    stretcher.preset(audio.shape[0], sample_rate_hz)
    stretcher.setTimeFactor(1 / factor)
    if semitones:
        stretcher.setTransposeSemitones(semitones, 8000 / sample_rate_hz)
    writable = np.require(audio, np.float32, ["C", "W"])  # the binding refuses what it may not write
    return np.asarray(stretcher.process(writable))


def paste_attacks(
    stretched: np.ndarray,
    original: np.ndarray,
    at_s: np.ndarray,
    from_s: np.ndarray,
    sample_rate_hz: int,
    attack_s: float = ATTACK_S,
) -> np.ndarray:
    """`stretched` with the first milliseconds of every onset copied from `original`.

    `from_s` are the onsets in the original, `at_s` the same onsets in `stretched`. Each is aligned to what
    the stretcher made of it, so that the two add up.
    """
    result = stretched.copy()
    lead, fade = round(ATTACK_LEAD_S * sample_rate_hz), round(FADE_S * sample_rate_hz)
    body = round(attack_s * sample_rate_hz)
    rise = np.concatenate([np.linspace(0, 1, lead), np.ones(body), np.linspace(1, 0, 2 * fade)])
    rise = rise.astype(np.float32)
    for target_s, source_s in zip(at_s, from_s, strict=True):
        source = round(source_s * sample_rate_hz) - lead
        target = round(target_s * sample_rate_hz) - lead
        first = max(0, -source, -target)
        size = min(len(rise), original.shape[1] - source, result.shape[1] - target)
        if size - first < lead:
            continue
        shape = rise[first:size]
        old = original[:, source + first : source + size]
        here = slice(target + first, target + size)
        result[:, here] += shape * (old - result[:, here])
    return result


def warp(
    audio: np.ndarray, sample_rate_hz: int, source_s: np.ndarray, target_s: np.ndarray, semitones: float = 0.0
) -> np.ndarray:
    """Audio whose moments `source_s` come to lie at `target_s`; between them the stretch is constant.

    Both rise; the result starts at `target_s[0]` and ends at `target_s[-1]`.
    """
    joint = round(JOINT_S * sample_rate_hz)
    length = round((target_s[-1] - target_s[0]) * sample_rate_hz)
    result = np.zeros((audio.shape[0], length), np.float32)
    edges = np.rint((target_s - target_s[0]) * sample_rate_hz).astype(int)
    for i in range(len(source_s) - 1):
        size = edges[i + 1] - edges[i]
        old = (source_s[i + 1] - source_s[i]) * sample_rate_hz
        if size <= 0 or old <= 0:
            continue
        margin = joint + round(0.05 * sample_rate_hz)
        factor = size / old
        first = source_s[i] * sample_rate_hz - margin / factor
        piece = _cut(audio, round(first), round(old + 2 * margin / factor))
        piece = (
            _signalsmith(piece, sample_rate_hz, factor, semitones)
            if abs(factor - 1) > 2e-4 or semitones
            else piece
        )
        begin = margin - (joint if i else 0)
        piece = piece[:, begin : margin + size]
        here = slice(edges[i] - (joint if i else 0), edges[i] - (joint if i else 0) + piece.shape[1])
        piece = piece[:, : result.shape[1] - here.start]
        if i:
            ramp = np.linspace(0, 1, joint, dtype=np.float32)
            piece = piece.copy()
            piece[:, :joint] = piece[:, :joint] * ramp + result[:, here.start : here.start + joint] * (
                1 - ramp
            )
        result[:, here.start : here.start + piece.shape[1]] = piece
    return result


def _cut(audio: np.ndarray, first: int, length: int) -> np.ndarray:
    """[first, first + length) with silence where there is nothing."""
    before, after = max(0, -first), max(0, first + length - audio.shape[1])
    inside = audio[:, max(0, first) : max(0, min(audio.shape[1], first + length))]
    return np.pad(inside, ((0, 0), (before, after))) if before or after else inside
