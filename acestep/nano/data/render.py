# ruff: noqa: E501 (tables read better in one line a row)
"""A composed loop becomes audio: exact in time, sample 0 the downbeat, tails folded over so that it loops.

Arrays are float32 [samples, 2].
"""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import butter, sosfilt

from acestep.music.grid import SAMPLE_RATE_HZ as RATE
from acestep.nano.data.compose import Loop, Part
from acestep.nano.data.parts import Note
from acestep.nano.data.sounds import NOTE_S, SONIC_HITS, Bank
from acestep.nano.data.synth import crackle, synth_kit, synth_tone

TARGET_RMS = 0.16  # of a mix: −16 dB of full scale
LIMIT_FROM, LIMIT = 0.8, 0.97  # louder samples are bent to stay below

_NEIGHBOURS = {"kick2": "kick", "snare2": "snare", "clap": "snare", "rim": "clap", "pedal": "closed", "open": "ride",
               "ride": "closed", "crash": "open", "shaker": "closed", "tambourine": "shaker", "agogo": "cowbell",
               "cowbell": "rim", "clave": "rim", "bongo_high": "conga_high", "bongo_low": "conga_low",
               "conga_high": "tom_high", "conga_low": "tom_low", "tom_mid": "tom_low", "tom_high": "tom_mid",
               "tom_low": "kick", "snare": "clap"}  # fmt: skip
CYMBALS = ("closed", "pedal", "open", "ride", "crash", "shaker", "tambourine")


def render(loop: Loop, bank: Bank, solo: str | None = None) -> dict[str, np.ndarray]:
    """Every part of a loop as it sounds in the mix; their sum is the mix. With `solo`, only that role."""
    samples = loop.grid.samples()
    kicks = [
        note
        for part in loop.parts
        if part.role == "drums"
        for note in part.notes
        if note.hit.startswith("kick")
    ]
    stems = {}
    for part in loop.parts:
        if solo is None or part.role == solo:
            stems[part.role] = _render_part(part, loop, kicks, samples, bank)
    if loop.crackle and solo is None:
        noise = crackle(np.random.default_rng(loop.seed), samples) * loop.crackle * 0.5
        first = next(iter(stems))
        stems[first] = stems[first] + noise
    return stems


def level(stems: dict[str, np.ndarray]) -> float:
    """The gain that brings the sum of the stems to a usual loudness without clipping."""
    mix = np.sum(list(stems.values()), axis=0)
    rms = float(np.sqrt((mix**2).mean()))
    loud = float(np.quantile(np.abs(mix), 0.9995))
    return min(TARGET_RMS / max(rms, 1e-4), 0.9 / max(loud, 1e-4), 30.0)


def mix(stems: dict[str, np.ndarray]) -> np.ndarray:
    """The sum of the stems at a usual loudness, and nothing clips."""
    total = np.sum(list(stems.values()), axis=0) * level(stems)
    return _soft_limited(total.astype(np.float32))


def _soft_limited(audio: np.ndarray) -> np.ndarray:
    """Untouched up to LIMIT_FROM, bent above, never beyond LIMIT."""
    room = LIMIT - LIMIT_FROM
    bent = LIMIT_FROM + room * np.tanh((np.abs(audio) - LIMIT_FROM) / room)
    return np.where(np.abs(audio) > LIMIT_FROM, np.sign(audio) * bent, audio).astype(np.float32)


def _render_part(part: Part, loop: Loop, kicks: list[Note], samples: int, bank: Bank) -> np.ndarray:
    quarter_s = 60 / loop.grid.bpm
    out = np.zeros((samples + 7 * RATE, 2), np.float32)
    if part.role in ("drums", "percussion"):
        kit = _dulled(_kit(part, bank), part)
        for note in part.notes:
            _add(out, _hit(kit, note.hit) * (note.velocity**1.3), note.start * quarter_s)
    else:
        ready: dict[tuple[int, int], np.ndarray] = {}
        for note in part.notes:
            length_s = note.length * quarter_s
            name = (note.pitch, round(length_s * 50))
            if name not in ready:
                ready[name] = _tone(part, note.pitch, length_s, bank)
            _add(out, ready[name] * (note.velocity**1.3), note.start * quarter_s)
    audio = _fold(out, samples)
    return _effects(audio, part, loop, kicks, quarter_s)


def _add(out: np.ndarray, sound: np.ndarray, start_s: float) -> None:
    start = round(start_s * RATE)
    end = min(start + len(sound), len(out))
    if end > start:
        out[start:end] += sound[: end - start]


def _fold(audio: np.ndarray, samples: int) -> np.ndarray:
    """Wrap what rings on after the end to the start."""
    folded = audio[:samples].copy()
    for start in range(samples, len(audio), samples):
        piece = audio[start : start + samples]
        folded[: len(piece)] += piece
    return folded


