# ruff: noqa: E501 (tables read better in one line a row)
"""Electronic sounds in code: drum kits and subtractive tones, drawn from a seed."""

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

from acestep.music.grid import SAMPLE_RATE_HZ as RATE


def synth_kit(seed: int) -> dict[str, np.ndarray]:
    """An electronic drum kit, hits by name, float32 [samples, 2]."""
    random = np.random.default_rng(seed)
    kick = _kick(random)
    snare = _snare(random)
    clap = _clap(random)
    closed, opened = _hat(random, 0.05), _hat(random, 0.3)
    toms = [_tom(random, base) for base in (80, 110, 150)]
    hits = {
        "kick": kick, "kick2": kick, "snare": snare, "snare2": snare, "clap": clap, "rim": _blip(random, 900, 0.03),
        "closed": closed, "pedal": closed, "open": opened, "ride": _hat(random, 0.5), "crash": _hat(random, 0.9),
        "tom_low": toms[0], "tom_mid": toms[1], "tom_high": toms[2], "shaker": _hat(random, 0.06),
        "tambourine": _hat(random, 0.12), "cowbell": _blip(random, 560, 0.2), "conga_high": _tom(random, 260),
        "conga_low": _tom(random, 180), "bongo_high": _tom(random, 340), "bongo_low": _tom(random, 250),
        "clave": _blip(random, 2400, 0.04), "agogo": _blip(random, 1100, 0.15),
    }  # fmt: skip
    return {name: np.repeat((hit * (0.7 / max(np.abs(hit).max(), 1e-6)))[:, None], 2, 1).astype(np.float32)
            for name, hit in hits.items()}  # fmt: skip


