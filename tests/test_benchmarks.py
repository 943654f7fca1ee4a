"""Where two sides do not compute the same, a benchmark ends with a sentence and prints no time."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from acestep import Cascade
from lora_studio.data.preparing import prepare
from tests.benchmarks import daemon as daemon_benchmark
from tests.benchmarks import engine, full_size, live, lora
from tests.benchmarks.agreement import at_level_of, clips_must_agree, must_agree
from tests.support.lora_material import tiny_base

pytestmark = pytest.mark.filterwarnings("ignore")

BENCHMARKS = Path(engine.__file__).parent
ENGINE = ["--width=64", "--layers=1", "--codec-channels=8", "--seconds=2", "--base-steps=2", "--repeats=1"]
TENTH = torch.full((2, 50), 0.1)


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_sides_agree_up_to_a_share_of_the_largest_value(size):
    one = size * torch.randn(100, generator=torch.Generator().manual_seed(0))
    must_agree("x", one * (1 + 1e-6), one, 1e-5)
    for other in (one * (1 + 1e-4), one * float("nan"), one[:50]):
        with pytest.raises(SystemExit, match=r"^x: .*[Nn]o time is printed") as ended:
            must_agree("x", other, one, 1e-5)
        assert isinstance(ended.value.code, str)  # Python prints it and exits with 1


def test_audio_is_brought_to_one_level_and_to_nothing_else():
    one = torch.randn(2, 100, generator=torch.Generator().manual_seed(0))
    must_agree("x", at_level_of(0.3 * one, one), one, 1e-6)
    with pytest.raises(SystemExit):
        must_agree("x", at_level_of(one.roll(1, 1), one), one, 0.1)


def engine_prints(monkeypatch, capsys) -> str:
    """What the engine's benchmark prints; raises what ends it."""
    monkeypatch.setattr(sys, "argv", ["engine", *ENGINE])
    try:
        engine.main()
    finally:
        out = capsys.readouterr().out
    return str(out)


def test_the_engine_and_the_stock_pipeline_compute_the_same_and_are_timed(monkeypatch, capsys):
    monkeypatch.setattr(engine, "fastest", lambda calls, *_: dict.fromkeys(calls, 1.0))
    out = engine_prints(monkeypatch, capsys)
    assert out.count("the same latents and audio on both sides") == 2
    assert out.count("1.00×") == 8


def test_an_engine_that_is_a_little_off_is_not_timed(monkeypatch, capsys):
    latents = Cascade.latents
    monkeypatch.setattr(Cascade, "latents", lambda self, *requests: 1.001 * latents(self, *requests))
    monkeypatch.setattr(engine, "fastest", lambda *_: pytest.fail("it was timed"))
    with pytest.raises(SystemExit, match="turbo: latents: the two sides do not compute the same"):
        engine_prints(monkeypatch, capsys)


def test_a_checkpoint_without_latents_of_silence_is_not_timed(monkeypatch, capsys):
    whole = engine.pipeline

    def without(*sizes):
        made = whole(*sizes)
        made.condition_encoder.silence_latent.zero_()
        return made

    monkeypatch.setattr(engine, "pipeline", without)
    monkeypatch.setattr(engine, "fastest", lambda *_: pytest.fail("it was timed"))
    with pytest.raises(SystemExit, match="latents: the two sides do not compute the same"):
        engine_prints(monkeypatch, capsys)


