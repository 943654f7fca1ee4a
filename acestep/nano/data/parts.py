# ruff: noqa: E501 (tables read better in one line a row)
"""Note writing for every role: patterns to hits, chords to bass lines, comping, pads, melodies, arpeggios.

Times in quarter notes; a chord is MIDI-octave-0 pitches (root, third, fifth, seventh).
"""

from dataclasses import dataclass

import numpy as np

ARP_RATES = (0.25, 0.25, 0.5, 1 / 3)


@dataclass(frozen=True)
class Note:
    """A pitched note, or a hit (`hit` set, `pitch` 0)."""

    start: float
    length: float
    pitch: int
    velocity: float
    hit: str = ""


# what a drummer plays instead at the end of a bar: hit and marks, a sixteenth each
_FILLS = (
    {"snare": "xxxx", "kick": "x..."}, {"snare": "x.xx", "tom_low": ".x..", "kick": "x..x"},
    {"snare": "xx......", "tom_high": "..xx....", "tom_mid": "....xx..", "tom_low": "......xx"},
    {"snare": "x.x.x.xx", "kick": "x...x..."}, {"snare": "x..x..x.", "kick": ".x..x..x", "open": "......x."},
    {"tom_high": "x.xx....", "tom_low": "....x.xx", "kick": "x...x..."},
    {"snare": "-.-.-.x.x.x.xxxx", "kick": "x...x...x...x..."},
    {"snare": "x.xxx.xx........", "tom_mid": "........x.xx....", "tom_low": "............x.xx", "kick": "x...x...x...x..."},
)  # fmt: skip
_STRUM_S = 0.03  # quarters between strings

_LEVELS = {"X": 1.0, "x": 0.8, "-": 0.4, "?": 0.55}

# (start, length) in sixteenths, and which chord tone or octave: r root, o octave up, f fifth, t third, w walk
_BASS = {
    "offbeat": ("2r2 6r2 10r2 14r2", "2r2 6o2 10r2 14o2"),
    "groove": ("0r3 3r2 6o2 10r2 12f2 14r2", "0r4 6r2 8r2 11o1 14f2", "0r2 3o1 6r2 8r2 11f1 14o2"),
    "octaves": ("0r2 2o2 4r2 6o2 8r2 10o2 12r2 14o2",),
    "rolling": ("1r1 2r1 3r1 5r1 6r1 7r1 9r1 10r1 11r1 13r1 14r1 15r1", "0r1 1r1 2r1 3r1 4r1 5r1 6r1 7r1 8r1 9r1 10r1 11r1 12r1 13r1 14r1 15r1"),
    "pulse": ("0r1 3r1 6r1 8r1 11r1 14r1", "0r2 4r2 8r2 12r2"),
    "long": ("0r16", "0r10 10r6", "0r12 12f4"),
    "reese": ("0r16", "0r6 6r2 8r8", "0r7 8o4 12f4"),
    "syncopated": ("0r3 3r3 6r2 10r4", "0r3 6r3 11r2 14f2", "0r2 3r1 7o2 10r3 14t2"),
    "root": ("0r8 8r8", "0r6 8r6", "0r4 6r2 8r8"),
    "lazy": ("0r6 7r1 8f6", "0r8 10f2 12r4"),
    "eighths": ("0r2 2r2 4r2 6r2 8r2 10r2 12r2 14r2",),
    "funk": ("0r1 3r1 4o1 6r1 7f1 10r2 13o1 14f1", "0r2 3o1 6r1 8r1 9r1 11o1 14t1 15f1", "0r1 2r1 5o1 7r1 10f1 11o1 14r2"),
    "808": ("0r10 10r6", "0r6 6r5 11o5", "0r16"),
    "dub": ("0r3 3r1 4t2 6f2 10r2 12r3", "2r2 4r2 8r3 11f2 14r2"),
    "walking": ("0r4 4t4 8f4 12w4", "0r4 4f4 8o4 12w4", "0r4 4t4 8f4 12t4"),
}  # fmt: skip

