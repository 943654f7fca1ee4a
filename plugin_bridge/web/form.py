"""What the page's form offers: fields from the settings table, what the checkpoint can do, and examples."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from plugin_bridge import words
from plugin_bridge.web.fields import (
    DEFAULTS,
    FORM,
    KEYS,
    SIGNATURES,
    THE_DAEMONS,
    UNITS,
    choices,
    is_fader,
    placeholder,
)
from protos.setting import Setting

NANO = "nano"
NANO_WORDS = Path(__file__).with_name("nano_words.json")
CONTEXT_TASKS = ("cover", "repaint", "lego", "complete", "extract")
TASKS = ("text", *CONTEXT_TASKS)
EXAMPLES = (
    ("Boom bap", "dusty boom bap drums, vinyl crackle", {"bpm": "92.5", "bars": "4"}),
    ("Synthwave", "synthwave, saw lead, warm pad, synth bass", {"bpm": "108", "bars": "4", "key": "A minor"}),
    ("Lo-fi keys", "mellow lofi, electric piano chords", {"bpm": "78", "bars": "4", "key": "Eb major"}),
    ("Deep house", "deep house, organ chords, synth bass", {"bpm": "122", "bars": "8", "key": "F minor"}),
    ("Jungle", "jungle breakbeat, sampled drums, synth bass", {"bpm": "172", "bars": "4", "key": "D minor"}),
    ("Funk bass", "funk, slap bass", {"bpm": "104", "bars": "4", "key": "E minor"}),
    (
        "Waltz",
        "jazz waltz, piano, upright bass, brush drums",
        {"bpm": "140", "bars": "8", "signature": "3/4"},
    ),
    (
        "A band in parts",
        "dusty boom bap, vinyl crackle",
        {
            "bpm": "92.5",
            "bars": "4",
            "key": "A minor",
            "parts": "drums; bass: upright; chords: electric piano",
        },
    ),
)
# The clips of README.md, made by `python -m tests.first_screen`: static/examples/NAME.mp3.
DEMOS: tuple[dict[str, Any], ...] = (
    {
        "name": "drums",
        "title": "Drums",
        "prompt": "dusty boom bap drums, vinyl crackle",
        "bpm": 92.5,
        "key": "",
    },
    {
        "name": "full",
        "title": "A band",
        "prompt": "synthwave, saw lead, warm pad, synth bass",
        "bpm": 108,
        "key": "A minor",
    },
    {
        "name": "keys",
        "title": "Keys",
        "prompt": "mellow lofi, electric piano chords",
        "bpm": 78,
        "key": "Eb major",
    },
)
DEMO_BARS = 4


def form(cascade: words.Cascade | None) -> dict[str, Any]:
    """Everything that the page draws its form from. `cascade`: the daemon's, None while it is not known."""
    return {
        "fields": [_field(one) for one in FORM.values()],
        "defaults": DEFAULTS,
        "keys": KEYS,
        "signatures": SIGNATURES,
        "supports": supports(cascade),
        "words": _nano_words() if cascade is not None and cascade.name == NANO else _NO_WORDS,
        "examples": [
            {"title": title, "prompt": prompt, "settings": made} for title, prompt, made in EXAMPLES
        ],
        "demos": [
            {
                "title": one["title"],
                "url": f"/bridge/static/examples/{one['name']}.mp3",
                "bpm": one["bpm"],
                "bars": DEMO_BARS,
                "key": one["key"],
                "prompt": one["prompt"],
            }
            for one in DEMOS
        ],
    }


def _field(setting: Setting) -> dict[str, Any]:
    return {
        "name": setting.name,
        "title": setting.title,
        "help": setting.help,
        "kind": setting.kind,
        "group": setting.group,
        "unit": UNITS.get(setting.name, ""),
        "low": setting.low,
        "high": setting.high,
        "default": setting.default,
        "placeholder": placeholder(setting),
        "choices": _choices(setting),
        "fader": is_fader(setting),
    }


def _choices(setting: Setting) -> list[tuple[str, str]]:
    """What a menu of the field offers, as (shown, value); nothing where it has none."""
    if setting.kind == "key":
        return KEYS
    if setting.kind == "signature":
        return SIGNATURES
    if setting.name == "cascade":
        return [THE_DAEMONS]
    is_menu = setting.kind == "choice" or (setting.kind == "switch" and setting.default is None)
    return choices(setting.name) if is_menu else []


def supports(cascade: words.Cascade | None) -> dict[str, Any]:
    """What a checkpoint can do. "context" alone stands for every task that works on one."""
    told = cascade.supports if cascade is not None else ()
    named = [task for task in CONTEXT_TASKS if task in told]
    tasks = named or (list(CONTEXT_TASKS) if "context" in told else [])
    return {
        "cascade": cascade.name if cascade is not None else "",
        "tasks": [task for task in TASKS if task in tasks or task in told],
        "reference": "reference" in told,
        "context": bool(tasks),
        "lyrics": "lyrics" in told,
        "stages": list(cascade.stages) if cascade is not None else [],
        "parts": list(cascade.parts) if cascade is not None else [],
    }


_NO_WORDS: dict[str, Any] = {"styles": [], "parts": [], "instruments": []}


@cache
def _nano_words() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(NANO_WORDS.read_text("utf-8"))
    return told
