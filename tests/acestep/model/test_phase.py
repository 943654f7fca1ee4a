"""Phases told by a network: integration, windows, files, and its training on pairs."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from acestep.errors import AlreadyExists, CheckpointError, NotFound
from acestep.model.codec.base import load_codec
from acestep.model.codec.phase import BINS, audio_of, spectra
from acestep.model.codec.phase_integration import PhaseStream
from acestep.model.codec.phase_network import TURN
from acestep.model.codec.spectral import PHASES_FILE, SpectralCodec
from acestep.nano import WEIGHTS
from acestep.nano.cli import main
from acestep.nano.hits import attacks_ms, hits, level_before
from acestep.nano.pairs import SCALE, open_pairs, pieces_of
from acestep.nano.train_phase import PhaseRecipe, PhaseTraining, train_phase, with_phases
from tests.support.fidelity import dropouts_per_s
from tests.support.windows import SAME, off_in_windows

RATE = 48_000


@pytest.fixture(scope="module")
def music() -> torch.Tensor:
    """Two seconds of a chord over clicks [1, N], N a multiple of 1920."""
    time = torch.arange(96_000) / RATE
    chord = sum(torch.sin(2 * torch.pi * hz * time) for hz in (220.0, 277.18, 329.63)) * 0.01
    noise = torch.randn(96_000, generator=torch.Generator().manual_seed(0))
    return (chord + 0.4 * noise * torch.exp(-((time + 0.25) % 0.5) * 60))[None]


@pytest.fixture
def codec() -> SpectralCodec:
    """The shipped one with an untrained network of phases."""
    torch.manual_seed(0)
    made = SpectralCodec.load(WEIGHTS / "codec")
    made.phases = made.new_phase_network(width=16, blocks=1, channels=8, patches=1)
    return made.eval().requires_grad_(False)


def true_differences(audio: torch.Tensor, certainty: float) -> tuple[torch.Tensor, ...]:
    """Magnitudes, turns and differences between bins of audio [B, N], as a sure network would tell them."""
    spectrum = spectra(audio)
    bins = torch.arange(BINS)
    unit = spectrum / spectrum.abs().clamp_min(1e-9) * (1 - 2 * (bins % 2))
    turn = torch.zeros_like(unit)
    turn[:, 1:] = unit[:, 1:] * (unit[:, :-1] * torch.polar(torch.ones(BINS), TURN * bins)).conj()
    delay = torch.zeros_like(unit)
    delay[..., :-1] = unit[..., 1:] * unit[..., :-1].conj()
    return spectrum.abs(), certainty * turn, certainty * delay


@pytest.mark.parametrize("certainty", [0.6, 0.95])
def test_true_differences_give_the_sound_back(music: torch.Tensor, certainty: float) -> None:
    magnitude, turn, delay = true_differences(music, certainty)
    made = audio_of(PhaseStream().push(magnitude, turn, delay, last=True))
    wrong = (spectra(made).abs() - magnitude).norm() / magnitude.norm()
    assert float(wrong) < 0.1
    places = hits(music[0].numpy())
    assert len(places) >= 3
    for at in places:
        quieter = level_before(made[0].numpy(), at) - level_before(music[0].numpy(), at)
        assert quieter < 3


@pytest.mark.parametrize("cuts", [(1,), (7, 9), (40, 41, 120), (100, 150)])
def test_pieces_of_any_size_give_the_same_spectra(music: torch.Tensor, cuts: tuple[int, ...]) -> None:
    parts = true_differences(torch.cat([music, music.flip(-1)]), 0.8)
    whole = PhaseStream().push(*parts, last=True)
    stream, edges, pieces = PhaseStream(), [0, *cuts, whole.shape[1]], []
    for start, end in itertools.pairwise(edges):
        pieces.append(stream.push(*(part[:, start:end] for part in parts), last=end == edges[-1]))
    joined = torch.cat(pieces, 1)
    assert joined.shape == whole.shape
    assert float((joined - whole).norm() / whole.norm()) < 1e-5


def test_windows_of_any_length_give_the_same_samples() -> None:
    codec = SpectralCodec.load(WEIGHTS / "codec")
    latents = torch.randn(2, 130, codec.channels, generator=torch.Generator().manual_seed(1))
    assert off_in_windows(codec, latents, (25, 60, 1000)) < SAME


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_the_shortest_clips_and_silence_are_decoded(codec: SpectralCodec, frames: int) -> None:
    silence = codec.encode(torch.zeros(1, 2, frames * codec.hop))
    made = codec.decode(silence)
    assert made.shape == (1, 2, frames * codec.hop)
    assert float(made.abs().max()) < 0.01


def test_a_saved_codec_keeps_its_phases_in_a_small_file(codec: SpectralCodec, tmp_path: Path) -> None:
    codec.save(tmp_path)
    again = load_codec(tmp_path)
    assert isinstance(again, SpectralCodec)
    assert again.phases is not None
    assert codec.phases is not None
    before, after = codec.phases.state_dict(), again.phases.state_dict()
    numbers = sum(value.numel() for value in before.values())
    assert (tmp_path / PHASES_FILE).stat().st_size < 1.5 * numbers + 20_000
    for name, value in before.items():
        assert float((after[name] - value).abs().max()) <= 0.01 * float(value.abs().max()) + 1e-6
    assert load_codec(WEIGHTS / "codec").phases is not None


def test_phases_that_are_missing_or_do_not_fit_are_refused(codec: SpectralCodec, tmp_path: Path) -> None:
    codec.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["phases"]["width"] = 24
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"does not fit its config\.json"):
        load_codec(tmp_path)
    (tmp_path / PHASES_FILE).unlink()
    with pytest.raises(CheckpointError, match=r"does not fit its config\.json"):
        load_codec(tmp_path)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A work folder with a shard of tones and hits to learn from, and one to be tested on."""
    codec = SpectralCodec.load(WEIGHTS / "codec")
    random = np.random.default_rng(0)
    (tmp_path / "pairs").mkdir()
    for name, count in (("train-0000", 6), ("held-0000", 3)):
        rows = []
        for piece in range(count):
            time = np.arange(80 * 1920) / RATE
            audio = sum(0.1 * np.sin(2 * np.pi * hz * time) for hz in random.uniform(100, 2000, 3))
            audio = audio + 0.3 * random.standard_normal(len(time)) * np.exp(-(time % 0.4) * 80)
            audio = audio.astype(np.float32)
            latents = codec.encode(torch.from_numpy(audio).expand(1, 2, -1))[0].half().numpy().view(np.int16)
            samples = np.round(audio * SCALE).clip(-32768, 32767).astype(np.int16).reshape(80, -1)
            rows.append(np.concatenate([samples, latents, latents, np.full((80, 1), piece, np.int16)], 1))
        np.save(tmp_path / "pairs" / f"{name}.npy", np.concatenate(rows))
    return tmp_path


