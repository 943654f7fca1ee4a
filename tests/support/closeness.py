"""How far two ways of computing the same thing may be apart: by float rounding, and no further.

A sum of n products is off by about eps · √n of its size, because rounding errors are a random walk; sums that
feed one another (layers, steps) make n their product. `rounding(n)` is four times that, for what a summation
order can do that no test machine has shown (vector width, threads, fused multiplies, another BLAS). Errors
are counted in parts of the largest magnitude expected: a value near zero is the difference of large ones.
"""

from __future__ import annotations

from typing import Any

import torch

MARGIN = 4
STEPS, LAYERS, WIDTH = 8, 3, 96  # of the tiny models of the tests; the width is that of the longest sum
FORWARD = LAYERS * WIDTH
RUN = STEPS * FORWARD
GUIDED = 7**2 + 6**2  # guidance of 7 is 7 · conditional − 6 · unconditional: the variances of its errors


def rounding(accumulations: int, dtype: torch.dtype = torch.float32) -> float:
    """The largest error, relative to the largest magnitude, that so many additions may leave."""
    return float(MARGIN * torch.finfo(dtype).eps * accumulations**0.5)


def error(found: Any, expected: Any) -> float:
    """The largest difference of two arrays or tensors of one shape, in parts of the largest |expected|."""
    found, expected = (torch.as_tensor(one).detach().double() for one in (found, expected))
    assert found.shape == expected.shape, f"{tuple(found.shape)}, expected {tuple(expected.shape)}"
    difference, scale = (float(one.abs().max()) for one in (found - expected, expected))
    if not scale:
        return float("inf") if difference else 0.0
    return difference / scale


def assert_close(found: Any, expected: Any, within: float = rounding(RUN)) -> None:
    """`found` is `expected` up to `within` of its largest magnitude; without that, up to a run's rounding."""
    off = error(found, expected)
    assert off <= within, f"off by {off:.1e} of the largest magnitude, expected at most {within:.1e}"


def assert_differs(found: Any, expected: Any, by: float = 10 * rounding(RUN)) -> None:
    """`found` is another thing than `expected`: far more apart than rounding could bring it."""
    off = error(found, expected)
    assert off > by, f"the same up to {off:.1e} of the largest magnitude, expected more than {by:.1e}"
