"""What the page's forms send, without a browser."""

import pytest

pytest.importorskip("starlette")

from plugin_bridge import settings
from plugin_bridge.errors import InvalidRequest
from plugin_bridge.web.fields import DEFAULTS, choices, options_of, picked_of, values_of
from plugin_bridge.web.studio import flags_of


def test_an_untouched_form_is_a_request_the_client_understands() -> None:
    prompt, options = options_of({**DEFAULTS, "prompt": "rain"}, {})
    wire = settings.wire_request(prompt, options)
    assert (wire.prompt, wire.signature, wire.takes) == ("rain", "", 2)
    for name in ("bpm", "bars", "seed"):
        assert not wire.HasField(name)
    assert not wire.HasField("steps")
    assert wire.key == wire.task == wire.cascade == ""


def test_a_seed_is_sent_only_when_it_is_to_be_kept() -> None:
    assert "seed" not in options_of({**DEFAULTS, "seed": "7", "lock": False}, {})[1]
    assert "seed" not in options_of({**DEFAULTS, "seed": " ", "lock": True}, {})[1]
    assert options_of({**DEFAULTS, "seed": "7", "lock": True}, {})[1]["seed"] == 7


@pytest.mark.parametrize(
    ("name", "typed", "told"),
    [
        ("steps", "many", "steps 'many' is not a whole number"),
        ("bars", "four", "bars 'four' is not a number such as 92.5"),
        ("takes", "2.5", "takes '2.5' is not a whole number"),
    ],
)
def test_a_field_that_is_no_number_is_refused_by_its_name(name: str, typed: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        options_of({**DEFAULTS, name: typed}, {})


def test_a_tempo_may_be_typed_with_a_comma() -> None:
    assert options_of({**DEFAULTS, "bpm": " 127,37 "}, {})[1]["bpm"] == 127.37


def test_audio_adapters_and_repaint_come_from_the_browser() -> None:
    client = {
        "reference": {"path": "upload:a", "start_s": 1.5, "end_s": None},
        "context": {"path": "/m/b.wav", "start_s": 1.0, "end_s": 2.0},
        "adapters": {"mine": 0.5},
    }
    prompt, options = options_of({**DEFAULTS, "prompt": "x", "task": "repaint"}, client)
    wire = settings.wire_request(prompt, options)
    assert (wire.reference.path, wire.reference.start_s, wire.reference.HasField("end_s")) == (
        "upload:a",
        1.5,
        False,
    )
    assert (wire.context.path, wire.context.start_s, wire.context.HasField("end_s")) == ("/m/b.wav", 0, False)
    assert (wire.repaint.start_s, wire.repaint.end_s) == (1.0, 2.0)
    assert [(use.name, use.scale) for use in wire.adapters] == [("mine", 0.5)]


def test_a_selection_on_the_context_is_no_repaint_of_another_task() -> None:
    picked = {"context": {"path": "/m/b.wav", "start_s": 1.0, "end_s": 2.0}}
    options = options_of({**DEFAULTS, "task": "cover"}, picked)[1]
    assert "repaint_s" not in options
    assert options["context"] == ("/m/b.wav", 1.0, 2.0)


def test_files_that_sound_together_are_one_context_and_are_recalled_as_such() -> None:
    picked = {
        "path": "/m/b.wav",
        "start_s": 0.0,
        "end_s": None,
        "plus": [{"path": "/m/c.wav", "start_s": 1.0}],
    }
    options = options_of({**DEFAULTS, "task": "complete"}, {"context": picked})[1]
    assert options["context"] == [("/m/b.wav", 0.0, None), ("/m/c.wav", 1.0, None)]
    recalled = picked_of({"context": picked})["context"]
    assert options_of(DEFAULTS, {"context": recalled})[1]["context"] == options["context"]
    with pytest.raises(InvalidRequest, match="expected a list of what sounds together"):
        options_of(DEFAULTS, {"context": {**picked, "plus": "/m/c.wav"}})


def test_parts_are_one_idea_however_many_takes_the_form_holds() -> None:
    assert "takes" in options_of({**DEFAULTS, "takes": "4"}, {})[1]
    for asked in ({"parts": "drums, bass"}, {"idea": "261123-011742-9f3a1c", "redo": "bass"}):
        options = options_of({**DEFAULTS, "takes": "4", **asked}, {})[1]
        assert "takes" not in options
        assert asked.items() <= options.items()


def test_a_repaint_of_a_part_of_a_file_keeps_that_part_when_made_again() -> None:
    picked = {"context": {"path": "/m/b.wav", "start_s": 3.0, "end_s": 4.0, "part": [2.0, 6.0]}}
    options = options_of({**DEFAULTS, "task": "repaint"}, picked)[1]
    assert (options["context"], options["repaint_s"]) == (("/m/b.wav", 2.0, 6.0), (1.0, 2.0))


def test_a_repaint_without_a_range_is_left_to_the_daemon_to_refuse() -> None:
    picked = {"context": {"path": "/m/b.wav", "start_s": 0, "end_s": None, "part": None}}
    assert "repaint_s" not in options_of({**DEFAULTS, "task": "repaint"}, picked)[1]


def test_a_clips_request_fills_the_form_and_gives_the_same_request_again() -> None:
    request = {"prompt": "rain", "bpm": 127.37, "signature": "7/8", "bars": 2.0, "key": None, "seed": 9}
    values = values_of({**request, "takes": 3, "candidates": 1, "stages": ["l"], "guide": None})
    assert set(values) == set(DEFAULTS)
    assert values["key"] == ""
    prompt, options = options_of(values, {})
    assert prompt == "rain"
    assert {name: options[name] for name in ("bpm", "signature", "bars", "seed", "takes", "stages")} == {
        "bpm": 127.37,
        "signature": "7/8",
        "bars": 2.0,
        "seed": 9,
        "takes": 3,
        "stages": ["l"],
    }


def test_the_forms_tasks_are_those_of_a_request() -> None:
    from acestep.request import TASKS as KNOWN

    assert {value for _, value in choices("task")} - {""} == set(KNOWN)


def test_empty_training_fields_are_left_to_lora_studio() -> None:
    flags = flags_of({"minutes": " 5 ", "rank": None})
    assert flags["minutes"] == "5"
    assert not any(value for name, value in flags.items() if name != "minutes")
