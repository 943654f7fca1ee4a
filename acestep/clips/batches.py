"""Which takes of a request are made together, and where a job can be cut without changing a sample."""

from math import gcd

from acestep.request import GenerateRequest

MAX_BATCH = 16  # takes made in one call; fixed, so that a sidecar's batch can be made again


def batches(request: GenerateRequest, only: range) -> list[range]:
    """The takes of `only`, as many at a time as are made in one call."""
    return [
        range(max(batch.start, only.start), min(batch.stop, only.stop))
        for batch in _all(request)
        if max(batch.start, only.start) < min(batch.stop, only.stop)
    ]


def parts(request: GenerateRequest, rows: int) -> list[range]:
    """The takes, cut where a device that computes `rows` of them at once begins anew.

    Within a part everything is computed in the same batches as in the whole, so its samples are the same.
    """
    step = rows // gcd(rows, request.candidates)
    return [
        range(first, min(first + step, batch.stop))
        for batch in _all(request)
        for first in range(batch.start, batch.stop, step)
    ]


def _all(request: GenerateRequest) -> list[range]:
    step = max(1, MAX_BATCH // request.candidates)
    return [range(first, min(first + step, request.takes)) for first in range(0, request.takes, step)]
