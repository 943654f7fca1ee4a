"""What the form of a request sends, and how an earlier clip's request fills it again.

The daemon decides whether a value makes sense. Gradio is not imported.
"""

from collections.abc import Sequence
from typing import Any

PITCHES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
KEYS = [("any", ""), *((f"{p} {m}", f"{p} {m}") for m in ("major", "minor") for p in PITCHES)]
SIGNATURES = [
    ("auto", ""),
    *((s, s) for s in ("4/4", "3/4", "6/8", "2/4", "5/4", "7/8", "12/8")),
]
TASKS = [
    ("by what is given", ""),
    ("new", "text"),
    ("cover – the context in another sound", "cover"),
    ("repaint – a region of the context anew", "repaint"),
    ("lego – one more track for the context", "lego"),
    ("complete – tracks around the context", "complete"),
    ("extract – one track out of the context", "extract"),
]
THE_DAEMONS = ("the daemon's", "")
FORMATS = ["wav", "aiff", "flac", "mp3"]
DEFAULTS: dict[str, Any] = {
    "prompt": "",
    "lyrics": "",
    "bpm": "",  # the context's tempo, signature and length, or what the daemon takes without one
    "signature": "",
    "bars": "",
    "key": "",
    "takes": "2",
    "candidates": "1",
    "seed": "",
    "lock": False,
    "task": "",
    "track": "",
    "strength": 1.0,
    "cascade": "",
    "stages": [],
    "steps": "",
    "guidance": "",
    "fit": True,
    "strict": False,
    "format": "wav",
    "sample_format": "pcm24",
}
NAMES = tuple(DEFAULTS)
# What is typed as text, since Gradio's own field for numbers cannot be empty: it holds 0.
NUMBERS: dict[str, type[int] | type[float]] = {
    "bpm": float,
    "bars": float,
    "guidance": float,
    "takes": int,
    "candidates": int,
    "steps": int,
    "seed": int,
}


def options_of(values: dict[str, Any], client: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The prompt and the settings the Python client takes: what is left empty is left to the daemon.

    Raises ValueError: a field's text is not a number.
    """
    options: dict[str, Any] = {}
    for name in ("lyrics", "signature", "key", "track", "cascade", "task", "format", "sample_format"):
        if values.get(name):
            options[name] = str(values[name]).strip()
    for name in NUMBERS:
        typed = str(values.get(name) or "").strip()
        if typed and (name != "seed" or values.get("lock")):
            options[name] = _number(name, typed)
    options["strength"] = float(values.get("strength", 1.0))
    options["fit"], options["strict"] = bool(values.get("fit", True)), bool(values.get("strict"))
    if values.get("stages"):
        options["stages"] = [str(stage) for stage in values["stages"]]
    for name in ("reference", "context"):
        if client.get(name):
            options[name] = _span(client[name])
    if "context" in options and options.get("task") == "repaint":
        options |= _repaint(options["context"], client["context"].get("part"))
    adapters = {str(name): float(scale) for name, scale in (client.get("adapters") or {}).items()}
    if adapters:
        options["adapters"] = adapters
    return str(values.get("prompt") or ""), options


def _number(name: str, typed: str) -> float:
    try:
        return NUMBERS[name](typed.replace(",", "."))
    except ValueError:
        kind = "a whole number" if NUMBERS[name] is int else "a number such as 92.5"
        raise ValueError(f"{name} {typed!r} is not {kind}") from None


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
    values = dict(DEFAULTS)
    for name in NAMES:
        if request.get(name) is not None:
            values[name] = request[name]
    values["key"] = values["key"] or ""
    values["lock"] = request.get("seed") is not None
    return as_typed(values)


def as_typed(values: dict[str, Any]) -> dict[str, Any]:
    """Numbers as a person would type them: 4.0 bars are "4"."""
    return {name: _typed(value) if name in NUMBERS else value for name, value in values.items()}


def _typed(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.12g}" if isinstance(value, float) else str(value)
