"""What the form of a request holds and sends, and how an earlier clip's request fills it again.

The fields are the settings in `protos.table`, but for those that the browser draws: audio, its regions, and
adapters. Whether a value makes sense is decided by the daemon. Loads no Gradio.
"""

from collections.abc import Sequence
from typing import Any

from acestep.console.spelling import number, tempo_text
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
FORM = {one.name: one for one in SETTINGS if one.kind not in DRAWN and "page" not in one.without}


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
NAMES = tuple(DEFAULTS)
# What is typed as text, since Gradio's own field for numbers cannot be empty: it holds 0.
TYPED = tuple(name for name, one in FORM.items() if one.kind in ("number", "whole") and not is_fader(one))


def choices(name: str) -> list[tuple[str, str]]:
    """What a menu offers, as (shown, value)."""
    setting = FORM[name]
    if setting.kind == "switch":  # with a third way: nothing said
        return [("left to the model", ""), ("on", "on"), (OFF, OFF)]
    named = [(f"{word} – {meant}" if meant else word, word) for word, meant in setting.words.items()]
    return named if setting.default else [("by what is given", ""), *named]


def options_of(values: dict[str, Any], client: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The prompt and the settings the Python client takes: what is left empty is left to the daemon.

    Raises ValueError: a field's text is not a number.
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
    for name in ("reference", "context"):
        if client.get(name):
            options[name] = _span(client[name])
    if "context" in options and options.get("task") == "repaint":
        options |= _repaint(options["context"], client["context"].get("part"))
    adapters = {str(name): float(scale) for name, scale in (client.get("adapters") or {}).items()}
    if adapters:
        options["adapters"] = adapters
    return str(values.get("prompt") or ""), options


def _option(setting: Setting, value: Any) -> Any:
    """A field's value as a setting; None where it says nothing."""
    if setting.kind == "switch":
        return (None if value in ("", None) else value == "on") if setting.default is None else bool(value)
    if is_fader(setting):
        return float(value)
    if setting.kind == "names":
        return [str(one) for one in value] or None
    text = str(value if value is not None else "").strip()
    if not text:
        return None
    return _number(setting, text) if setting.name in TYPED else text


def _number(setting: Setting, typed: str) -> float:
    if typed.lower() == OFF and setting.default is not None and setting.none is not None:
        return setting.none
    try:
        return int(typed) if setting.kind == "whole" else number(typed)
    except ValueError:
        kind = "a whole number" if setting.kind == "whole" else "a number such as 92.5"
        raise ValueError(f"{setting.name} {typed!r} is not {kind}") from None


def _span(picked: dict[str, Any]) -> tuple[str, float, float | None]:
    end_s = picked.get("end_s")
    return str(picked["path"]), float(picked.get("start_s") or 0), None if end_s is None else float(end_s)


def _repaint(picked: tuple[str, float, float | None], part: Sequence[float | None] | None) -> dict[str, Any]:
    """The picked range is made anew, of the whole file or of the `part` that an earlier request took."""
    path, start_s, end_s = picked
    from_s, to_s = part or (0.0, None)
    begin_s = float(from_s or 0)
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
