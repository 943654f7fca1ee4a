"""What a new user hears first: attack, level, key and joint of clips from prompts that nothing was tuned on.

    python -m tests.benchmarks.first_sound [--clips 40] [--seed 900]

Judged from the files alone, by measures of its own: no function of `acestep` that places or levels anything
is asked. Ends with 1 where a row is missed.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyloudnorm
import scipy.signal
import soundfile

from acestep import Cascade, GenerateRequest, produce
from acestep.clips.clip import Clip

PROMPTS = (
    ("boom bap drums", 90.0, None), ("tribal percussion with shakers", 101.5, None),
    ("halftime beat, heavy kick", 70.0, None), ("warm upright bass", 84.0, "E minor"),
    ("acid bass line", 128.0, "Ab minor"), ("electric piano, soulful", 92.0, "Db major"),
    ("music box melody", 120.0, "C major"), ("nylon guitar arpeggio", 76.25, "B minor"),
    ("choir pad", 60.0, "Eb minor"), ("distorted guitar riff", 140.0, "E minor"),
    ("marimba pattern", 115.0, "G minor"), ("garage drums, swung", 132.0, None),
    ("tech house groove", 126.0, "A minor"), ("ambient texture, airy", 66.0, "F# major"),
    ("synth brass chords", 104.0, "Bb major"), ("clean electric guitar strums", 98.0, "D major"),
    ("808 kick and snare roll", 145.0, None), ("disco drums with open hats", 118.0, None),
    ("cello line, dark", 72.0, "C# minor"), ("vibraphone chords", 88.0, "F minor"),
)  # fmt: skip
BARS = (1, 2, 4, 8)
CLEAR_DB = 9.0  # a hit at the start stands this much over all that is before it


@dataclass(frozen=True)
class Heard:
    """One file: `attack_ms` is None where it does not begin with a hit."""

    attack_ms: float | None
    before_db: float  # 8 to 1 ms before the first sample, under the hit's peak
    true_peak_db: float
    lufs: float
    jump: float  # from the last sample to the first, against the 95th percentile of all steps
    key_kept: bool | None


def hear(clip: Clip, asked: str | None) -> Heard:
    """Reads a clip's file and judges it."""
    audio, rate = soundfile.read(clip.path, always_2d=True)
    audio = audio.T
    reach = round(0.1 * rate)
    level, times = _levels(np.concatenate([audio[:, -reach:], audio[:, :reach]], axis=1), rate)
    times -= 0.1
    here = (times > -0.009) & (times < 0.03)
    peak = float(level[here].max())
    rest = float(level[(times > -0.06) & (times < -0.012)].max())
    attack_ms = None
    if peak - rest > CLEAR_DB:
        high = times[here][np.flatnonzero(level[here] >= peak - 6)[0]]
        quiet = np.flatnonzero((times < high) & (level < max(peak - 12, rest + 3)))
        attack_ms = float(times[quiet[-1]] * 1000) if len(quiet) else None
    finer = scipy.signal.resample_poly(audio, 8, 1, axis=1)
    steps = np.percentile(np.abs(np.diff(audio, axis=1)), 95, axis=1)
    label = clip.key == asked
    return Heard(
        attack_ms,
        float(level[(times > -0.008) & (times < -0.001)].max() - peak),
        float(20 * np.log10(np.abs(finer).max())),
        float(pyloudnorm.Meter(rate).integrated_loudness(audio.T)),
        float((np.abs(audio[:, 0] - audio[:, -1]) / np.maximum(steps, 1e-9)).max()),
        None if asked is None else label,
    )


def _levels(audio: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """dB of the millisecond around every quarter of one, and its seconds."""
    window, step = rate // 1000, rate // 4000
    sums = np.concatenate([[0.0], np.cumsum(np.square(audio).sum(axis=0))])
    starts = np.arange(0, audio.shape[1] - window, step)
    level = 10 * np.log10((sums[starts + window] - sums[starts]) / window + 1e-12)
    return level, (starts + window / 2) / rate


def main() -> int:
    """Makes the clips and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seed", type=int, default=900)
    arguments = parser.parse_args()
    cascade, heard = Cascade.load("nano"), []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.clips):
            prompt, bpm, key = PROMPTS[number % len(PROMPTS)]
            request = GenerateRequest(
                prompt=prompt, bpm=bpm, key=key, bars=BARS[number % len(BARS)], seed=arguments.seed + number
            )
            (clip,) = produce(cascade, request, Path(folder))
            heard.append(hear(clip, key))
            print(f"\r{number + 1} of {arguments.clips}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return _told(heard)


def _told(heard: list[Heard]) -> int:
    starts = [one.attack_ms for one in heard if one.attack_ms is not None]
    loud = np.array([one.lufs for one in heard])
    low, high = np.percentile(loud, [5, 95])
    keyed = [one.key_kept for one in heard if one.key_kept is not None]
    jumps = np.array([one.jump for one in heard])
    peaks = max(one.true_peak_db for one in heard)
    inside = sum(-1 <= start <= 2 for start in starts)
    echo = sum(one.before_db > -12 for one in heard if one.attack_ms is not None)
    rows = [
        ("first attack −1 to +2 ms from sample 0", f"{inside} of {len(starts)}", inside >= 0.9 * len(starts)),
        ("… earliest", f"{min(starts):+.2f} ms", min(starts) >= -1),
        ("hit heard at the end of the file (within 12 dB)", f"{echo} of {len(starts)}", not echo),
        ("highest true peak", f"{peaks:.2f} dB", peaks <= -0.9),
        ("loudness, 5th to 95th percentile", f"{low:.1f} to {high:.1f} LUFS", high - low <= 2),
        (
            "label: the asked key or its notes",
            f"{sum(keyed)} of {len(keyed)}",
            sum(keyed) >= 0.95 * len(keyed),
        ),
        ("jump at the joint, highest", f"{jumps.max():.2f} of the 95th percentile", jumps.max() <= 1.5),
    ]
    print(f"{len(heard)} clips of nano, {len(starts)} begin with a hit")
    for name, value, kept in rows:
        print(f"{name:<50}{value:>32}  {'yes' if kept else 'NO'}")
    late = sorted(start for start in starts if not -1 <= start <= 2)
    if late:
        print("attacks outside, ms: " + ", ".join(f"{start:+.1f}" for start in late))
    return 0 if all(kept for _, _, kept in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
