"""Loops with a known truth: composed by chance within a style, rendered with a soundfont by fluidsynth.

Deterministic for a seed. Needs the program fluidsynth and a General MIDI soundfont; many loops are
rendered in one go and cut apart, because loading the soundfont takes longer than playing.
"""

import random
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import mido
import numpy as np

from acestep.music.grid import SAMPLE_RATE_HZ, Grid, Signature
from acestep.music.key import Key

SOUNDFONTS = {
    "fluid": Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    "musescore": Path("/usr/share/sounds/sf3/MuseScore_General_Full.sf3"),
}
HELD_OUT = {"timgm": Path("/usr/share/sounds/sf2/TimGM6mb.sf2")}  # nothing is ever learned or chosen by it
TICKS_PER_S = 4800  # of the rendering, not of the music
GAP_S = 4.0
TAIL_S = 1.0
KICK, SNARE, RIM, CLAP, HAT, OPEN, RIDE, TOM, SHAKER, CRASH = 36, 38, 37, 39, 42, 46, 51, 45, 70, 49
DRUMS = 9

# sixteen steps of a bar: 9 always … 1 rarely, by drum
PATTERNS: dict[str, dict[int, str]] = {
    "rock": {KICK: "9000000290020000", SNARE: "0000900000009001", HAT: "9090909090909090"},
    "house": {
        KICK: "9000900090009000",
        CLAP: "0000900000009000",
        HAT: "1191119111911191",
        OPEN: "0090009000900090",
    },
    "hiphop": {KICK: "9002000090200010", SNARE: "0000900100009002", HAT: "9090919090909190"},
    "breakbeat": {KICK: "9090000000920000", SNARE: "0000900109009001", HAT: "9090909090909090"},
    "funk": {KICK: "9002001090300100", SNARE: "0000901200109002", HAT: "9599959995999599"},
    "reggae": {KICK: "0000000090000000", RIM: "0000000090000000", HAT: "9050905090509050"},
    "swing": {KICK: "9000100020001000", RIDE: "9000905090009050", SNARE: "0000100100003001"},
    "bossa": {KICK: "9000009090000090", RIM: "9001009000902000", SHAKER: "9595959595959595"},
    "trap": {KICK: "9000000200900020", CLAP: "0000000090000000", HAT: "9090919990909999"},
    "pop": {
        KICK: "9000002090900000",
        SNARE: "0000900000009000",
        SHAKER: "9191919191919191",
        HAT: "9000900090009000",
    },
    "waltz": {KICK: "900000000000", RIM: "000090009000", HAT: "905090509050"},
    "slow6": {KICK: "900000002000", SNARE: "000000900000", HAT: "909090909090"},
    "odd7": {KICK: "90000000900020", SNARE: "00009000000090", HAT: "90909090909090"},
}
STYLES = ("rock", "house", "hiphop", "breakbeat", "funk", "bossa", "trap", "pop")
SIGNATURES = {"waltz": Signature(3, 4), "slow6": Signature(6, 8), "odd7": Signature(7, 8)}
PROGRESSIONS = (
    (0, 5, 3, 4),
    (0, 3, 4, 0),
    (0, 4, 5, 3),
    (5, 3, 0, 4),
    (0, 0, 3, 4),
    (0, 6, 5, 4),
    (1, 4, 0, 0),
)
BASSES = (32, 33, 34, 35, 36, 38, 39)
CHORDS = (0, 4, 5, 16, 19, 24, 25, 27, 48, 50, 61, 88, 89)
LEADS = (11, 12, 26, 56, 65, 73, 80, 81, 104)


@dataclass(frozen=True)
class Note:
    """One note: seconds from the loop's start."""

    at_s: float
    length_s: float
    channel: int
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Loop:
    """A composed loop with its truth; `audio` [2, N] with a tail of 1 s after the grid's end."""

    grid: Grid
    key: Key | None  # None: drums alone
    style: str
    notes: tuple[Note, ...]
    programs: dict[int, int]
    audio: np.ndarray = field(default_factory=lambda: np.zeros((2, 0), np.float32))

    @property
    def cut(self) -> np.ndarray:
        """Exactly the grid's length."""
        return self.audio[:, : self.grid.samples()]

    @property
    def folded(self) -> np.ndarray:
        """A seamless loop: what rings on after the end is added to the beginning."""
        loop = self.cut.copy()
        tail = self.audio[:, loop.shape[1] :]
        loop[:, : tail.shape[1]] += tail[:, : loop.shape[1]]
        return loop