_COMP = {
    "offbeat": ("2+1 6+1 10+1 14+1", "2+2 6+2 10+2 14+2"),
    "stabs": ("0+1 3+1 6+1", "0+2 6+1 10+1", "3+1 6+1 11+1 14+1"),
    "house": ("0+1 3+1 6+1 10+1 13+1", "0+2 3+2 8+1 11+2"),
    "lazy": ("0+7 10+4", "0+6 7+5", "1+8 11+4"),
    "sustain": ("0+16", "0+8 8+8"),
    "broken": ("a",),
    "eighths": ("0+2 2+2 4+2 6+2 8+2 10+2 12+2 14+2",),
    "power": ("0+8 8+8", "0+3 3+3 6+10", "0+6 6+2 8+8"),
    "strum": (
        "0+3 4+2 6+2 10+2 12+2 14+2",
        "0+4 4+2 6+4 10+2 12+4",
        "0+2 2+2 4+2 6+2 8+2 10+2 12+2 14+2",
        "0+6 6+2 8+6 14+2",
    ),
    "held": ("h",),
    "picked": ("p",),
    "funk": ("0+1 3+1 6+1 7+1 10+1 14+1", "2+1 3+1 6+1 11+1 14+1 15+1"),
    "skank": ("4+1 12+1", "2+1 6+1 10+1 14+1"),
    "jazz": ("0+3 6+2", "4+2 10+4", "0+2 7+4 14+2"),
}


def drum_notes(
    random: np.random.Generator,
    patterns: dict[str, tuple[str, ...]],
    bars: int,
    quarters: float,
    fills: int = 0,
    ghosts: float = 0.0,
) -> list[Note]:
    """One variant per hit for all bars and small changes. Every `fills`th bar ends in a fill, with a crash after
    it, and the kick may move in the second half of what lies between; `ghosts` is the chance of a soft snare
    between the beats.
    """
    steps = round(quarters * 4)
    chosen = {hit: str(random.choice(options)) for hit, options in patterns.items()}
    other = chosen | {hit: str(random.choice(patterns[hit])) for hit in ("kick", "open") if hit in patterns}
    alternate = {"snare": "snare2", "kick": "kick2"}
    swap = {hit: name for hit, name in alternate.items() if random.random() < 0.2}
    ghost = [step % 4 in (1, 3) and random.random() < ghosts for step in range(steps)]
    notes = []
    for bar in range(bars):
        filled = fills > 0 and bar % fills == fills - 1
        fill = _FILLS[int(random.integers(len(_FILLS)))] if filled else {}
        start = steps - min(len(next(iter(fill.values()))), steps) if fill else steps
        played = other if fills and bar % fills >= fills // 2 else chosen
        rows = {
            hit: [pattern[step % len(pattern)] for step in range(steps)] for hit, pattern in played.items()
        }
        if "snare" in rows:
            rows["snare"] = [
                "-" if ghost[i] and mark == "." else mark for i, mark in enumerate(rows["snare"])
            ]
        rows = {hit: row[:start] for hit, row in rows.items()}
        for hit, marks in fill.items():
            rows[hit] = rows.get(hit, ["."] * start) + list(marks[-(steps - start) :])
        notes += _struck(random, rows, bar * quarters, swap)
    if fills or (random.random() < 0.15 and "kick" in patterns):
        after = range(0, bars, fills) if fills else (0,)
        notes += [Note(bar * quarters, 2, 0, 0.7, "crash") for bar in after]
    if not notes:
        notes.append(Note(0, 0.25, 0, 0.8, next(iter(patterns))))
    return notes


def _struck(
    random: np.random.Generator, rows: dict[str, list[str]], at: float, swap: dict[str, str]
) -> list[Note]:
    """A bar's marks as hits; now and then one more, softly."""
    notes = []
    for hit, row in rows.items():
        for step, mark in enumerate(row):
            played = mark in "Xx-" or (mark == "?" and random.random() < 0.5)
            if mark == "." and step > 0 and random.random() < 0.008:
                played, mark = True, "-"
            if played:
                notes.append(Note(at + step / 4, 0.25, 0, _LEVELS[mark], swap.get(hit, hit)))
    return notes


