"""`acestep inspect FILE`: what is in an audio file, what it measures, and what its chunks and sidecar claim.

Reads only.
"""

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from acestep.clips.clip import write_file
from acestep.clips.companion import clip_midi
from acestep.clips.score import clip_score
from acestep.clips.verdict import judge
from acestep.drawing.marks import shades
from acestep.drawing.plot import dress
from acestep.drawing.sound import HIGH_HZ, LOW_HZ, picture
from acestep.drawing.style import colour
from acestep.errors import InvalidRequest, StorageError
from acestep.files import appearing
from acestep.hearing.measure import Measurement, measure
from acestep.music.aim import Aim
from acestep.music.grid import Grid, bars_in_words
from acestep.sound.audio import load_audio, probe
from acestep.sound.labels import read_labels
from acestep.sound.riff import chunks_and_notes
from acestep.sources.claim import Claim, claimed, sidecar_of

PLOT_WIDTH_IN, PLOT_HEIGHT_IN = 14, 7
PICTURES = (".png", ".jpg", ".webp", ".svg", ".pdf")
PLOT_COLUMNS = 1300  # about one for each pixel of the plot's width
PLOT_PITCHES_HZ = (50, 100, 200, 500, 1000, 2000, 5000, 10_000)
MEASURED_S = 600.0  # of a file that is measured: memory grows with it
ONLY_BEGINNING = f"longer than {MEASURED_S / 60:g} minutes: only the beginning was measured"
LABELS_UP_TO = 33  # bars that still get a number each


def describe(path: str | Path) -> dict[str, Any]:
    """Everything known about an audio file as plain JSON values. Raises UnreadableAudio."""
    return _described(Path(path))[0]


def _described(path: Path) -> tuple[dict[str, Any], np.ndarray, Measurement, Claim | None]:
    info = probe(path)
    audio = load_audio(path, 0.0, min(info.duration_s, MEASURED_S))
    chunks, notes = chunks_and_notes(path)
    labels = read_labels(path)
    sidecar = sidecar_of(path)
    claim = claimed(chunks, sidecar, info.sample_rate_hz)
    if claim is None:
        measured, errors = measure(audio.samples, audio.sample_rate_hz), None
    else:
        measured, errors = judge(audio.samples, audio.sample_rate_hz, claim.aim)
    found: dict[str, Any] = {
        "path": str(path),
        "container": info.container,
        "encoding": info.encoding,
        "sample_rate_hz": info.sample_rate_hz,
        "channels": info.channels,
        "samples": info.frames,
        "duration_s": round(info.duration_s, 6),
        "notes": [
            *dict.fromkeys((*audio.notes, *notes, *labels.unread)),
            *([ONLY_BEGINNING] if info.duration_s > MEASURED_S else []),
        ],
        "measured": measured.to_dict(),
        "chunks": chunks,
        "tags": labels.to_dict(),
    }
    if claim is not None and errors is not None:
        found["claimed"] = {
            "bpm": claim.grid.bpm,
            "signature": str(claim.grid.signature),
            "bars": claim.grid.bars,
            "key": str(claim.key) if claim.key else None,
            "exact_length": info.frames == claim.samples(info.sample_rate_hz),
        }
        if claim.aim.tempo_map is not None:
            found["claimed"]["tempo_map"] = claim.aim.tempo_map.to_list()
        found["errors"] = dataclasses.asdict(errors)
    if sidecar:
        found["sidecar"] = sidecar
    return found, audio.samples, measured, claim


def plot(path: str | Path, out_png: str | Path) -> None:
    """Draws the waveform with its bars and beats, and a spectrogram, into a PNG file."""
    _require_picture(Path(out_png))
    _, audio, measured, claim = _described(Path(path))
    _draw(audio, measured, claim, Path(path).name, Path(out_png))


def run(args: argparse.Namespace) -> int:
    """Carries `acestep inspect` out (server/cli has its options); errors are raised."""
    for out in filter(None, (args.midi, args.plot)):
        require_place(out)
    if args.midi and args.midi.exists():
        raise StorageError(f"{args.midi} exists, and nothing is ever overwritten: name another file")
    if args.plot:
        _require_picture(args.plot)
    found, audio, measured, claim = _described(args.file)
    if args.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        print("\n".join(_lines(found)))
    if args.midi:
        _write_midi(args.midi, audio, measured, claim)
        print(f"written: {args.midi}", file=sys.stderr)
    if args.plot:
        _draw(audio, measured, claim, args.file.name, args.plot)
        print(f"drawn: {args.plot}", file=sys.stderr)
    return 0


