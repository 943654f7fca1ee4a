"""Fixtures that several test files share, and which tests CI runs once more as other CPUs would."""

from collections.abc import Iterator
from types import CodeType

import pytest

from tests.live.daemon import daemon, tiny_nano
from tests.live.studio import controller, live, live_home

__all__ = ["controller", "daemon", "live", "live_home", "tiny_nano"]

COMPARISONS = {"assert_close", "assert_differs", "assert_same", "assert_same_effect", "equal", "array_equal"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as `numeric` every test that compares computed numbers: its function calls a comparison."""
    for item in items:
        function = getattr(item, "function", None)
        inner = getattr(getattr(function, "hypothesis", None), "inner_test", function)
        if inner is not None and not COMPARISONS.isdisjoint(names(inner.__code__)):
            item.add_marker("numeric")


def names(code: CodeType) -> Iterator[str]:
    """What a function calls or reads by name, inner functions and comprehensions included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names(constant)
