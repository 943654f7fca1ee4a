"""The table of settings: every door makes the same request of a setting, and leaves out what the table says.

The examples follow from a setting's kind, so a new setting is tried at every door without a new example here.
"""

import argparse
import ast
import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acestep.errors import InvalidRequest
from acestep.request import SETTINGS, GenerateRequest
from acestep.settings import (
    BRIDGES,
    AdapterScales,
    AudioFile,
    Choice,
    Names,
    Number,
    Region,
    Setting,
    Switch,
    Tempi,
    TimeSignature,
    Tonality,
    Whole,
)
from plugin_bridge import settings as python
from plugin_bridge.ableton.AceStep import table as live_table
from plugin_bridge.ableton.AceStep.request import Request as LiveRequest
from plugin_bridge.web import fields as page
from server import tables
from server.cli import generate
from server.grpc import wire
from server.osc.session import Session
from server.osc.spelling import MESSAGES, NAMED
from server.osc.spelling import read as read_osc

ROOT = Path(__file__).parents[1]
ALL = [one for name, one in SETTINGS.items() if name != "prompt"]
# What a setting needs beside it to mean anything.
NEEDS: dict[str, dict[str, Any]] = {
    "track": {"task": "lego", "context": "/c.wav"},
    "repaint_s": {"task": "repaint", "context": "/c.wav"},
    "task": {"context": "/c.wav"},
    "idea": {"parts": "drums"},
    "redo": {"idea": "261123-011742-9f3a1c"},
}


def example(setting: Setting) -> Any:
    """A value of the setting that is not its default, as Python has it."""
    match setting.kind:
        case Number(low=low, high=high):
            return round((3 * low + high) / 4, 2)  # no default
        case Whole(low=low):
            return low + 3
        case Switch():
            return not setting.default
        case Choice(words=words):
            return list(words)[-1]
        case TimeSignature():
            return "7/8"
        case Tonality():
            return "F# minor"
        case AudioFile():
            return ("/a.wav", 0.5, 1.5)
        case Region():
            return (1.0, 2.5)
        case Names():
            return ("l", "m")
        case AdapterScales():
            return (("dusty", 0.5),)
        case Tempi():
            return ((0.0, 100.0, True), (16.0, 120.0, False))
    return "some words"


def expected(setting: Setting) -> GenerateRequest:
    """The request that each door should make."""
    value = example(setting)
    if isinstance(setting.kind, AudioFile):
        value = dict(zip(("path", "start_s", "end_s"), value, strict=True))
    return GenerateRequest(prompt="p", **{**NEEDS.get(setting.name, {}), setting.name: value})


def written(setting: Setting) -> str:
    """The example as people write it where a door takes text."""
    value = example(setting)
    match setting.kind:
        case Number():
            return f"{value:.12g}"
        case Names():
            return ",".join(value)
        case AdapterScales():
            return "dusty:0.5"
        case Tempi():
            return "0 100 ramp, 16 120"
    return str(value)


def by_command(setting: Setting) -> GenerateRequest:
    def words(one: Setting, value: str) -> list[str]:
        flag = f"--{one.flag}"
        match one.kind:
            case Switch():
                return [flag if example(one) else f"--no-{one.flag}"]
            case AudioFile():
                return [flag, "/a.wav", f"{flag}-start", "0.5", f"{flag}-end", "1.5"]
            case Region():
                return [flag, "1", "2.5"]
        return [flag, value]

    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    line = ["p", *words(setting, written(setting))]
    for name, value in NEEDS.get(setting.name, {}).items():
        line += [f"--{SETTINGS[name].flag}", value]
    return generate.wanted(parser.parse_args(line))[0]


def by_osc_names(setting: Setting) -> GenerateRequest:
    named: list[Any] = []
    for name, value in NEEDS.get(setting.name, {}).items():
        named += [SETTINGS[name].osc, value]
    match setting.kind:
        case AudioFile():
            ends = (f"{setting.osc}_start", 0.5, f"{setting.osc}_end", 1.5)
            named += [setting.osc, "/a.wav", *ends]
        case Region():
            named += [f"{setting.osc}_start", 1.0, f"{setting.osc}_end", 2.5]
        case Switch():
            named += [setting.osc, int(example(setting))]
        case Number() | Whole():
            named += [setting.osc, example(setting)]
        case _:
            named += [setting.osc, written(setting)]
    return Session("test").request("p", named)[0]


