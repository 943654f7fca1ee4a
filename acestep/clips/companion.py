"""A MIDI file to go with a clip: tempo, signature, key, a marker on every bar, and the bass line if sure."""

import io
import itertools
from dataclasses import dataclass

import numpy as np

from acestep.hearing.onsets import mono
from acestep.music.grid import SAMPLE_RATE_HZ, Grid
from acestep.music.key import PITCH_NAMES, Key
from acestep.music.tempo_map import TempoMap

TICKS_PER_QUARTER = 960
BASS_RATE_HZ = 4_000
BASS_HZ = (35.0, 220.0)
WINDOW = 512  # 128 ms
HOP = 64
MIN_SURE = 0.6  # of the sixteenths with bass in them must be one clear tone
CLEAR = 0.5  # share of a clear tone's harmonics in the low band's energy
SILENT = 0.05  # of the loudest moment


@dataclass(frozen=True)
class BassNote:
    """One note, in quarters from the clip's start."""

    quarters: float
    length: float
    pitch: int


def clip_midi(
    grid: Grid, key: Key | None, notes: tuple[BassNote, ...] = (), tempo_map: TempoMap | None = None
) -> bytes:
    """A standard MIDI file of the clip's length. Ramps become a tempo per sixteenth."""
    import mido

    track = mido.MidiTrack()
    events: list[tuple[int, int, mido.Message | mido.MetaMessage]] = []
    signature = grid.signature
    for quarters, bpm in _tempi(grid, tempo_map):
        tempo = mido.MetaMessage("set_tempo", tempo=round(60_000_000 / bpm))
        events.append((round(quarters * TICKS_PER_QUARTER), 0, tempo))
    top, bottom = signature.numerator, signature.denominator
    events.append((0, 0, mido.MetaMessage("time_signature", numerator=top, denominator=bottom)))
    if key is not None:
        events.append((0, 0, mido.MetaMessage("key_signature", key=_signature_name(key))))
    for bar in range(int(np.ceil(grid.bars - 1e-9))):
        at = round(bar * signature.quarters_per_bar * TICKS_PER_QUARTER)
        events.append((at, 1, mido.MetaMessage("marker", text=f"bar {bar + 1}")))
    for note in notes:
        on, off = (
            round(note.quarters * TICKS_PER_QUARTER),
            round((note.quarters + note.length) * TICKS_PER_QUARTER),
        )
        events.append((on, 3, mido.Message("note_on", note=note.pitch, velocity=96)))
        events.append((max(off, on + 1), 2, mido.Message("note_off", note=note.pitch)))
    end = round(grid.bars * signature.quarters_per_bar * TICKS_PER_QUARTER)
    last = 0
    for at, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=at - last))
        last = at
    track.append(mido.MetaMessage("end_of_track", time=max(0, end - last)))
    midi = mido.MidiFile(ticks_per_beat=TICKS_PER_QUARTER)
    midi.tracks.append(track)
    stream = io.BytesIO()
    midi.save(file=stream)
    return stream.getvalue()


def _tempi(grid: Grid, tempo_map: TempoMap | None) -> list[tuple[float, float]]:
    """Every change of tempo within the clip: quarters and the mean bpm up to the next one."""
    if tempo_map is None:
        return [(0.0, grid.bpm)]
    end = grid.bars * grid.signature.quarters_per_bar
    places = {point.quarters for point in tempo_map.points if point.quarters < end} | {end}
    for point, following in itertools.pairwise(tempo_map.points):
        if point.ramp:
            places |= set(np.arange(point.quarters, min(following.quarters, end), 0.25).tolist())
    order = sorted(places)
    return [
        (a, (b - a) * 60 / (tempo_map.seconds(b) - tempo_map.seconds(a)))
        for a, b in itertools.pairwise(order)
    ]


def _signature_name(key: Key) -> str:
    """MIDI knows keys by up to seven sharps or flats: G# major is Ab there."""
    flat = {"C#": "Db", "D#": "Eb", "G#": "Ab", "A#": "Bb"}
    name = PITCH_NAMES[key.tonic]
    if key.mode == "major":
        return flat.get(name, name)
    return ("Bb" if name == "A#" else "Eb" if name == "D#" else name) + "m"


