"""Parts of a job: every take once, in order, and cut only where the computation begins anew anyway."""

from hypothesis import given
from hypothesis import strategies as st

from acestep.clips.batches import MAX_BATCH, batches, parts
from acestep.request import GenerateRequest

REQUESTS = st.builds(
    lambda takes, candidates: GenerateRequest(prompt="p", takes=takes, candidates=candidates),
    st.integers(1, 16),
    st.integers(1, 8),
)


def rows_of(request: GenerateRequest, only: range, rows: int) -> list[tuple[int, ...]]:
    """What is computed together: candidates by their numbers, as `Cascade.generate` groups them."""
    each, found = request.candidates, []
    for batch in batches(request, only):
        numbers = range(batch.start * each, batch.stop * each)
        found += [tuple(numbers[start : start + rows]) for start in range(0, len(numbers), rows)]
    return found


@given(REQUESTS, st.sampled_from([1, 4, 8]))
def test_parts_compute_in_the_same_groups_as_the_whole(request: GenerateRequest, rows: int) -> None:
    whole = rows_of(request, range(request.takes), rows)
    cut = parts(request, rows)
    assert [take for part in cut for take in part] == list(range(request.takes))
    assert [group for part in cut for group in rows_of(request, part, rows)] == whole


@given(REQUESTS)
def test_a_call_makes_no_more_than_fits(request: GenerateRequest) -> None:
    for batch in batches(request, range(request.takes)):
        assert 0 < len(batch) * request.candidates <= max(MAX_BATCH, request.candidates)
