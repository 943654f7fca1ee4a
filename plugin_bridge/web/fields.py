"""What the form of a request holds and sends, and how an earlier clip's request fills it again.

The fields are the settings in `protos.table`, but for those that the browser draws: audio, its regions, and
adapters. Whether a value makes sense is decided by the daemon. Loads no Gradio.
"""

import re
from collections.abc import Mapping
from typing import Any

from acestep.console.spelling import number, tempo_points, tempo_text
from plugin_bridge.errors import BridgeError, InvalidRequest
from protos.setting import Setting
from protos.table import SETTINGS

PITCHES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
KEYS = [("any", ""), *((f"{p} {m}", f"{p} {m}") for m in ("major", "minor") for p in PITCHES)]
SIGNATURES = [
    ("auto", ""),
    *((s, s) for s in ("4/4", "3/4", "6/8", "2/4", "5/4", "7/8", "12/8")),
]
THE_DAEMONS = ("the daemon's", "")
OFF = "off"  # what is typed or chosen where a setting is to be off, not left to the daemon
DRAWN = ("audio", "region", "adapters")  # kinds that the browser shows and sends by itself
# What the daemon's sentences call the settings. "tempo map" is looked for before "tempo".
NAMED = {
    "tempo map": "tempo_map",
    "tempo": "bpm",
    "time signature": "signature",
    **{one.name: one.name for one in SETTINGS},
}
FORM = {one.name: one for one in SETTINGS if one.kind not in DRAWN and "page" not in one.without}


# What an empty field shows: an example, or what the daemon takes then.
PLACEHOLDERS = {
    "prompt": "dusty breakbeat, upright bass, vinyl crackle",
    "bpm": "120",
    "bars": "4",
    "seed": "random",
    "swing": "the context's",
    "track": "drums",
    "tempo_map": "0 100 ramp, 16 120",
    "steps": "its own",
    "guidance": "its own",
    "lyrics": "[verse] …",
}
UNITS = {"bpm": "BPM", "bars": "bars", "loudness_lufs": "LUFS"}


class WrongField(InvalidRequest):
    """A field holds what cannot be read; `field` is the setting's name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def field_of(error: BridgeError) -> str:
    """The setting that an error is about: the daemon's sentences begin with it. "" where it is none."""
    if isinstance(error, WrongField):
        return error.field
    if error.reason != InvalidRequest.reason:
        return ""
    return next((NAMED[said] for said in NAMED if re.match(rf"{said}\b", error.message)), "")


def is_fader(setting: Setting) -> bool:
    """Whether a number is a share of something: drawn as a slider from nothing to all."""
    return setting.kind == "number" and (setting.low, setting.high) == (0, 1) and setting.default is not None


def _untouched(setting: Setting) -> Any:
    """What a field holds that nobody touched."""
    if setting.kind == "names":
        return []
    has_a_side = setting.kind == "choice" or (setting.kind == "switch" and setting.default is not None)
    return setting.default if has_a_side or is_fader(setting) else ""


DEFAULTS: dict[str, Any] = {
    **{name: _untouched(one) for name, one in FORM.items()},
    "takes": "2",  # the first thing people want of a page is something to compare
    "lock": False,  # whether the seed is to be kept
}
# What is typed as text: an empty field is left to the daemon, which a number could not say.
TYPED = tuple(name for name, one in FORM.items() if one.kind in ("number", "whole") and not is_fader(one))


def choices(name: str) -> list[tuple[str, str]]:
    """What a menu offers, as (shown, value)."""
    setting = FORM[name]
    if setting.kind == "switch":  # with a third way: nothing said
        return [("left to the model", ""), ("on", "on"), (OFF, OFF)]
    named = [(f"{word} – {meant}" if meant else word, word) for word, meant in setting.words.items()]
    return named if setting.default else [("by what is given", ""), *named]


def placeholder(setting: Setting) -> str:
    """What the field shows while it is empty."""
    known = (
        f"{setting.default:g}" if setting.kind in ("number", "whole") and setting.default is not None else ""
    )
    return PLACEHOLDERS.get(setting.name, known)


