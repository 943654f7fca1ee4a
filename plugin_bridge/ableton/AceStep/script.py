"""The control surface: Live's callbacks on one side, the daemon on the other.

One timer of 10 ms does everything, in small steps: hear, follow the set, talk to the daemon, insert a clip.
Nothing blocks, nothing else calls Live, and nothing that goes wrong leaves this file other than as a text.
"""

from __future__ import annotations

import collections
import json
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Generator, NamedTuple, Tuple

from . import home_files, ideas, slots, starter
from .daemon import Daemon, Listener, SentRequest
from .follow import SongFollower
from .link import Link
from .request import Request, title
from .slots import NewClip, Refused, Target
from .triggers import PREFIX, Triggers

VERSION = "0.1.0"
TICK_MS = 10
BUDGET_S = 0.002  # for messages in one tick
PROGRESS_EVERY_S = 0.25
SAME_TEXT_EVERY_S = 2.0
LOOK_AT_SET_EVERY_S = 1.0
STATE_EVERY_S = 0.1
MAX_WATCHERS = 8
SET_SUBFOLDERS = ("Samples", "ACE-Step")

Address = Tuple[str, int]


class Place(NamedTuple):
    """Where a job's clips go, decided when it was asked for; an idea's into a row."""

    target: Target | ideas.Row
    prompt: str


