"""The contract by OSC: every address and name of daemon, Live script, REAPER and plugin, in one table.

Reads the sources of all four, so that none of them can drift away from the others unnoticed.
"""

import ast
import re
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import acestep
from plugin_bridge.ableton.AceStep import daemon as live_daemon
from plugin_bridge.ableton.AceStep import request as live_request
from plugin_bridge.ableton.AceStep import script as live_script
from plugin_bridge.ableton.AceStep import table as live_table
from plugin_bridge.ableton.AceStep.triggers import Triggers
from protos import WIRE_VERSION, speaks_ours
from server.osc.packets import encode
from server.osc.spelling import MESSAGES, NAMED

ROOT = Path(__file__).parents[1]
LIVE = ROOT / "plugin_bridge" / "ableton" / "AceStep"
REAPER = ROOT / "plugin_bridge" / "reaper" / "acestep.py"
PLUGIN = ROOT / "plugin_bridge" / "vst"

# What the daemon does, beside the settings.
ACTIONS = {
    *("ping", "session", "generate", "cancel", "status", "subscribe", "unsubscribe", "monitor", "adapters"),
}

# Settings: as /acestep/NAME, and by name behind the prompt of /acestep/generate. The table may add names;
# those that fader pages and patches already use have to stay.
SETTINGS, NAMES = set(MESSAGES), set(NAMED)
IN_USE = {
    *("tempo", "signature", "bars", "key", "seed", "takes", "candidates", "lyrics", "cascade", "stages"),
    *("reference", "context", "strength", "adapter", "folder", "task", "track", "repaint", "steps"),
    *("guidance", "fit", "strict", "guide", "format", "sample_format", "swing", "loudness"),
}
NAMES_IN_USE = (IN_USE - {"repaint"}) | {
    "bpm",
    *("reference_start", "reference_end", "context_start", "context_end", "repaint_start", "repaint_end"),
}

# What the daemon says, with the types of the values.
ANSWERS = {
    "pong": "ss",
    "accepted": "s",
    "progress": "ssff",
    "clip": "ssfssff",
    "companion": "sss",
    "done": "si",
    "cancelled": "s",
    "error": "sss",
    "state": "s",
    "heard": "ss",
    "adapter_names": "is",
    "segment": "sisfffi",
}
NOT_FOR_LIVE = {"heard", "adapter_names", "segment"}  # for monitors, for lists, for follows

# What controllers may say to the Live script on its own port.
LIVE_ADDRESSES = {
    *("ping", "status", "generate", "cancel", "reference", "context", "clear", "prompt", "preset"),
    *("next_preset", "previous_preset", "source", "where", "start", "reload", "redo", "add"),
    *live_table.TYPES,
}
LIVE_ANSWERS = {"pong", "state", "error"}


def spoken(source: str) -> set[str]:
    """Names in addresses `/acestep/NAME` in texts of a source, without the Live script's own."""
    return set(re.findall(r"[\"'`]/acestep/(?!live/)([a-z_]+)[\"'`]", source))


def texts_of(path: Path) -> str:
    return path.read_text("utf-8")


def daemon_source() -> str:
    return "".join(texts_of(path) for path in (ROOT / "server" / "osc").glob("*.py"))


def plugin_sources() -> list[Path]:
    files = [path for ending in ("cpp", "h", "hpp") for path in sorted(PLUGIN.rglob(f"*.{ending}"))]
    return [path for path in files if not {"build", "third_party", "tests"} & set(path.parts)]


def code_of(tree: ast.AST) -> set[str]:
    """Every text in a Python source."""
    values = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return {value for value in values if isinstance(value, str)}


def test_the_daemon_hears_what_the_contract_says() -> None:
    tree = ast.parse(texts_of(ROOT / "server" / "osc" / "server.py"))
    (actions,) = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "attr", "") == "_actions"
    ]
    assert isinstance(actions, ast.Dict)
    assert {key.value for key in actions.keys if isinstance(key, ast.Constant)} == ACTIONS
    assert IN_USE <= SETTINGS
    assert NAMES_IN_USE <= NAMES


def test_the_daemon_says_what_the_contract_says() -> None:
    assert spoken(daemon_source()) - ACTIONS - SETTINGS == set(ANSWERS)


def test_the_live_script_says_only_what_the_daemon_hears() -> None:
    source = "".join(texts_of(path) for path in LIVE.glob("*.py"))
    said = spoken(source) - set(ANSWERS)
    assert said <= ACTIONS
    song = {"tempo": (120.0,), "signature": (4, 4), "key": ("",)}
    request = live_request.Request({"bars": 4, "takes": 1, "lyrics": "la"}, [], "auto")
    assert set(request.session(song)) <= SETTINGS
    assert set(live_request.SESSION) <= SETTINGS


def test_the_live_script_hears_everything_that_the_daemon_says() -> None:
    heard = {address.removeprefix("/acestep/") for address in live_daemon.Daemon._HEARS}
    assert heard == set(ANSWERS) - NOT_FOR_LIVE