def compose(seed: int, style: str | None = None, parts: str = "all") -> Loop:
    """A loop of 2–8 bars, 60–180 BPM. `parts`: all, drums, pitched."""
    chance = random.Random(seed)
    style = style or chance.choice(STYLES)
    signature = SIGNATURES.get(style, Signature(4, 4))
    bpm = round(chance.uniform(60, 180), chance.choice((0, 1, 2)))
    bar_s = Grid(bpm, signature, 1).bar_s
    bars = max(2, min(8, 2 ** round(np.log2(9.0 / bar_s))))
    grid = Grid(bpm, signature, bars)
    key = Key(chance.randrange(12), chance.choice(("major", "minor")))
    notes: list[Note] = []
    swing = chance.uniform(0.1, 0.33) if style in ("hiphop", "swing") and chance.random() < 0.7 else 0.0
    jitter_s = chance.choice((0.0, 0.002, 0.004))
    clock = _Clock(grid, swing, jitter_s, chance)
    if parts in ("all", "drums"):
        _drums(notes, clock, style, chance)
    if parts in ("all", "pitched"):
        _pitched(notes, clock, key, chance, style)
    programs = {0: chance.choice(BASSES), 1: chance.choice(CHORDS), 2: chance.choice(LEADS)}
    return Loop(grid, key if parts != "drums" else None, style, tuple(notes), programs)


class _Clock:
    """Seconds of a sixteenth, with swing and jitter."""

    def __init__(self, grid: Grid, swing: float, jitter_s: float, chance: random.Random) -> None:
        self.grid, self.swing, self.jitter_s, self.chance = grid, swing, jitter_s, chance
        self.step_s = 60 / grid.bpm / 4
        self.steps = round(grid.signature.quarters_per_bar * 4)

    def at(self, bar: int, step: float) -> float:
        late = (
            self.swing * self.step_s * 2
            if step % 4 == 2
            else self.swing * self.step_s
            if step % 4 in (1, 3)
            else 0
        )
        wobble = self.chance.gauss(0, self.jitter_s) if self.jitter_s else 0.0
        return max(0.0, (bar * self.steps + step) * self.step_s + late + wobble)


def _drums(notes: list[Note], clock: _Clock, style: str, chance: random.Random) -> None:
    pattern = PATTERNS[style]
    fill = chance.random() < 0.3
    fixed = {
        (drum, step): chance.random() < int(digit) / 9
        for drum, digits in pattern.items()
        for step, digit in enumerate(digits)
    }
    crash = chance.random() < 0.25
    for bar in range(int(clock.grid.bars)):
        if crash and bar == 0:
            notes.append(Note(clock.at(bar, 0), 0.3, DRUMS, CRASH, 90))
        last = fill and bar == clock.grid.bars - 1
        for drum, digits in pattern.items():
            for step, digit in enumerate(digits):
                sure = int(digit) / 9
                hit = fixed[drum, step] if chance.random() < 0.85 else chance.random() < sure
                if last and step >= clock.steps - 4:
                    hit = drum in (SNARE, CLAP, RIM) and chance.random() < 0.8
                if hit:
                    accent = 100 if sure > 0.8 else 70
                    if drum in (HAT, SHAKER, RIDE):
                        accent = 85 if step % 4 == 0 else 60
                    velocity = min(127, max(20, round(chance.gauss(accent, 7))))
                    notes.append(Note(clock.at(bar, step), 0.1, DRUMS, drum, velocity))


