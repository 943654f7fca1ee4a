"""Test side: the code blocks of every document, and a musician who types them in a folder of music.

Commands run as they are printed, one after another, each in a shell of its own. What keeps running until
Ctrl-C (a daemon, the page) stays on until the block is done, as in a second terminal.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READY = {
    "acestep serve": "",
    "acestep web": "http://",
    "make run": "serving:",
}  # what it prints once it serves
WAIT_S = 900.0  # only ever reached by a test that fails
GETS_SOMETHING = """\
#!/bin/sh
for last; do :; done
test -e "$last" || test "${last#http}" != "$last"
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: its document, the line it begins in, its language and its lines."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The lines that a shell would run, comments and all."""
        lines = self.text.splitlines()
        if self.language == "console":
            return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [line for line in lines if line.strip() and not line.startswith("#")]


def documents() -> list[Path]:
    """Every Markdown file but the changelog."""
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return [ROOT / name for name in found.stdout.split() if name != "CHANGELOG.md"]


def blocks() -> list[Block]:
    """All of them, in reading order."""
    found = []
    for path in documents():
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"^```(.*)\n((?:.*\n)*?)```$", text, re.MULTILINE):
            line = text[: match.start()].count("\n") + 1
            found.append(Block(str(path.relative_to(ROOT)), line, match[1], match[2]))
    return found


class Musician:
    """A folder with music, a home, a player and a file manager that only look whether they get a file."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.place, self.home, self.samples = folder / "place", folder / "home", folder / "samples"
        programs = folder / "programs"
        for made in (self.place, programs):
            made.mkdir(parents=True)
        for name in ("pw-play", "xdg-open"):
            (programs / name).write_text(GETS_SOMETHING)
            (programs / name).chmod(0o755)
        path = (str(programs), str(Path(sys.executable).parent), os.environ["PATH"])
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ACESTEP_")},
            "PATH": os.pathsep.join(path),
            "HOME": str(folder),
            "ACESTEP_HOME": str(self.home),
            "ACESTEP_SAMPLES": str(self.samples),
            "BROWSER": str(programs / "xdg-open"),
            **settings,
        }
        self._serving: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> "Musician":
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._serving):
            self.end(name)

    def type(self, line: str, folder: Path | None = None, answer: str = "") -> str:
        """One line at a shell, and an answer if it asks; what it printed. Its words where it fails."""
        for name, ready in READY.items():
            if line.startswith(name):
                return self._serve(name, line, ready)
        import pty  # which Windows lacks

        terminal, keyboard = pty.openpty()
        try:
            os.write(keyboard, f"{answer}\n".encode() if answer else b"\x04")  # else: end of input
            done = subprocess.run(
                ["bash", "-c", line], stdin=terminal, capture_output=True, text=True, check=False,
                timeout=WAIT_S, cwd=folder or self.place, env=self.environment,
            )  # fmt: skip
        finally:
            os.close(terminal)
            os.close(keyboard)
        assert done.returncode == 0, f"{line}\nended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def python(self, text: str) -> str:
        """A program; what it printed."""
        done = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=WAIT_S,
            cwd=self.place, env={**self.environment, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _serve(self, name: str, line: str, ready: str) -> str:
        self.end(name)
        folder = ROOT if name.startswith("make") else self.place
        log = self.place / f"{name.replace(' ', '-')}.log"
        with log.open("w") as out:
            self._serving[name] = subprocess.Popen(
                ["bash", "-c", f"exec {line}"], stdout=out, stderr=subprocess.STDOUT, text=True, cwd=folder,
                env={**self.environment, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline and self._serving[name].poll() is None:
            told = log.read_text()
            if ready in told if ready else (self.home / "daemon.json").exists():
                return told
            time.sleep(0.1)
        raise AssertionError(f"{line} does not serve:\n{log.read_text()}")

    def end(self, name: str) -> None:
        """Ctrl-C for what serves, if it still does."""
        process = self._serving.pop(name, None)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            ended = process.wait(WAIT_S)
            assert ended in (0, 130, -signal.SIGINT), f"{name} ended with {ended}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def bring_music(self, text: str) -> None:
        """The files that a text speaks of."""
        import mido
        import soundfile

        from tests.support.lora_material import hits, pulse

        if not re.search(r"\.wav|\.mid|MyStems", text):
            return
        for name, audio in (("drums", hits(120, 8)), ("vinyl", pulse(92, 4)), ("loop", pulse(127, 4))):
            soundfile.write(self.place / f"{name}.wav", audio, 48_000)
        (self.place / "MyStems").mkdir()
        for number in range(6):
            audio = pulse(92, 4, pitch_hz=110.0 * (1 + number / 12), seed=number)
            soundfile.write(self.place / "MyStems" / f"loop{number}_92bpm_Am.wav", audio, 48_000)
        song = mido.MidiFile()
        tempo = mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(100))
        end = mido.MetaMessage("end_of_track", time=song.ticks_per_beat * 4 * 24)
        song.tracks.append(mido.MidiTrack([tempo, end]))
        song.save(self.place / "song.mid")
        (self.place / "requests.jsonl").write_text('{"prompt": "dusty breakbeat", "bars": 1}\n')
        if "clip.wav" not in text:
            return
        music = '"dusty breakbeat" --bpm 92.5 --key "A minor" --bars 4 --seed 7'
        asked = f"acestep generate {music} --local --quiet --out made"
        clip = self.place / self.type(asked).strip()
        shutil.move(clip, self.place / "clip.wav")
        shutil.move(clip.with_name(f"{clip.name}.json"), self.place / "clip.wav.json")

    def bring_checkpoints(self) -> None:
        """Tiny ones under the names of published ones, and one in ACE-Step's original layout."""
        from acestep.checkpoints.convert import convert
        from tests.support.original_layout import write_original

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*weight_norm.*", FutureWarning)  # diffusers' own
            for name in ("xl-turbo", "turbo", "small"):
                source, _ = write_original(self.place / "published", turbo=True, dit=name)
                convert(source, self.home / "cascades" / name, dtype="F32")
            write_original(self.place, turbo=True, dit="DIR")
