"""Where an attack begins: the moment a sound leaves what was there before.

An analyser's onset curve peaks 3–10 ms later, while the sound rises; a sampler and a DAW's grid go by the
start. Audio is [C, N] float32.
"""

import numpy as np

from acestep.sound.loudness import seam_error

# Chosen by hand; `python -m tests.benchmarks.first_sound` measures, in its own way, where first attacks lie
# that are placed by them.
WINDOW_S = 0.001  # of a level: shorter follows the single swings of a bass
STEP_S = 0.00025  # between two levels
RISE_DB = 12.0  # an attack begins where it comes within this of its peak …
STEEP_DB, STEEP_S = 4.0, 0.001  # a codec's echo before a hit rises by less
FOOT_S = 0.003  # no attack is steep for longer
CRISP_HZ = 400.0  # what lies below is taken out for a crisp level
OVER_DB = 3.0  # … or leaves what sounds on by this
CLEAR_DB = 10.0  # a rise by less is no attack whose start could be told
BEFORE_S = (0.060, 0.018)  # where the level before an attack is read
HIGH_DB = 6.0  # almost at its peak
EARLY_S, LATE_S = 0.018, 0.012  # how far from an onset its start and its peak may lie
QUIETEST_DB = -120.0  # of a level: silence
AROUND_S = 0.12  # what is looked at to either side of a first attack
MIDDLES_S = (0.010, -0.004)  # of where a first attack is looked for: it is oftener late than early
LATEST_S = 0.002  # behind the first sample, a start is where it belongs up to here
FREE_DB = 32.0  # under the attack's peak: what is let through before it
OPEN_S = (0.001, 0.003, 0.008)  # how long it comes up: a low tone that is opened too fast clicks


def levels(audio: np.ndarray, sample_rate_hz: int, *, crisp: bool = False) -> np.ndarray:
    """Level in dB of a millisecond, every quarter of a millisecond; entry k is at k · STEP_S.

    `crisp` takes low frequencies out: a sustained bass swings too slowly for a millisecond.
    """
    if crisp:
        lows = np.exp(-2 * np.pi * CRISP_HZ / sample_rate_hz)
        audio = np.diff(audio, axis=1, prepend=0.0) + (1 - lows) * np.pad(audio, ((0, 0), (1, 0)))[:, :-1]
    half = max(1, round(WINDOW_S * sample_rate_hz / 2))
    power = np.pad(np.square(audio, dtype=np.float64).sum(axis=0), (half, half))
    sums = np.concatenate([[0.0], np.cumsum(power)])
    count = int(audio.shape[1] / sample_rate_hz / STEP_S)
    at = np.rint(np.arange(count) * STEP_S * sample_rate_hz).astype(int)
    mean = (sums[at + 2 * half] - sums[at]) / (2 * half)
    in_db: np.ndarray = 10 * np.log10(np.maximum(mean, 10 ** (QUIETEST_DB / 10)))
    return in_db


def attack_start(level_db: np.ndarray, near_s: float) -> float | None:
    """Seconds at which the attack near `near_s` begins, by `levels`; None where nothing clearly rises there.

    Going back from where it is almost at its peak: the last moment that is still RISE_DB under the peak, or
    as loud as what was before; and on as long as the level falls steeply.
    """
    at = round(near_s / STEP_S)
    first, last = (max(0, at + round(edge_s / STEP_S)) for edge_s in (-EARLY_S, LATE_S))
    before = level_db[max(0, at - round(BEFORE_S[0] / STEP_S)) : max(0, at - round(BEFORE_S[1] / STEP_S))]
    here = level_db[first:last]
    if not len(here):
        return None
    loudest = float(here.max())
    rest = float(np.median(before)) if len(before) else QUIETEST_DB
    if loudest - rest < CLEAR_DB:
        return None
    high = int(np.flatnonzero(here >= loudest - HIGH_DB)[0])
    quiet = np.flatnonzero(here[: high + 1] < max(loudest - RISE_DB, rest + OVER_DB))
    if not len(quiet):
        return 0.0 if first == 0 else None
    foot, step = first + int(quiet[-1]) + 1, round(STEEP_S / STEP_S)
    lowest = max(first, step, foot - round(FOOT_S / STEP_S))
    while foot > lowest and level_db[foot] - level_db[foot - step] > STEEP_DB:
        foot -= 1
    return foot * STEP_S + WINDOW_S / 2  # the level sees a sound half a window before it is there


def loop_attack(audio: np.ndarray, sample_rate_hz: int) -> float | None:
    """Where the attack at a loop's first sample begins, in seconds; negative: before it, at the loop's end.

    None when the loop does not begin with a clear attack.
    """
    reach = round(AROUND_S * sample_rate_hz)
    if audio.shape[1] < 2 * reach:
        return None
    for middle_s in MIDDLES_S:
        for crisp in (False, True):
            start = attack_start(_around_start(audio, sample_rate_hz, crisp=crisp), AROUND_S + middle_s)
            if start is not None:
                return start - AROUND_S
    return None


def freed(audio: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """The loop without a part of its first attack at its end.

    What rises at the end is held down to what sounds there anyway, and the attack comes up as fast as it can
    without a click. The loop itself if it does not begin with an attack.
    """
    start_s = loop_attack(audio, sample_rate_hz)
    if start_s is None or not -EARLY_S <= start_s <= LATEST_S:
        return audio
    level_db = _around_start(audio, sample_rate_hz)
    middle = round(AROUND_S / STEP_S)
    loudest = float(level_db[middle : middle + round(LATE_S / STEP_S)].max())
    before = level_db[middle - round(BEFORE_S[0] / STEP_S) : middle - round(BEFORE_S[1] / STEP_S)]
    quiet_db = max(loudest - FREE_DB, float(np.median(before)))
    held_db = np.zeros(middle + 1)
    early = slice(middle - round(EARLY_S / STEP_S), middle + 1)
    held_db[early] = np.minimum(0.0, quiet_db - level_db[early])
    held_db = np.minimum.accumulate(held_db)  # once it is held it stays so until the first sample
    half = round(WINDOW_S / STEP_S / 2)
    if held_db[-1 - half] > -1.0:  # later levels see what comes after the first sample
        return audio
    reach = round(AROUND_S * sample_rate_hz)
    places = (np.arange(-reach, 0) / sample_rate_hz + AROUND_S) / STEP_S
    held = audio.copy()
    held[:, -reach:] *= _gain(np.interp(places, np.arange(middle + 1), held_db))
    for open_s in OPEN_S:
        result = held.copy()
        opening = round(open_s * sample_rate_hz)
        result[:, :opening] *= _gain(np.linspace(float(held_db[-1]), 0.0, opening + 1)[1:])
        if seam_error(result, sample_rate_hz) <= 1.0:
            break
    return result


def _gain(db: np.ndarray) -> np.ndarray:
    return (10 ** (db / 20)).astype(np.float32)


def _around_start(audio: np.ndarray, sample_rate_hz: int, *, crisp: bool = False) -> np.ndarray:
    """`levels` of the loop's last and first AROUND_S, as it plays round."""
    reach = round(AROUND_S * sample_rate_hz)
    around = np.concatenate([audio[:, -reach:], audio[:, :reach]], axis=1)
    return levels(around, sample_rate_hz, crisp=crisp)