def bass_notes(
    random: np.random.Generator, kind: str, chords: list[list[int]], quarters: float
) -> list[Note]:
    """A bass line that follows the roots."""
    pattern = str(random.choice(_BASS[kind]))
    base = 28 if random.random() < 0.7 else 36
    notes = []
    for bar, chord in enumerate(chords):
        following = chords[(bar + 1) % len(chords)]
        root = base + (chord[0] - base) % 12
        tones = {"r": root, "o": root + 12, "f": root + chord[2] - chord[0], "t": root + chord[1] - chord[0],
                 "w": base + (following[0] - base) % 12 + int(random.choice([-1, 1, 2]))}  # fmt: skip
        for item in pattern.split():
            mark = next(letter for letter in item if letter.isalpha())
            start, length = (int(value) for value in item.split(mark))
            if start >= quarters * 4:
                continue
            length = min(length, round(quarters * 4) - start)
            notes.append(
                Note(bar * quarters + start / 4, length / 4 * 0.92, tones[mark], 0.75 + 0.2 * (start == 0))
            )
    return notes


def locked_bass_notes(
    random: np.random.Generator, kicks: list[float], chords: list[list[int]], quarters: float
) -> list[Note]:
    """A bass that plays with the kick, whose starts are given: roots, and now and then another tone."""
    base = 28 if random.random() < 0.7 else 36
    longest = float(random.choice([0.4, 0.9, 1.5, 4.0]))
    colour = str(random.choice(["r", "r", "o", "f"]))
    notes = []
    for bar, chord in enumerate(chords):
        first, last = bar * quarters, (bar + 1) * quarters
        starts = sorted({start for start in kicks if first - 1e-6 <= start < last - 1e-6}) or [first]
        root = base + (chord[0] - base) % 12
        tones = {"r": root, "o": root + 12, "f": root + chord[2] - chord[0]}
        for index, (start, following) in enumerate(zip(starts, [*starts[1:], last], strict=True)):
            tone = tones[colour] if index and index == len(starts) - 1 else root
            length = min(following - start, longest) * 0.95
            notes.append(Note(start, length, tone, 0.75 + 0.2 * (start == first)))
    return notes


def comp_notes(
    random: np.random.Generator, kind: str, chords: list[list[int]], quarters: float, sevenths: bool
) -> list[Note]:
    """Struck chords, voiced close to each other."""
    pattern = str(random.choice(_COMP[kind]))
    notes: list[Note] = []
    centre = float(random.uniform(56, 66))
    for bar, chord in enumerate(chords):
        tones = [chord[0], chord[2], chord[0] + 12] if kind == "power" else chord[: 4 if sevenths else 3]
        middle = centre - 8 if kind == "power" else centre
        voiced = sorted(round(middle) - 6 + (tone - round(middle) + 6) % 12 for tone in tones)
        if kind == "power":
            root = 40 + (chord[0] - 40) % 12
            voiced = [root, root + 7, root + 12]
        if pattern == "h":
            tied = bar % 2 == 1 and chords[bar - 1] == chord
            length = quarters * (2 if bar % 2 == 0 and chords[bar : bar + 2] == [chord, chord] else 1)
            if not tied:
                notes += [Note(bar * quarters, length * 0.98, pitch, 0.6) for pitch in voiced]
            continue
        if pattern in ("a", "p"):
            order = voiced + voiced[::-1][1:-1]
            for step in range(round(quarters * 2)):
                length = quarters - step / 2 if pattern == "p" else 0.6  # a picked string rings on
                notes.append(Note(bar * quarters + step / 2, length, order[step % len(order)], 0.6))
            continue
        for item in pattern.split():
            start, length = (int(value) for value in item.split("+"))
            if start >= quarters * 4:
                continue
            length = min(length, round(quarters * 4) - start)
            down = start % 4 == 0  # a strum's other strokes go up
            for index, pitch in enumerate(voiced if down or kind != "strum" else voiced[::-1]):
                late = (_STRUM_S if kind == "strum" else 0.012 * (kind in ("lazy", "jazz"))) * index
                notes.append(
                    Note(
                        bar * quarters + start / 4 + late, length / 4 * 0.9, pitch, 0.55 + 0.1 * (start == 0)
                    )
                )
    return notes


