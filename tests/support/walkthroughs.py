"""The walk-throughs of Live and REAPER: the real scripts in their doubles ask a real daemon, and what lies in
the doubles afterwards is drawn. `python -m tests.support.walkthroughs` draws the pictures of the examples.

Drawn is what the doubles were told, in a plain style of ours: it is not what the programs look like.
"""

import html
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from acestep.drawing.style import colour
from plugin_bridge.ableton.AceStep.script import AceStep
from tests.support.daemons import Process, settings
from tests.support.live.app import App
from tests.support.live.studio import Controller
from tests.support.reaper_double import Reaper

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "plugin_bridge" / "examples" / "pictures"
REAPER_SCRIPT = ROOT / "plugin_bridge" / "reaper" / "acestep.py"
PARTS = ("dusty boom bap drums", "upright bass")
TEMPO, KEY, BARS = 92.5, "A minor", 2
JOB_S = 900.0  # only ever reached by a run that fails
WIDTH, COLUMN, ROW, HEAD = 900, 290, 74, 96


class Drawing:
    """An SVG that grows from top to bottom."""

    def __init__(self, title: str, height: int) -> None:
        self.height = height
        self.marks = [f'<rect width="{WIDTH}" height="{height}" rx="10" fill="{colour("ground")}"/>']
        self.text(24, 34, title, size=18)

    def text(self, x: float, y: float, words: str, ink: str = "ink", size: int = 13) -> None:
        said = html.escape(words)
        self.marks.append(f'<text x="{x}" y="{y}" fill="{colour(ink)}" font-size="{size}">{said}</text>')

    def box(self, x: float, y: float, width: float, height: float, fill: str, line: str = "line") -> None:
        self.marks.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{colour(fill)}" '
            f'stroke="{colour(line)}"/>'
        )

    def wave(self, x: float, y: float, width: float, height: float, path: str) -> None:
        """The file's peaks, column by column."""
        audio, _ = soundfile.read(path, always_2d=True)
        columns = int(width // 2)
        peaks = [float(np.abs(part).max(initial=0.0)) for part in np.array_split(audio, columns)]
        there = "".join(
            f"M{x + 2 * k:.0f} {y + height / 2 * (1 - peak):.1f}v{height * peak + 0.5:.1f}"
            for k, peak in enumerate(peaks)
        )
        self.marks.append(f'<path d="{there}" stroke="{colour("accent")}" fill="none"/>')

    def svg(self) -> str:
        """The picture as a file's text."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" '
            f'font-family="sans-serif">{"".join(self.marks)}</svg>\n'
        )


def live(home: Path) -> str:
    """Two named tracks, a slot of each is chosen and triggered by OSC; the clips as they lie in the set."""
    os.environ["ACESTEP_HOME"] = str(home)
    app = App()
    song = app.song
    song.tempo, song.root_note, song.scale_name, song.scale_mode = TEMPO, 9, "Minor", True
    script = app.load(AceStep)
    app.run_until(lambda: script.daemon.up and script.daemon.state, JOB_S)
    controller = Controller(app, script)
    try:
        for track, name in zip(song.tracks, PARTS, strict=False):
            track.name = name
            song.view.user_selects(track)
            app.run(0.1)
            controller.send("generate", "", "bars", BARS, "takes", 2)
            app.run_until(lambda track=track: len(_clips(track)) == 2 and _idle(script), JOB_S)
        shown = f"{song.tempo:g} BPM, {song.signature_numerator}/{song.signature_denominator}, {KEY}"
        return _session(shown, list(song.tracks)[: len(PARTS)], _last(script.c.messages))
    finally:
        controller.close()
        app.quit()


def _idle(script: Any) -> bool:
    return not (script._insertions or script.daemon.jobs or script.daemon.asked)


def _clips(track: Any) -> list[Any]:
    return [slot.clip for slot in track.clip_slots if slot.has_clip]


def _session(shown: str, tracks: Sequence[Any], said: str) -> str:
    rows = max(len(_clips(track)) for track in tracks) + 1
    drawing = Drawing("Ableton Live: each track's name was its prompt", HEAD + rows * ROW + 50)
    drawing.text(24, 58, f"the set: {shown}; the script sent them along", "soft")
    for column, track in enumerate(tracks):
        x = 24 + column * (COLUMN + 16)
        drawing.text(x + 4, HEAD - 6, track.name)
        for row in range(rows):
            y = HEAD + row * ROW
            drawing.box(x, y, COLUMN, ROW - 8, "surface")
            slot = list(track.clip_slots)[row]
            if not slot.has_clip:
                drawing.text(x + 10, y + 38, "empty slot", "soft")
                continue
            clip = slot.clip
            drawing.text(x + 8, y + 16, _cut(clip.name, 44), size=11)
            drawing.wave(x + 8, y + 20, COLUMN - 16, 28, clip.file_path)
            kept = f"{clip.loop_end - clip.loop_start:g} beats"
            state = ", ".join(
                word for word in ("warped" * clip.warping, "looped" * clip.looping, kept) if word
            )
            drawing.text(x + 8, y + 60, state, "soft", 11)
    drawing.text(24, HEAD + rows * ROW + 24, f"Live's status bar: {said}", "soft")
    return drawing.svg()


def reaper(home: Path) -> str:
    """The dialog is answered for two takes at bar 3; the item that REAPER was told to make."""
    os.environ["ACESTEP_HOME"] = str(home)
    answers = [PARTS[0], str(BARS), "2", KEY, "none", "", "no"]
    double = Reaper(answers, cursor=2 * 4 * 60 / TEMPO)  # where bar 3 begins
    double.bpm = TEMPO
    track = double.add_track()
    double.run(REAPER_SCRIPT, timeout_s=JOB_S)
    (item,) = track.children
    return _arrangement(answers, item, double.undo)


def _arrangement(answers: Iterable[str], item: Any, undo: Sequence[str]) -> str:
    takes = item.children
    drawing = Drawing("REAPER: takes of one item at the edit cursor", HEAD + 64 + len(takes) * ROW + 60)
    asked = zip(("prompt", "bars", "takes", "key", "selected items"), answers, strict=False)
    drawing.text(24, 58, "the dialog: " + ";  ".join(f"{name}: {said}" for name, said in asked), "soft")
    begin, length = item.values["D_POSITION"], item.values["D_LENGTH"]
    end_s = begin + length + 0.5
    scale = (WIDTH - 48) / end_s
    bar_s = 4 * 60 / TEMPO
    for bar in range(int(end_s / bar_s) + 1):
        x = 24 + bar * bar_s * scale
        drawing.box(x, HEAD - 10, 1, 30 + len(takes) * ROW, "line")
        drawing.text(x + 4, HEAD, f"{bar + 1}", "soft", 11)
    x, width = 24 + begin * scale, length * scale
    for row, take in enumerate(takes):
        y = HEAD + 14 + row * ROW
        drawing.box(x, y, width, ROW - 8, "surface", "edge")
        drawing.text(x + 8, y + 15, _cut(take.values["P_NAME"], 70), size=11)
        drawing.wave(x + 4, y + 20, width - 8, ROW - 32, take.values["source"].values["path"])
    foot = HEAD + 44 + len(takes) * ROW
    drawing.text(24, foot, f"edit cursor at {begin:.3f} s, item of {length:.3f} s", "soft")
    drawing.text(24, foot + 22, "undo history: " + ";  ".join(undo), "soft")
    return drawing.svg()


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"


def _last(messages: Sequence[str]) -> str:
    return messages[-1] if messages else ""


def main() -> None:
    """Both pictures, with nano."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        made = settings(Path(folder))
        with Process(made):
            (PICTURES / "live.svg").write_text(live(made.home), encoding="utf-8")
            (PICTURES / "reaper.svg").write_text(reaper(made.home), encoding="utf-8")


if __name__ == "__main__":
    main()
