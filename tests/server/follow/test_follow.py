"""What a follow needs and when, over a clock that the tests move: jumps, tempi, stops, late answers."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep.clips.segment import Anchor
from acestep.errors import InvalidRequest, NotFound
from acestep.music.grid import Signature
from acestep.request import GenerateRequest
from server.follow.follow import Do, Follow, Kept, Need
from server.follow.timeline import NEAR, Layout, Playhead

STEP_S = 0.08


@dataclass
class Studio:
    """A transport, a follow, and somebody who makes what it needs in `cost` × its length."""

    follow: Follow
    cost: float = 0.2
    now_s: float = 0.0
    told: list[tuple[float, Kept]] = field(default_factory=list)
    heard: list[tuple[float, Kept | None]] = field(default_factory=list)  # quarters, and what sounds there
    _busy: tuple[float, Need] | None = None

    def play(self, quarters: float = 0.0, bpm: float = 120.0) -> None:
        self.follow.move(Playhead(quarters, bpm, True, self.now_s))

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self._step()
            self.now_s += STEP_S

    def _step(self) -> None:
        if self._busy and self.now_s >= self._busy[0]:
            self._finish(self._busy[1])
            self._busy = None
        if (gap := self.follow.stopgap(self.now_s)) and gap.source:
            self._keep(self.follow.repeated(gap, gap.source.path))
        if self._busy is None and (need := self.follow.need(self.now_s)):
            length_s = need.slot.length * 60 / need.bpm
            self._busy = (self.now_s + (self.cost * length_s if need.do is Do.MAKE else 0.0), need)
        if self.follow.playhead.playing:
            place = self.follow.playhead.quarters_at(self.now_s)
            here = self.follow.layout.slot(place)
            self.heard.append((place, self.follow.at(here.start) if place >= here.start - NEAR else None))

    def _finish(self, need: Need) -> None:
        if need.do is not Do.MAKE:
            assert need.source
            self._keep(self.follow.repeated(need, need.source.path))
            return
        order = self.follow.order(need)
        path = Path(f"{order.number}.wav")
        self.follow.took(self.cost * need.slot.length * 60 / need.bpm, need.slot, need.bpm)
        kept = self.follow.made(order, path, np.zeros((2, 8), np.float32), Anchor(-14.0, 2_000.0), self.now_s)
        if kept:
            self._keep(kept)

    def _keep(self, kept: Kept) -> None:
        self.told.append((self.now_s, kept))

    def numbers(self) -> list[int | None]:
        """The segments that were heard, one after the other; None is silence."""
        found = [kept.number if kept else None for _, kept in self.heard]
        return [number for number, _ in itertools.groupby(found)]


def studio(cost: float = 0.2, bars: float = 4.0, **values: object) -> Studio:
    request = GenerateRequest(prompt="house", seed=5, **values)
    return Studio(Follow("f", request, Layout(bars, request.signature or Signature()), 0.0), cost)


def test_a_stopped_transport_finds_its_bars_ready() -> None:
    made = studio()
    made.run(6)
    assert [kept.slot.start for _, kept in made.told] == [0, 16]
    made.play()
    made.run(1)
    assert made.numbers() == [0]


def test_segments_follow_each_other_without_a_hole_and_each_is_told_in_time() -> None:
    made = studio()
    made.run(5)
    made.play()
    made.run(100)
    assert made.numbers() == list(range(len(made.numbers())))
    for at_s, kept in made.told[2:]:
        begins_s = made.follow.playhead.reaches_s(kept.slot.start)
        assert begins_s - at_s >= 2.0 - STEP_S  # a bar at 120


@given(
    bpm=st.floats(40, 240),
    signature=st.sampled_from(["4/4", "3/4", "6/8", "7/8", "5/4"]),
    bars=st.sampled_from([2, 4, 8]),
    cost=st.floats(0.02, 0.35),
)
@settings(max_examples=15, deadline=None)
def test_whatever_the_grid_there_is_no_hole(bpm: float, signature: str, bars: int, cost: float) -> None:
    made = studio(cost, bars, signature=signature)
    length_s = made.follow.layout.slot(0).length * 60 / bpm
    made.follow.move(Playhead(0, bpm, False, 0.0))
    made.run(2 * cost * length_s + 2 * length_s)
    made.play(0, bpm)
    made.run(5 * length_s)
    assert None not in made.numbers()
    lead_s = made.follow.lead_s(made.follow.layout.slot(0))
    if length_s * (1 - cost) > lead_s + 0.3:  # there was time to make each before it had to be ready
        assert made.numbers() == list(range(len(made.numbers())))


moves = st.one_of(
    st.tuples(st.just("jump"), st.floats(-4, 200)),
    st.tuples(st.just("stop"), st.just(0.0)),
    st.tuples(st.just("tempo"), st.floats(60, 200)),
    st.tuples(st.just("bars"), st.sampled_from([1.0, 2.0, 4.0, 8.0])),
    st.tuples(st.just("signature"), st.sampled_from([3.0, 4.0, 7.0])),
    st.tuples(st.just("freeze"), st.sampled_from([0.0, 1.0])),
    st.tuples(st.just("vary"), st.just(0.0)),
    st.tuples(st.just("set"), st.floats(0, 1)),
)


@given(story=st.lists(st.tuples(moves, st.floats(0.1, 9)), max_size=12), cost=st.floats(0.02, 1.6))
@settings(max_examples=30, deadline=None)
def test_no_bar_is_ever_wrong(story: list[tuple[tuple[str, float], float]], cost: float) -> None:
    made = studio(cost)
    made.play()
    for (what, value), seconds in story:
        act(made, what, value)
        made.run(seconds)
    kept = made.follow.kept
    for one, other in itertools.pairwise(kept):
        assert one.slot.end <= other.slot.start + 1e-6
    for one in kept:
        assert abs(made.follow.layout.slot(one.slot.start).start - one.slot.start) < 1e-6
    if cost < 0.3:  # and it always comes back
        made.play(made.follow.playhead.quarters_at(made.now_s) % 64, 120)
        made.heard.clear()
        made.run(60)
        assert made.heard[-1][1] is not None


def act(made: Studio, what: str, value: float) -> None:
    follow, head = made.follow, made.follow.playhead
    at = head.quarters_at(made.now_s)
    match what:
        case "jump":
            made.play(value, head.bpm)
        case "stop":
            follow.move(Playhead(at, head.bpm, False, made.now_s))
        case "tempo":
            made.play(at, value)
        case "bars":
            follow.reshape(made.now_s, bars=value)
        case "signature":
            follow.reshape(made.now_s, signature=Signature(int(value), 4))
        case "freeze":
            follow.freeze(bool(value))
        case "vary":
            follow.vary()
        case "set":
            follow.change({"variation": value})


def test_another_prompt_is_heard_within_a_segment_and_a_bar() -> None:
    for after_s in np.linspace(0.1, 7.9, 14):
        made = studio()
        made.run(5)
        made.play()
        made.run(8 + after_s)
        made.follow.change({"prompt": "techno"})
        version, asked = made.follow.version, made.follow.playhead.quarters_at(made.now_s)
        made.heard.clear()
        made.run(12)
        first = next(place for place, kept in made.heard if kept and kept.version == version)
        assert first - asked <= 16 + 4 + 0.2


def test_a_jump_back_plays_what_was_heard_there_and_a_jump_ahead_is_silent_until_it_is_made() -> None:
    made = studio()
    made.run(5)
    made.play()
    made.run(30)
    made.heard.clear()
    made.play(4)
    made.run(2)
    assert made.numbers() == [0]
    made.heard.clear()
    made.play(160)
    made.run(6)
    assert [number is None for number in made.numbers()] == [True, False]


def test_a_new_tempo_stretches_what_sounds_and_the_next_is_made_for_it() -> None:
    made = studio()
    made.run(5)
    made.play()
    made.run(3)
    made.play(made.follow.playhead.quarters_at(made.now_s), 126)
    made.run(12)
    by_start = {kept.slot.start: kept for _, kept in made.told}
    assert by_start[0].bpm == by_start[16].bpm == 126
    assert by_start[0].number == 0
    assert by_start[16].number > 1


def test_frozen_music_repeats_until_it_is_let_go() -> None:
    made = studio()
    made.run(5)
    made.play()
    made.run(9)
    made.follow.freeze(True)
    made.run(30)
    assert made.numbers() == [0, 1]
    made.follow.freeze(False)
    made.run(16)
    assert made.numbers()[-1] > 1


def test_a_segment_can_be_brought_back_once() -> None:
    made = studio()
    made.run(5)
    made.play()
    made.run(18)
    made.follow.recall(0)
    made.run(24)
    numbers = made.numbers()
    assert numbers[:4] == [0, 1, 2, 0]
    assert numbers[4] not in (0, 1, 2)
    with pytest.raises(NotFound, match="no segment 99"):
        made.follow.recall(99)


def test_too_slow_a_machine_repeats_and_never_leaves_a_hole_once_it_plays() -> None:
    made = studio(cost=1.5)
    made.run(40)
    made.play()
    made.run(80)
    assert None not in made.numbers()
    assert len(set(made.numbers())) >= 80 / (1.5 * 8) - 1  # as many as it can make


def test_a_family_is_one_seed_and_varying_leaves_it() -> None:
    made = studio()
    made.run(5)
    slot = made.follow.layout.slot(32)
    first = made.follow.order(Need(Do.MAKE, slot, 120, 0, 0)).request
    assert (first.family, first.variation, first.bars) == (5, 0.5, 4)
    made.follow.vary()
    other = made.follow.order(Need(Do.MAKE, slot, 120, 0, 1)).request
    assert other.family != first.family
    assert other.seed != first.seed


@pytest.mark.parametrize(
    ("values", "named"),
    [({"takes": 2}, "takes"), ({"parts": "drums, bass"}, "parts"), ({"kind": "oneshot"}, "kind")],
)
def test_what_segments_cannot_have_is_refused(values: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidRequest, match=f"a follow has no .*{named}"):
        studio(**values)
