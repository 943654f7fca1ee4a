# ruff: noqa: E501 (tables read better in one line a row)
"""A seed becomes a loop: grid, key, chords, and for every part its notes, sound and place in the mix.

Times are in quarter notes from the start of the loop. Pure decisions.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from acestep.music.grid import Grid, Signature
from acestep.music.key import MAJOR_STEPS, MINOR_STEPS, Key
from acestep.nano.data import styles
from acestep.nano.data.parts import (
    ARP_RATES,
    Note,
    arp_notes,
    bass_notes,
    comp_notes,
    drum_notes,
    lead_notes,
    locked_bass_notes,
    pad_notes,
)
from acestep.nano.data.sounds import INSTRUMENTS, KITS
from acestep.nano.data.styles import STYLE_BY_NAME, STYLES, Style

ROLES = ("drums", "percussion", "bass", "chords", "pad", "lead", "arp")
MAX_LOOP_S = 17.0  # a little more than `max_s` of the checkpoint
MIN_LOOP_S = 1.6  # chosen by hand
LOCKED_BASS = 0.65  # of basses with a kick beside them play with it
GUITARS, LOUD_GUITARS = range(24, 29), range(29, 32)  # General MIDI programs


@dataclass(frozen=True)
class Part:
    """One stem: what it plays, on what, and how it sits in the mix. `sound_seed` draws synthesis and kits."""

    role: str
    sound: str
    sound_seed: int
    notes: tuple[Note, ...]
    gain_db: float
    pan: float
    reverb: float = 0.0
    echo: float = 0.0
    drive: float = 0.0
    cutoff_hz: float = 0.0  # low-pass; 0 is open
    pump: float = 0.0
    manner: str = ""  # how it is played, where that has a word: see `captions.MANNERS`
    cymbals_db: float = 0.0  # beside the kit's other hits
    cymbals_hz: float = 0.0  # their low-pass; 0 is open


@dataclass(frozen=True)
class _Score:
    """What all parts of a loop share while their notes are written."""

    style: Style
    harmony: Style
    grid: Grid
    chords: list[list[int]]
    sevenths: bool
    fills: int
    kicks: list[float]  # starts of those written already


@dataclass(frozen=True)
class Loop:
    """A composed loop with its true labels."""

    seed: int
    style: str
    harmony_style: str  # differs from `style` in a mixture
    grid: Grid
    key: Key
    parts: tuple[Part, ...]
    crackle: float = 0.0
    bits: int = 0  # 0: clean
    words: dict[str, str] = field(default_factory=dict)
    fills: int = 0  # every how many bars the drums play one; 0: never

    @property
    def pitched(self) -> bool:
        """Whether anything in it has a key."""
        return any(part.role not in ("drums", "percussion") for part in self.parts)

    def part(self, role: str) -> Part:
        """The part of a role."""
        return next(part for part in self.parts if part.role == role)


def compose(seed: int, held: bool = False, sound_of: Loop | None = None) -> Loop:
    """The loop of a seed. `held` draws from sounds, progressions and mixtures kept for evaluation.

    `sound_of` keeps that loop's style, roles, sounds and mix, with other notes, key and tempo: a reference.
    """
    random = np.random.default_rng([seed, int(held)])
    style, harmony = _styles(random, held)
    if sound_of is not None:
        style, harmony = STYLE_BY_NAME[sound_of.style], STYLE_BY_NAME[sound_of.harmony_style]
    grid = _grid(random, style)
    key = Key(int(random.integers(12)), "minor" if random.random() < harmony.minor else "major")
    chords = _chords(random, key, grid.bars, held)
    sevenths = random.random() < harmony.sevenths
    swing = float(random.uniform(*style.swing)) if grid.signature.denominator == 4 else 0.0
    roles = _roles(random, style, harmony) if sound_of is None else [part.role for part in sound_of.parts]
    score = _Score(style, harmony, grid, chords, sevenths, _fills(random, grid), [])
    parts = []
    held_role = str(random.choice(roles)) if held else ""
    for role in roles:
        if sound_of is None:
            part = _dress(random, role, style, harmony, role == held_role)
        else:
            part = sound_of.part(role)
        played, manner = _notes(random, part, score)
        if role == "drums":
            score.kicks.extend(note.start for note in played if note.hit.startswith("kick"))
        notes = tuple(_place(random, note, swing, role, grid.signature) for note in played)
        parts.append(replace(part, notes=notes, manner=manner))
    if not score.kicks:
        parts = [replace(part, pump=0.0) for part in parts]
    dirt = random.random() < style.dirt
    crackle = float(random.uniform(0.2, 1)) if dirt and style.name in ("lo-fi", "boom bap") else 0.0
    bits = int(random.integers(8, 13)) if dirt and random.random() < 0.25 else 0
    if sound_of is not None:
        crackle, bits = sound_of.crackle, sound_of.bits
    fills = score.fills if "drums" in roles else 0
    loop = Loop(seed, style.name, harmony.name, grid, key, tuple(parts), crackle, bits, fills=fills)
    return replace(loop, words=_words(loop))


def _styles(random: np.random.Generator, held: bool) -> tuple[Style, Style]:
    if random.random() < (0.35 if held else 0.15):
        pairs = styles.HELD_MIXTURES if held else styles.MIXTURES
        first, second = pairs[int(random.integers(len(pairs)))]
        return STYLE_BY_NAME[first], STYLE_BY_NAME[second]
    style = STYLES[int(random.integers(len(STYLES)))]
    return style, style


def _grid(random: np.random.Generator, style: Style) -> Grid:
    signature = Signature(4, 4)
    if style.name not in ("techno", "house", "trap", "drum and bass", "synthwave"):
        draw = random.random()
        signature = Signature(3, 4) if draw < 0.13 else Signature(6, 8) if draw < 0.26 else signature
    low, high = style.bpm
    if random.random() < 0.2:  # any tempo can be asked of any style
        low, high = 60.0, 180.0
    bpm = (
        round(float(random.uniform(low, high)), 2)
        if random.random() < 0.6
        else float(random.integers(int(low), int(high) + 1))
    )
    bars = int(random.choice([1, 2, 4, 8], p=[0.05, 0.25, 0.5, 0.2]))
    while bars > 1 and bars * signature.quarters_per_bar * 60 / bpm > MAX_LOOP_S:
        bars //= 2
    while bars * signature.quarters_per_bar * 60 / bpm < MIN_LOOP_S:
        bars *= 2
    return Grid(bpm, signature, bars)


def _fills(random: np.random.Generator, grid: Grid) -> int:
    """Every how many bars the drums play a fill: some loops have any."""
    bars = int(grid.bars)
    if bars < 2 or random.random() < 0.6:
        return 0
    return int(random.choice([4, 8])) if bars == 8 else bars


def _chords(random: np.random.Generator, key: Key, bars: float, held: bool) -> list[list[int]]:
    """Per bar the chord as pitch classes over MIDI octave 0: root, third, fifth, seventh."""
    minor = key.mode == "minor"
    if held:
        pool: tuple[tuple[int, ...], ...] = styles.HELD_MINOR if minor else styles.HELD_MAJOR
    else:
        pool = styles.MINOR_PROGRESSIONS if minor else styles.MAJOR_PROGRESSIONS
    degrees = pool[int(random.integers(len(pool)))]
    steps = MINOR_STEPS if minor else MAJOR_STEPS
    chords = []
    for bar in range(int(bars)):
        degree = degrees[bar % len(degrees)]
        tones = [steps[(degree + offset) % 7] + 12 * ((degree + offset) // 7) for offset in (0, 2, 4, 6)]
        chords.append([key.tonic + tone for tone in tones])
    return chords


def _roles(random: np.random.Generator, style: Style, harmony: Style) -> list[str]:
    chance = dict(harmony.roles)
    chance["drums"], chance["percussion"] = style.roles["drums"], style.roles["percussion"]
    roles = [role for role in ROLES if random.random() < chance[role]]
    return roles or [max(chance, key=lambda role: chance[role])]


def _notes(random: np.random.Generator, part: Part, score: _Score) -> tuple[list[Note], str]:
    """A part's notes, and how it is played."""
    grid, harmony, chords, role = score.grid, score.harmony, score.chords, part.role
    quarters, bars = grid.signature.quarters_per_bar, int(grid.bars)
    if role == "drums":
        patterns = styles.WALTZ if grid.signature.numerator == 3 else score.style.drums
        patterns = styles.COMPOUND if grid.signature.denominator == 8 else patterns
        ghosts = float(random.choice([0, 0, 0.25, 0.5])) if "snare" in patterns else 0.0
        notes = drum_notes(random, patterns, bars, quarters, score.fills, ghosts)
        soft = sum(note.hit.startswith("snare") and note.velocity < 0.5 for note in notes)
        return notes, "ghosted" if soft >= 2 * bars else ""
    if role == "percussion":
        chosen = random.choice(list(styles.PERCUSSION), size=int(random.integers(1, 4)), replace=False)
        return drum_notes(random, {name: styles.PERCUSSION[name] for name in chosen}, bars, quarters), ""
    if role == "bass":
        if score.kicks and random.random() < LOCKED_BASS:
            return locked_bass_notes(random, score.kicks, chords, quarters), ""
        return bass_notes(random, str(random.choice(harmony.bass)), chords, quarters), ""
    if role == "chords":
        kind = _comping(random, part.sound, harmony)
        return comp_notes(random, kind, chords, quarters, score.sevenths), _COMP_MANNERS.get(kind, "")
    if role == "pad":
        return pad_notes(random, chords, quarters, score.sevenths), ""
    if role == "lead":
        legato = random.random() < (0.25 if part.sound == "synth" or _program(part.sound) < 40 else 0.5)
        return lead_notes(random, chords, quarters, legato), "legato" if legato else ""
    return arp_notes(random, chords, quarters, float(random.choice(ARP_RATES))), ""


