"""What a MIDI file says about a song: tempo map, time signatures and key.

Answers for a bar; how a file is written down is `smf`'s.
"""

import math
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from acestep.errors import InvalidRequest
from acestep.music.grid import Signature, bars_in_words
from acestep.music.key import MODES, Key
from acestep.music.tempo_map import MAX_POINTS, TempoMap, TempoPoint
from server.midi.smf import KEY_SIGNATURE, SET_TEMPO, TIME_SIGNATURE, MidiFile, read_smf

MAX_BYTES = 16 << 20
MAX_QUARTERS = 1_000_000  # a week of music: what goes on longer has broken times
MAX_BAR = 100 * MAX_QUARTERS  # behind the end of any song, and no rounding trouble yet
DEFAULT_US_PER_QUARTER = 500_000  # 120 bpm, by the MIDI file standard


@dataclass(frozen=True)
class Change:
    """From `quarters` on, `value` holds."""

    quarters: float
    value: float | Signature | Key


@dataclass(frozen=True)
class Bar:
    """What holds at one bar."""

    bpm: float
    signature: Signature
    key: Key | None
    tempo_map: TempoMap | None = None  # from this bar on, if the tempo changes within the bars asked for
    notes: tuple[str, ...] = ()  # what a musician should know


@dataclass(frozen=True)
class Song:
    """The maps of a file, each in order of time."""

    tempos: tuple[Change, ...]
    signatures: tuple[Change, ...]
    keys: tuple[Change, ...]
    length_quarters: float
    notes: tuple[str, ...] = ()

    def at_bar(self, bar: int, bars: float = 4) -> Bar:
        """What holds at a bar (the first is 1), with the tempo map if it changes in the bars from there."""
        bar = min(bar, MAX_BAR)
        if bar < 1:
            raise InvalidRequest("a bar before the first one: the first bar of a song is 1")
        start, signature = self._bar_start(bar)
        if bar > 1 and start >= self.length_quarters:
            raise InvalidRequest(f"bar {bar} is behind the end of the song ({bars_in_words(self.bar_count)})")
        end = start + bars * signature.quarters_per_bar
        bpm = _value_at(self.tempos, start)
        assert isinstance(bpm, float)
        key = _value_at(self.keys, start) if self.keys else None
        points = [TempoPoint(0.0, bpm)]
        for change in self.tempos:
            if start + 1e-6 < change.quarters < end - 1e-6:
                assert isinstance(change.value, float)
                points.append(TempoPoint(change.quarters - start, change.value))
        held = (bpm, signature, key if isinstance(key, Key) else None)
        if len(points) == 1:
            return Bar(*held)
        if len(points) > MAX_POINTS:
            raise InvalidRequest(
                f"{len(points)} tempi within {bars_in_words(bars)}: expected at most {MAX_POINTS}"
            )
        lowest, highest = (pick(point.bpm for point in points) for pick in (min, max))
        note = f"the tempo moves between {lowest:g} and {highest:g} in these bars: the clip follows"
        return Bar(*held, TempoMap(tuple(points)), (note,))

    @property
    def bar_count(self) -> int:
        """How many bars the file has, the last perhaps unfinished."""
        count = 0
        for bars, at, signature in self._stretches():
            left = max(0, math.ceil((self.length_quarters - 1e-6 - at) / signature.quarters_per_bar))
            count += left if bars is None else min(bars, left)
        return max(1, count)

    def _bar_start(self, bar: int) -> tuple[float, Signature]:
        """Where a bar starts, in quarters, and its signature."""
        remaining = bar - 1
        for bars, at, signature in self._stretches():
            if bars is None or remaining < bars:
                return at + remaining * signature.quarters_per_bar, signature
            remaining -= bars
        raise AssertionError

    def _stretches(self) -> Iterator[tuple[int | None, float, Signature]]:
        """How many bars keep a signature (None: all that follow), from which quarter on, and which it is.

        Signatures change at bar lines.
        """
        for change, following in zip(self.signatures, [*self.signatures[1:], None], strict=True):
            signature, at = change.value, change.quarters
            assert isinstance(signature, Signature)
            bars = None
            if following is not None:
                bars = max(0, round((following.quarters - at) / signature.quarters_per_bar))
            yield bars, at, signature


