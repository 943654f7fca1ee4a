"""`acestep midi FILE`: the notes of any audio file, written into a MIDI file that lies exactly under it.

A file that says its tempo is believed; in others tempo, first downbeat and key are heard.
"""

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from acestep.clips.clip import MIDI_ENDING, write_file
from acestep.clips.companion import clip_midi
from acestep.clips.inspect import MEASURED_S, require_place
from acestep.clips.score import Score, clip_score
from acestep.errors import InvalidRequest, StorageError
from acestep.hearing.measure import measure
from acestep.music.aim import Aim
from acestep.music.grid import BARS_RANGE, BPM_RANGE, Grid, Signature
from acestep.music.key import Key
from acestep.sound.audio import load_audio, probe
from acestep.sources.claim import claim_of

UNHEARD_BPM = 120.0  # of a file without a beat: what a MIDI file has that says none
SURE_TEMPO = 0.3  # chosen by hand; below, the tempo that was heard may be another


@dataclass(frozen=True)
class Transcript:
    """What a file holds: the grid it was written down on, the key, and the score."""

    aim: Aim
    key: Key | None
    score: Score


def transcribe(
    path: Path, *, quantise: float = 1.0, listen: str = "auto", bpm: float | None = None
) -> Transcript:
    """The notes of an audio file. Raises InvalidRequest where there are none, UnreadableAudio."""
    info = probe(path)
    audio = load_audio(path, 0.0, min(info.duration_s, MEASURED_S))
    rate_hz, samples, remarks = audio.sample_rate_hz, audio.samples, []
    claim = claim_of(path, rate_hz) if bpm is None else None
    if claim is not None:
        aim, key = claim.aim, claim.key
    else:
        aim, key, quantise, told = _heard(samples, rate_hz, bpm, quantise)
        remarks += told
    kept = round(aim.grid.duration_s * rate_hz) if aim.tempo_map is None else samples.shape[1]
    if info.duration_s > MEASURED_S or kept < samples.shape[1] - rate_hz:
        remarks.append(f"only the first {min(kept / rate_hz, MEASURED_S):.0f} s were heard")
    score = clip_score(
        samples[:, :kept],
        aim,
        key,
        sample_rate_hz=rate_hz,
        quantise=quantise,
        listen=listen,
        loop=claim is not None,
    )
    if not score.parts:
        raise InvalidRequest(f"{path.name}: {'; '.join(score.remarks)}, so no MIDI file was written")
    return Transcript(aim, key, replace(score, remarks=(*remarks, *score.remarks)))


def _heard(
    samples: np.ndarray, rate_hz: int, bpm: float | None, quantise: float
) -> tuple[Aim, Key | None, float, list[str]]:
    """The grid and key that are heard, how far to quantise on it, and what to say of it."""
    measured, remarks = measure(samples, rate_hz), []
    signature = Signature(measured.meter or 4, 4) if measured.meter != 6 else Signature(6, 8)
    downbeat_s = measured.downbeat_s or 0.0
    if bpm is None and measured.bpm is None:
        remarks.append(
            f"no beat was heard: notes lie as played, at {UNHEARD_BPM:g} bpm; name the tempo with --bpm"
        )
        quantise = 0.0
    elif bpm is None and measured.tempo_confidence < SURE_TEMPO:
        others = ", ".join(f"{other:g}" for other in measured.tempo_alternatives)
        remarks.append(f"the tempo is not sure{f' (else {others})' if others else ''}: name it with --bpm")
    tempo = round(bpm or measured.bpm or UNHEARD_BPM, 3)
    tempo = float(np.clip(tempo, *BPM_RANGE))
    quarters = samples.shape[1] / rate_hz * tempo / 60
    bars = float(np.clip(quarters / signature.quarters_per_bar, *BARS_RANGE))
    return Aim(Grid(tempo, signature, bars), None, None, downbeat_s), measured.key, quantise, remarks


def run(args: argparse.Namespace) -> int:
    """Carries `acestep midi` out (server/cli has its options); an error leaves nothing written."""
    out: Path = args.out or args.file.with_suffix(MIDI_ENDING)
    if args.bpm is not None and not BPM_RANGE[0] <= args.bpm <= BPM_RANGE[1]:
        raise InvalidRequest(f"the tempo is {args.bpm:g}: expected {BPM_RANGE[0]:g}–{BPM_RANGE[1]:g} bpm")
    if not 0 <= args.quantise <= 1:
        raise InvalidRequest(f"quantise is {args.quantise:g}: expected 0 (as played) to 1 (on the grid)")
    require_place(out)
    if out.exists():
        raise StorageError(f"{out} exists, and nothing is ever overwritten: name another file with --out")
    found = transcribe(args.file, quantise=args.quantise, listen=args.hear, bpm=args.bpm)
    write_file(out, clip_midi(found.aim, found.key, found.score))
    told = found.score.to_dict()
    if args.json:
        grid = {"bpm": found.aim.grid.bpm, "signature": str(found.aim.grid.signature)}
        key = str(found.key) if found.key else None
        print(json.dumps({"path": str(out), **grid, "key": key, **told}, indent=1, ensure_ascii=False))
        return 0
    print(out)
    print(f"  {found.aim.grid.bpm:g} bpm {found.aim.grid.signature}, {found.key or 'no key'}")
    for name, part in told["parts"].items():
        outside = f", {part['outside_key']} outside of the key" if part["outside_key"] else ""
        print(
            f"  {name:8} {part['notes']} notes on channel {part['channel']}, "
            f"confidence {part['confidence']:.2f}{outside}"
        )
    for remark in found.score.remarks:
        print(f"  note: {remark}", file=sys.stderr)
    return 0