_COMP_MANNERS = {"strum": "strummed", "picked": "picked", "held": "sustained", "sustain": "sustained"}


def _program(sound: str) -> int:
    """The General MIDI program of a sound of the bank; -1 for others."""
    number = sound.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def _comping(random: np.random.Generator, sound: str, harmony: Style) -> str:
    """How chords are struck: guitars are strummed or picked, keys are held in a third of the loops."""
    draw, program = random.random(), _program(sound)
    if program in GUITARS and draw < 0.75:
        return "strum" if draw < 0.45 else "picked"
    if program in LOUD_GUITARS and draw < 0.5:
        return "power" if draw < 0.3 else "strum"
    if program not in GUITARS and draw < 0.35:
        return "held"
    return str(random.choice(harmony.comp))


def _place(random: np.random.Generator, note: Note, swing: float, role: str, signature: Signature) -> Note:
    """Accent the bar and the beats, swing every second sixteenth (eighth where swing is heavy), and let hands
    be a little unsteady."""
    start = note.start
    unit = 0.5 if swing > 0.45 else 0.25
    if swing and round(start / unit) % 2 == 1 and abs(start / unit - round(start / unit)) < 1e-6:
        start += swing * unit * (0.5 if unit == 0.5 else 1.0)
    human = (
        0.0 if role in ("drums", "percussion", "bass") and note.start == 0 else float(random.normal(0, 0.006))
    )
    stress = _stress(note.start, signature)
    velocity = float(np.clip(note.velocity * stress * random.normal(1, 0.06), 0.05, 1))
    return replace(note, start=max(start + human, 0.0), velocity=velocity)


