"""The VST3 in dawdreamer: audio untouched, tempo and bars followed, previews on the bar, little CPU."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.hosts import building
from tests.support.hosts.building import PARAMETERS

pytestmark = [pytest.mark.hosts, pytest.mark.heavy, pytest.mark.timeout(1800)]


def ask(task: str, folder: Path) -> Any:
    building.need(building.HOSTS_PYTHON)
    output = building.run_in_hosts_python(
        "dawdreamer_host.py", task, building.plugin().vst3, folder, limit_s=300
    )
    return json.loads(output.strip().splitlines()[-1])


def test_audio_passes_bit_by_bit_at_any_rate_and_block_size(tmp_path: Path) -> None:
    assert all((result := ask("passthrough", tmp_path)).values()), result


def test_parameter_names_and_ids_are_those_of_the_first_release(tmp_path: Path) -> None:
    shown = ask("parameters", tmp_path)
    assert [name for name, _ in shown] == PARAMETERS
    assert dict(shown)["Key"] == "Any"


def test_the_hosts_tempo_reaches_the_request_and_a_capture_is_whole_bars_of_the_track(tmp_path: Path) -> None:
    seen = ask("transport", tmp_path)
    values = dict(zip(seen["request"][1::2], seen["request"][2::2], strict=True))
    assert values["tempo"] == pytest.approx(97.3)
    assert values["signature"] == "4/4"
    assert values["context"] == seen["capture"]
    assert seen["rate_hz"] == 44100
    assert abs(seen["samples"] - seen["exact_samples"]) <= 1
    assert abs(seen["first_off_bar"]) <= 1
    assert seen["equal"]


def test_a_preview_starts_within_one_sample_of_the_bar(tmp_path: Path) -> None:
    for result in ask("preview", tmp_path):
        bar = result["bar_samples"]
        first_bar = 0 if result["switched_on_bars"] == 0 else 1
        assert abs(result["first_sample"] - first_bar * bar) <= 1, result
        if result["same_rate"]:  # else the marked start is rounded off by the conversion
            expected = [bar * number for number in range(first_bar, 5, 2)]
            assert result["repeats"] == pytest.approx(expected, abs=1), result


def test_passing_audio_through_costs_less_than_three_thousandths_of_real_time(tmp_path: Path) -> None:
    cost = ask("cpu", tmp_path)
    print(f"240 s: {cost}")
    assert cost["percent"] < 0.3, cost