def test_the_names_behind_a_prompt_are_known_to_the_daemon() -> None:
    assert set(live_table.TYPES) <= NAMES
    piece = SimpleNamespace(path="/a.wav", start_s=0.0, end_s=1.0, beats=2.0, bpm=120.0)
    request = live_request.Request({}, [], "auto")
    request.reference, request.context = piece, [piece, piece]  # type: ignore[assignment, list-item]
    song = {"tempo": (120.0,), "signature": (4, 4), "key": ("A minor",)}
    for more in ({}, {"idea": "x", "redo": "bass"}, {"parts": "drums, bass", "takes": 2, "seed": 3}):
        for message in request.messages("x", song, more):
            assert set(message[1::2]) <= NAMES
    assert len(request.messages("x", song, {"parts": "drums, bass", "takes": 2})) == 2
    in_reaper = {text for text in code_of(ast.parse(texts_of(REAPER))) if text in NAMES | {"_start", "_end"}}
    assert {
        "tempo",
        "signature",
        "key",
        "bars",
        "takes",
        "folder",
        "reference",
        "context",
        "with",
        "parts",
    } <= in_reaper


def test_a_clip_as_the_daemon_tells_it_is_read_by_the_live_script() -> None:
    packet = encode("/acestep/clip", "job", "/a.wav", 92.5, "7/8", "A minor", 4.0, -1.0)
    assert ("," + ANSWERS["clip"] + "\0").encode() in packet
    from plugin_bridge.ableton.AceStep import osc

    ((_, args),) = osc.decode(packet)
    new = live_daemon.read_clip(args)
    assert new is not None
    assert (new.path, new.bpm, new.signature, new.beats) == ("/a.wav", 92.5, (7, 8), 14)
    assert (new.tempo_error_pct, new.part) == (-1, "")
    part = live_daemon.read_clip((*args, "261129-1", "bass"))
    assert part is not None
    assert part.part == "bass"


def test_the_live_scripts_own_addresses_are_pinned() -> None:
    triggers = Triggers(SimpleNamespace(), [])
    assert {address.removeprefix("/acestep/live/") for address in triggers.addresses} == LIVE_ADDRESSES
    tree = ast.parse(texts_of(LIVE / "script.py"))
    answered = {
        node.right.value
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.left, ast.Name)
        and node.left.id == "PREFIX"
        and isinstance(node.right, ast.Constant)
    }
    assert answered == LIVE_ANSWERS | {"ping", "status"}


def test_reaper_says_and_hears_only_what_the_contract_says() -> None:
    assert spoken(texts_of(REAPER)) <= ACTIONS | set(ANSWERS)


@pytest.mark.skipif(not plugin_sources(), reason="no plugin sources here")
def test_the_plugin_says_and_hears_only_what_the_contract_says() -> None:
    source = "".join(texts_of(path) for path in plugin_sources())
    said = spoken(source)
    assert said, "the plugin speaks to the daemon"
    assert said <= ACTIONS | SETTINGS | set(ANSWERS)
    assert set(re.findall(r'\badd\("([a-z_]+)"', source)) <= NAMES | {"tag"}


def test_every_side_speaks_the_same_wire_version() -> None:
    found = [
        found
        for path in [*LIVE.glob("*.py"), REAPER, *plugin_sources()]
        for found in re.findall(r'(?:WIRE_VERSION|kWireVersion)\w*(?:\[\])?\s*=\s*"(.*?)"', texts_of(path))
    ]
    assert len(found) >= 2
    assert set(found) == {WIRE_VERSION}


@pytest.mark.parametrize(
    ("wire", "ours"),
    [
        *[(wire, True) for wire in ("1", "1.0", "1.7", "1.0.3")],
        *[(wire, False) for wire in ("", "0", "2", "2.1", "10", "11.0", ".1", "x", "one")],
    ],
)
def test_every_side_compares_wire_versions_alike(wire: str, ours: bool) -> None:
    assert speaks_ours(wire) is ours
    assert live_daemon.speaks_ours(wire) is ours
    (function,) = [
        node
        for node in ast.parse(texts_of(REAPER)).body
        if isinstance(node, ast.FunctionDef) and node.name == "speaks_ours"
    ]
    names: dict[str, Any] = {"WIRE_VERSION": WIRE_VERSION}
    exec(compile(ast.Module([function], []), str(REAPER), "exec"), names)
    assert names["speaks_ours"](wire) is ours
    in_plugin = texts_of(PLUGIN / "tests" / "test_link.cpp")
    (line,) = [
        line for line in in_plugin.splitlines() if f"CHECK{'' if ours else '_FALSE'}(speaks_ours(" in line
    ]
    assert f'"{wire}"' in line


def test_nobody_compares_wire_versions_in_a_way_of_its_own() -> None:
    own = r"(?:WIRE_VERSION|kWireVersion|wire_version)\S* *(?:==|!=)|(?:==|!=) *(?:WIRE_VERSION|kWireVersion)"
    sources = [
        path for part in ("server", "plugin_bridge", "protos") for path in (ROOT / part).rglob("*.py")
    ] + plugin_sources()
    found = [path for path in sources for line in texts_of(path).splitlines() if re.search(own, line)]
    assert {path.relative_to(ROOT).as_posix() for path in found} == {
        "protos/__init__.py",
        "plugin_bridge/ableton/AceStep/daemon.py",
        "plugin_bridge/reaper/acestep.py",
        "plugin_bridge/vst/core/link.cpp",
    }


def test_the_scripts_have_the_version_of_the_package() -> None:
    (reaper,) = re.findall(r'^VERSION = "(.*?)"', texts_of(REAPER), re.MULTILINE)
    (plugin,) = re.findall(r'kPluginVersion = "(.*?)"', texts_of(PLUGIN / "core" / "link.hpp"))
    (built,) = re.findall(r"project\(AceStepBridge VERSION (\S+)", texts_of(PLUGIN / "CMakeLists.txt"))
    assert {live_script.VERSION, reaper, plugin, built} == {acestep.__version__}
    assert version("acestep-bridge") == acestep.__version__