def require_place(out: Path) -> None:
    """Measuring takes a while: what cannot be written is said before it."""
    if not out.parent.is_dir():
        raise InvalidRequest(f"the folder {out.parent} does not exist: make it, or name another file")
    if out.is_dir():
        raise InvalidRequest(f"{out} is a folder: name a file in it")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise StorageError(f"the folder {out.parent} cannot be written to: name a file in another")


def _require_picture(out: Path) -> None:
    if out.suffix and out.suffix.lower() not in PICTURES:
        raise InvalidRequest(f"cannot draw into {out}: expected a name that ends in {', '.join(PICTURES)}")


def _write_midi(out: Path, audio: np.ndarray, measured: Measurement, claim: Claim | None) -> None:
    """The companion file; the grid is the file's own or the one that was heard."""
    if claim is None:
        if measured.bpm is None:
            raise InvalidRequest("no beat was heard, so there is no tempo to write into a MIDI file")
        bpm = round(measured.bpm, 3)
        claim = Claim(Aim(Grid(bpm, bars=max(0.25, round(measured.duration_s * bpm / 60 / 4 * 4) / 4))), None)
    score = clip_score(audio, claim.aim, measured.key, sample_rate_hz=measured.sample_rate_hz)
    write_file(out, clip_midi(claim.aim, measured.key, score))


def _lines(found: dict[str, Any]) -> list[str]:
    """The description for people."""
    m = found["measured"]
    lines = [
        f"{found['path']}",
        f"  file      {found['container']} {found['encoding']}, {found['sample_rate_hz']} Hz, "
        f"{found['channels']} channels, {found['samples']} samples, {found['duration_s']:.3f} s",
    ]
    if m["bpm"] is None:
        lines.append("  tempo     no beat")
    else:
        others = ", ".join(f"{bpm:g}" for bpm in m["tempo_alternatives"])
        lines.append(
            f"  tempo     {m['bpm']:.2f} bpm ({_sure(m['tempo_confidence'])}"
            f"{f'; else {others}' if others else ''}){'' if m['steady'] else ', moving'}"
        )
        meter = f"{m['meter']} beats a bar" if m["meter"] else "meter unsure"
        lines.append(
            f"  downbeat  at {m['downbeat_s'] * 1000:.1f} ms ({_sure(m['downbeat_confidence'])}), {meter}, "
            f"swing {m['swing'] if m['swing'] else 'none'}"
        )
    if m["key"] is None:
        lines.append("  key       no key")
    else:
        lines.append(
            f"  key       {m['key']} ({_sure(m['key_confidence'])}; else {m['key_runner_up']}), "
            f"tuned {m['tuning_cents']:+.0f} cents"
        )
    level = "silent" if m["lufs"] is None else f"{m['lufs']:.1f} LUFS"
    peak = "" if m["true_peak_db"] is None else f", true peak {m['true_peak_db']:.1f} dB"
    lines.append(f"  level     {level}{peak}, loop seam {m['seam_error']:.2f}× its usual movement")
    if "claimed" in found:
        claimed, off = found["claimed"], found["errors"]
        lines.append(
            f"  claims    {claimed['bpm']:g} bpm {claimed['signature']}, {bars_in_words(claimed['bars'])}, "
            f"{claimed['key'] or 'no key'}, length {'exact' if claimed['exact_length'] else 'NOT exact'}"
        )
        lines.append(
            f"  errors    tempo {_or_unknown(off['tempo_error_pct'], '%')}, downbeat "
            f"{_or_unknown(off['downbeat_error_ms'], 'ms', '+')}, {off['key_match'] or 'key unknown'}"
        )
    if found["chunks"]:
        lines.append(f"  chunks    {', '.join(found['chunks'])}")
    if found["tags"]:
        words = (
            f"{name} {value:g}" if name == "bpm" else f"{name} {value}"
            for name, value in found["tags"].items()
        )
        lines.append(f"  tags      {'; '.join(words)[:200]}")
    if "sidecar" in found:
        lines.append(f"  sidecar   prompt “{found['sidecar']['clip'].get('prompt', '')}”")
    lines += [f"  note      {note}" for note in (*found["notes"], *m["notes"])]
    return lines