def _tone(part: Part, pitch: int, length_s: float, bank: Bank) -> np.ndarray:
    if part.sound == "synth":
        return synth_tone(part.sound_seed, part.role, pitch, min(length_s, 6.0))
    sound = bank.tone(part.sound, part.role, pitch)
    release_s = {"pad": 0.4, "bass": 0.05}.get(part.role, 0.12)
    samples = int(min(length_s, NOTE_S[part.role] - release_s - 0.02) * RATE)
    tail = int(release_s * RATE)
    sound = sound[: samples + tail].copy()
    fade = max(len(sound) - samples, 1)
    sound[-fade:] *= (np.linspace(1, 0, fade, dtype=np.float32) ** 2)[:, None]
    return sound


def _kit(part: Part, bank: Bank) -> dict[str, np.ndarray]:
    if part.sound == "synth":
        return synth_kit(part.sound_seed)
    if part.sound != "sonic":
        return bank.kit(part.sound)
    random = np.random.default_rng(part.sound_seed)
    hits = bank.kit("sonic")
    chosen = {
        hit: str(random.choice([name for name in names if name in hits])) for hit, names in SONIC_HITS.items()
    }
    return {hit: hits[name] for hit, name in chosen.items()}


def _dulled(kit: dict[str, np.ndarray], part: Part) -> dict[str, np.ndarray]:
    """The kit with its cymbals as loud and as dark as the part has them."""
    kit = dict(kit)
    for hit in {note.hit for note in part.notes} & set(CYMBALS) & set(kit):
        sound = kit[hit] * 10 ** (part.cymbals_db / 20)
        if part.cymbals_hz:
            sound = sosfilt(butter(1, part.cymbals_hz, fs=RATE, output="sos"), sound, axis=0)
        kit[hit] = sound.astype(np.float32)
    return kit


def _hit(kit: dict[str, np.ndarray], hit: str) -> np.ndarray:
    while hit not in kit:
        hit = _NEIGHBOURS[hit]
    return kit[hit]


def _effects(audio: np.ndarray, part: Part, loop: Loop, kicks: list[Note], quarter_s: float) -> np.ndarray:
    random = np.random.default_rng(part.sound_seed)
    if part.drive:
        amount = 1 + 8 * part.drive
        audio = np.tanh(audio * amount) / amount**0.6
    if part.cutoff_hz:
        twice = np.concatenate([audio, audio])  # the second round has settled: it loops
        audio = sosfilt(butter(2, part.cutoff_hz, fs=RATE, output="sos"), twice, axis=0)[len(audio) :]
    if part.echo:
        step = round(quarter_s * float(random.choice([0.5, 0.75])) * RATE) % len(audio)
        wet, copy = part.echo, audio
        for _ in range(3):
            copy = np.roll(copy, step, axis=0)[:, ::-1]
            audio = audio + wet * copy
            wet *= part.echo
    if part.reverb:
        audio = audio + part.reverb * _reverb(audio, random)
    if part.pump:
        audio = audio * _duck(kicks, len(audio), quarter_s, part.pump)[:, None]
    if loop.bits:
        steps = 2.0 ** (loop.bits - 1)
        audio = np.round(audio * steps) / steps
    gain = 0.12 * 10 ** (part.gain_db / 20) / max(_loudness(audio), 1e-4)
    left, right = np.cos((part.pan + 1) * np.pi / 4) * 2**0.5, np.sin((part.pan + 1) * np.pi / 4) * 2**0.5
    placed: np.ndarray = (audio * np.array([left, right]) * gain).astype(np.float32)
    return placed


def _reverb(audio: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Circular convolution with decaying noise: a room whose tail folds over."""
    decay_s = float(random.uniform(0.25, 1.6))
    count = min(int(decay_s * 1.5 * RATE), len(audio))
    time = np.arange(count) / RATE
    room = random.standard_normal((count, 2)) * np.exp(-time / (decay_s / 3))[:, None]
    room = sosfilt(
        butter(1, [250, float(random.uniform(2500, 9000))], "band", fs=RATE, output="sos"), room, axis=0
    )
    room /= np.sqrt((room**2).sum(0, keepdims=True)) + 1e-9
    size = next_fast_len(len(audio) + count, real=True)
    wet = irfft(rfft(audio, size, axis=0) * rfft(room.astype(np.float32), size, axis=0), n=size, axis=0)
    return _fold(wet[: len(audio) + count], len(audio))


def _loudness(audio: np.ndarray) -> float:
    """Root mean square of the louder third of 50 ms windows: rests do not count."""
    window = RATE // 20
    power = (audio[: len(audio) // window * window] ** 2).reshape(-1, window * 2).mean(1)
    return float(np.sqrt(np.sort(power)[-max(len(power) // 3, 1) :].mean()))


def _duck(kicks: list[Note], samples: int, quarter_s: float, depth: float) -> np.ndarray:
    shape = np.ones(samples, np.float32)
    count = min(round(quarter_s * 0.9 * RATE), samples)
    dip = 1 - depth * np.exp(-np.arange(count) / (0.35 * count))
    for note in kicks:
        places = (round(note.start * quarter_s * RATE) + np.arange(count)) % samples
        shape[places] = np.minimum(shape[places], dip)
    return shape