def test_a_stock_pipeline_that_makes_something_else_is_not_timed_at_full_size():
    config = SimpleNamespace(num_hidden_layers=2, intermediate_size=64)
    stage = SimpleNamespace(like=TENTH, transformer=SimpleNamespace(config=config))
    cascade = SimpleNamespace(
        stages={"l": stage},
        latents=lambda request: TENTH,
        generate=lambda request: [SimpleNamespace(audio=TENTH.numpy())],
    )
    request = SimpleNamespace(seed=1)
    answers = {"latent": TENTH, "pt": 5 * TENTH[None]}

    def stocked(n, output_type="pt"):
        return SimpleNamespace(audios=answers[output_type])

    full_size.same(cascade, request, stocked)
    answers["pt"] = answers["pt"] * torch.linspace(1, 1.01, 50)
    with pytest.raises(SystemExit, match="L alone: audio"):
        full_size.same(cascade, request, stocked)
    answers["latent"] = 1.001 * TENTH
    with pytest.raises(SystemExit, match="L alone: latents"):
        full_size.same(cascade, request, stocked)


def test_training_that_computes_another_loss_is_not_timed(monkeypatch, tmp_path):
    base = str(tiny_base(tmp_path))
    lora.write_style(tmp_path / "loops", range(4))
    given = (base, "s", prepare(tmp_path / "loops"), tmp_path, 1, 1)
    assert min(min(rates) for rates in lora.rates_of(*given).values()) > 0
    loss = lora.PlainLoop.loss
    monkeypatch.setattr(lora, "_heard", lambda run: pytest.fail("it was timed"))
    monkeypatch.setattr(lora.PlainLoop, "loss", lambda self, *given: 1.001 * loss(self, *given))
    with pytest.raises(SystemExit, match="stage s, float32: loss: the two sides"):
        lora.rates_of(*given)


@pytest.fixture
def clips(tmp_path):
    """A clip, the same in another file, and one with a sample that is another."""
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (4800, 2))
    paths = [tmp_path / f"{name}.wav" for name in ("one", "same", "other")]
    for path in paths:
        audio[100, 0] += 0.01 if path.stem == "other" else 0
        soundfile.write(path, audio, 48_000, subtype="PCM_24")
    return [str(path) for path in paths]


def test_a_clip_of_the_daemon_or_in_live_that_is_another_ends_the_benchmark(monkeypatch, clips, tmp_path):
    one, same, other = clips
    clips_must_agree("x", one, same, 1e-5)
    monkeypatch.setattr(daemon_benchmark, "produce", lambda *_: [SimpleNamespace(path=one)])
    monkeypatch.setattr(live, "reproduce", lambda *_: SimpleNamespace(path=one))
    monkeypatch.setattr(live, "one_job", lambda *_: None)
    monkeypatch.setattr(live, "load", lambda *_: None)
    for module in (daemon_benchmark, live):
        monkeypatch.setattr(module, "run_rounding", lambda *_: 1e-5)
    slot = SimpleNamespace(clip=SimpleNamespace(file_path=""))
    app = SimpleNamespace(song=SimpleNamespace(tracks=[SimpleNamespace(clip_slots=[slot])]))

    def run(path: str) -> None:
        monkeypatch.setattr(daemon_benchmark, "_by_osc", lambda *_: path)
        slot.clip.file_path = path
        daemon_benchmark.same(None, None, tmp_path)
        live.same(app, None, None, 0, SimpleNamespace(cascade=None), tmp_path)

    run(same)
    with pytest.raises(SystemExit, match="bare engine"):
        run(other)
    slot.clip.file_path = other
    with pytest.raises(SystemExit, match="clip in the slot"):
        live.same(app, None, None, 0, SimpleNamespace(cascade=None), tmp_path)


def test_every_benchmark_that_prints_a_ratio_of_times_asserts_first():
    sources = {path.name: path.read_text("utf-8") for path in BENCHMARKS.glob("*.py")}
    timed = {name for name, text in sources.items() if "×" in text and "import time" in text}
    assert timed >= {"engine.py", "daemon.py", "full_size.py", "lora.py"}
    other = {
        "cluster.py",  # compares the hashes of what both sides made
        "midi.py",  # what one step costs beside another
        "page.py",  # how long other pages take to do something else
    }
    assert [
        name
        for name in sorted({*timed - other, "live.py"})
        if "tests.benchmarks.agreement" not in sources[name]
    ] == []