def options_of(values: Mapping[str, Any], client: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The prompt and the settings the Python client takes: what is left empty is left to the daemon.

    Raises WrongField: a field's text is not a number, or no text at all.
    """
    options: dict[str, Any] = {}
    for name, setting in FORM.items():
        if name != "prompt":
            value = _option(setting, values.get(name, DEFAULTS[name]))
            if value is not None:
                options[name] = value
    if not values.get("lock"):
        options.pop("seed", None)
    if "tempo_map" in options:
        options.pop("bpm", None)  # the map has the tempi, and `bpm` would be its mean
    if "parts" in options or "redo" in options:
        options.pop("takes", None)  # parts make one idea at a time
    for name in ("reference", "context"):
        if client.get(name):
            options[name] = _spans(name, client[name])
    if isinstance(options.get("context"), tuple) and options.get("task") == "repaint":
        options |= _repaint(options["context"], _part(client["context"].get("part")))
    if adapters := _scales(client.get("adapters")):
        options["adapters"] = adapters
    return _text(FORM["prompt"], values.get("prompt")), options


def _option(setting: Setting, value: Any) -> Any:
    """A field's value as a setting; None where it says nothing."""
    if setting.kind == "switch":
        return (None if value in ("", None) else value == "on") if setting.default is None else bool(value)
    if setting.kind == "names":
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            raise WrongField(setting.name, f"{setting.name} is {value!r:.60}: expected a list of names")
        return list(value) or None
    text = _text(setting, value)
    if not text.strip():
        return None
    if setting.kind == "tempi":
        return _tempi(setting, text.strip())
    return _number(setting, text.strip()) if setting.kind in ("number", "whole") else text.strip()


def _text(setting: Setting, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise WrongField(setting.name, f"{setting.name} is {value!r:.60}: expected text")
    return str(value if value is not None else "")


def _number(setting: Setting, typed: str) -> float:
    if typed.lower() == OFF and setting.default is not None and setting.none is not None:
        return setting.none
    try:
        return int(typed) if setting.kind == "whole" else number(typed)
    except ValueError:
        kind = "a whole number" if setting.kind == "whole" else "a number such as 92.5"
        raise WrongField(setting.name, f"{setting.name} {typed!r:.40} is not {kind}") from None


def _tempi(setting: Setting, typed: str) -> str:
    try:
        tempo_points(typed)
    except ValueError as error:
        raise WrongField(setting.name, str(error)) from None
    return typed


Span = tuple[str, float, float | None]


def _spans(name: str, picked: Any) -> Span | list[Span]:
    """A stretch of a file; with those of the files that sound together with it."""
    first = _span(name, picked)
    together = picked.get("plus") or []
    if not isinstance(together, list):
        raise WrongField(name, f"{name} is {picked!r:.60}: expected a list of what sounds together with it")
    return [first, *(_span(name, one) for one in together)] if together else first


def _span(name: str, picked: Any) -> Span:
    path = picked.get("path") if isinstance(picked, dict) else None
    if not isinstance(path, str) or not path:
        raise WrongField(name, f"{name} is {picked!r:.60}: expected a path, and where it starts and ends")
    return path, _seconds(name, picked.get("start_s")) or 0.0, _seconds(name, picked.get("end_s"))


def _part(picked: Any) -> tuple[float, float | None] | None:
    if not picked:
        return None
    if not isinstance(picked, list | tuple) or len(picked) != 2:
        raise WrongField(
            "context", f"the part {picked!r:.60} is not possible: expected start and end in seconds"
        )
    return _seconds("context", picked[0]) or 0.0, _seconds("context", picked[1])


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongField(name, f"{value!r:.40} is no place in the {name}: expected seconds")
    return float(value)


def _scales(chosen: Any) -> dict[str, float]:
    """Each adapter with how strongly it is used."""
    if chosen and not isinstance(chosen, dict):
        raise WrongField("adapters", f"adapters is {chosen!r:.60}: expected names with numbers")
    scales = {}
    for name, scale in (chosen or {}).items():
        if isinstance(scale, bool) or not isinstance(scale, int | float):
            raise WrongField(
                "adapters", f"the strength {scale!r:.40} of adapter {name!r:.40} is not a number"
            )
        scales[name] = float(scale)
    return scales


def _repaint(picked: Span, part: tuple[float, float | None] | None) -> dict[str, Any]:
    """The picked range is made anew, of the whole file or of the `part` that an earlier request took."""
    path, start_s, end_s = picked
    begin_s, to_s = part or (0.0, None)
    changed: dict[str, Any] = {"context": (path, begin_s, to_s)}
    if end_s is not None:
        changed["repaint_s"] = (start_s - begin_s, end_s - begin_s)
    return changed


def values_of(request: dict[str, Any]) -> dict[str, Any]:
    """The form's values for a request as a sidecar holds it."""
    values = {**DEFAULTS, "lock": request.get("seed") is not None}
    for name, setting in FORM.items():
        if name not in request:
            continue
        value = request[name]
        if value is None:
            value = OFF if setting.default is not None else ""
        elif setting.kind == "switch" and setting.default is None:
            value = "on" if value else OFF
        values[name] = value
    if values["tempo_map"]:
        values["bpm"] = ""
    return as_typed(values)


def as_typed(values: dict[str, Any]) -> dict[str, Any]:
    """Numbers as a person would type them: 4.0 bars are "4". Tempo maps likewise."""
    return {name: _typed(name, value) for name, value in values.items()}


def _typed(name: str, value: Any) -> Any:
    if name == "tempo_map" and not isinstance(value, str):
        return tempo_text(value or ())
    if name not in TYPED:
        return value
    if value is None:
        return ""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def picked_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """Reference, context and adapters of a request, as a sidecar holds it, the way the browser sends them."""
    reference, context = (_range(request.get(name)) for name in ("reference", "context"))
    region = request.get("repaint_s")
    if context and isinstance(region, list | tuple) and len(region) == 2:
        begin_s, end_s = context["start_s"], context["end_s"]
        context |= {"start_s": begin_s + region[0], "end_s": begin_s + region[1], "part": [begin_s, end_s]}
    return {"reference": reference, "context": context, "adapters": dict(request.get("adapters") or ())}


def _range(audio: Any) -> dict[str, Any] | None:
    if not isinstance(audio, Mapping) or not audio.get("path"):
        return None
    own = {"path": audio["path"], "start_s": audio.get("start_s") or 0.0, "end_s": audio.get("end_s")}
    together = [_range(one) for one in audio.get("plus") or ()]
    return own | ({"plus": together} if together else {})
