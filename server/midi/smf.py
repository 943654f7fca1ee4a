"""Standard MIDI files as they come: chunks, tracks, and the events that say something about time and key.

Own code because mido ends at the first key signature, chunk or track count that is not right, and other
programs play such files.
"""

import struct
from dataclasses import dataclass

from acestep.errors import InvalidRequest

SET_TEMPO, TIME_SIGNATURE, KEY_SIGNATURE, END_OF_TRACK = 0x51, 0x58, 0x59, 0x2F
META, SYSEX, SYSEX_MORE = 0xFF, 0xF0, 0xF7
WANTED = (SET_TEMPO, TIME_SIGNATURE, KEY_SIGNATURE)
DATA_BYTES = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}  # of channel messages
SYSTEM_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}  # they do not belong into files, and some programs write them
MAX_EVENTS = 100_000  # a song has some ten thousand; so many are read within a second
MAX_HEAD_BYTES = 1 << 12  # of a wrapping, such as RMID's or a MacBinary header


@dataclass(frozen=True)
class MetaEvent:
    """A tempo, time signature or key signature, `ticks` from the start of the file."""

    ticks: int
    kind: int
    data: bytes


@dataclass(frozen=True)
class MidiFile:
    """What a file says of its time. `ticks` is the length of its longest track."""

    format: int
    ticks_per_quarter: int  # negative: film frames
    events: tuple[MetaEvent, ...]
    ticks: int
    notes: tuple[str, ...]


def read_smf(data: bytes) -> MidiFile:
    """Reads a file, also one wrapped in RIFF (RMID). Raises ValueError for what is none or cut off, and
    InvalidRequest for more than MAX_EVENTS."""
    at = data.find(b"MThd", 0, MAX_HEAD_BYTES)
    if at < 0:
        raise ValueError("it has no MThd header")
    if len(data) < at + 14:
        raise ValueError("it is too short")
    size, kind, promised, division = struct.unpack_from(">IHHh", data, at + 4)
    notes = [] if at == 0 else ["it is wrapped in another format (RMID): what is inside was read"]
    events: list[MetaEvent] = []
    tracks = length = read_events = 0
    unknown: list[str] = []
    at += 8 + max(6, size)
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "big")
        if name == b"MTrk":
            if at + 8 + size > len(data):
                raise ValueError("its last track is not whole")
            ticks, read = _read_track(data[at + 8 : at + 8 + size], events, MAX_EVENTS - read_events)
            length, read_events = max(length, ticks), read_events + read
            tracks += 1
        elif not (name.isascii() and name.decode("ascii").isprintable()) or at + 8 + size > len(data):
            notes.append(f"the last {len(data) - at} bytes do not belong to a track and were passed over")
            break
        else:
            unknown.append(name.decode("ascii").strip())
        at += 8 + size
    if not tracks:
        raise ValueError("it has no track")
    if unknown:
        notes.append(f"it has parts of an unknown kind, which were passed over: {', '.join(unknown[:5])}")
    if tracks != promised:
        notes.append(f"its header counts {promised} tracks and it has {tracks}: those were read")
    return MidiFile(kind, division, tuple(events), length, tuple(notes))


def _read_track(track: bytes, events: list[MetaEvent], most: int) -> tuple[int, int]:
    """Puts the wanted events of a track into `events`; gives its length in ticks and how many it has."""
    at = ticks = status = count = 0
    try:
        while at < len(track):
            count += 1
            if count > most:
                raise InvalidRequest(f"more than {MAX_EVENTS} events")
            delta, at = _number(track, at)
            ticks += delta
            if track[at] >= 0x80:
                kind, at = track[at], at + 1
            elif status:
                kind = status  # running: the last channel message goes on
            else:
                raise ValueError("a track begins with data")
            if kind == META:
                meta = track[at]
                size, at = _number(track, at + 1)
                if meta in WANTED:
                    events.append(MetaEvent(ticks, meta, track[at : at + size]))
                if meta == END_OF_TRACK:
                    break
                at += size
            elif kind in (SYSEX, SYSEX_MORE):
                size, at = _number(track, at)
                at += size
            elif kind < 0xF0:
                status = kind
                at += DATA_BYTES[kind >> 4]
            else:
                at += SYSTEM_BYTES.get(kind, 0)
    except IndexError:
        raise ValueError("a track ends within an event") from None
    return ticks, count


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place behind it."""
    value = 0
    for _ in range(4):
        byte, at = data[at], at + 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    raise ValueError("a number in a track is too long")
