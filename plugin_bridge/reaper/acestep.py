"""ACE-Step for REAPER: one action that asks for clips or an idea in parts, for the edit cursor.

Sends tempo and time signature at the cursor, the project's folder, and the selected items as reference or
context to the daemon; each clip becomes a take of one item, at the project's tempo, as one undo step. An idea
is a folder of tracks, one a part. Never waits: what the daemon says is read between REAPER's own turns.
Python 3.7 and its standard library only.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

import reaper_python as rpr

VERSION = "0.1.0"
WIRE_VERSION = "1"  # as in the daemon's protos package; a test keeps them equal
OSC_PORT = 9127
ANSWER_WITHIN_S = 3.0
MESSAGES_A_TURN = 32
ON_A_MARKER_S, INSTANT_S = 1e-6, 2e-5  # shorter than a sample, and long enough for a double's digits
MAX_PARENTS = 16
FIELDS = (
    "Prompt",
    "Bars",
    "Takes",
    "Key (A minor)",
    "Selected items (none, reference, context)",
    "Parts (drums, bass, chords)",
    "MIDI files (no, yes)",
)
FIRST_ANSWERS = ("dusty breakbeat", "4", "1", "", "none", "", "no")
MIX = "mix"  # of all parts; in the project they sound together anyway
SHORTEST_S = 0.05  # of what items have in common
PROJECT_SUBFOLDER = "ACE-Step"


class Told(Exception):
    """Something to tell the musician, who can do something about it."""


# --- OSC: as much of it as the daemon speaks --------------------------------------------------------


def _text(value: str) -> bytes:
    raw = value.encode("utf-8")
    return raw + b"\0" * (4 - len(raw) % 4)


def encode(address: str, *args: Any) -> bytes:
    """One message; texts, whole numbers and numbers."""
    tags, data = ",", b""
    for value in args:
        if isinstance(value, str):
            tags, data = tags + "s", data + _text(value)
        elif isinstance(value, int):
            tags, data = tags + "i", data + struct.pack(">i", value)
        else:
            tags, data = tags + "f", data + struct.pack(">f", value)
    return _text(address) + _text(tags) + data


def decode(packet: bytes) -> tuple[str, list[Any]]:
    """One message. Raises ValueError for anything else."""
    try:
        address, at = _read_text(packet, 0)
        tags, at = _read_text(packet, at)
        values: list[Any] = []
        for tag in tags[1:]:
            if tag == "s":
                value, at = _read_text(packet, at)
                values.append(value)
            elif tag in "if":
                values.append(struct.unpack_from(">" + tag, packet, at)[0])
                at += 4
            else:
                raise ValueError("type " + tag)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError("no OSC message") from error
    return address, values


def _read_text(packet: bytes, at: int) -> tuple[str, int]:
    end = packet.index(b"\0", at)
    return packet[at:end].decode("utf-8"), end + 4 - (end - at) % 4


# --- REAPER -----------------------------------------------------------------------------------------


def there(pointer: Any) -> bool:
    """REAPER's null is a text like `(MediaItem*)0x0000000000000000`."""
    return bool(pointer) and not str(pointer).endswith("0x0000000000000000")


def tempo_at(seconds: float) -> tuple[float, int, int]:
    """Quarter notes per minute (REAPER's own bpm may count other notes), numerator, denominator.

    Looked at over an instant, so that a tempo marker just behind the cursor has no say; a cursor that stands
    a rounding error before a marker stands on it.
    """
    at = seconds + ON_A_MARKER_S
    quarters = rpr.RPR_TimeMap2_timeToQN(0, at + INSTANT_S) - rpr.RPR_TimeMap2_timeToQN(0, at)
    _, _, numerator, denominator, _ = rpr.RPR_TimeMap_GetTimeSigAtTime(0, at, 0, 0, 0.0)
    return round(quarters / INSTANT_S * 60.0, 3), int(numerator), int(denominator)