def _sure(confidence: float) -> str:
    word = "sure" if confidence > 0.8 else "likely" if confidence > 0.5 else "unsure"
    return f"{word}, {confidence:.2f}"


def _or_unknown(value: float | None, unit: str, sign: str = "") -> str:
    return "unknown" if value is None else f"{value:{sign}g} {unit}"


def _draw(audio: np.ndarray, measured: Measurement, claim: Claim | None, name: str, out: Path) -> None:
    """Waveform with its grid above the spectrogram, in the colours of the page's dark theme."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PLOT_WIDTH_IN, PLOT_HEIGHT_IN), layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    dress(figure)
    rate_hz, end_s = measured.sample_rate_hz, audio.shape[1] / measured.sample_rate_hz
    drawn = picture([audio.T], audio.shape[1], rate_hz, PLOT_COLUMNS)
    times_s = (np.arange(len(drawn.lows)) + 0.5) * end_s / len(drawn.lows)
    top.fill_between(times_s, drawn.lows, drawn.highs, color=colour("wave-played-rms"), linewidth=0)
    _draw_grid(top, measured, claim)
    figure.suptitle(_figures(name, measured), color=colour("ink"), fontsize=13, x=0.01, ha="left")
    top.set_ylabel("level")
    top.set_ylim(-1, 1)
    # one row of the picture for each step of the axis, which is as logarithmic as its pitches are
    extent = (0.0, end_s, float(np.log2(LOW_HZ)), float(np.log2(HIGH_HZ)))
    bottom.imshow(
        shades(drawn.brightness), origin="lower", aspect="auto", extent=extent, interpolation="bilinear"
    )
    pitches = [hz for hz in PLOT_PITCHES_HZ if LOW_HZ <= hz <= min(HIGH_HZ, rate_hz / 2)]
    bottom.set_yticks(
        np.log2(pitches).tolist(), [f"{hz:g}" if hz < 1000 else f"{hz / 1000:g}k" for hz in pitches]
    )
    bottom.set_ylabel("Hz")
    bottom.set_xlabel("s")
    bottom.set_xlim(0, measured.duration_s)
    try:
        with appearing(out) as hidden:
            figure.savefig(hidden, dpi=100, format=out.suffix.lower().removeprefix(".") or "png")
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"cannot draw into {out}: {error}") from error


def _figures(name: str, measured: Measurement) -> str:
    """The title: the file, and what was heard in it."""
    tempo = "no beat" if measured.bpm is None else f"{measured.bpm:.2f} bpm"
    level = "silent" if measured.lufs is None else f"{measured.lufs:.1f} LUFS"
    return f"{name}  ·  {tempo}  ·  {measured.key or 'no key'}  ·  {level}"


def _draw_grid(axes: Any, measured: Measurement, claim: Claim | None) -> None:
    """Bars and beats: the grid the file claims, else the one that was heard."""
    if claim is not None:
        beats, bars = (claim.times_s(at) for at in (claim.grid.beat_times_s(), claim.grid.bar_times_s()))
    elif measured.bpm is not None and measured.downbeat_s is not None:
        beats = list(measured.beats_s)
        bar_s = (measured.meter or 4) * 60 / measured.bpm
        bars = list(np.arange(measured.downbeat_s, measured.duration_s, bar_s))
    else:
        return
    if len(beats) <= 20 * LABELS_UP_TO:
        for beat in beats:
            axes.axvline(beat, color=colour("wave-bar"), linewidth=0.4)
    for number, bar in enumerate(bars):
        axes.axvline(bar, color=colour("soft"), linewidth=1.0)
        if len(bars) <= LABELS_UP_TO:
            axes.text(
                bar,
                0.98,
                f" {number + 1}",
                transform=axes.get_xaxis_transform(),
                va="top",
                fontsize=8,
                color=colour("ink"),
            )