SMALL = PhaseRecipe(batch=2, frames=10, warmup=5, bfloat16=False)


def test_pieces_come_back_from_a_shard(pairs: Path) -> None:
    cut = pieces_of(open_pairs(pairs / "pairs")[0][78:82])
    assert cut.audio.shape == (4, 1920)
    assert cut.encoded.shape == cut.passed.shape == (4, 192)
    assert cut.piece.tolist() == [0, 0, 1, 1]
    codec = SpectralCodec.load(WEIGHTS / "codec")
    rows = pieces_of(open_pairs(pairs / "pairs")[0][:80])
    again = codec.encode(torch.from_numpy(rows.audio.reshape(-1)).expand(1, 2, -1))[0]
    assert np.abs(again.numpy() - rows.encoded).mean() < 0.05 * np.abs(rows.encoded).mean()


def test_a_resumed_run_is_the_same_run(pairs: Path) -> None:
    def training() -> PhaseTraining:
        return PhaseTraining(SMALL, pairs / "pairs", SpectralCodec.load(WEIGHTS / "codec"))

    straight = training()
    straight.fit_scaling()
    for _ in range(3):
        straight.train_step()
    first, second = training(), training()
    first.fit_scaling()
    first.train_step()
    second.restore(first.state())
    for _ in range(2):
        second.train_step()
    assert second.step == straight.step == 3
    for kind in ("network", "mean"):
        for name, value in straight.state()[kind].items():
            assert torch.equal(value, second.state()[kind][name]), name