def source_file(source: Any) -> tuple[str, float, float, bool]:
    """Path of a source, where in the file it begins, how long it is (0: to the end), and whether backwards.

    A section or a reversed item has no file of its own: its parent has.
    """
    start = length = 0.0
    backwards = False
    path = ""
    for _ in range(MAX_PARENTS):
        path = rpr.RPR_GetMediaSourceFileName(source, "", 4096)[1]
        section = getattr(rpr, "RPR_PCM_Source_GetSectionInfo", None)
        if section is not None:
            is_section, _, offset, size, reverse = section(source, 0.0, 0.0, False)[:5]
            if is_section:
                start, length = start + float(offset), length or float(size)
                backwards = backwards != bool(reverse)
        parent = rpr.RPR_GetMediaSourceParent(source) if not path else None
        if not there(parent):
            break
        source = parent
    return path, start, length, backwards


def selected_audio(several: bool) -> tuple[list[tuple[str, float, float]], float]:
    """Path, start and end in the file in seconds of each selected item, and their play rate.

    Several items are cut to the stretch in which all of them play, so that they begin together. Raises Told.
    """
    items = [rpr.RPR_GetSelectedMediaItem(0, index) for index in range(rpr.RPR_CountSelectedMediaItems(0))]
    if not items:
        raise Told("select an audio item first, or answer none")
    if len(items) > 1 and not several:
        raise Told(f"{len(items)} items are selected: a reference is one of them, a context may be several")
    places = [rpr.RPR_GetMediaItemInfo_Value(item, "D_POSITION") for item in items]
    lengths = [rpr.RPR_GetMediaItemInfo_Value(item, "D_LENGTH") for item in items]
    first, last = max(places), min(map(sum, zip(places, lengths)))  # noqa: B905 (Python 3.7)
    if last - first < SHORTEST_S:
        raise Told("the selected items do not play at the same time: select some that do, as one context")
    heard = [item_audio(item, first, last) for item in items]
    rates = sorted({round(rate, 4) for *_, rate in heard})
    if len(rates) > 1:
        raise Told(
            f"the selected items play at different rates ({', '.join(f'{rate:g}' for rate in rates)}): their "
            "files have different tempi and would not sound together as one context"
        )
    return [(path, start, end) for path, start, end, _ in heard], heard[0][3]


def item_audio(item: Any, first_s: float, last_s: float) -> tuple[str, float, float, float]:
    """Path, start and end in the file in seconds, and play rate, of what an item plays from one second of the
    project to another. Raises Told."""
    take = rpr.RPR_GetActiveTake(item)
    if not there(take):
        raise Told("a selected item is empty: select audio items")
    path, begins, length, backwards = source_file(rpr.RPR_GetMediaItemTake_Source(take))
    if not path or not Path(path).is_file():
        raise Told(f"a selected item has no audio file ({path or 'MIDI or empty'})")
    rate = rpr.RPR_GetMediaItemTakeInfo_Value(take, "D_PLAYRATE")
    into_s = first_s - rpr.RPR_GetMediaItemInfo_Value(item, "D_POSITION")
    start = rpr.RPR_GetMediaItemTakeInfo_Value(take, "D_STARTOFFS") + into_s * rate
    end = start + (last_s - first_s) * rate
    start = max(0.0, start)
    if backwards:
        tell("the item plays backwards; the daemon hears its file forwards")
        start, end = (length - end, length - start) if length else (start, end)
    return path, max(0.0, begins + start), begins + end, rate


def target_track() -> Any:
    """The selected track, else a new one at the end."""
    track = rpr.RPR_GetSelectedTrack(0, 0)
    if there(track):
        return track
    return new_track("")


