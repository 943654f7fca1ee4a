"""Schedules, legs, hand-over and guidance as plain functions."""

from __future__ import annotations

import math

import pytest
import torch

from acestep.checkpoints.schedule import Guidance, Leg, Schedule, StagePlan, joined, legs, sigmas
from acestep.errors import InvalidRequest
from acestep.model.sampling import Momentum, apg, cfg, follow, renoise
from tests.support.closeness import STEPS, assert_close, assert_differs, rounding


def plans(*bounds: tuple[str, int, int], schedule: Schedule = Schedule(8, 3.0)) -> list[StagePlan]:  # noqa: B008
    return [StagePlan(name, (first, last), schedule, Guidance()) for name, first, last in bounds]


def test_the_turbo_schedule_is_the_published_one():
    published = [1, 0.9545, 0.9, 0.8333, 0.75, 0.6429, 0.5, 0.3, 0]
    assert sigmas(Schedule(8, 3.0)) == pytest.approx(published, abs=0.5e-4)  # of four digits


def test_a_schedule_without_shift_is_even():
    assert sigmas(Schedule(4, 1.0)) == pytest.approx([1, 0.75, 0.5, 0.25, 0])


def test_stages_meet_at_the_same_noise_level():
    way = legs(plans(("l", 0, 3), ("m", 3, 6), ("s", 6, 8)))
    assert [leg.stage for leg in way] == ["l", "m", "s"]
    assert way[0].sigmas[-1] == way[1].sigmas[0]
    assert way[1].sigmas[-1] == way[2].sigmas[0]
    assert way[0].sigmas + way[1].sigmas[1:] + way[2].sigmas[1:] == sigmas(Schedule(8, 3.0))


@pytest.mark.parametrize(
    ("chosen", "steps"),
    [
        (["l"], [8]),
        (["m"], [8]),
        (["s"], [8]),
        (["l", "m"], [3, 5]),
        (["m", "s"], [6, 2]),
        (["l", "s"], [6, 2]),
    ],
)
def test_stages_left_out_leave_no_hole(chosen, steps):
    way = legs(plans(("l", 0, 3), ("m", 3, 6), ("s", 6, 8)), chosen)
    assert [leg.stage for leg in way] == chosen
    assert [leg.steps for leg in way] == steps
    assert way[0].sigmas[0] == 1
    assert way[-1].sigmas[-1] == 0


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 16, 33])
def test_another_number_of_steps_is_shared_out_like_the_schedule(steps):
    way = legs(plans(("l", 0, 3), ("m", 3, 6), ("s", 6, 8)), (), steps)
    assert sum(leg.steps for leg in way) == steps
    assert way[0].sigmas[0] == 1
    assert way[-1].sigmas[-1] == 0


def test_an_unknown_stage_is_named_with_those_there_are():
    with pytest.raises(InvalidRequest, match="no stage x in this cascade: it has l, m"):
        legs(plans(("l", 0, 3), ("m", 3, 8)), ("x",))


def test_a_gap_between_schedules_is_closed_by_the_stage_before():
    way = joined([Leg("a", (1.0, 0.8, 0.6)), Leg("b", (0.5, 0.0))])
    assert way[0].sigmas == (1.0, 0.8, 0.5)


def test_a_stage_that_would_overshoot_stops_where_the_next_begins():
    mixed = [
        StagePlan("turbo", (0, 3), Schedule(8, 3.0), Guidance()),
        StagePlan("base", (5, 50), Schedule(50, 1.0), Guidance(7.0)),
    ]
    way = legs(mixed)
    assert way[1].sigmas[0] == pytest.approx(0.9)
    # the turbo stage ends below: the loop adds noise up to the base stage's start
    assert way[0].sigmas[-1] < way[1].sigmas[0]


def test_noising_up_gives_the_variance_of_the_higher_level():
    generator = torch.Generator().manual_seed(0)
    clean = torch.zeros(1, 200_000, 1)
    low, high = 0.4, 0.9
    x = (1 - low) * clean + low * torch.randn(clean.shape, generator=generator)
    up = renoise(x, low, high, torch.randn(clean.shape, generator=generator))
    assert up.std().item() == pytest.approx(high, rel=0.01)


def test_noising_up_keeps_the_clean_part_of_the_higher_level():
    clean = torch.full((1, 4, 1), 2.0)
    up = renoise((1 - 0.4) * clean, 0.4, 0.9, torch.zeros_like(clean))
    assert_close(up, (1 - 0.9) * clean, rounding(1))


def test_a_straight_flow_is_followed_exactly_through_any_legs():
    generator = torch.Generator().manual_seed(1)
    noise, data = torch.randn(2, 1, 16, 4, generator=generator)
    way = legs(plans(("l", 0, 3), ("m", 3, 8)))
    end = follow(noise, way, lambda *_: noise - data, lambda: noise)
    assert_close(end, data, rounding(STEPS))


def test_adams_has_a_fourth_of_the_error_in_twice_the_steps_euler_half():
    def error(solver: str, steps: int) -> float:
        way = legs(plans(("l", 0, 2), ("m", 2, 8), schedule=Schedule(8, 1.0, solver)), steps=steps)
        end = follow(torch.ones(1, 4, 1, dtype=torch.float64), way, lambda leg, step, x: 2 * x, lambda: x0)
        return abs(end[0, 0, 0].item() - math.exp(-2))

    x0 = torch.ones(1, 4, 1)
    assert error("euler", 32) / error("euler", 64) == pytest.approx(2, rel=0.1)
    assert error("adams", 32) / error("adams", 64) == pytest.approx(4, rel=0.15)
    assert error("adams", 8) < 0.5 * error("euler", 8)


def test_overlapping_stages_are_noised_up_between():
    drawn = []

    def fresh() -> torch.Tensor:
        drawn.append(1)
        return torch.zeros(1, 4, 1)

    follow(torch.ones(1, 4, 1), legs(plans(("l", 0, 5), ("m", 3, 8))), lambda *_: torch.zeros(1, 4, 1), fresh)
    assert drawn == [1]


def test_guidance_of_one_changes_nothing():
    cond, uncond = torch.randn(2, 1, 8, 4, generator=torch.Generator().manual_seed(0))
    assert_close(cfg(cond, uncond, 1.0), cond, rounding(1))
    assert_close(apg(cond, uncond, 1.0, Momentum()), cond, rounding(1))


def test_projected_guidance_adds_nothing_along_the_conditional_velocity():
    cond, uncond = torch.randn(2, 1, 8, 4, generator=torch.Generator().manual_seed(0))
    added = apg(cond, uncond, 7.0, Momentum()) - cond
    along = (added * cond).sum(1)
    assert along.abs().max() <= rounding(cond.shape[1]) * (added * cond).abs().sum(1).max()
    assert_differs(cond + added, cond)


def test_guidance_applies_only_within_its_interval():
    guidance = Guidance(7.0, interval=(0.2, 0.6))
    assert [guidance.applies(1 - way) for way in (0.1, 0.25, 0.55, 0.7)] == [False, True, True, False]
    assert not Guidance(1.0).applies(0.5)
    assert math.isclose(Guidance(3.0).scale, 3.0)