def test_training_learns_more_than_nothing_and_its_state_becomes_a_codec(pairs: Path) -> None:
    training = PhaseTraining(SMALL, pairs / "pairs", SpectralCodec.load(WEIGHTS / "codec"))
    training.fit_scaling()
    before = training.held_errors(2)
    for _ in range(12):
        training.train_step()
    after = training.held_errors(2)
    assert all(late < 0.9 * early for late, early in zip(after, before, strict=True))


def test_a_run_is_kept_logged_and_never_written_over(pairs: Path, tmp_path: Path) -> None:
    codec = SpectralCodec.load(WEIGHTS / "codec")
    recipe = PhaseRecipe(steps=2, batch=2, frames=10)
    state = train_phase(pairs, recipe, 60, codec)
    line = json.loads((pairs / "phase.log").read_text().splitlines()[-1])
    assert line["step"] == 2
    assert len(line["held"]) == 2
    with pytest.raises(AlreadyExists, match="--resume goes on from it"):
        train_phase(pairs, recipe, 60, codec, resume=False)
    assert main(["train", str(pairs), "--part", "phase-codec"]) == 0
    made = load_codec(pairs / "phase-codec")
    assert isinstance(made, SpectralCodec)
    assert made.phases is not None
    assert made.phases.config == with_phases(codec, state).phases.config  # type: ignore[union-attr]


def test_without_pairs_the_command_that_makes_them_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="--part pairs"):
        open_pairs(tmp_path)


@pytest.mark.parametrize("rise_ms", [2, 10, 20])
def test_the_rise_of_a_hit_is_measured(rise_ms: int) -> None:
    time = np.arange(RATE) / RATE
    since = np.clip(time - 0.5, 0, None) * 1000
    size = np.clip(since / rise_ms, 0, 1) * np.exp(-np.clip(since - rise_ms, 0, None) / 100)
    mono = size * np.sin(2 * np.pi * 8000 * time) * 0.5
    found = attacks_ms(mono, [RATE // 2])
    assert found[0] == pytest.approx(0.8 * rise_ms, abs=2)
    assert level_before(mono, RATE // 2) == pytest.approx(-120, abs=1)


def test_hits_are_found_where_they_are() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE) * 0.3
    since = np.arange(RATE) % (RATE // 4)
    mono = np.where(np.arange(RATE) < RATE // 8, 0, noise * np.exp(-since / 1000))
    found = hits(mono.astype(np.float32))
    assert [round(at / (RATE // 4)) for at in found if at > RATE // 6] == [1, 2, 3]
    assert all(abs(at - RATE // 4 * round(at / (RATE // 4))) < 200 for at in found if at > RATE // 6)


def test_dropouts_are_counted_and_a_steady_tone_has_none() -> None:
    time = np.arange(2 * RATE) / RATE
    tone = 0.3 * np.sin(2 * np.pi * 440 * time)
    assert dropouts_per_s(tone) == 0
    broken = tone.copy()
    for start in (0.5, 1.0, 1.5):
        broken[round(start * RATE) : round((start + 0.02) * RATE)] *= 0.05
    assert dropouts_per_s(broken) == pytest.approx(1.5, rel=0.1)