def new_track(name: str, depth: int = 0) -> Any:
    """A track at the end. `depth`: 1 opens a folder, −1 closes it behind this track."""
    count = rpr.RPR_CountTracks(0)
    rpr.RPR_InsertTrackAtIndex(count, True)
    track = rpr.RPR_GetTrack(0, count)
    rpr.RPR_GetSetMediaTrackInfo_String(track, "P_NAME", name, True)
    rpr.RPR_SetMediaTrackInfo_Value(track, "I_FOLDERDEPTH", depth)
    return track


def tell(text: str) -> None:
    rpr.RPR_ShowConsoleMsg("ACE-Step: " + text + "\n")


def home() -> Path:
    """`ACESTEP_HOME`, else the platform's data folder, as the daemon chooses it."""
    told = os.environ.get("ACESTEP_HOME")
    if told:
        return Path(told)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "acestep"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "acestep"
    return Path(os.environ.get("XDG_DATA_HOME", "").strip() or Path.home() / ".local" / "share") / "acestep"


def daemon_port() -> int:
    """Where the running daemon says it listens, else the default."""
    try:
        return int(json.loads((home() / "daemon.json").read_text("utf-8"))["osc_port"])
    except (OSError, ValueError, KeyError, TypeError):
        return OSC_PORT


def speaks_ours(wire_version: str) -> bool:
    """Whether a daemon that speaks this wire version understands us: the part before the first dot is the
    same. Every bridge compares so."""
    return wire_version.split(".")[0] == WIRE_VERSION.split(".")[0]


# --- one answer to the dialog -----------------------------------------------------------------------


class Clip:
    """A clip as the daemon tells it; `idea` and `part` are "" for one that is none of an idea."""

    def __init__(self, args: list[Any]) -> None:
        self.path, self.bpm, signature, _, self.bars = args[1:6]
        self.idea, self.part = (str(value) for value in args[7:9]) if len(args) >= 9 else ("", "")
        numerator, denominator = (int(part) for part in signature.split("/"))
        self.length_s = self.bars * numerator * 4.0 / denominator * 60.0 / self.bpm

    def require_file(self) -> None:
        if not Path(self.path).is_file():
            raise Told(f"{self.path} is gone: it was moved or deleted")