def synth_tone(seed: int, role: str, pitch: int, length_s: float) -> np.ndarray:
    """A subtractive tone with its release, float32 [samples, 2]; the seed draws the patch, not the note."""
    random = np.random.default_rng(seed)
    wave = str(random.choice(["saw", "square", "sine", "triangle"], p=_WAVES[role]))
    voices = (
        int(random.choice([1, 2, 3], p=[0.4, 0.3, 0.3]))
        if role != "bass"
        else int(random.choice([1, 2], p=[0.7, 0.3]))
    )
    detune = float(random.uniform(0.03, 0.2))
    attack = {"pad": random.uniform(0.1, 0.6), "lead": random.uniform(0.003, 0.03)}.get(
        role, random.uniform(0.002, 0.01)
    )
    release = {"pad": random.uniform(0.3, 0.8), "bass": 0.04}.get(role, random.uniform(0.05, 0.25))
    bright = float(np.exp(random.uniform(np.log(2), np.log(24))))
    dull = bright * float(random.uniform(0.1, 0.9))
    decay = float(np.exp(random.uniform(np.log(0.08), np.log(0.8))))
    sustain = float(random.choice([0.0, 0.3, 0.7, 1.0])) if role in ("chords", "arp", "bass", "lead") else 1.0
    if role == "bass" and sustain == 0.0:
        decay = max(decay, 0.25)
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    samples = int((length_s + release) * RATE)
    time = np.arange(samples) / RATE
    left = right = np.zeros(samples)
    for voice in range(voices):
        spread = (voice - (voices - 1) / 2) * detune
        tone = _wave(wave, frequency * 2 ** (spread / 12), samples, float(random.random()))
        share = 0.5 + 0.4 * (voice / max(voices - 1, 1) - 0.5 if voices > 1 else 0)
        left, right = left + tone * (1 - share), right + tone * share
    if role == "bass":
        sub = np.sin(2 * np.pi * frequency * time) * 0.35
        left, right = left + sub, right + sub
    if wave in ("saw", "square"):
        left, right = (_filter_fall(side, frequency, bright, dull, decay) for side in (left, right))
    shape = np.minimum(time / attack, 1) * (sustain + (1 - sustain) * np.exp(-time / decay))
    shape *= np.exp(-np.maximum(time - length_s, 0) / (release / 4))
    audio = np.stack([left, right], 1) * shape[:, None]
    return (audio * (0.28 / max(float(np.sqrt((audio[: RATE // 3] ** 2).mean())), 0.05) * 0.5)).astype(
        np.float32
    )


_WAVES = {
    "bass": [0.4, 0.2, 0.3, 0.1], "chords": [0.55, 0.2, 0.1, 0.15], "pad": [0.55, 0.15, 0.1, 0.2],
    "lead": [0.45, 0.3, 0.1, 0.15], "arp": [0.4, 0.3, 0.1, 0.2],
}  # fmt: skip


def _wave(kind: str, frequency: float, samples: int, phase: float) -> np.ndarray:
    cycle: np.ndarray = (phase + frequency / RATE * np.arange(samples)) % 1.0
    step = frequency / RATE
    wave: np.ndarray
    if kind == "sine":
        wave = np.sin(2 * np.pi * cycle)
    elif kind == "triangle":
        wave = 4 * np.abs(cycle - 0.5) - 1
    elif kind == "saw":
        wave = 2 * cycle - 1 - _blep(cycle, step)
    else:
        wave = np.where(cycle < 0.5, 1.0, -1.0) + _blep(cycle, step) - _blep((cycle + 0.5) % 1.0, step)
    return wave


def _blep(cycle: np.ndarray, step: float) -> np.ndarray:
    """Polynomial band-limited step (Välimäki 2005): takes the aliases off a jump at phase 0."""
    out = np.zeros_like(cycle)
    start, end = cycle < step, cycle > 1 - step
    x = cycle[start] / step
    out[start] = 2 * x - x * x - 1
    x = (cycle[end] - 1) / step
    out[end] = x * x + 2 * x + 1
    return out


def _filter_fall(audio: np.ndarray, frequency: float, bright: float, dull: float, decay: float) -> np.ndarray:
    """A low-pass that closes: crossfade from the bright to the dull setting, in harmonics of the note."""
    top = RATE * 0.45
    high = sosfilt(butter(2, min(frequency * bright, top), fs=RATE, output="sos"), audio)
    low = sosfilt(butter(2, min(frequency * max(dull, 1.2), top), fs=RATE, output="sos"), audio)
    fall = np.exp(-np.arange(len(audio)) / RATE / decay)
    closing: np.ndarray = low + (high - low) * fall
    return closing


def _kick(random: np.random.Generator) -> np.ndarray:
    time = np.arange(int(0.7 * RATE)) / RATE
    base, sweep = random.uniform(42, 62), random.uniform(80, 320)
    phase = base * time + sweep * random.uniform(0.015, 0.05) * (
        1 - np.exp(-time / random.uniform(0.015, 0.05))
    )
    body = np.sin(2 * np.pi * phase) * np.exp(-time / random.uniform(0.08, 0.28))
    click = random.standard_normal(len(time)) * np.exp(-time / 0.003) * random.uniform(0, 0.4)
    return np.tanh((body + click) * random.uniform(1, 3))


def _snare(random: np.random.Generator) -> np.ndarray:
    time = np.arange(int(0.4 * RATE)) / RATE
    noise = _band(random.standard_normal(len(time)), random.uniform(800, 2000), 11_000)
    tone = np.sin(2 * np.pi * random.uniform(160, 240) * time) * np.exp(-time / 0.06)
    return noise * np.exp(-time / random.uniform(0.05, 0.16)) + tone * random.uniform(0.3, 0.9)


def _clap(random: np.random.Generator) -> np.ndarray:
    time = np.arange(int(0.4 * RATE)) / RATE
    noise = _band(random.standard_normal(len(time)), 700, random.uniform(2500, 7000))
    shape = sum(np.exp(-np.maximum(time - delay, 0) / 0.006) * (time >= delay) for delay in (0, 0.011, 0.022))
    return noise * (shape + 0.7 * np.exp(-time / random.uniform(0.06, 0.15)))


def _hat(random: np.random.Generator, decay: float) -> np.ndarray:
    time = np.arange(int(min(decay * 5, 1.4) * RATE)) / RATE
    noise = random.standard_normal(len(time))
    metal = sum(
        np.sign(np.sin(2 * np.pi * f * random.uniform(0.97, 1.03) * time)) for f in (3215, 4180, 5530, 6790)
    )
    mixed = noise + metal * random.uniform(0, 0.5)
    return _band(mixed, random.uniform(5000, 8500), 19_000) * np.exp(
        -time / (decay * random.uniform(0.6, 1.1))
    )


def _tom(random: np.random.Generator, base: float) -> np.ndarray:
    time = np.arange(int(0.5 * RATE)) / RATE
    phase = base * time + base * 0.02 * (1 - np.exp(-time / 0.03))
    return np.sin(2 * np.pi * phase) * np.exp(-time / random.uniform(0.07, 0.18))


def _blip(random: np.random.Generator, base: float, decay: float) -> np.ndarray:
    time = np.arange(int(min(decay * 6, 1) * RATE)) / RATE
    pitch = base * random.uniform(0.8, 1.25)
    tone = np.sign(np.sin(2 * np.pi * pitch * time)) * 0.5 + np.sin(2 * np.pi * pitch * 1.48 * time)
    return _band(tone, 300, 9000) * np.exp(-time / decay)


def _band(audio: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    passed: np.ndarray = sosfilt(butter(2, [low_hz, high_hz], "band", fs=RATE, output="sos"), audio)
    return passed


def crackle(random: np.random.Generator, samples: int) -> np.ndarray:
    """Vinyl noise, float32 [samples, 2]: sparse clicks over a soft hiss."""
    clicks = random.standard_normal((samples, 2)) * (random.random((samples, 1)) < 0.0004)
    hiss = random.standard_normal((samples, 2)) * 0.006
    noise: np.ndarray = lfilter([0.5], [1, -0.5], clicks * 0.25 + hiss, axis=0).astype(np.float32)
    return noise
