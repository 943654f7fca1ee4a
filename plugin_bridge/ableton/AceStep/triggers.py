"""What sets the script off: OSC under `/acestep/live/`, and notes and controllers of a MIDI device.

The script carries the gestures out.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, Tuple

from .request import SOURCES, pairs, typed
from .slots import Refused
from .table import TYPES

PREFIX = "/acestep/live/"
PLACES = ("auto", "session", "arrangement")
BARS_STEPS = (1, 2, 4, 8, 16, 32)

Args = Tuple[Any, ...]


class Triggers:
    """Names and MIDI messages to gestures. `script` is the control surface."""

    def __init__(self, script: Any, midi: list[Any]) -> None:
        self._script = script
        self._pressed: set[Any] = set()
        self.complaints: list[str] = []
        self._midi: dict[tuple[str, int, int], str] = {}
        self._osc = {
            "generate": self._generate,
            "cancel": lambda args: script.cancel(),
            "reference": lambda args: self._gesture(script.set_reference, args),
            "context": lambda args: self._gesture(script.set_context, args),
            "clear": lambda args: script.clear_audio(),
            "redo": self._redo,
            "add": self._add,
            "prompt": self._prompt,
            "preset": self._preset,
            "next_preset": lambda args: script.step_preset(1),
            "previous_preset": lambda args: script.step_preset(-1),
            "source": lambda args: script.set_source(_one_of("source", args, SOURCES)),
            "where": lambda args: script.set_where(_one_of("where", args, PLACES)),
            "start": lambda args: script.start_daemon(),
            "reload": lambda args: script.reload(),
        }  # type: dict[str, Callable[[Args], None]]
        for item in midi:
            self._bind(item)

    @property
    def addresses(self) -> list[str]:
        """Every address that is understood."""
        own = ["ping", "status"]
        return sorted(PREFIX + name for name in {*self._osc, *TYPES, *own})

    def hear(self, address: str, args: Args) -> None:
        """One OSC message. Raises Refused for what is none of ours, or not now."""
        name = address[len(PREFIX) :]
        if name in self._osc:
            self._osc[name](args)
        elif name in TYPES:
            if len(args) != 1:
                raise Refused(f"{address}: expected one value")
            self._script.set_value(name, typed(name, args[0]))
        else:
            raise Refused(f"{address} is not known: expected one of {', '.join(self.addresses)}")

    def _generate(self, args: Args) -> None:
        if args and isinstance(args[0], (int, float)):  # a button sends 1 when pressed and 0 when released
            if args[0]:
                self._script.generate()
            return
        prompt = args[0] if args else ""
        self._script.generate(str(prompt), pairs(args[1:]))

    def _redo(self, args: Args) -> None:
        """A button, or the parts' names."""
        if args and not isinstance(args[0], (str, int, float)):
            raise Refused("/acestep/live/redo: expected nothing, or names of parts")
        if not args or args[0]:
            self._script.redo(args[0] if args and isinstance(args[0], str) else "")

    def _add(self, args: Args) -> None:
        if len(args) != 1 or not isinstance(args[0], str) or not args[0].strip():
            raise Refused('/acestep/live/add: expected names of parts, for example "lead"')
        self._script.add(args[0])

    def _gesture(self, gesture: Callable[[bool], None], args: Args) -> None:
        """`… 1` generates at once."""
        gesture(bool(args and args[0]))

    def _prompt(self, args: Args) -> None:
        if len(args) != 1 or not isinstance(args[0], str):
            raise Refused("/acestep/live/prompt: expected text")
        self._script.set_prompt(args[0])

    def _preset(self, args: Args) -> None:
        if len(args) != 1 or not isinstance(args[0], (int, float, str)):
            raise Refused("/acestep/live/preset: expected a name or a number from 1")
        self._script.choose_preset(args[0])

    # --- MIDI ------------------------------------------------------------------------------------

    def _bind(self, item: Any) -> None:
        if not isinstance(item, Mapping):
            self.complaints.append(f"live.json: midi: {item!r} is not a table")
            return
        kind, channel, number = item.get("type"), item.get("channel", 1), item.get("number")
        action = item.get("action")
        good = (
            kind in ("note", "cc")
            and isinstance(channel, int)
            and isinstance(number, int)
            and 1 <= channel <= 16
            and 0 <= number <= 127
            and (action in self._osc or action in ("bars", "takes", "strength"))
        )
        if not good:
            self.complaints.append(
                "live.json: midi: expected action, type note or cc, channel 1–16, number 0–127, "
                f"not {dict(item)!r}"
            )
            return
        self._midi[(str(kind), channel - 1, int(number))] = str(action)  # type: ignore[arg-type]

    def build_midi_map(self, live: Any, script_handle: Any, midi_map_handle: Any) -> None:
        """Asks Live for the notes and controllers that are bound."""
        for kind, channel, number in self._midi:
            forward = live.MidiMap.forward_midi_note if kind == "note" else live.MidiMap.forward_midi_cc
            forward(script_handle, midi_map_handle, channel, number)

    def receive_midi(self, message: tuple[int, ...]) -> None:
        """One MIDI message that Live forwarded. Raises Refused like any gesture."""
        if len(message) < 3:
            return
        status, number, value = message[:3]
        kind = {0x90: "note", 0x80: "note", 0xB0: "cc"}.get(status & 0xF0)
        bound = (str(kind), status & 0x0F, number)
        action = self._midi.get(bound)
        if action is None:
            return
        if action in ("bars", "takes", "strength"):
            self._script.set_value(action, typed(action, _scaled(action, value)))
            return
        if action == "preset" and kind == "cc":
            count = len(self._script.request.presets)
            self._script.choose_preset(1 + value * count // 128)
            return
        down = value >= 64 if kind == "cc" else status & 0xF0 == 0x90 and value > 0
        if down and bound not in self._pressed:
            self._pressed.add(bound)
            self._osc[action](())
        elif not down:
            self._pressed.discard(bound)


def _scaled(action: str, value: int) -> float:
    if action == "bars":
        return BARS_STEPS[value * len(BARS_STEPS) // 128]
    return 1 + value * 8 // 128 if action == "takes" else round(value / 127.0, 3)


def _one_of(name: str, args: Args, choices: tuple[str, ...]) -> str:
    if len(args) != 1 or args[0] not in choices:
        raise Refused(f"/acestep/live/{name}: expected one of {', '.join(choices)}")
    return str(args[0])
