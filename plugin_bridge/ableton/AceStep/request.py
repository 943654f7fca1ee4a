"""What to ask for: the prompt, the song's grid and key, and the musician's settings, as OSC arguments.

The daemon checks the values; here only names and types are checked.
"""

from __future__ import annotations

import math
import re
from typing import Any, Mapping

from .slots import Refused, Stretch, alive
from .table import TYPES

# Settings that also live in the daemon's session, so that its other clients see them.
SESSION = ("takes", "candidates", "seed", "strength", "lyrics", "cascade")
# An idea has a grid and a key, whatever the set has now; "" leaves them to it.
LEFT_TO_THE_IDEA = {"tempo": "", "signature": "", "key": "", "bars": ""}
SEEDS_OF_AN_IDEA = 10_000  # between two ideas: more than one idea uses
SOURCES = ("auto", "prompt", "preset", "clip", "track")
_DEFAULT_NAME = re.compile(r"^\s*(\d+[-\s]*)?(audio)?\s*$", re.IGNORECASE)  # what Live calls a new track


def typed(name: str, value: Any) -> Any:
    """The value as the wire wants it. Raises Refused, saying what was expected."""
    kind = TYPES.get(name)
    if kind is None:
        raise Refused(f"{name} is not a setting: expected one of {', '.join(sorted(TYPES))}")
    if kind is str and isinstance(value, str):
        return value
    if kind is not str and isinstance(value, (int, float)) and math.isfinite(value):
        if kind is float:
            return float(value)
        if float(value) == int(value):
            return int(value)
    wanted = {str: "text", int: "a whole number", float: "a number"}[kind]
    raise Refused(f"{name} {value!r}: expected {wanted}")


def pairs(args: tuple[Any, ...]) -> dict[str, Any]:
    """`"bars", 8, "takes", 2` as checked settings."""
    if len(args) % 2:
        raise Refused("expected name, value, name, value …")
    return {str(name): typed(str(name), value) for name, value in zip(args[::2], args[1::2])}


class Request:
    """The musician's settings, and how they become a message."""

    def __init__(self, values: Mapping[str, Any], presets: list[dict[str, Any]], source: str) -> None:
        self.values: dict[str, Any] = {}
        self.complaints: list[str] = []
        self.presets = presets
        self.source = source if source in SOURCES else "auto"
        self.prompt = ""
        self.preset: dict[str, Any] | None = None
        self.reference: Stretch | None = None
        self.context: list[Stretch] = []  # they sound together, the longest first
        for name, value in values.items():
            try:
                self.values[name] = typed(name, value)
            except Refused as error:
                self.complaints.append(f"live.json: {error}")

    def choose(self, which: Any) -> str:
        """Chooses a preset by name or number (from 1); its name."""
        if isinstance(which, str):
            found = [preset for preset in self.presets if preset["name"] == which]
        else:
            found = self.presets[int(which) - 1 : int(which)] if which >= 1 else []
        if not found:
            names = ", ".join(str(preset["name"]) for preset in self.presets)
            raise Refused(f"no preset {which}: presets.json has {names or 'none'}")
        self.preset, self.prompt = found[0], ""
        return str(self.preset["name"])

    def step(self, by: int) -> str:
        """The next or previous preset, around the end; its name."""
        if not self.presets:
            raise Refused("presets.json has no presets")
        at = self.presets.index(self.preset) + by if self.preset in self.presets else 0
        return self.choose(at % len(self.presets) + 1)

    def words(self, song: Any, track: Any) -> str:
        """The prompt. Raises Refused where the chosen source has none."""
        for source, text in (
            ("prompt", self.prompt),
            ("preset", str(self.preset["prompt"]) if self.preset else ""),
            ("clip", _clip_name(song)),
            ("track", str(track.name) if alive(track) else ""),
        ):
            if self.source in ("auto", source) and text.strip() and not _DEFAULT_NAME.match(text):
                return text.strip()
        raise Refused("nothing to ask for: name the track after what it should play, or choose a preset")

    def messages(
        self, prompt: str, song_values: Mapping[str, tuple[Any, ...]], more: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """The arguments of each `/acestep/generate`: self-contained, whatever the daemon's session holds.

        One, but for ideas in parts: those are as many as `takes`.
        """
        values = self._values(song_values, more)
        if values.get("idea"):
            names = ("midi",) if more.get("idea") else ("idea", "parts", "redo", "midi")
            kept = {name: values[name] for name in names if name in values}
            return [(prompt, *_flat({**LEFT_TO_THE_IDEA, **kept, **more, "takes": 1}))]
        together = [
            pair
            for piece in self.context[1:]
            for pair in (("with", piece.path), ("with_start", piece.start_s), ("with_end", piece.end_s))
        ]
        audio = tuple(part for pair in together for part in pair)
        if not values.get("parts"):
            return [(prompt, *_flat(values), *audio)]
        found = []
        for number in range(max(1, int(values.get("takes", 1)))):
            one = {**values, "takes": 1}
            if one.get("seed", -1) >= 0:
                one["seed"] = one["seed"] + number * SEEDS_OF_AN_IDEA
            found.append((prompt, *_flat(one), *audio))
        return found

    def makes_ideas(self, more: Mapping[str, Any]) -> bool:
        """Whether parts are asked for, or an idea is gone on with."""
        values = {**self.values, **(self.preset or {}), **more}
        return any(values.get(name) for name in ("parts", "idea", "redo"))

    def _values(self, song_values: Mapping[str, tuple[Any, ...]], more: Mapping[str, Any]) -> dict[str, Any]:
        numerator, denominator = song_values["signature"]
        values: dict[str, Any] = {
            "tempo": song_values["tempo"][0],
            "signature": f"{numerator}/{denominator}",
            "key": song_values["key"][0],
        }  # type: dict[str, Any]
        values.update(self.values)
        for name, value in (self.preset or {}).items():
            if name in TYPES:
                values[name] = typed(name, value)
        values.update(self._audio(numerator * 4.0 / denominator))
        values.update(more)
        return values

    def _audio(self, quarters_per_bar: float) -> dict[str, Any]:
        values: dict[str, Any] = {}
        first = self.context[0] if self.context else None
        for name, piece in (("reference", self.reference), ("context", first)):
            if piece is not None:
                values[name] = piece.path
                values[name + "_start"], values[name + "_end"] = piece.start_s, piece.end_s
        if first is not None and first.beats:
            # The file's own tempo: Live stretches both clips alike, so what fits there fits in the set.
            values["tempo"] = first.bpm
            values["bars"] = first.beats / quarters_per_bar
        return values

    def session(self, song_values: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        """What the daemon's session is told, by address."""
        told = dict(song_values)
        told.update({name: (self.values[name],) for name in SESSION if name in self.values})
        bars = self.values.get("bars", 0.5)
        if bars == int(bars):
            told["bars"] = (int(bars),)
        return told


def _flat(values: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(part for pair in values.items() for part in pair)


def _clip_name(song: Any) -> str:
    slot: Any = getattr(song.view, "highlighted_clip_slot", None)
    return str(slot.clip.name) if alive(slot) and slot.has_clip else ""


def title(prompt: str, key: str, bpm: float, last: str) -> str:
    """A clip's name in Live: `dusty breakbeat A minor 92.5 t2`, or with its part last."""
    short = prompt if len(prompt) <= 40 else prompt[:39].rstrip() + "…"
    return " ".join(part for part in (short, key, f"{round(bpm, 2):g}", last) if part)
