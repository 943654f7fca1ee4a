"""One HTML page on a data set: what was found, what was skipped and why, and what it looks like.

Self-contained (images are inlined, no scripts).
"""

import base64
import html
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from acestep.errors import UnreadableAudio
from lora_studio.data.dataset import Dataset, Sample
from lora_studio.data.sound import FRAME_S, survey
from lora_studio.files import write_atomically

MAX_PICTURES = 60
MAX_ROWS = 2000
_CSS = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;
color:#1c2026;background:#fff}
@media(prefers-color-scheme:dark){body{color:#e4e7eb;background:#14171b}th,td{border-color:#333!important}}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}
img{max-width:100%}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:1rem}
"""


def write_report(dataset: Dataset, path: Path) -> None:
    """Write the page atomically."""
    used = dataset.used()
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{html.escape(dataset.name)}: data set</title><style>{_CSS}</style>",
        f"<h1>{html.escape(dataset.name)}</h1>",
        _summary(dataset),
        _histograms(used),
        _skipped(dataset),
        _notes(dataset),
        _files(dataset),
        _pictures(dataset),
        "</html>",
    ]
    write_atomically(path, "\n".join(parts).encode("utf-8"))


def _summary(dataset: Dataset) -> str:
    used = dataset.used()
    songs = {sample.song for sample in used if sample.song}
    stems = Counter(sample.stem or "no stem named" for sample in used)
    unsure = [s for s in used if s.sources.get("bpm", {}).get("confidence", 0) < 0.6]
    rows = [
        ("Files used", f"{len(used)}, of them {len(dataset.used('held_out'))} held out for validation"),
        ("Audio", f"{dataset.seconds / 60:.1f} minutes in {sum(len(s.segments) for s in used)} segments"),
        ("Songs with aligned stems", str(len(songs))),
        ("Stems", ", ".join(f"{name} {count}" for name, count in stems.most_common())),
        ("Trigger word", dataset.custom_tag or "none"),
        ("Skipped", str(len(dataset.skipped))),
        ("Unsure of the tempo", str(len(unsure))),
    ]
    return _table(("", ""), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    header = "".join(f"<th>{html.escape(cell)}" for cell in head) if any(head) else ""
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in row) for row in rows[:MAX_ROWS])
    more = f"<p>… and {len(rows) - MAX_ROWS} more." if len(rows) > MAX_ROWS else ""
    return f"<table><tr>{header}{body}</table>{more}"


def _skipped(dataset: Dataset) -> str:
    if not dataset.skipped:
        return "<h2>Skipped</h2><p>Nothing."
    return "<h2>Skipped</h2>" + _table(("File", "Why"), [(s.path, s.reason) for s in dataset.skipped])


def _notes(dataset: Dataset) -> str:
    if not dataset.notes:
        return ""
    return (
        "<h2>Notes</h2><ul>" + "".join(f"<li>{html.escape(note)}" for note in dataset.notes[:500]) + "</ul>"
    )


def _files(dataset: Dataset) -> str:
    rows = [
        (
            s.audio_path,
            _sure(f"{s.bpm:g}" if s.bpm else "–", s, "bpm"),
            _sure(s.keyscale or "–", s, "keyscale"),
            str(s.signature),
            " / ".join(part for part in (s.song, s.stem) if part) or "–",
            f"{len(s.segments)} × {s.segments[0].duration_s:.1f} s" if s.segments else "none",
            s.split.replace("_", " "),
            s.caption,
        )
        for s in dataset.samples
    ]
    head = ("File", "Tempo", "Key", "Signature", "Song / stem", "Segments", "Part", "Caption")
    return "<h2>Files</h2>" + _table(head, rows)


def _sure(text: str, sample: Sample, name: str) -> str:
    source = sample.sources.get(name)
    if not source or text == "–":
        return text
    return f"{text} ({source['from']}, {source.get('confidence', 0):.0%})"


def _histograms(used: list[Sample]) -> str:
    tempi = [sample.bpm for sample in used if sample.bpm]
    keys = Counter(sample.keyscale for sample in used if sample.keyscale)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    if tempi:
        left.hist(tempi, bins=np.arange(min(tempi) // 5 * 5, max(tempi) + 10, 5).tolist(), color="#3b6ea5")
    left.set(title="Tempo", xlabel="bpm", ylabel="files")
    right.bar(list(keys), list(keys.values()), color="#a5563b")
    right.set(title="Key", ylabel="files")
    right.tick_params(axis="x", rotation=90, labelsize=7)
    return f"<h2>Tempo and key</h2>{_image(figure)}"


def _pictures(dataset: Dataset) -> str:
    parts = []
    for sample in dataset.used()[:MAX_PICTURES]:
        try:
            found = survey(dataset.path_of(sample))
        except (UnreadableAudio, OSError):
            continue
        parts.append(f"<div><b>{html.escape(sample.audio_path)}</b>{_picture(sample, found.bands)}</div>")
    return f"<h2>How they look</h2><div class=pair>{''.join(parts)}</div>"


def _picture(sample: Sample, bands: np.ndarray) -> str:
    """Level over time with the segments' borders, above energy per octave."""
    from matplotlib.figure import Figure

    step = max(1, len(bands) // 800)
    bands = bands[: len(bands) // step * step].reshape(-1, step, bands.shape[1]).max(axis=1)
    levels = np.sqrt(np.power(10.0, bands / 10).sum(axis=1))
    seconds = np.arange(len(bands)) * FRAME_S * step
    figure = Figure(figsize=(5, 2.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    top.fill_between(seconds, levels, -levels, color="#3b6ea5", linewidth=0)
    for segment in sample.segments:
        top.axvline(segment.start_s, color="#a5563b", linewidth=0.8)
    top.set_yticks([])
    bottom.imshow(
        bands.T, origin="lower", aspect="auto", vmin=-80, vmax=0, extent=(0, float(seconds[-1] + 0.05), 0, 8)
    )
    bottom.set(yticks=[], xlabel="seconds")
    return _image(figure, dpi=70)


def _image(figure: "object", dpi: int = 90) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)  # type: ignore[attr-defined]
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