def by_osc_message(setting: Setting) -> GenerateRequest:
    session = Session("test")
    for name, value in NEEDS.get(setting.name, {}).items():
        session.change(read_osc(name, MESSAGES[SETTINGS[name].osc], [value]))
    value = example(setting)
    match setting.kind:
        case TimeSignature():
            values: list[Any] = [7, 8]
        case AudioFile() | Region():
            values = list(value)
        case AdapterScales():
            values = list(value[0])
        case Switch():
            values = [int(value)]
        case Number() | Whole():
            values = [value]
        case _:
            values = [written(setting)]
    session.change(read_osc(setting.osc, MESSAGES[setting.osc], values))
    return session.request("p")[0]


def by_python(setting: Setting) -> GenerateRequest:
    values = {**NEEDS.get(setting.name, {}), setting.name: example(setting)}
    return wire.request_from_proto(python.wire_request("p", values))


def by_page(setting: Setting) -> GenerateRequest:
    values: dict[str, Any] = {**page.DEFAULTS, "prompt": "p", "takes": "", "lock": setting.name == "seed"}
    drawn: dict[str, Any] = {}
    needs = NEEDS.get(setting.name, {})
    if "context" in needs:
        drawn["context"] = {"path": needs["context"], "start_s": 0.0, "end_s": None}
    values |= {name: value for name, value in needs.items() if name != "context"}
    value = example(setting)
    match setting.kind:
        case AudioFile():
            drawn[setting.name] = dict(zip(("path", "start_s", "end_s"), value, strict=True))
        case Region():
            drawn["context"] |= {"start_s": value[0], "end_s": value[1]}
        case AdapterScales():
            drawn["adapters"] = dict(value)
        case Switch():
            values[setting.name] = value if setting.default is not None else ("on" if value else page.OFF)
        case Names():
            values[setting.name] = list(value)
        case Number() if page.is_fader(page.FORM[setting.name]):
            values[setting.name] = value
        case _:
            values[setting.name] = written(setting)
    return wire.request_from_proto(python.wire_request(*page.options_of(values, drawn)))


def by_assistant(setting: Setting) -> GenerateRequest:
    from plugin_bridge.web.mcp import arguments, clip_tools
    from plugin_bridge.web.mcp.tool import Call

    values: dict[str, Any] = {"prompt": "p", **NEEDS.get(setting.name, {})}
    value = example(setting)
    match setting.kind:
        case AudioFile():
            ends = (setting.name, f"{setting.name}_start_s", f"{setting.name}_end_s")
            values |= dict(zip(ends, value, strict=True))
        case Region() | Names():
            values[setting.name] = list(value)
        case AdapterScales():
            values[setting.name] = dict(value)
        case Switch() | Number() | Whole():
            values[setting.name] = value
        case _:
            values[setting.name] = written(setting)
    tool = next(one for one in clip_tools.TOOLS if set(values) <= set(one.takes["properties"]))
    arguments.check(tool.takes, values)
    sent = Sent()
    asyncio.run(tool.run(Call(sent, values, "test", lambda share, what: None)))  # type: ignore[arg-type]
    return sent.request


class Sent:
    """In place of the parts of a server: keeps what is sent to the daemon, which makes no clip of it."""

    def __init__(self) -> None:
        self.feed = self.bridge = self.files = self.target = self
        self.is_local = True
        self.request: GenerateRequest

    async def for_request(self, options: dict[str, Any]) -> dict[str, Any]:
        return options

    def saw(self, clips: list[Any]) -> None:
        assert not clips

    async def generate(self, prompt: str, *, client: str, **options: Any) -> AsyncIterator[Any]:
        self.request = wire.request_from_proto(python.wire_request(prompt, options))

        async def events() -> AsyncIterator[Any]:
            for event in ():
                yield event

        return events()


DOORS = {
    "command": [by_command],
    "osc": [by_osc_names, by_osc_message],
    "python": [by_python],
    "page": [by_page],
    "assistant": [by_assistant],
}


@pytest.mark.parametrize("setting", ALL, ids=lambda one: one.name)
def test_every_door_makes_the_same_request_of_a_setting(setting: Setting) -> None:
    wanted = expected(setting)
    assert getattr(wanted, setting.name) != setting.default
    for bridge, doors in DOORS.items():
        for door in doors if bridge not in setting.without else ():
            assert door(setting) == wanted, door.__name__
    assert wire.request_from_proto(wire.request_to_proto(wanted)) == wanted
    assert GenerateRequest.from_dict(wanted.to_dict()) == wanted