class AceStep(Listener):
    """One control surface slot of Live. Its public names are gestures and Live's own callbacks."""

    def __init__(self, c_instance: Any, live: Any) -> None:
        self._c, self._live = c_instance, live
        self.song = c_instance.song()
        self._home = home_files.home()
        self.settings, complaints = home_files.load(self._home)
        host = self._safe_host(complaints)
        self.link = Link(host, self.settings["port"], self.settings["allow"])
        self.daemon = Daemon(self.link, lambda: home_files.daemon_address(self._home), self)
        self.follower = SongFollower(self.song)
        self._insertions: collections.deque[Generator[None, None, None]] = collections.deque()
        self._shown = ("", float("-inf"))
        self._watchers: collections.OrderedDict[Address, None] = collections.OrderedDict()
        self._stated_at = float("-inf")
        self._progress_at = self._looked_at = float("-inf")
        self._closed = False
        self._starting: Any = None
        self._load(complaints)
        self._timer = live.Base.Timer(callback=self._tick, interval=TICK_MS, repeat=True)
        self._timer.start()
        self._log(f"{VERSION} listens on {host}:{self.link.port}")
        if self.settings["start_daemon"]:
            self._guard(self.start_daemon)

    def _load(self, complaints: list[str]) -> None:
        presets, more = home_files.presets(self._home)
        self.request = Request(self.settings["request"], presets, self.settings["source"])
        self.triggers = Triggers(self, self.settings["midi"])
        for text in complaints + more + self.request.complaints + self.triggers.complaints:
            self.on_text(text)

    def _safe_host(self, complaints: list[str]) -> str:
        host = str(self.settings["host"])
        if host.startswith("127.") or host == "localhost" or self.settings["allow"]:
            return host
        complaints.append(f"live.json: host {host} needs `allow`, a list of addresses: loopback is used")
        return home_files.HOST

    # --- the tick --------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._closed:
            return
        now = time.monotonic()
        self._guard(lambda: self.link.drain(BUDGET_S, self._hear))
        self._guard(lambda: self._follow(now))
        self._guard(lambda: self.daemon.tick(now))
        self._guard(self._step_insertion)

    def _guard(self, step: Callable[[], Any]) -> str:
        """Runs a step; what goes wrong becomes a text. "" when nothing did."""
        try:
            step()
        except Refused as refused:
            self.on_text(str(refused))
            return str(refused)
        except Exception as error:  # noqa: BLE001 (an error in a callback would take the script down with it)
            self._log(traceback.format_exc())
            self.on_text(f"something went wrong, see Log.txt: {error}")
            return str(error)
        return ""

    def _follow(self, now: float) -> None:
        if now - self._looked_at > LOOK_AT_SET_EVERY_S:
            self._looked_at = now
            if self._starting is not None and self._starting.poll() is not None:
                self._starting = None
            self.daemon.rename("Live: " + self.follower.set_name)
        if self.follower.news(now):
            self._tell()
            self.follower.selection_changed = True
        if self.follower.selection_changed and now - self._stated_at >= STATE_EVERY_S:
            self.follower.selection_changed, self._stated_at = False, now
            for watcher in self._watchers:
                self._send_state(watcher)

    def _tell(self) -> None:
        self.daemon.tell(self.request.session(self.follower.values()))

    def _step_insertion(self) -> None:
        if not self._insertions:
            return
        try:
            next(self._insertions[0])
        except StopIteration:
            self._insertions.popleft()
        except Refused:
            self._insertions.popleft()
            raise

    # --- what is heard ---------------------------------------------------------------------------

    def _hear(self, sender: Address, address: str, args: tuple[Any, ...]) -> None:
        if not address.startswith(PREFIX):
            if sender == self.daemon.address:
                self.daemon.hear(address, args)
            return
        if address == PREFIX + "ping":
            self.link.send(sender, PREFIX + "pong", VERSION)
        elif address == PREFIX + "status":
            self._watchers[sender] = None  # whoever asked once is told what changes
            if len(self._watchers) > MAX_WATCHERS:
                self._watchers.popitem(last=False)
            self._send_state(sender)
        else:
            problem = self._guard(lambda: self.triggers.hear(address, args))
            if problem:
                self.link.send(sender, PREFIX + "error", "refused", problem)

    def _send_state(self, to: Address) -> None:
        self.link.send(to, PREFIX + "state", json.dumps(self.state()))

    def state(self) -> dict[str, Any]:
        """What `/acestep/live/status` answers."""
        view = self.song.view
        slot = view.highlighted_clip_slot
        in_slot = slots.alive(slot) and slot.has_clip
        return {
            "version": VERSION,
            "daemon": "up" if self.daemon.up else self.daemon.trouble or self.daemon.how_to_start(),
            "set": self.follower.set_name,
            "track": str(view.selected_track.name) if slots.alive(view.selected_track) else "",
            "scene": str(view.selected_scene.name) if slots.alive(view.selected_scene) else "",
            "slot": str(slot.clip.name) if in_slot else "",
            "song": {name: list(args) for name, args in self.follower.values().items()},
            "request": dict(self.request.values),
            "source": self.request.source,
            "preset": self.request.preset["name"] if self.request.preset else "",
            "presets": [str(preset["name"]) for preset in self.request.presets][:64],
            "reference": self.request.reference.path if self.request.reference else "",
            "context": ", ".join(piece.path for piece in self.request.context),
            "jobs": list(self.daemon.jobs),
        }

    def on_text(self, text: str) -> None:
        now = time.monotonic()
        if (text, True) == (self._shown[0], now - self._shown[1] < SAME_TEXT_EVERY_S):
            return
        self._shown = (text, now)
        self._c.show_message("ACE-Step: " + text)
        self._log(text)

    def on_progress(self, text: str) -> None:
        now = time.monotonic()
        if now - self._progress_at >= PROGRESS_EVERY_S:
            self._progress_at = now
            self._c.show_message("ACE-Step: " + text)

    def on_up(self) -> None:
        self.follower.changed = True
        self._tell()

    def on_clip(self, request: SentRequest, new: NewClip) -> None:
        prompt, target = request.place.prompt, request.place.target
        if isinstance(target, ideas.Row):
            return  # not asked for as one clip
        if target.slot is None and not hasattr(target.track, "create_take_lane"):
            target = target._replace(beat=target.beat + (request.clips - 1) * new.beats)
        look = self._look(prompt, new, f"t{request.clips}" if request.clips > 1 else "")
        self._insertions.append(slots.insert(self._live, self.song, target, new, look))

    def on_idea(self, request: SentRequest) -> None:
        row, prompt = request.place.target, request.place.prompt

        def look(new: NewClip) -> tuple[str, int]:
            return self._look(prompt, new, new.part)

        if isinstance(row, ideas.Row):
            self._insertions.append(ideas.insert_idea(self._live, self.song, row, request.parts, look))

    def _look(self, prompt: str, new: NewClip, last: str) -> tuple[str, int]:
        return title(prompt, new.key, new.bpm, last), int(self.settings["warp_mode"])

    def _log(self, text: str) -> None:
        self._c.log_message("ACE-Step: " + text)

    # --- gestures --------------------------------------------------------------------------------

    def generate(self, prompt: str = "", more: dict[str, Any] = {}) -> None:  # noqa: B006 (never changed)
        """Asks for clips or ideas, for the place that is selected now."""
        prompt = prompt.strip()
        target: Target | ideas.Row
        if self.request.makes_ideas(more):
            target, track = ideas.find_row(self.song, self._in_arrangement()), self.song.view.selected_track
        else:
            target = slots.find_target(self.song, self._in_arrangement())
            track = target.track
        goes_on = bool(more.get("idea") or self.request.values.get("idea"))  # which has words
        prompt = prompt or ("" if goes_on else self.request.words(self.song, track))
        for number, message in enumerate(self.request.messages(prompt, self.follower.values(), more)):
            if isinstance(target, ideas.Row):
                target = target._replace(number=number)
            problem = self.daemon.request(SentRequest(message, self._folder(), Place(target, prompt)))
            if problem:
                raise Refused(problem)

    def redo(self, parts: str = "") -> None:
        """Makes the selected clip's part anew, or these parts of its idea."""
        idea, part = ideas.idea_of(slots.selected_audio_clip(self.song))
        self.generate("", {"idea": idea, "redo": parts or part})

    def add(self, parts: str) -> None:
        """Adds parts to the selected clip's idea."""
        idea, _ = ideas.idea_of(slots.selected_audio_clip(self.song))
        self.generate("", {"idea": idea, "parts": parts})

    def _in_arrangement(self) -> bool:
        where = self.settings["where"]
        if where == "auto":
            view = self._live.Application.get_application().view
            return str(view.focused_document_view) == "Arranger"
        return bool(where == "arrangement")

    def _folder(self) -> str:
        """Beside the set, if it is saved and the daemon may write there; else "", the samples folder."""
        folder = self.follower.set_folder
        if not folder or not self.settings["beside_set"]:
            return ""
        return str(Path(folder, *SET_SUBFOLDERS))

    def cancel(self) -> None:
        count = self.daemon.cancel()
        self.on_text(f"cancelling {count} jobs" if count else "nothing to cancel")

    def set_reference(self, now: bool = False) -> None:
        """The selected clip's sound is imitated from now on."""
        self.request.reference = piece = slots.stretch(slots.selected_audio_clip(self.song))
        self.on_text(f"reference: {Path(piece.path).name}, {piece.end_s - piece.start_s:.1f} s")
        if now:
            self.generate()

    def set_context(self, now: bool = False) -> None:
        """New clips fit to the selected clip from now on; to all of a group, or of several tracks, as one."""
        pieces = [slots.stretch(clip) for clip in slots.clips_together(self.song)]
        slots.require_one_tempo(pieces)
        pieces.sort(key=lambda piece: piece.start_s - piece.end_s)
        self.request.context, first = pieces, pieces[0]
        names = ", ".join(Path(piece.path).name for piece in pieces)
        text = f"context: {names}, {first.end_s - first.start_s:.1f} s"
        moved = {piece.transposed for piece in pieces} - {0}
        if not all(piece.beats for piece in pieces):
            text += " (not warped: the set's tempo is used)"
        elif moved:
            steps = ", ".join(f"{one:+d}" for one in sorted(moved))
            text += f" (transposed by {steps} in Live; heard as it is in its file)"
        self.on_text(text)
        if now:
            self.generate()

    def clear_audio(self) -> None:
        self.request.reference, self.request.context = None, []
        self.on_text("no reference, no context")

    def set_prompt(self, text: str) -> None:
        self.request.prompt = text
        self.on_text("prompt: " + (text or "none"))

    def choose_preset(self, which: Any) -> None:
        self.on_text("preset: " + self.request.choose(which))

    def step_preset(self, by: int) -> None:
        self.on_text("preset: " + self.request.step(by))

    def set_source(self, source: str) -> None:
        self.request.source = source
        self.on_text("prompts come from: " + source)

    def set_where(self, where: str) -> None:
        self.settings["where"] = where
        self.on_text("clips go to: " + where)

    def set_value(self, name: str, value: Any) -> None:
        self.request.values[name] = value
        self.follower.changed = True  # goes out with the next news

    def start_daemon(self) -> None:
        if self.daemon.up:
            self.on_text("the daemon is there already")
            return
        self._starting = starter.start(self.settings["daemon"])
        self.on_text("starting the daemon …")

    def reload(self) -> None:
        """Reads live.json and presets.json again (the port stays)."""
        self.settings, complaints = home_files.load(self._home)
        self._load(complaints)
        self._c.request_rebuild_midi_map()
        self.follower.changed = True
        self.on_text(f"{len(self.request.presets)} presets")

    # --- Live's callbacks ------------------------------------------------------------------------

    def disconnect(self) -> None:
        """Live takes the script away: quitting, another set, or another choice in its settings."""
        if self._closed:
            return
        self._closed = True
        self._timer.stop()
        for insertion in self._insertions:
            insertion.close()  # ends its undo step
        self.follower.close()
        self.link.close()

    def build_midi_map(self, midi_map_handle: Any) -> None:
        self.triggers.build_midi_map(self._live, self._c.handle(), midi_map_handle)

    def receive_midi(self, midi_bytes: tuple[int, ...]) -> None:
        self._guard(lambda: self.triggers.receive_midi(tuple(midi_bytes)))

    def update_display(self) -> None:
        """Every 100 ms; the timer does the work."""

    def refresh_state(self) -> None:
        self.follower.changed = True

    def connect_script_instances(self, instanciated_scripts: Any) -> None:
        """Other scripts do not matter here."""

    def can_lock_to_devices(self) -> bool:
        return False

    def suggest_input_port(self) -> str:
        return ""

    def suggest_output_port(self) -> str:
        return ""

    def suggest_map_mode(self, cc_no: int, channel: int) -> int:
        return -1
