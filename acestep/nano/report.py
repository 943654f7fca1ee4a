"""The rows of an evaluation as text, and as a page with players and spectrograms."""

import html
from pathlib import Path

import numpy as np

from acestep.music.grid import SAMPLE_RATE_HZ
from acestep.nano.evaluate import Verdict
from acestep.nano.rows import Row

MARKS = {True: "yes", False: "no", None: "–"}


def table(rows: list[Row]) -> str:
    """A Markdown table."""
    lines = ["| | must reach | measured | reached |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.goal} | {row.value} | {MARKS[row.reached]} |" for row in rows]
    return "\n".join(lines)


def write_page(folder: Path, rows: list[Row], verdicts: list[Verdict]) -> Path:
    """`index.html` with the table and, for some cases, the clip and the render to hear and to see."""
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    body = [
        "<h1>nano</h1>",
        "<table>",
        "<tr><th></th><th>must reach</th><th>measured</th><th>reached</th></tr>",
    ]
    for row in rows:
        cells = (row.what, row.goal, row.value, MARKS[row.reached])
        body.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    body.append("</table>")
    for verdict in verdicts:
        if verdict.audio is None:
            continue
        case, request = verdict.case, verdict.case.request
        title = f"{case.caption} – {request.bpm:g} bpm, {request.signature}, {request.key or 'no key'}"
        body.append(f"<h2>{html.escape(title)}</h2>")
        for kind, audio in zip(("render", "made"), verdict.audio, strict=True):
            name = f"{case.index:03d}-{kind}"
            _write_audio(folder / f"{name}.wav", audio)
            _plot(folder / f"{name}.png", audio, request.grid.bar_times_s())
            body.append(
                f"<p>{kind} <audio controls src='{name}.wav'></audio><br><img src='{name}.png' width=900></p>"
            )
    style = (
        "body{font:15px sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em .8em;text-align:left}"
    )
    page = f"<!doctype html><meta charset='utf-8'><title>nano</title><style>{style}</style>{''.join(body)}"
    (folder / "index.html").write_text(page, encoding="utf-8")
    return folder / "index.html"


def _write_audio(path: Path, audio: np.ndarray) -> None:
    import soundfile

    soundfile.write(path, audio, SAMPLE_RATE_HZ, subtype="PCM_16")


def _plot(path: Path, audio: np.ndarray, bars_s: list[float]) -> None:
    import librosa
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.2), layout="constrained")
    axes = figure.subplots()
    mel = librosa.feature.melspectrogram(y=audio.mean(1), sr=SAMPLE_RATE_HZ, hop_length=480)
    extent = (0.0, len(audio) / SAMPLE_RATE_HZ, 0.0, 128.0)
    axes.imshow(np.log(mel + 1e-4), origin="lower", aspect="auto", extent=extent)
    for bar in bars_s:
        axes.axvline(bar, color="white", linewidth=0.7)
    axes.set_xlabel("s")
    figure.savefig(path, dpi=80)