def _pitched(notes: list[Note], clock: _Clock, key: Key, chance: random.Random, style: str) -> None:
    progression = chance.choice(PROGRESSIONS)
    per_chord = chance.choice((1, 1, 1, 2))
    bass_steps = [s for s in range(0, clock.steps, 2) if s == 0 or chance.random() < 0.45]
    chord_steps = chance.choice(((0,), (0,), (0, 8), (0, 6), (2, 6, 10, 14), (0, 3, 6, 10)))
    chord_steps = tuple(s for s in chord_steps if s < clock.steps) or (0,)
    lead = chance.random() < 0.6
    scale = key.pitch_classes

    def pitch(degree: int, octave: int) -> int:
        return 12 * octave + key.tonic + (scale[degree % 7] - key.tonic) % 12 + 12 * (degree // 7)

    for bar in range(int(clock.grid.bars)):
        root = progression[bar // per_chord % len(progression)]
        for i, step in enumerate(bass_steps):
            gap = (bass_steps[i + 1] if i + 1 < len(bass_steps) else clock.steps) - step
            degree = root + (chance.choice((0, 0, 4, 2)) if step else 0)
            length_s = gap * clock.step_s * 0.9
            notes.append(Note(clock.at(bar, step), length_s, 0, pitch(degree, 3 if key.tonic < 6 else 2), 95))
        for i, step in enumerate(chord_steps):
            gap = (chord_steps[i + 1] if i + 1 < len(chord_steps) else clock.steps) - step
            length_s = gap * clock.step_s * chance.choice((0.95, 0.5))
            for degree in (0, 2, 4) if chance.random() < 0.8 else (0, 2, 4, 6):
                velocity = round(chance.gauss(72, 5))
                notes.append(Note(clock.at(bar, step), length_s, 1, pitch(root + degree, 5), velocity))
        if lead:
            for step in range(0, clock.steps, 2):
                if chance.random() < 0.35:
                    degree = root + chance.choice((0, 2, 4, 4, 1, 5))
                    notes.append(Note(clock.at(bar, step), 2 * clock.step_s * 0.9, 2, pitch(degree, 6), 78))


def render(loops: list[Loop], soundfont: str = "fluid") -> list[Loop]:
    """The same loops with their audio. FileNotFoundError when fluidsynth or the soundfont is missing."""
    font = (SOUNDFONTS | HELD_OUT)[soundfont]
    if not font.exists():
        raise FileNotFoundError(font)
    starts, events, now_s = [], [], 0.5
    for loop in loops:
        starts.append(now_s)
        events += _events(loop, now_s)
        now_s += loop.grid.duration_s + GAP_S
    events.append((now_s + 1, mido.Message("note_off", note=0)))
    with tempfile.TemporaryDirectory() as folder:
        midi, wav = Path(folder) / "a.mid", Path(folder) / "a.raw"
        _save(events, midi)
        command = ["fluidsynth", "-ni", "-q", "-r", str(SAMPLE_RATE_HZ), "-g", "0.5", "-R", "0", "-C", "0"]
        command += ["-O", "float", "-T", "raw", "-F", str(wav), str(font), str(midi)]
        subprocess.run(command, check=True, capture_output=True)
        samples = np.fromfile(wav, "<f4").reshape(-1, 2).T
    done = []
    for loop, start_s in zip(loops, starts, strict=True):
        first = round(start_s * SAMPLE_RATE_HZ)
        audio = samples[:, first : first + loop.grid.samples() + round(TAIL_S * SAMPLE_RATE_HZ)]
        peak = float(np.abs(audio).max()) or 1.0
        audio = (audio * (0.7 / peak)).astype(np.float32)
        done.append(Loop(loop.grid, loop.key, loop.style, loop.notes, loop.programs, audio))
    return done


def _events(loop: Loop, start_s: float) -> list[tuple[float, mido.Message]]:
    events: list[tuple[float, mido.Message]] = []
    for channel, program in loop.programs.items():
        events.append((start_s - 0.2, mido.Message("control_change", channel=channel, control=120)))
        events.append((start_s - 0.1, mido.Message("program_change", channel=channel, program=program)))
    end_s = loop.grid.duration_s
    for note in loop.notes:
        stop_s = min(note.at_s + note.length_s, end_s + 0.2)
        on = mido.Message("note_on", channel=note.channel, note=note.pitch, velocity=note.velocity)
        off = mido.Message("note_off", channel=note.channel, note=note.pitch)
        events += [(start_s + note.at_s, on), (start_s + stop_s, off)]
    return events


def _save(events: list[tuple[float, mido.Message]], path: Path) -> None:
    track = mido.MidiTrack()
    track.append(mido.MetaMessage("set_tempo", tempo=500_000))
    last = 0
    for at_s, message in sorted(events, key=lambda event: (event[0], event[1].type != "note_off")):
        tick = round(at_s * TICKS_PER_S)
        track.append(message.copy(time=tick - last))
        last = tick
    midi = mido.MidiFile(ticks_per_beat=TICKS_PER_S // 2)
    midi.tracks.append(track)
    midi.save(path)
