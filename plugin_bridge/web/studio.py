"""`lora_studio` as a command: looks at a folder, trains, is stopped and goes on; its words become messages.

One run at a time for all tabs.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from acestep.console.command import expanded
from plugin_bridge.errors import Busy, InvalidRequest, NotFound, StorageError
from plugin_bridge.programs import program
from plugin_bridge.web.files import write_wav
from plugin_bridge.web.live import Feed, Message

LINES_KEPT = 200
TICKS_KEPT = 4_000
TELL_EVERY_S = 0.25
STOP_S = 20.0
EXIT_STOPPED = 130
HEARD_AS_THEY_ARE = (".wav", ".mp3", ".flac", ".ogg")  # by every browser
OPTIONS = ("minutes", "trigger", "base", "stages", "rank", "learning-rate", "targets")  # flags of train


class Studio:
    """The command's process and what it has said."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._told_at = 0.0
        self._reports = tempfile.TemporaryDirectory(prefix="acestep-train-")
        self.arguments: list[str] = []
        self._sources: dict[str, Path] = {}  # what may be listened to, by the name it has in the data set
        self._begin("idle")

    def _begin(self, kind: str) -> None:
        self.kind = kind  # idle, prepare, train
        self.state = "idle" if kind == "idle" else "running"  # running, done, stopped, failed
        self.lines: list[str] = []
        self.ticks: list[Message] = []
        self.progress: Message = {}
        self.dataset: Message = {}
        self.result: Message = {}
        self.error = ""

    @property
    def running(self) -> bool:
        """True while the command works."""
        return self._process is not None and self._process.returncode is None

    @property
    def report(self) -> Path:
        """The page `prepare` writes."""
        return Path(self._reports.name) / "report.html"

    def message(self) -> Message:
        """Everything a page shows of it."""
        return {
            "kind": "train",
            "what": self.kind,
            "state": self.state,
            "command": " ".join(["lora_studio", *self.arguments]),
            "lines": self.lines[-40:],
            "ticks": self.ticks,
            "progress": self.progress,
            "dataset": self.dataset,
            "result": {**self.result, "files": self._files()},
            "error": self.error,
            "report": self.report.is_file(),
        }

    async def prepare(self, folder: str) -> None:
        """Looks at a folder."""
        self.report.unlink(missing_ok=True)
        await self._start("prepare", ["prepare", _folder(folder), "--report", str(self.report)])

    async def train(self, folder: str, name: str, options: dict[str, str], restart: bool = False) -> None:
        """Trains, or goes on with a run of the same name that was stopped."""
        if not name.strip():
            raise InvalidRequest("the adapter has no name: expected a few letters or digits")
        flags = [text for flag, value in options.items() if value for text in (f"--{flag}", value)]
        flags += ["--restart"] if restart else []
        if self._feed.status is not None and self._feed.bridge.target.is_local:
            flags += ["--home", self._feed.status.home]  # where this daemon looks for adapters
        await self._start("train", ["train", _folder(folder), "--name", name.strip(), *flags])

    async def _start(self, kind: str, arguments: list[str]) -> None:
        if self.running:
            raise Busy(f"lora_studio is at work ({self.kind}): stop it first, or wait")
        self._begin(kind)
        self.arguments = arguments
        self._process = await asyncio.create_subprocess_exec(
            program("lora_studio"),
            *arguments,
            "--json",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            limit=1 << 22,
        )
        self._reading = asyncio.create_task(self._read(self._process))
        self._tell()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.take(line.decode("utf-8", "replace").rstrip())
            if time.monotonic() - self._told_at > TELL_EVERY_S:
                self._tell()
        code = await process.wait()
        if code == 0:
            self.state = "done"
        elif code in (EXIT_STOPPED, -signal.SIGINT, -signal.SIGTERM):
            self.state = "stopped"
        else:
            self.state = "failed"
            self.error = self.error or (self.lines[-1] if self.lines else f"it ended with code {code}")
        self.progress = {}
        self._tell()
        if self.kind == "train" and code == 0:
            self._feed.tell({"kind": "models"})

    def take(self, line: str) -> None:
        """One line of the command's output: an event as JSON, or words for people."""
        told: Any = None
        if line.startswith("{"):
            with contextlib.suppress(ValueError):
                told = json.loads(line)
        if isinstance(told, dict) and "event" in told:
            self._on_event(told)
            return
        if line.strip():
            self.lines = [*self.lines, line][-LINES_KEPT:]

    def _on_event(self, told: Message) -> None:
        event = told.pop("event")
        if event == "tick":
            self.ticks.append(told)
            if len(self.ticks) > TICKS_KEPT:  # every second one tells the same curve
                self.ticks = [tick for i, tick in enumerate(self.ticks) if i % 2 or tick.get("validation")]
            self.progress = {**told, "what": f"stage {told.get('stage')}"}
            self.progress |= {"done": told.get("step"), "total": told.get("total_steps")}
        elif event == "stage":
            self.progress = told
        elif event == "dataset":
            self.dataset = told
            root = Path(str(told.get("root") or ""))
            self._sources = {one["path"]: root / one["path"] for one in told.get("samples") or ()}
        elif event == "done":
            self.result = told
        elif event == "error":
            self.error = str(told.get("message") or told.get("reason") or "")

    async def ended(self, within_s: float) -> bool:
        """Waits that long for the end; whether it came."""
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=within_s)
        return self._reading is None or self._reading.done()

    async def stop(self) -> None:
        """Asks the command to stop at its next checkpoint; the same run goes on from there."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        if os.name == "posix":
            process.send_signal(signal.SIGINT)
        else:
            process.terminate()

    async def close(self) -> None:
        """Stops it with the page's server."""
        await self.stop()
        if self._reading is not None:
            try:
                await asyncio.wait_for(self._reading, STOP_S)
            except TimeoutError:
                if self._process is not None:
                    self._process.kill()
        self._reports.cleanup()

    def file(self, name: str) -> Path:
        """A file of the finished adapter that the page shows. Raises NotFound."""
        if name not in self._files():
            raise NotFound(f"no file {name!r} in the adapter's folder")
        return Path(self.result["folder"]) / name

    async def source(self, name: str) -> Path:
        """A file of the folder that was looked at, in a format that browsers decode. Raises NotFound."""
        if name not in self._sources:
            raise NotFound(f"no file {name!r} in the folder that was looked at")
        path = self._sources[name]
        if path.suffix.lower() in HEARD_AS_THEY_ARE:
            return path
        wav = Path(self._reports.name) / f"{hashlib.sha256(str(path).encode()).hexdigest()[:16]}.wav"
        if not wav.is_file():
            await asyncio.to_thread(write_wav, path, wav)
        return wav

    def adapter_files(self) -> list[Path]:
        """The finished adapter: its weights, and what the page shows of it."""
        folder = Path(str(self.result.get("folder") or os.devnull))
        weights = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
        return [*weights, *(folder / name for name in self._files())]

    def _files(self) -> list[str]:
        folder = Path(str(self.result.get("folder") or os.devnull))
        if not folder.is_dir():
            return []
        found = [*folder.glob("previews/*.wav"), *folder.glob("*.png")]
        return sorted(path.relative_to(folder).as_posix() for path in found)

    def _tell(self) -> None:
        self._told_at = time.monotonic()
        self._feed.tell(self.message())