def read_song(path: Path) -> Song:
    """Reads a `.mid`. Raises InvalidRequest for what is none, cut off, or of format 2.

    What others pass over is passed over, with a note: unknown chunks, a wrong number of tracks, events
    with values that cannot be.
    """
    content = _content(path)
    try:
        file = read_smf(content)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path} has {error}: expected a song") from None
    except ValueError as error:
        raise InvalidRequest(f"{path} is not a MIDI file or is cut off ({error})") from None
    if file.format == 2:
        raise InvalidRequest(f"{path} has format 2, which has no common time: save it as format 0 or 1")
    if file.ticks_per_quarter <= 0:
        raise InvalidRequest(f"{path} counts time in film frames, not in beats: save it with a tempo")
    try:
        return _song(file)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error}") from None


def _content(path: Path) -> bytes:
    """The bytes of an ordinary file that is not too large: a device would never end."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidRequest(f"{path} is not a MIDI file, but a folder or a device")
        with path.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InvalidRequest(f"{path} is not there: expected a MIDI file") from None
    except OSError as error:
        raise InvalidRequest(f"{path} is not a MIDI file that can be read ({error.strerror})") from None
    if len(content) > MAX_BYTES:
        raise InvalidRequest(f"{path} has more than {MAX_BYTES >> 20} MB: expected a song")
    return content


def _song(file: MidiFile) -> Song:
    tempos: list[Change] = []
    signatures: list[Change] = []
    keys: list[Change] = []
    notes = list(file.notes)
    if file.ticks / file.ticks_per_quarter > MAX_QUARTERS:
        raise InvalidRequest(f"it lasts over {MAX_QUARTERS} quarter notes: its times are broken")
    for event in file.events:
        quarters = event.ticks / file.ticks_per_quarter
        try:
            if event.kind == SET_TEMPO:
                tempos.append(Change(quarters, bpm_meant(_tempo(event.data))))
            elif event.kind == TIME_SIGNATURE:
                signatures.append(Change(quarters, _signature(event.data)))
            elif event.kind == KEY_SIGNATURE:
                keys.append(Change(quarters, _key(event.data)))
        except ValueError as error:
            note = f"{error}: it was passed over"
            notes += [note] if note not in notes else []
    if not tempos:
        notes.append("it names no tempo: 120 is what MIDI means then")
    if not signatures:
        notes.append("it names no time signature: 4/4 is what MIDI means then")
    return Song(
        _from_start(tempos, 60e6 / DEFAULT_US_PER_QUARTER),
        _from_start(signatures, Signature(4, 4)),
        tuple(sorted(keys, key=lambda change: change.quarters)),
        file.ticks / file.ticks_per_quarter,
        tuple(notes),
    )


def _tempo(data: bytes) -> int:
    tempo = int.from_bytes(data[:3], "big")
    if len(data) < 3 or not tempo:
        raise ValueError("a tempo in it is not possible")
    return tempo


def _signature(data: bytes) -> Signature:
    if len(data) < 2 or data[1] > 6:
        raise ValueError("a time signature in it is not possible")
    try:
        return Signature(data[0], 2 ** data[1])
    except InvalidRequest:
        raise ValueError(
            f"a time signature in it is {data[0]}/{2 ** data[1]}, which is not possible"
        ) from None


def _key(data: bytes) -> Key:
    """Sharps (negative: flats) and 0 for major, 1 for minor."""
    if len(data) < 2:
        raise ValueError("a key signature in it is empty")
    sharps = data[0] - 256 if data[0] > 127 else data[0]
    if abs(sharps) > 7 or data[1] > 1:
        what = f"{abs(sharps)} {'flats' if sharps < 0 else 'sharps'} and mode {data[1]}"
        raise ValueError(f"a key signature in it has {what}, which is not possible")
    return Key((sharps * 7 + (9 if data[1] else 0)) % 12, MODES[data[1]])


def bpm_meant(us_per_quarter: int) -> float:
    """MIDI rounds a tempo to whole microseconds: this is the shortest bpm that rounds to the same."""
    exact = 60e6 / us_per_quarter
    for digits in range(4):
        if round(60e6 / (round(exact, digits) or 1)) == us_per_quarter:
            return round(exact, digits)
    return exact


def _from_start(changes: list[Change], default: float | Signature) -> tuple[Change, ...]:
    """In order, one per time (the last said counts), beginning at 0."""
    by_time = {change.quarters: change for change in sorted(changes, key=lambda change: change.quarters)}
    if 0.0 not in by_time:
        by_time = {0.0: Change(0.0, default), **by_time}
    return tuple(by_time.values())


def _value_at(changes: tuple[Change, ...], quarters: float) -> float | Signature | Key:
    value = changes[0].value
    for change in changes:
        if change.quarters <= quarters + 1e-6:
            value = change.value
    return value
