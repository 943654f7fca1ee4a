"""The shipped weights under the requests nobody trained them for: odd words, rims of tempo, odd bars.

Through `produce`, the path every clip takes. What a clip sounds like is judged by `acestep nano evaluate`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from acestep import Cascade, GenerateRequest
from acestep.clips.production import produce
from acestep.music.grid import Signature

OUTSIDE = "outside what checkpoint nano was trained on"
HARD: dict[str, tuple[str, dict[str, Any]]] = {
    "german": ("ein langsamer, trauriger Klavierloop mit Schlagzeug", {}),
    "japanese": ("夜のジャズピアノ", {}),
    "arabic and emoji": ("إيقاع سريع 🥁🔥", {}),
    "one word": ("drums", {}),
    "200 words": (" ".join(["warm dusty slow deep analog house chords and bass"] * 25), {}),
    "contradictions": ("fast slow ambient techno without drums, only drums, no bass, only bass", {}),
    "no known word": ("xqzt wvrk", {}),
    "slowest": ("boom bap beat", {"bpm": 30, "bars": 1}),
    "fastest": ("techno", {"bpm": 300, "bars": 8}),
    "one bar of two eighths": ("rock", {"signature": Signature.parse("2/8"), "bars": 1}),
    "odd meter": ("funk bass", {"signature": Signature.parse("7/8")}),
    "many beats": ("ambient pad", {"signature": Signature.parse("15/16")}),
}  # fmt: skip


@pytest.fixture(scope="module")
def nano() -> Cascade:
    return Cascade.load("nano")


def made(nano: Cascade, folder: Path, prompt: str, **options: Any) -> tuple[np.ndarray, dict[str, Any]]:
    values: dict[str, Any] = {"bpm": 120.0, "bars": 2, "seed": 5, **options}
    (clip,) = produce(nano, GenerateRequest(prompt=prompt, **values), folder)
    audio, _ = soundfile.read(clip.path, always_2d=True)
    return audio, json.loads(Path(clip.path + ".json").read_text())


@pytest.mark.heavy
@pytest.mark.parametrize("case", HARD)
def test_whatever_is_asked_something_sounds(nano: Cascade, tmp_path: Path, case: str) -> None:
    prompt, options = HARD[case]
    audio, sidecar = made(nano, tmp_path, prompt, **options)
    request = GenerateRequest.from_dict(sidecar["request"])
    assert len(audio) == request.grid.samples()
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1.0
    # a twentieth of full scale in its loudest tenth of a second: to be heard, not just not zero
    parts = np.array_split(audio, max(1, len(audio) // 4800))
    assert max(float(np.sqrt((part**2).mean())) for part in parts) > 0.02
    outside = bool({"bpm", "signature"} & set(options))
    assert any(OUTSIDE in note for note in sidecar["notes"]) == outside, sidecar["notes"]


@pytest.mark.heavy
def test_64_bars_are_made_in_windows_that_sound_to_the_end(nano: Cascade, tmp_path: Path) -> None:
    audio, sidecar = made(nano, tmp_path, "deep house with bass and chords", bars=64, bpm=180)
    assert len(audio) == round(64 * 4 * 60 / 180 * 48_000)
    levels = [float(np.sqrt((part**2).mean())) for part in np.array_split(audio, 32)]
    assert min(levels) > 0.1 * float(np.median(levels))  # no hole, no fading out
    assert max(levels) < 4 * float(np.median(levels))  # no running away from window to window
    assert any(OUTSIDE in note for note in sidecar["notes"])
