"""One follow: what it was asked, which segments it has, and which one it needs next and by when.

Decides, and makes nothing: `Conductor` has the segments made, and tells this what came of it. Not for several
threads at once. `now_s` is of the clock that the playhead's times are of.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep.errors import InvalidRequest, NotFound
from acestep.music.grid import bars_in_words
from acestep.request import MAX_SEED, SETTINGS, GenerateRequest
from server.follow.timeline import NEAR, Layout, Playhead, Slot

if TYPE_CHECKING:
    import numpy as np

    from acestep.clips.segment import Anchor

LEAD_S = 1.5  # a segment lies ready a bar before it begins, and never later than this
IDLE_S = 10.0  # a stopped playhead may wait this long for what it stands on
GUARD_S = 0.2  # before a segment begins, it is not exchanged any more: players have it already
HANDED_S = 0.1  # what comes later than this before its slot begins is for the slot behind it
FIRST_COST = 0.5  # seconds of making for a second of music, before any was made
SAME_TEMPO = 5e-4  # relative
FAMILIES = 1_000_003  # seeds between two families, so that their segments have seeds of their own
LOADED = 0.85  # of the machine: above, bars will be missing before long
LONGEST_BARS = 16.0
# What makes a sound another one, so that the next segment sets a new anchor; other changes keep it.
SOUND = (
    "prompt",
    "prompt_b",
    "morph",
    "key",
    "reference",
    "strength",
    "adapters",
    "cascade",
    "stages",
    "family",
)
# What segments cannot have.
REFUSED = ("tempo_map", "takes", "candidates", "context", "track", "repaint_s", "parts", "idea", "redo",
           "kind", "midi_out")  # fmt: skip


class Do(StrEnum):
    """What a segment comes from."""

    MAKE = "make"
    REPEAT = "repeat"  # another segment once more
    STRETCH = "stretch"  # the slot's own, to another tempo


@dataclass(frozen=True)
class Kept:
    """A segment that lies ready for its slot."""

    number: int  # counts what was made; a repeat has the number of what it repeats
    slot: Slot
    bpm: float
    path: Path
    version: int  # of the settings that it was made by
    fixed: bool = False  # was asked for by its number
    stopgap: bool = False  # repeats what was heard before, until there is something new


@dataclass(frozen=True)
class Need:
    """What a follow needs next."""

    do: Do
    slot: Slot
    bpm: float
    deadline_s: float
    version: int
    source: Kept | None = None  # of a repeat or stretch


@dataclass(frozen=True)
class Order:
    """What is to be made for a need, with what it has to go on from."""

    need: Need
    number: int
    request: GenerateRequest
    before: "np.ndarray | None"
    anchor: "Anchor | None"


class Follow:
    """A standing request."""

    def __init__(self, name: str, request: GenerateRequest, layout: Layout, now_s: float) -> None:
        self.name, self.layout = name, layout
        self.request = following(request)
        self.playhead = Playhead(bpm=request.bpm or 120.0, at_s=now_s)
        self.version = 0
        self.frozen = False
        self.relief = 0  # how often the machine was found too slow
        self.cost: float | None = None  # seconds of making for a second of music
        self.holes = 0  # slots that began without any music
        self.anchor: Anchor | None = None
        self._families = 0
        self._count = 0
        self._kept: list[Kept] = []  # by where they begin
        self._recalled: Kept | None = None
        self._last: np.ndarray | None = None  # audio of the segment that was made last

    # ---- what happens to it

    def move(self, playhead: Playhead) -> None:
        """The transport was heard of."""
        self.playhead = playhead

    def change(self, changes: Mapping[str, Any]) -> None:
        """Other settings, heard from the next segment on. Raises InvalidRequest, and then nothing changes."""
        request = following(dataclasses.replace(self.request, **changes))
        if request == self.request:
            return
        if any(getattr(request, name) != getattr(self.request, name) for name in SOUND):
            self.anchor = None
        self.request = request
        self.version += 1
        self._recalled = None

    def reshape(self, now_s: float, bars: float | None = None, signature: Any = None) -> None:
        """Segments of another signature, from the end of the one that sounds; of other bars, behind those
        that lie ready.
        """
        if (bars or self.layout.bars, signature or self.layout.signature) == (
            self.layout.bars,
            self.layout.signature,
        ):
            return
        at = self.playhead.quarters_at(now_s)
        if signature in (None, self.layout.signature):
            while self.at(self.layout.slot(at).end) is not None:
                at = self.layout.slot(at).end
        self.layout.change(at, bars, signature)
        if not self._kept:
            self.layout.restart()
        edge = self.layout.slot(at).end
        self._kept = [one for one in self._kept if one.slot.start < edge - NEAR]
        self.anchor = None

    def freeze(self, on: bool) -> None:
        """Whether what sounds is repeated until this is taken back."""
        if self.frozen != on:
            self.frozen = on
            self._recalled = None

    def vary(self) -> None:
        """Another family, from the next segment on."""
        self._families += 1
        self.version += 1
        self.anchor = None
        self.frozen, self._recalled = False, None

    def recall(self, number: int) -> None:
        """Brings a segment back as the next one. Raises NotFound; InvalidRequest for one of other bars."""
        found = next((one for one in self._kept if one.number == number), None)
        if found is not None and abs(found.slot.length - self.layout.length) > NEAR:
            raise InvalidRequest(
                f"segment {number} has {bars_in_words(found.slot.bars)} of {found.slot.signature}, and the "
                f"next has {self.layout.bars:g} of {self.layout.signature}: expected one as long"
            )
        if found is None:
            raise NotFound(
                f"follow {self.name} has no segment {number}: there are {self._count} so far, from 0 on"
            )
        self._recalled = found

    # ---- what it needs

    def need(self, now_s: float) -> Need | None:
        """What is needed next, or None while all is ready."""
        place = self.playhead.quarters_at(now_s)
        here = self.layout.slot(place)
        if not self.playhead.playing:
            idle = (self._wanted(slot, now_s, now_s + IDLE_S) for slot in (here, self.layout.slot(here.end)))
            return next((need for need in idle if need), None)
        own = self.at(here.start)
        if own is None and place >= here.start - NEAR:
            left_s = self.playhead.reaches_s(here.end) - now_s
            if left_s > self.making_s(here) + self.beat_s:
                return self._new(here, now_s)
        elif own is None:
            return self._new(here, self.playhead.reaches_s(here.start) - self.lead_s(here))
        elif self._is_off(own) and place < here.end - 1:
            return Need(Do.STRETCH, here, self.playhead.bpm, now_s, self.version, own)
        behind = self.layout.slot(here.end)
        need = self._ahead(behind, now_s)
        ready = self.at(behind.start)
        if need is None and ready is not None and self._is_stale(ready):  # too late for it: on to the next
            need = self._ahead(self.layout.slot(behind.end), now_s)
        return need

    def _ahead(self, slot: Slot, now_s: float) -> Need | None:
        return self._wanted(slot, now_s, self.playhead.reaches_s(slot.start) - self.lead_s(slot))

    def _wanted(self, slot: Slot, now_s: float, deadline_s: float) -> Need | None:
        """What is to be done so that a slot which is not heard yet holds what is wanted now."""
        own, source = self.at(slot.start), self._source(slot)
        spare_s = self.playhead.reaches_s(slot.start) - now_s - GUARD_S if self.playhead.playing else IDLE_S
        if source is not None:
            there = own is not None and own.number == source.number and not self._is_off(own)
            return (
                None if there else Need(Do.REPEAT, slot, self.playhead.bpm, deadline_s, self.version, source)
            )
        if own is None:
            return self._new(slot, deadline_s)
        off = self._is_off(own)
        if (off or self._is_stale(own)) and spare_s > self.making_s(slot):
            return self._new(slot, deadline_s)
        if off and spare_s > 0:
            return Need(Do.STRETCH, slot, self.playhead.bpm, deadline_s, self.version, own)
        return None

    def _source(self, slot: Slot) -> Kept | None:
        """What a slot is to repeat, if anything."""
        if self._recalled is not None:
            return self._recalled if _same_length(self._recalled.slot, slot) else None
        if not self.frozen:
            return None
        before = [
            one for one in self._kept if one.slot.start < slot.start - NEAR and _same_length(one.slot, slot)
        ]
        return before[-1] if before else None

    def _new(self, slot: Slot, deadline_s: float) -> Need:
        return Need(Do.MAKE, slot, self.playhead.bpm, deadline_s, self.version)

    def stopgap(self, now_s: float) -> Need | None:
        """A repeat of what sounds, once nothing else can be ready for the next slot in time."""
        if not self.playhead.playing:
            return None
        here = self.layout.slot(self.playhead.quarters_at(now_s))
        behind = self.layout.slot(here.end)
        own = self.at(here.start)
        late = now_s >= self.playhead.reaches_s(behind.start) - self.lead_s(behind)
        if (
            own is None
            or not late
            or self.at(behind.start)
            or not _same_length(here, behind)
            or self._is_off(own)
        ):
            return None
        return Need(Do.REPEAT, behind, self.playhead.bpm, now_s, self.version, own)

    def order(self, need: Need) -> Order:
        """What making comes down to."""
        first = self._last is None
        own = self.request.seed if self.request.family is None else self.request.family
        assert own is not None
        family = (own + FAMILIES * self._families) % (MAX_SEED + 1)
        request = dataclasses.replace(
            self.request,
            bpm=need.bpm,
            bars=need.slot.bars,
            signature=need.slot.signature,
            seed=(family + 1 + self._count) % (MAX_SEED + 1),
            family=family,
            variation=0.0 if first else self.request.variation,
        )
        return Order(need, self._count, request, self._last, self.anchor)

    # ---- what came of it

    def made(
        self, order: Order, path: Path, audio: "np.ndarray", anchor: "Anchor", now_s: float
    ) -> Kept | None:
        """A segment was made. Gives what is kept, or None where it came too late for anything."""
        self._count = order.number + 1
        if order.need.version == self.version:
            self.anchor = anchor
        self._last = audio
        slot = order.need.slot
        if self.layout.slot(slot.start) != slot:  # bars are others meanwhile
            return None
        own = self.at(slot.start)
        begun = self.playhead.playing and self.playhead.reaches_s(slot.start) < now_s + HANDED_S
        if begun and own is not None:
            behind = self.layout.slot(slot.end)
            if self.at(behind.start) is not None or not _same_length(slot, behind):
                return None
            slot = behind
        return self.keep(Kept(order.number, slot, order.need.bpm, path, order.need.version))

    def repeated(self, need: Need, path: Path) -> Kept:
        """A segment of before is to be heard in the need's slot, at its tempo."""
        source = need.source
        assert source is not None
        if need.do is Do.STRETCH:
            return self.keep(dataclasses.replace(source, slot=need.slot, bpm=need.bpm, path=path))
        fixed = self._recalled is source
        if fixed:
            self._recalled = None
        return self.keep(Kept(source.number, need.slot, need.bpm, path, self.version, fixed, not fixed))

    def keep(self, kept: Kept) -> Kept:
        """In place of what was there."""
        self._kept = [one for one in self._kept if abs(one.slot.start - kept.slot.start) > NEAR]
        self._kept.append(kept)
        self._kept.sort(key=lambda one: one.slot.start)
        return kept

    def forget(self, path: Path) -> None:
        """The file of a segment is about to go."""
        self._kept = [one for one in self._kept if one.path != path]

    def took(self, seconds: float, slot: Slot, bpm: float) -> None:
        """How long making took."""
        cost = seconds / (slot.length * 60 / bpm)
        self.cost = cost if self.cost is None else 0.6 * self.cost + 0.4 * cost

    # ---- what is asked

    def at(self, start: float) -> Kept | None:
        """What lies ready for the slot that begins there."""
        return next((one for one in self._kept if abs(one.slot.start - start) <= NEAR), None)

    @property
    def kept(self) -> tuple[Kept, ...]:
        """All that was made and not replaced, in the order of the song."""
        return tuple(self._kept)

    @property
    def beat_s(self) -> float:
        """A quarter note at the tempo there is."""
        return 60 / self.playhead.bpm

    def lead_s(self, slot: Slot) -> float:
        """How long before it begins a segment is to lie ready."""
        return max(LEAD_S, slot.signature.quarters_per_bar * self.beat_s)

    def making_s(self, slot: Slot) -> float:
        """How long a segment takes to make, as far as is known."""
        return (FIRST_COST if self.cost is None else self.cost) * slot.length * self.beat_s

    def _is_stale(self, kept: Kept) -> bool:
        """Whether something new is to take its place."""
        return kept.stopgap or kept.version != self.version

    def _is_off(self, kept: Kept) -> bool:
        return abs(kept.bpm / self.playhead.bpm - 1) > SAME_TEMPO


def following(request: GenerateRequest) -> GenerateRequest:
    """The request that a follow keeps. Raises InvalidRequest for what its segments cannot have."""
    odd = [name for name in REFUSED if getattr(request, name) != SETTINGS[name].default]
    if odd:
        raise InvalidRequest(
            f"a follow has no {', '.join(odd)}: it makes one segment after the other, on the bars of the "
            "transport; leave that out"
        )
    return request


def _same_length(one: Slot, other: Slot) -> bool:
    return abs(one.length - other.length) <= NEAR