def bass_line(audio: np.ndarray, grid: Grid, sample_rate_hz: int = SAMPLE_RATE_HZ) -> tuple[BassNote, ...]:
    """The notes of a monophonic bass on the grid's sixteenths; () when it is not surely one."""
    import soxr

    low = soxr.resample(mono(audio).astype(np.float32), sample_rate_hz, BASS_RATE_HZ, "MQ")
    pitch, clear, level = _low_tones(low)
    if not len(level) or level.max() <= 1e-6:
        return ()
    steps = round(grid.bars * grid.signature.quarters_per_bar * 4)
    step_s = 15 / grid.bpm
    found: list[int | None] = []
    sure = heard = 0
    for step in range(steps):
        first = int((step + 0.3) * step_s * BASS_RATE_HZ / HOP)
        part = slice(first, max(first + 1, int((step + 1) * step_s * BASS_RATE_HZ / HOP)))
        if not len(level[part]) or np.median(level[part]) < SILENT * level.max():
            found.append(None)
            continue
        heard += 1
        tone = round(float(np.median(pitch[part])))
        agreed = np.mean(np.abs(pitch[part] - tone) < 0.7) > 0.6 and np.median(clear[part]) > CLEAR
        sure += int(agreed)
        found.append(tone if agreed else None)
    if heard < 4 or sure < MIN_SURE * heard:
        return ()
    return _joined(found, _struck(level, steps, step_s))


def _low_tones(low: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per frame: pitch of the strongest low tone, its share of the energy below 500 Hz, and level."""
    import scipy.fft

    padded = np.pad(low, (WINDOW // 2, WINDOW // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * np.hanning(WINDOW).astype(
        np.float32
    )
    size = np.abs(scipy.fft.rfft(frames, 8 * WINDOW, axis=1))
    hz = np.arange(size.shape[1]) * BASS_RATE_HZ / (8 * WINDOW)
    band = np.flatnonzero((hz >= BASS_HZ[0]) & (hz <= BASS_HZ[1]))
    # the fundamental is where it and its first harmonics together are strongest
    comb = size[:, band] + 0.5 * size[:, np.minimum(2 * band, size.shape[1] - 1)]
    comb += 0.3 * size[:, np.minimum(3 * band, size.shape[1] - 1)]
    best = band[np.argmax(comb, axis=1)]
    pitch = 69 + 12 * np.log2(hz[best] / 440)
    rows = np.arange(len(size))
    power = np.square(size)
    reach = 16
    near = sum(
        power[
            rows[:, None],
            np.clip(best[:, None] * harmonic + np.arange(-reach, reach + 1), 0, size.shape[1] - 1),
        ].sum(axis=1)
        for harmonic in (1, 2)
    )
    total = power[:, hz < 500].sum(axis=1) + 1e-12
    return pitch, np.minimum(near / total, 1.0), np.sqrt(power[:, band].sum(axis=1))


def _struck(level: np.ndarray, steps: int, step_s: float) -> list[bool]:
    """Whether the bass is struck anew at each sixteenth."""
    result = []
    for step in range(steps):
        at = int(step * step_s * BASS_RATE_HZ / HOP)
        before = level[max(0, at - 2) : at + 1].mean() if at else 0.0
        after = level[at + 1 : at + 5]
        result.append(bool(len(after) and after.max() > 1.3 * before + SILENT * level.max()))
    return result


def _joined(found: list[int | None], struck: list[bool]) -> tuple[BassNote, ...]:
    notes: list[BassNote] = []
    for step, pitch in enumerate(found):
        if pitch is None:
            continue
        last = notes[-1] if notes else None
        if (
            last
            and last.pitch == pitch
            and abs(last.quarters + last.length - step / 4) < 1e-9
            and not struck[step]
        ):
            notes[-1] = BassNote(last.quarters, last.length + 0.25, pitch)
        else:
            notes.append(BassNote(step / 4, 0.25, pitch))
    return tuple(notes)