class Request:
    """What was asked for and its clips: from the dialog to the takes of items.

    Takes of an idea in parts are as many jobs, one an idea.
    """

    def __init__(self, answers: list[str]) -> None:
        self.cursor = rpr.RPR_GetCursorPosition()
        self.bpm, self.numerator, self.denominator = tempo_at(self.cursor)
        self.prompt = answers[0].strip()
        self.count = 1  # of jobs
        self.message = self._message(answers)
        self.folder = self._folder()
        self.items: dict[str, Any] = {}  # by part
        self.jobs: dict[str, list[Clip]] = {}  # those that run, with the parts that are there
        self.asked: dict[str, str] = {}  # tags that nobody has answered yet, with the folder asked for
        self.tags = 0
        self.over = False
        self.greeted = self.asked_at = 0.0
        self.daemon = ("127.0.0.1", daemon_port())
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", 0))
        self._send("/acestep/ping")
        self.asked_at = time.monotonic()

    def _message(self, answers: list[str]) -> list[Any]:
        prompt, bars, takes, key, use, parts, midi = (answer.strip() for answer in answers)
        if not prompt:
            raise Told("the prompt is empty: say in a few words what it should sound like")
        try:
            numbers: list[Any] = ["bars", float(bars.replace(",", ".")), "takes", int(takes)]
        except ValueError:
            raise Told(f"bars {bars!r} and takes {takes!r} must be numbers") from None
        if midi not in ("", "no", "yes"):
            raise Told(f"MIDI files {midi!r}: answer yes or no")
        bpm = self.bpm
        audio: list[Any] = []
        if use in ("reference", "context"):
            (first, *others), rate = selected_audio(use == "context")
            for name, (path, start, end) in [(use, first), *(("with", other) for other in others)]:
                audio += [name, path, name + "_start", start, name + "_end", end]
            bpm = self.bpm / rate if use == "context" else bpm  # the tempo of the file as it is on disk
        elif use not in ("", "none"):
            raise Told(f"selected items {use!r}: answer none, reference or context")
        if parts:
            self.count, numbers[3] = max(1, numbers[3]), 1
        song: list[Any] = ["tempo", bpm, "signature", f"{self.numerator}/{self.denominator}", "key", key]
        more: list[Any] = ["parts", parts] if parts else []
        return [prompt, *song, *numbers, *more, "midi", int(midi == "yes"), *audio]

    def _folder(self) -> str:
        path = rpr.RPR_GetProjectPath("", 4096)[0]
        return str(Path(path) / PROJECT_SUBFOLDER) if path and Path(path).is_absolute() else ""

    def _send(self, address: str, *args: Any) -> None:
        try:
            self._socket.sendto(encode(address, *args), self.daemon)
        except OSError as error:
            raise Told(f"cannot send to the daemon: {error}") from error

    def turn(self) -> None:
        """Between two of REAPER's own turns: reads what has come, at most a few messages."""
        for _ in range(MESSAGES_A_TURN):
            try:
                packet, sender = self._socket.recvfrom(65536)
            except BlockingIOError:
                break
            except OSError:  # Windows reports a closed port here
                break
            if sender == self.daemon:
                try:
                    self.hear(*decode(packet))
                except ValueError:
                    continue
        waiting = self.asked or not self.greeted
        if waiting and time.monotonic() - self.asked_at > ANSWER_WITHIN_S:
            raise Told(f"no daemon answers on port {self.daemon[1]}: run `acestep serve` and try again")

    def hear(self, address: str, args: list[Any]) -> None:
        """One answer of the daemon."""
        if address == "/acestep/pong" and not self.greeted:
            self._on_pong(*(str(value) for value in args[:2]))
        elif address == "/acestep/accepted" and len(args) > 1 and args[1] in self.asked:
            del self.asked[args[1]]
            self.jobs[args[0]] = []
            tell(f"making {self.prompt} …")
        elif address == "/acestep/error":
            self._on_error(*(str(value) for value in args[:4]))
        elif args and args[0] in self.jobs:
            if address == "/acestep/clip":
                self._on_clip(args[0], Clip(args))
            elif address == "/acestep/companion":
                tell(f"notes: {args[2]}")
            elif address in ("/acestep/done", "/acestep/cancelled"):
                self._end(args[0])

    def _on_pong(self, version: str = "?", wire: str = "?") -> None:
        if not speaks_ours(wire):
            raise Told(
                f"the daemon ({version}) speaks wire version {wire}, this script {WIRE_VERSION}: install one "
                "release on both sides (`make install` in the newer clone, `plugin-bridge install reaper`)"
            )
        self.greeted = time.monotonic()
        self._send("/acestep/session", "REAPER")
        for _ in range(self.count):
            self._ask()

    def _ask(self) -> None:
        self.tags += 1
        tag = str(self.tags)
        folder = ("folder", self.folder) if self.folder else ()
        self.asked[tag] = self.folder
        self.asked_at = time.monotonic()
        self._send("/acestep/generate", *self.message, *folder, "tag", tag)

    def _on_error(self, reason: str = "", message: str = "", job: str = "", tag: str = "") -> None:
        if tag in self.asked:
            if self.asked.pop(tag) and reason == "forbidden_path":
                if self.folder:
                    tell("the daemon may not write beside the project: using the samples folder")
                self.folder = ""
                self._ask()
                return
        elif job not in self.jobs:
            return
        tell(message or reason)
        self._end(job)

    def _on_clip(self, job: str, clip: Clip) -> None:
        if clip.part:
            self.jobs[job].append(clip)
            return
        clip.require_file()
        self._change(lambda: self._add("", clip, target_track))

    def _end(self, job: str) -> None:
        """A job is over; the parts of an idea that are there come in together, also where others failed."""
        clips = [clip for clip in self.jobs.pop(job, []) if clip.part != MIX]
        for clip in clips:
            clip.require_file()
        if clips:
            self._change(lambda: self._add_idea(clips))
        self.over = not (self.jobs or self.asked)

    def _change(self, change: Any) -> None:
        """One undo step."""
        rpr.RPR_Undo_BeginBlock2(0)
        rpr.RPR_PreventUIRefresh(1)
        try:
            change()
        finally:
            rpr.RPR_PreventUIRefresh(-1)
            rpr.RPR_Undo_EndBlock2(0, "ACE-Step: " + self.prompt, -1)
            rpr.RPR_UpdateArrange()

    def _add_idea(self, clips: list[Clip]) -> None:
        """Each part on a track of its own, in a folder named like the prompt; further ideas are takes."""
        new = [clip.part for clip in clips if not self._item_is_there(clip.part)]
        tracks = {}
        if new:
            new_track(self.prompt, 1)
            tracks = {part: new_track(part.replace("_", " "), -1 if part == new[-1] else 0) for part in new}
        for clip in clips:
            self._add(clip.part, clip, lambda part=clip.part: tracks[part])

    def _item_is_there(self, part: str) -> bool:
        return part in self.items and bool(rpr.RPR_ValidatePtr2(0, self.items[part], "MediaItem*"))

    def _add(self, part: str, clip: Clip, track: Any) -> None:
        """The clip as one more take of the part's item, which comes onto `track()` if it is not there."""
        rate = self.bpm / clip.bpm
        if not self._item_is_there(part):
            self.items[part] = item = rpr.RPR_AddMediaItemToTrack(track())
            rpr.RPR_SetMediaItemInfo_Value(item, "D_POSITION", self.cursor)
            rpr.RPR_SetMediaItemInfo_Value(item, "D_LENGTH", clip.length_s / rate)
            rpr.RPR_SetMediaItemInfo_Value(item, "B_LOOPSRC", 1)
        take = rpr.RPR_AddTakeToMediaItem(self.items[part])
        rpr.RPR_SetMediaItemTake_Source(take, rpr.RPR_PCM_Source_CreateFromFile(clip.path))
        rpr.RPR_SetMediaItemTakeInfo_Value(take, "D_PLAYRATE", rate)
        rpr.RPR_SetMediaItemTakeInfo_Value(take, "B_PPITCH", 1)
        name = f"{self.prompt} {part} {clip.bpm:g}" if part else f"{self.prompt} {clip.bpm:g}"
        rpr.RPR_GetSetMediaItemTakeInfo_String(take, "P_NAME", name, True)

    def close(self) -> None:
        self._socket.close()


def ask() -> list[str] | None:
    """The dialog, with the last answers in it. None when it was cancelled."""
    last = rpr.RPR_GetExtState("ACE-Step", "answers") or "\n".join(FIRST_ANSWERS)
    captions = ",".join([*FIELDS, "extrawidth=240", "separator=\n"])
    answered = rpr.RPR_GetUserInputs("ACE-Step", len(FIELDS), captions, last, 4096)
    answers = str(answered[4]).split("\n")
    if not answered[0] or len(answers) != len(FIELDS):
        return None
    rpr.RPR_SetExtState("ACE-Step", "answers", "\n".join(answers), False)  # an ini file has no newlines
    return answers


def loop() -> None:
    """One turn; asks REAPER for the next until the job has ended."""
    global request
    try:
        if request is None:
            answers = ask()
            request = Request(answers) if answers else None
            if request is None:
                return
        request.turn()
    except Told as told:
        tell(str(told))
        if request is not None:
            request.over = True
    if request is not None and not request.over:
        later("loop()")
    elif request is not None:
        request.close()


request: Request | None = None
later: Any = globals().get("RPR_defer") or rpr.RPR_defer  # REAPER puts it among the script's own names
loop()