def pad_notes(
    random: np.random.Generator, chords: list[list[int]], quarters: float, sevenths: bool
) -> list[Note]:
    """Held chords; equal neighbours are tied."""
    notes: list[Note] = []
    centre = int(random.integers(58, 68))
    bar = 0
    while bar < len(chords):
        last = bar
        while last + 1 < len(chords) and chords[last + 1] == chords[bar] and last - bar < 1:
            last += 1
        tones = chords[bar][: 4 if sevenths else 3]
        length = (last - bar + 1) * quarters
        for pitch in sorted(centre - 6 + (tone - centre + 6) % 12 for tone in tones):
            notes.append(Note(bar * quarters, length, pitch, 0.6))
        if random.random() < 0.3:
            notes.append(Note(bar * quarters, length, 48 + (tones[0] - 48) % 12, 0.5))
        bar = last + 1
    return notes


def lead_notes(
    random: np.random.Generator, chords: list[list[int]], quarters: float, legato: bool
) -> list[Note]:
    """A short motif of chord and scale tones, repeated with the chords; `legato` ties every tone to the next."""
    steps = round(quarters * 4)
    rhythm: list[tuple[int, int]] = []
    position = int(random.choice([0, 0, 2, 4]))
    while position < steps:
        length = int(random.choice([3, 4, 4, 6, 8] if legato else [1, 2, 2, 3, 4, 6]))
        if legato or random.random() < 0.78:
            rhythm.append((position, min(length, steps - position)))
        position += length
    rhythm = rhythm or [(0, 4)]
    shape = random.integers(0, 5, size=len(rhythm))
    base = int(random.integers(64, 76))
    notes = []
    for bar, chord in enumerate(chords):
        if bar % 4 == 3 and random.random() < 0.4:
            shape = random.integers(0, 5, size=len(rhythm))
        scale = [chord[0], chord[1], chord[2], chord[0] + 12, chord[1] + 12]
        for (start, length), tone in zip(rhythm, shape, strict=True):
            pitch = base + (scale[int(tone)] - base) % 12 + (12 if tone >= 3 and base < 70 else 0)
            notes.append(
                Note(
                    bar * quarters + start / 4,
                    length / 4 * (1.04 if legato else 0.95),
                    pitch,
                    0.65 + 0.15 * (start % 4 == 0),
                )
            )
    return notes


def arp_notes(
    random: np.random.Generator, chords: list[list[int]], quarters: float, rate: float
) -> list[Note]:
    """Broken chords in even steps."""
    shape = str(random.choice(["up", "down", "updown", "random"]))
    base = int(random.integers(58, 70))
    count = round(quarters / rate)
    gate = float(random.uniform(0.4, 1.0))
    order = random.integers(0, 6, size=count)
    rests = random.random(count) < (0.15 if random.random() < 0.5 else 0)
    notes = []
    for bar, chord in enumerate(chords):
        low = sorted(base + (tone - base) % 12 for tone in chord[:3])
        ladder = [*low, *(pitch + 12 for pitch in low)]
        rows = {"up": ladder, "down": ladder[::-1], "updown": ladder + ladder[-2:0:-1]}
        for step in range(count):
            if rests[step]:
                continue
            pitch = ladder[int(order[step])] if shape == "random" else rows[shape][step % len(rows[shape])]
            notes.append(Note(bar * quarters + step * rate, rate * gate, pitch, 0.6 + 0.15 * (step % 4 == 0)))
    return notes
