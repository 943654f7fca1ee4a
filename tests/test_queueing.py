"""The plan's arithmetic against what is known of queues, and against a simulation."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmarks.queueing import Service, erlang_c, length_at, lengths, replicas_for, simulated


@given(st.floats(0.01, 0.99))
def test_one_server_makes_wait_as_often_as_it_works(load: float) -> None:
    assert erlang_c(1, load) == pytest.approx(load)
    one = Service(rate=load, mean_s=1.0, cv=1.0, replicas=1)
    assert one.mean_wait_s == pytest.approx(load / (1 - load))  # M/M/1
    fixed = Service(rate=load, mean_s=1.0, cv=0.0, replicas=1)
    assert fixed.mean_wait_s == pytest.approx(load / (1 - load) / 2)  # M/D/1


def test_erlangs_own_table_is_met() -> None:
    # the sum of Erlang's formula itself, for ten servers with eight at work on average
    terms = [8.0**k / math.factorial(k) for k in range(10)]
    last = 8.0**10 / math.factorial(10) * 10 / (10 - 8.0)
    assert erlang_c(10, 8.0) == pytest.approx(last / (sum(terms) + last))
    assert erlang_c(3, 3.0) == erlang_c(3, 7.0) == 1.0


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.floats(0.01, 0.999))
def test_more_replicas_never_make_anybody_later(replicas: int, load: float) -> None:
    rate = load * replicas / 0.5
    fewer, more = (Service(rate, 0.5, 0.3, replicas + extra) for extra in (0, 1))
    assert 0 <= more.waiting <= fewer.waiting <= 1
    assert more.late(2.0) <= fewer.late(2.0) + 1e-12


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 0.8), st.floats(0.0, 0.5))
def test_the_fewest_replicas_are_enough_and_one_less_is_not(mean_s: float, cv: float) -> None:
    replicas = replicas_for(30.0, mean_s, cv, 2.0)
    if replicas is None:
        assert Service(30.0, mean_s, cv, 10_000).late(2.0) > 0.005  # 400 quantiles are all it counts by
        return
    assert Service(30.0, mean_s, cv, replicas).late(2.0) <= 0.01
    assert Service(30.0, mean_s, cv, replicas - 1).late(2.0) > 0.01 if replicas > 1 else True


def test_lengths_have_the_mean_and_spread_that_were_asked_for() -> None:
    drawn = [length_at((k + 0.5) / 20_000, 0.5, 0.3) for k in range(20_000)]
    mean = sum(drawn) / len(drawn)
    assert mean == pytest.approx(0.5, rel=1e-3)
    assert math.sqrt(sum((one - mean) ** 2 for one in drawn) / len(drawn)) == pytest.approx(0.15, rel=1e-2)


@pytest.mark.parametrize(
    ("replicas", "load", "cv"), [(1, 0.7, 1.0), (4, 0.8, 1.0), (4, 0.8, 0.0), (20, 0.9, 0.3)]
)
def test_the_simulation_waits_as_the_arithmetic_says(replicas: int, load: float, cv: float) -> None:
    rate = load * replicas / 0.5

    def length(chance: random.Random) -> float:
        return chance.expovariate(2.0) if cv == 1.0 else lengths(0.5, cv)(chance)

    wait_s, _ = simulated(rate, replicas, 2.0, length, 100_000)
    within = 0.06 if cv == 1.0 or replicas == 1 else 0.15  # exact for M/M/c, an approximation for the others
    assert wait_s == pytest.approx(Service(rate, 0.5, cv, replicas).mean_wait_s, rel=within)


def test_the_simulation_is_late_as_often_as_the_arithmetic_says() -> None:
    rate, mean_s = 1000 / 30, 0.5
    replicas = replicas_for(rate, mean_s, 0.3, 2.0)
    assert replicas is not None
    _, late = simulated(rate, replicas, 2.0, lengths(mean_s, 0.3), 100_000)
    assert late < 0.02
    _, late = simulated(rate, replicas - 1, 2.0, lengths(mean_s, 0.3), 100_000)
    assert late > 0.003