def flags_of(values: dict[str, Any]) -> dict[str, str]:
    """The command's flags: what is left empty is left to `lora_studio`."""
    return {name: str(values.get(name) or "").strip() for name in OPTIONS}


def _folder(text: str) -> str:
    if not text.strip():
        raise InvalidRequest("no folder is named: expected the path of a folder with audio")
    path = expanded(text.strip())
    if "\0" in text or len(text) > 4_096 or not os.path.exists(path):  # noqa: PTH110 (raises for no name)
        raise NotFound(f"there is no {path}: expected a folder with audio on the machine of this page")
    return str(path)


def subfolders(text: str) -> Message:
    """What a folder holds, for choosing one: its folders, and how many audio files. Never hidden ones."""
    home = Path.home()
    path = expanded(text).resolve() if text.strip() else home
    inside = path.relative_to(home).parts if path.is_relative_to(home) else path.parts
    try:
        if not path.is_dir() or any(part.startswith(".") for part in inside):
            raise NotFound(f"there is no folder {path} to look into")
        entries = sorted(path.iterdir())
        folders = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError as error:
        raise StorageError(f"{path} cannot be looked into ({error.strerror})") from error
    audio = [e for e in entries if e.suffix.lower() in (".wav", ".aif", ".aiff", ".flac", ".mp3", ".ogg")]
    return {"path": str(path), "parent": str(path.parent), "folders": folders[:500], "audio": len(audio)}
