"""Plans for machines of every size."""

import pytest
import torch

from acestep import errors
from acestep.checkpoints.checkpoint import find, read_spec
from acestep.checkpoints.memory import Parameters, free_bytes, plan
from tests.support.variants import VARIANTS, parameter_counts

GB = 1e9


@pytest.fixture(scope="module")
def sizes():
    """Parameters by stage, of L, M and S, and what they share."""
    counts = {name: parameter_counts(VARIANTS[name]) for name in ("l", "m", "s")}
    shared = counts["l"]["text_encoder"] + counts["l"]["codec"]
    stages = {
        name: Parameters(
            parts["transformer"],
            sum(n for part, n in parts.items() if part not in ("transformer", "text_encoder", "codec")),
        )
        for name, parts in counts.items()
    }
    return stages, shared


@pytest.mark.parametrize(
    ("device", "free_gb", "stages", "resident"),
    [
        ("cuda", 79, ("l", "m", "s"), True),
        ("cuda", 24, ("l", "m", "s"), True),
        ("cuda", 16, ("l", "m", "s"), False),
        ("cuda", 12, ("l", "m", "s"), False),
        ("cuda", 7, ("s",), True),
        ("cpu", 64, ("s",), True),
        ("cpu", 16, ("s",), True),
    ],
)
def test_each_machine_gets_what_fits(sizes, device, free_gb, stages, resident):
    chosen = plan(*sizes, device, free_gb * GB)
    assert (chosen.stages, chosen.resident) == (stages, resident)
    assert chosen.needed_bytes < free_gb * GB
    assert f"{free_gb:.1f} GB free on {device}" in str(chosen)


def test_stages_that_were_named_are_kept_on_a_cpu(sizes):
    chosen = plan(*sizes, "cpu", 64 * GB, ("l", "s"))
    assert chosen.stages == ("l", "s")
    assert chosen.dtype == "float32"


def test_int8_and_small_windows_come_before_a_stage_is_left_out(sizes):
    chosen = plan(*sizes, "cuda", 12 * GB)
    assert chosen.int8
    assert "in int8 (no adapters)" in str(chosen)
    assert plan(*sizes, "cuda", 12 * GB, int8=False).stages == ("m", "s")
    assert not plan(*sizes, "cuda", 24 * GB).int8
    assert (
        plan(*sizes, "cuda", 24 * GB, int8=True).needed_bytes
        < 0.7 * plan(*sizes, "cuda", 24 * GB).needed_bytes
    )
    tight = min(gb / 10 for gb in range(100, 300) if plan(*sizes, "cuda", gb / 10 * GB).resident)
    assert plan(*sizes, "cuda", tight * GB).decode_window == 64
    assert "windows of 64 frames" in str(plan(*sizes, "cuda", tight * GB))


def test_what_was_left_out_is_said(sizes):
    assert "l left out: it needs" in str(plan(*sizes, "cuda", 8 * GB))
    assert "minutes a song on a CPU" in str(plan(*sizes, "cpu", 64 * GB))


def test_a_machine_too_small_for_any_stage_is_told(sizes):
    with pytest.raises(errors.OutOfMemory, match="no stage fits"):
        plan(*sizes, "cuda", 3 * GB)


def test_free_memory_of_this_machine_is_known():
    assert free_bytes(torch.device("cpu")) > 0.1 * GB
    with pytest.raises(errors.NotFound):
        read_spec(find("nonesuch"))
