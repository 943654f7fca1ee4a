"""The rows of an evaluation as text, and as a page with players, waveforms and spectrograms."""

import html
from pathlib import Path

import numpy as np

from acestep.drawing import marks, sound, style
from acestep.music.grid import SAMPLE_RATE_HZ
from acestep.nano.evaluate import Verdict
from acestep.nano.rows import Row

HEAD = ("", "must reach", "measured", "reached")
MARKS = {True: "yes", False: "no", None: "–"}


def table(rows: list[Row]) -> str:
    """A Markdown table."""
    lines = ["| | must reach | measured | reached |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    return row.what, row.goal, row.value, MARKS[row.reached]


def write_page(folder: Path, rows: list[Row], verdicts: list[Verdict]) -> Path:
    """`index.html` with the table and, for some cases, the clip and the render to hear and to see."""
    folder.mkdir(parents=True, exist_ok=True)
    body = ["<h1>nano</h1>", style.table(HEAD, [_cells(row) for row in rows])]
    for verdict in verdicts:
        if verdict.audio is None:
            continue
        case, request = verdict.case, verdict.case.request
        title = f"{case.caption} – {request.bpm:g} bpm, {request.signature}, {request.key or 'no key'}"
        cards = []
        for kind, audio in zip(("render", "made"), verdict.audio, strict=True):
            name = f"{case.index:03d}-{kind}.wav"
            _write_audio(folder / name, audio)
            picture = sound.picture([audio], len(audio), SAMPLE_RATE_HZ)
            cards.append(
                f'<div class="card"><h3>{kind}</h3>{marks.wave(picture, request.grid.bar_times_s())}'
                f'{marks.spectrum(picture)}<audio controls preload="none" src="{name}"></audio></div>'
            )
        body.append(f'<h2>{html.escape(title)}</h2><div class="cards">{"".join(cards)}</div>')
    (folder / "index.html").write_text(style.document("nano", body), encoding="utf-8")
    return folder / "index.html"


def _write_audio(path: Path, audio: np.ndarray) -> None:
    import soundfile

    soundfile.write(path, audio, SAMPLE_RATE_HZ, subtype="PCM_16")
