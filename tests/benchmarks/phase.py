"""How hits and held notes come back from nano's codec: phases found in rounds, told by a network, and mended.

    python -m tests.benchmarks.phase WORK [--codec FOLDER] [--judges FOLDER] [--clips N] [--seed N]

WORK holds a sound bank (`acestep nano data`); FOLDER is a codec folder with phases. The default is
WORK/phase-codec, which `acestep nano train WORK --part phase-codec` writes, else the embedded one. The same
codec without its phases is beside it, in one process with one thread, and so is what playing mends
(`for_playing`). That is for the last two tables, of what stages made: recorded sound has nothing to mend, and
the first two tell what mending would cost there. Material: recorded loops that nothing was trained on
(sonic-pi-samples), renders of held-out keys and pads, and what embedded stages make of some prompts.
`--judges` is a folder (or nothing, where they are installed) with basic-pitch (Apache-2.0) and onnxruntime,
which say how long notes are; they are never part of what ships.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from acestep.model.cascade import Cascade
from acestep.model.codec.spectral import SpectralCodec
from acestep.music.grid import SAMPLE_RATE_HZ
from acestep.music.key import Key
from acestep.nano import WEIGHTS
from acestep.nano.data.compose import compose
from acestep.nano.data.render import mix, render
from acestep.nano.data.sounds import SONIC_PI, Bank
from acestep.nano.evaluate import log_mel_error, read_loop
from acestep.nano.hits import attacks_ms, hits, level_before
from acestep.request import GenerateRequest
from tests.support.fidelity import dropouts_per_s

LOOPS = (
    "compus",
    "garzul",
    "mehackit1",
    "tabla",
    "amen",
    "amen_full",
    "electric",
    "industrial",
    "mika",
    "safari",
)
HELD_SEED = 505_000  # as the evaluation's codec rows
DRUMS = ("trap drums", "breakbeat drums", "house drums", "rock drums", "techno drums", "boom bap drums")
KEYS = (
    "electric piano chords",
    "grand piano chords",
    "warm pad",
    "string pad",
    "clean guitar chords",
    "flute lead",
)
Notes = Callable[[np.ndarray], float] | None
Decode = Callable[[torch.Tensor], np.ndarray]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--codec", type=Path, default=None)
    parser.add_argument("--judges", type=Path, default=None)
    parser.add_argument(
        "--clips", type=int, default=6, help="held-out renders and prompts of a kind (default 6)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=140,
        help="of nano's own clips (default 140); what is mended was chosen on those of 40",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    own = arguments.work / "phase-codec"
    codec = SpectralCodec.load(arguments.codec or (own if own.exists() else WEIGHTS / "codec"))
    phases = codec.phases
    if phases is None:
        sys.exit("this codec has no phases: expected a folder that `--part phase-codec` wrote")

    def rounds(latents: torch.Tensor) -> np.ndarray:
        codec.phases = None
        return _decoded(codec, latents)

    def told(latents: torch.Tensor) -> np.ndarray:
        codec.phases = phases
        return _decoded(codec, latents)

    played = SpectralCodec.load(arguments.codec or (own if own.exists() else WEIGHTS / "codec"))
    played.for_playing()
    notes = _judge(arguments.judges)
    decoders = {"rounds": rounds, "told": told, "mended": lambda latents: _decoded(played, latents)}
    _loops(codec, decoders)
    _held(codec, decoders, Bank(arguments.work / "bank"), arguments.clips, notes)
    _clips(decoders, arguments.clips, notes, arguments.seed)
    _speed(codec, decoders)


def _decoded(codec: SpectralCodec, latents: torch.Tensor) -> np.ndarray:
    return codec.decode(latents)[0].numpy().T


def _loops(codec: SpectralCodec, decoders: dict[str, Decode]) -> None:
    _head("recorded loops, round trip", "hits", "attack ms", "before hits dB", "log-mel L1")
    sums: dict[str, list[tuple[float, float, float]]] = {}
    for name in LOOPS:
        clip = read_loop(SONIC_PI / f"loop_{name}.flac")
        clip = clip[: len(clip) // codec.hop * codec.hop]
        places = hits(clip.mean(1))
        if len(places) < 3:
            continue
        latents = codec.encode(torch.from_numpy(clip.T.copy())[None])
        made = {"original": clip} | {kind: decode(latents) for kind, decode in decoders.items()}
        for kind, audio in made.items():
            row = (*_hit_figures(audio.mean(1), places), log_mel_error(clip, audio))
            sums.setdefault(kind, []).append(row)
        _row(name, str(len(places)), *(_side(sums, column, -1) for column in range(3)))
    _row("**median**", "", *(_side(sums, column, None) for column in range(3)))


def _held(codec: SpectralCodec, decoders: dict[str, Decode], bank: Bank, count: int, notes: Notes) -> None:
    _head("held-out keys and pads, round trip", "note s", "drop-outs a second", "log-mel L1")
    sums: dict[str, list[tuple[float, float, float]]] = {}
    seed = HELD_SEED
    while len(sums.get("original", [])) < count:
        loop = compose(seed, held=True)
        roles = [part.role for part in loop.parts if part.role in ("chords", "pad", "lead")]
        seed += 1
        if not roles:
            continue
        role = roles[seed % len(roles)]
        clip = mix({role: render(loop, bank)[role]})[: 8 * SAMPLE_RATE_HZ]
        clip = clip[: len(clip) // codec.hop * codec.hop]
        latents = codec.encode(torch.from_numpy(clip.T.copy())[None])
        made = {"original": clip} | {kind: decode(latents) for kind, decode in decoders.items()}
        for kind, audio in made.items():
            sums.setdefault(kind, []).append((*_note_figures(audio, notes), log_mel_error(clip, audio)))
        sound = loop.words[role].split("|")[0]
        _row(f"{sound} ({role})", *(_side(sums, column, -1) for column in range(3)))
    _row("**median**", *(_side(sums, column, None) for column in range(3)))


def _clips(decoders: dict[str, Decode], count: int, notes: Notes, seed: int) -> None:
    cascade = Cascade.load(WEIGHTS, device="cpu")
    for title, prompts, head, figures in (
        ("drums", DRUMS, ("attack ms", "before hits dB"), lambda audio: _own_hits(audio.mean(1))),
        ("keys", KEYS, ("note s", "drop-outs a second"), lambda audio: _note_figures(audio, notes)),
    ):
        _head(f"nano's own clips, {title}", *head)
        sums: dict[str, list[tuple[float, ...]]] = {}
        for number, prompt in enumerate(prompts[:count]):
            key = Key.parse("A minor") if title == "keys" else None
            request = GenerateRequest(prompt=prompt, bpm=110, bars=4, key=key, seed=seed + number)
            latents = cascade.latents(request)
            for kind, decode in decoders.items():
                sums.setdefault(kind, []).append(figures(decode(latents)))
            _row(prompt, *(_side(sums, column, -1) for column in range(2)))
        _row("**median**", *(_side(sums, column, None) for column in range(2)))


def _speed(codec: SpectralCodec, decoders: dict[str, Decode]) -> None:
    """Processor seconds per second of audio, in turns."""
    seconds = 8
    noise = np.random.default_rng(0).standard_normal((2, seconds * SAMPLE_RATE_HZ)).astype(np.float32)
    latents = codec.encode(torch.from_numpy(noise * 0.1)[None])
    spent: dict[str, list[float]] = {kind: [] for kind in decoders}
    for _ in range(5):
        for kind, decode in decoders.items():
            start = time.process_time()
            decode(latents)
            spent[kind].append((time.process_time() - start) / seconds)
    figures = " → ".join(f"{np.median(spent[kind]):.3f}" for kind in decoders)
    print(f"\ndecoding, processor seconds per second of audio, one thread: {figures}")


def _hit_figures(mono: np.ndarray, places: list[int]) -> tuple[float, float]:
    attacks = attacks_ms(mono, places) or [np.nan]
    return float(np.median(attacks)), float(np.median([level_before(mono, at) for at in places] or [np.nan]))


def _own_hits(mono: np.ndarray) -> tuple[float, float]:
    return _hit_figures(mono, hits(mono))


def _note_figures(audio: np.ndarray, notes: Notes) -> tuple[float, float]:
    return (notes(audio) if notes else float("nan")), dropouts_per_s(audio.mean(1))


def _side(sums: dict[str, list[tuple[float, ...]]], column: int, row: int | None) -> str:
    """One figure of all kinds side by side: of a row, or the median (None)."""
    found = []
    for rows in sums.values():
        values = [values[column] for values in rows]
        found.append(f"{np.nanmedian(values) if row is None else values[row]:.2f}")
    return " → ".join(found)


def _head(*cells: str) -> None:
    print()
    _row(*cells)
    print("|" + "---|" * len(cells))


def _row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def _judge(folder: Path | None) -> Notes:
    """The median length of the notes that basic-pitch hears, or None where it is not installed."""
    if folder is not None:
        sys.path.append(str(folder))
    try:
        import basic_pitch
        from basic_pitch.inference import Model, predict
    except ImportError:
        print("basic-pitch is not installed: note lengths are not measured", file=sys.stderr)
        return None
    import contextlib
    import io

    import soundfile

    model = Model(Path(basic_pitch.__file__).parent / "saved_models/icassp_2022/nmp.onnx")

    def notes(audio: np.ndarray) -> float:
        with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()):
            path = Path(place) / "clip.wav"
            soundfile.write(path, audio, SAMPLE_RATE_HZ, subtype="FLOAT")
            found = predict(path, model)[2]
        return float(np.median([note[1] - note[0] for note in found])) if found else 0.0

    return notes


if __name__ == "__main__":
    main()