def _stress(start: float, signature: Signature) -> float:
    """How much harder a note is played for its place in the bar, as players do: bar, half bar, beat, rest."""
    place, beat = start % signature.quarters_per_bar, 4 / signature.denominator
    if place < 1e-6:
        return 1.2
    if signature.quarters_per_bar >= 3 and abs(place - signature.quarters_per_bar / 2) < 1e-6:
        return 1.05 if signature.numerator % 2 == 0 else 0.92
    return 1.0 if place % beat < 1e-6 else 0.92


def _sound(random: np.random.Generator, role: str, style: Style, harmony: Style, held: bool) -> str:
    """What a part sounds like: mostly as its style has it."""
    sounds: tuple[str, ...] = {
        "drums": style.kits, "percussion": ("sonic", "kit-fluid-standard", "kit-fluid-808", "kit-musescore-standard"),
        "bass": harmony.basses, "chords": harmony.chords, "pad": harmony.pads, "lead": harmony.leads, "arp": harmony.arps,
    }[role]  # fmt: skip
    if (
        role not in ("drums", "percussion") and random.random() < 0.22
    ):  # any instrument can be asked of any style
        sounds = tuple(i.name for i in INSTRUMENTS if i.role == role and not i.held)
    elif role == "chords" and random.random() < 0.2:
        guitars = (*GUITARS, *LOUD_GUITARS)
        sounds = tuple(i.name for i in INSTRUMENTS if i.role == role and not i.held and i.program in guitars)
    sound = str(random.choice(sounds))
    if held:
        kept = [i.name for i in INSTRUMENTS if i.role == role and i.held]
        kept = [kit[0] for kit in KITS if kit[3]] if role in ("drums", "percussion") else kept
        sound = str(random.choice(kept))
    return sound


