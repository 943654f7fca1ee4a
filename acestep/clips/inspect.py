"""`acestep inspect FILE`: what is in an audio file, what it measures, and what its chunks and sidecar claim.

Reads only.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from acestep.clips.clip import write_file
from acestep.clips.companion import bass_line, clip_midi
from acestep.clips.verdict import judge
from acestep.errors import InvalidRequest
from acestep.hearing.groove import straighten
from acestep.hearing.measure import Measurement, measure
from acestep.hearing.onsets import mono
from acestep.music.aim import Aim
from acestep.music.grid import Grid, bars_in_words
from acestep.sound.audio import load_audio, probe
from acestep.sound.labels import read_labels
from acestep.sound.riff import chunks_and_notes
from acestep.sources.claim import Claim, claimed, sidecar_of

PLOT_WIDTH_IN, PLOT_HEIGHT_IN = 14, 7
SPECTROGRAM_DB = 80.0
MEASURED_S = 600.0
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
    _, audio, measured, claim = _described(Path(path))
    _draw(audio, measured, claim, Path(path).name, Path(out_png))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `acestep inspect`."""
    parser.add_argument("file", help="an audio file (WAV, AIFF, FLAC, MP3, OGG)")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    parser.add_argument("--midi", metavar="OUT.mid", help="also write tempo, key, bars and the bass line")
    parser.add_argument("--plot", metavar="OUT.png", help="also draw waveform, bars and spectrogram")


def run(args: argparse.Namespace) -> int:
    """Carries `acestep inspect` out; errors are raised."""
    for out in (args.midi, args.plot):
        if out and not Path(out).parent.is_dir():
            raise InvalidRequest(
                f"the folder {Path(out).parent} does not exist: make it, or name another file"
            )
    found, audio, measured, claim = _described(Path(args.file))
    if args.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        print("\n".join(_lines(found)))
    if args.midi:
        _write_midi(Path(args.midi), audio, measured, claim)
        print(f"written: {args.midi}", file=sys.stderr)
    if args.plot:
        _draw(audio, measured, claim, Path(args.file).name, Path(args.plot))
        print(f"drawn: {args.plot}", file=sys.stderr)
    return 0


def _write_midi(out: Path, audio: np.ndarray, measured: Measurement, claim: Claim | None) -> None:
    """The companion file; the grid is the file's own or the one that was heard."""
    rate_hz = measured.sample_rate_hz
    if claim is None:
        if measured.bpm is None:
            raise InvalidRequest("no beat was heard, so there is no tempo to write into a MIDI file")
        bpm = round(measured.bpm, 3)
        claim = Claim(Aim(Grid(bpm, bars=max(0.25, round(measured.duration_s * bpm / 60 / 4 * 4) / 4))), None)
    grid, tempo_map = claim.grid, claim.aim.tempo_map
    if tempo_map is not None:
        audio = straighten(audio, grid, tempo_map, rate_hz)
    write_file(out, clip_midi(grid, measured.key, bass_line(audio, grid, rate_hz), tempo_map))


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


def _draw(audio: np.ndarray, measured: Measurement, claim: Claim | None, title: str, out: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rate_hz = measured.sample_rate_hz
    figure = Figure(figsize=(PLOT_WIDTH_IN, PLOT_HEIGHT_IN), layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, sharex=True)
    points = max(1, audio.shape[1] // 4000)
    whole = audio[:, : audio.shape[1] // points * points].reshape(audio.shape[0], -1, points)
    times = np.arange(whole.shape[1]) * points / rate_hz
    top.fill_between(times, whole.min(axis=(0, 2)), whole.max(axis=(0, 2)), color="#4472a8", linewidth=0)
    _draw_grid(top, measured, claim)
    top.set_title(title)
    top.set_ylabel("level")
    level, edges_s, edges_hz = _spectrogram(audio, rate_hz)
    bottom.pcolormesh(edges_s, edges_hz, level, cmap="magma", vmin=-SPECTROGRAM_DB, vmax=0)
    bottom.set_yscale("log")
    bottom.set_ylim(40, rate_hz / 2)
    bottom.set_ylabel("Hz")
    bottom.set_xlabel("s")
    bottom.set_xlim(0, measured.duration_s)
    try:
        figure.savefig(out, dpi=100)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"cannot draw into {out}: {error}") from error


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
            axes.axvline(beat, color="#888888", linewidth=0.4)
    for number, bar in enumerate(bars):
        axes.axvline(bar, color="#c03030", linewidth=1.0)
        if len(bars) <= LABELS_UP_TO:
            axes.text(bar, 0.98, f" {number + 1}", transform=axes.get_xaxis_transform(), va="top", fontsize=8)


def _spectrogram(audio: np.ndarray, rate_hz: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Level in dB below the loudest [bins, frames] with the edges of its cells."""
    size = 2048
    samples = np.pad(mono(audio), (size // 2, size // 2))
    hop = max(256, len(samples) // 1200)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    magnitude = np.abs(np.fft.rfft(frames * np.hanning(size).astype(np.float32), axis=1)).T
    level = 20 * np.log10(magnitude / max(float(magnitude.max()), 1e-9) + 1e-9)
    edges_s = (np.arange(level.shape[1] + 1) - 0.5) * hop / rate_hz
    edges_hz = (np.arange(level.shape[0] + 1) - 0.5).clip(0.25) * rate_hz / size
    return level, edges_s, edges_hz