@pytest.mark.parametrize("setting", ALL, ids=lambda one: one.name)
def test_a_clips_request_fills_the_pages_form_and_gives_the_same_request_again(setting: Setting) -> None:
    if isinstance(setting.kind, AudioFile | Region | AdapterScales) or setting.name in NEEDS:
        return  # drawn by the browser; the needs are audio
    wanted = expected(setting)
    values = page.values_of(wanted.to_dict())
    again = wire.request_from_proto(python.wire_request(*page.options_of(values, {})))
    assert again == wanted


@pytest.mark.parametrize(
    "setting", [one for one in ALL if isinstance(one.kind, Number | Whole)], ids=lambda one: one.name
)
def test_the_range_in_the_table_is_what_a_request_is_checked_with(setting: Setting) -> None:
    assert isinstance(setting.kind, Number | Whole)
    low, high = setting.kind.low, setting.kind.high
    beside = {"bars": {"bpm": 300}}.get(setting.name, {"bars": 1})
    for value in (low, high):
        request = GenerateRequest(prompt="p", **{**beside, setting.name: value})
        assert getattr(request, setting.name) == value
    for value in (low - 1, high + 1):
        with pytest.raises(
            InvalidRequest, match=rf"^{setting.osc} .*: expected {low:g}".replace("-", "[-−]")
        ):
            GenerateRequest(prompt="p", **{**beside, setting.name: value})


def named_in(path: Path, pattern: str) -> set[str]:
    return set(re.findall(pattern, path.read_text("utf-8")))


def spoken_by_live() -> set[str]:
    """What the script's requests name: its own settings, the set's, and the audio of gestures."""
    piece: Any = SimpleNamespace(path="/a.wav", start_s=0.0, end_s=1.0, beats=2.0, bpm=120.0)
    request = LiveRequest({}, [], "auto")
    request.reference, request.context = piece, [piece]
    song = {"tempo": (120.0,), "signature": (4, 4), "key": ("A minor",)}
    (message,) = request.messages("p", song, {})
    return {*message[1::2], *live_table.TYPES}


def spoken_by_reaper() -> set[str]:
    tree = ast.parse((ROOT / "plugin_bridge" / "reaper" / "acestep.py").read_text("utf-8"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return {text for text in texts if isinstance(text, str)} & set(NAMED)


def spoken_by_plugin() -> set[str]:
    return named_in(ROOT / "plugin_bridge" / "vst" / "core" / "link.cpp", r'\badd\("([a-z_]+)"')


@pytest.mark.parametrize(
    ("bridge", "spoken"),
    [("live", spoken_by_live), ("reaper", spoken_by_reaper), ("plugin", spoken_by_plugin)],
)
def test_a_bridge_leaves_out_what_the_table_says_and_nothing_else(bridge: str, spoken: Any) -> None:
    names = spoken()
    offered = {one.name for one in ALL if one.osc in names or f"{one.osc}_start" in names}
    assert offered == {one.name for one in ALL if bridge not in one.without}


def test_reasons_are_for_bridges_that_there_are_and_say_something() -> None:
    for setting in ALL:
        assert set(setting.without) <= set(BRIDGES)
        assert all(len(why.split()) > 3 for why in setting.without.values())


def test_each_setting_has_a_number_of_its_own_on_the_wire_and_a_sentence_of_help() -> None:
    numbers = [one.wire for one in SETTINGS.values()]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) < 100  # from there on it is how a job is served
    for setting in SETTINGS.values():
        assert setting.help[0].isupper()
        assert setting.help.endswith(".")


def test_every_kind_of_value_is_known_to_the_tables_that_are_written() -> None:
    assert {type(one.kind) for one in SETTINGS.values()} <= set(tables.KINDS)


def test_what_is_written_from_the_table_is_up_to_date() -> None:
    assert [str(path.relative_to(ROOT)) for path in tables.stale_files()] == []


def test_a_file_that_is_out_of_date_is_told(tmp_path: Path) -> None:
    for name in tables.FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text("utf-8"), "utf-8")
    assert tables.stale_files(tmp_path) == {}
    schema = tmp_path / "protos/acestep/v1/acestep.proto"
    schema.write_text(schema.read_text("utf-8").replace("optional double swing = 27;\n", ""), "utf-8")
    assert set(tables.stale_files(tmp_path)) == {schema}