def _dress(random: np.random.Generator, role: str, style: Style, harmony: Style, held: bool) -> Part:
    """A part without notes: its sound, and its place in the mix."""
    sound = _sound(random, role, style, harmony, held)
    level = {
        "drums": 0.0,
        "percussion": -9.0,
        "bass": -2.0,
        "chords": -5.0,
        "pad": -6.5,
        "lead": -5.5,
        "arp": -7.0,
    }[role]
    wet = {
        "drums": 0.06,
        "percussion": 0.12,
        "bass": 0.0,
        "chords": 0.15,
        "pad": 0.3,
        "lead": 0.22,
        "arp": 0.22,
    }[role]
    if style.name in ("ambient", "reggae"):
        wet *= 1.8
    side = 0.0 if role in ("drums", "bass") else float(random.uniform(-0.5, 0.5))
    return Part(
        role=role,
        sound=sound,
        sound_seed=int(random.integers(2**31)),
        notes=(),
        gain_db=level + float(random.normal(0, 1.8)),
        pan=side,
        reverb=float(wet * random.uniform(0, 2)) if random.random() < 0.7 else 0.0,
        echo=float(random.uniform(0.15, 0.4))
        if role in ("lead", "arp", "chords") and random.random() < 0.25
        else 0.0,
        drive=float(random.uniform(0.2, 1)) if random.random() < 0.3 * style.dirt + 0.08 else 0.0,
        cutoff_hz=float(np.exp(random.uniform(np.log(700), np.log(9000))))
        if role != "drums" and random.random() < 0.3
        else 0.0,
        pump=float(random.uniform(0.3, 0.8))
        if role not in ("drums", "percussion") and random.random() < style.pump
        else 0.0,
        cymbals_db=float(random.uniform(-9, 0)),
        cymbals_hz=float(np.exp(random.uniform(np.log(4000), np.log(12000))))
        if random.random() < 0.8
        else 0.0,
    )


def kit_word(kit: str) -> str:
    """How a drum kit is called in captions, by its name in the sound bank."""
    if kit == "sonic":
        return "sampled"
    if kit == "synth":
        return "electronic"
    return next((word for word in ("808", "brush", "electronic") if word in kit), "acoustic")


def _words(loop: Loop) -> dict[str, str]:
    """How each part is called, for captions."""
    names = {instrument.name: instrument.words for instrument in INSTRUMENTS}
    words = {}
    for part in loop.parts:
        if part.role in ("drums", "percussion"):
            words[part.role] = kit_word(part.sound)
        else:
            words[part.role] = "|".join(names.get(part.sound, ("synth",)))
    return words
