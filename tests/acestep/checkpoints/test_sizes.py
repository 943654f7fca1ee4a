"""The table of sizes against real modules, built without memory."""

import pytest

from acestep.checkpoints.memory import PUBLISHED
from tests.support.variants import VARIANTS, build, parameter_counts, published_count


@pytest.mark.parametrize("name", ["l", "m", "s"])
def test_each_size_has_the_published_number_of_parameters(name):
    assert published_count(VARIANTS[name]) == pytest.approx(PUBLISHED[name], rel=0.02)


def test_sizes_are_counted_without_using_memory():
    parts = build(VARIANTS["l"])
    assert {weight.device.type for part in parts.values() for weight in part.parameters()} == {"meta"}


def test_the_smaller_size_is_smaller_in_every_part():
    small, medium = parameter_counts(VARIANTS["s"]), parameter_counts(VARIANTS["m"])
    assert all(small[part] <= medium[part] for part in small)
    assert small["transformer"] < 0.4 * medium["transformer"]
