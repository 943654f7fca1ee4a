"""Comparisons can fail: what rounding explains passes at any size, what it does not fails."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.closeness import FORWARD, assert_close, assert_differs, error, rounding

TESTS = Path(__file__).resolve().parent
ABSOLUTE = {"allclose", "isclose", "assert_allclose", "assert_almost_equal"}


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_rounding_passes_and_more_does_not_at_any_size(size):
    expected = size * torch.randn(100, generator=torch.Generator().manual_seed(0))
    largest = expected.abs().max()
    assert_close(expected + 0.9 * rounding(FORWARD) * largest, expected, rounding(FORWARD))
    with pytest.raises(AssertionError, match="of the largest magnitude"):
        assert_close(expected + 1.1 * rounding(FORWARD) * largest, expected, rounding(FORWARD))
    with pytest.raises(AssertionError, match="the same up to"):
        assert_differs(expected * (1 + rounding(FORWARD)), expected)
    assert_differs(expected * 1.01, expected)


@pytest.mark.parametrize("length", [10, 1_000, 100_000])
def test_sums_in_another_order_are_within_the_bound_and_not_far_below_it(length):
    random = np.random.default_rng(length)
    terms = random.standard_normal((length, 64)).astype(np.float32)
    forward, backward = (order.cumsum(axis=0, dtype=np.float32) for order in (terms, terms[::-1]))
    off = error(forward[-1], backward[-1])
    assert off <= rounding(length)
    assert off > rounding(length) / 1000


@pytest.mark.parametrize("harm", [float("nan"), float("inf")])
def test_what_is_no_number_is_never_close(harm):
    found = torch.ones(5)
    found[2] = harm
    for pair in ((found, torch.ones(5)), (torch.ones(5), found), (found, found)):
        with pytest.raises(AssertionError):
            assert_close(*pair)


def test_other_shapes_are_never_close_and_zeros_are_only_close_to_zeros():
    with pytest.raises(AssertionError, match=r"\(1, 5\), expected \(5,\)"):
        assert_close(torch.ones(1, 5), torch.ones(5))
    assert_close(np.zeros(3), np.zeros(3))
    with pytest.raises(AssertionError):
        assert_close(np.full(3, 1e-12), np.zeros(3))


def test_no_test_compares_arrays_with_an_absolute_tolerance():
    absolute = []
    for path in sorted(TESTS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ABSOLUTE:
                owner = node.value.id if isinstance(node.value, ast.Name) else ""
                if owner != "math":
                    absolute.append(f"{path.relative_to(TESTS)}:{node.lineno}: {ast.unparse(node)}")
            elif isinstance(node, ast.keyword) and node.arg == "atol":
                absolute.append(f"{path.relative_to(TESTS)}:{node.value.lineno}: atol")
            elif isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.testing":
                absolute.append(f"{path.relative_to(TESTS)}:{node.lineno}: torch.testing")
    assert absolute == [], "compare with tests.support.closeness: relative, and within what rounding explains"
