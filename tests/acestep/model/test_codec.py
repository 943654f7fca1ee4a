"""Codecs: lengths, round trips, windows, and folders that are none."""

import itertools
import json
import warnings

import numpy as np
import pytest
import torch

from acestep.errors import CheckpointError
from acestep.model.codec.base import load_codec
from acestep.model.codec.phase import OverlapStream, audio_of, find_phases, spectra
from acestep.model.codec.spectral import SpectralCodec, band_edges
from acestep.nano import WEIGHTS
from tests.support.closeness import assert_close, rounding

TRANSFORM = 2048  # samples that a spectrum sums over


@pytest.fixture(scope="module")
def shipped():
    return load_codec(WEIGHTS / "codec")


@pytest.fixture(scope="module")
def music():
    """Two seconds of a chord over a kick, as stereo [1, 2, N]."""
    time = torch.arange(96_000) / 48_000
    chord = sum(torch.sin(2 * torch.pi * hz * time) for hz in (220.0, 277.18, 329.63)) * 0.08
    kick = torch.sin(2 * torch.pi * 55 * time) * torch.exp(-(time % 0.5) * 18) * 0.5
    return torch.stack([chord + kick, 0.6 * chord + kick])[None]


def test_spectra_turn_back_into_the_audio(music):
    assert_close(audio_of(spectra(music)), music, rounding(TRANSFORM))


def test_spectra_in_pieces_give_the_same_audio(music):
    spectrum = spectra(music)
    stream = OverlapStream()
    pieces = [
        stream.push(part, last)
        for part, last in ((spectrum[..., :70, :], False), (spectrum[..., 70:, :], True))
    ]
    assert_close(torch.cat(pieces, -1), audio_of(spectrum), rounding(TRANSFORM))


def test_found_phases_fit_the_magnitudes(music):
    magnitude = spectra(music[:, 0]).abs()
    made = spectra(audio_of(find_phases(magnitude))).abs()
    assert float((made - magnitude).norm() / magnitude.norm()) < 0.15


def test_known_phases_stay(music):
    spectrum = spectra(music[:, 0])
    found = find_phases(spectrum.abs(), spectrum[:, :20], rounds=2)
    assert torch.equal(found[:, :20], spectrum[:, :20])


def test_bands_cover_every_bin_once():
    edges = band_edges()
    assert edges[0] == 0
    assert edges[-1] == 1025
    assert all(after > before for before, after in itertools.pairwise(edges))


@pytest.mark.parametrize("samples", [1, 1919, 1920, 1921, 47_999])
def test_any_length_becomes_whole_frames(shipped, samples):
    latents = shipped.encode(torch.randn(1, 2, samples, generator=torch.Generator().manual_seed(0)) * 0.1)
    assert latents.shape == (1, -(-samples // shipped.hop), shipped.channels)
    assert shipped.decode(latents).shape == (1, 2, latents.shape[1] * shipped.hop)


def test_windows_joined_are_the_decoding(shipped):
    latents = torch.randn(2, 240, shipped.channels, generator=torch.Generator().manual_seed(1))
    pieces = list(shipped.decode_windows(latents))
    assert len(pieces) > 1
    assert torch.equal(torch.cat(pieces, -1), shipped.decode(latents))


def test_encoding_and_decoding_are_deterministic(shipped, music):
    first, second = (shipped.decode(shipped.encode(music)) for _ in range(2))
    assert torch.equal(first, second)


def test_the_shipped_codec_keeps_a_chord_and_its_level(shipped, music):
    made = shipped.decode(shipped.encode(music))
    before, after = (spectra(audio.mean(1)).abs().clamp_min(1e-2).log() for audio in (music, made))
    loud = before > before.max() - 4
    assert float((before - after).abs()[loud].mean()) < 0.5
    assert float(made.square().mean() / music.square().mean()) == pytest.approx(1, rel=0.4)


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("pitch", [36, 43, 48, 52, 57])
def test_low_tones_keep_their_pitch_between_the_bins(shipped, pitch, noise):
    """Also when latents are a little off, as diffusion leaves them; a bin is five semitones at the lowest."""
    hz = 440 * 2 ** ((pitch - 69) / 12)
    time = torch.arange(96_000) / 48_000
    tone = sum(torch.sin(2 * torch.pi * hz * n * time) / n for n in range(1, 8)) * 0.2
    latents = shipped.encode(tone.expand(1, 2, -1))
    random = torch.Generator().manual_seed(0)
    made = shipped.decode(latents + noise * torch.randn(latents.shape, generator=random))[0].mean(0)
    size = 8 * len(made)
    spectrum = torch.fft.rfft(made * torch.hann_window(len(made)), size).abs()
    first, last = (round(hz * factor * size / 48_000) for factor in (0.85, 1.18))
    found = (first + int(spectrum[first:last].argmax())) * 48_000 / size
    assert abs(1200 * np.log2(found / hz)) < 35


def test_silence_stays_silent(shipped):
    made = shipped.decode(shipped.encode(torch.zeros(1, 2, 48_000)))
    assert float(made.abs().max()) < 0.01


def test_samples_that_are_no_numbers_do_not_spread(shipped):
    audio = torch.zeros(1, 2, 4800)
    audio[0, 0, 100] = float("nan")
    audio[0, 1, 200] = float("inf")
    assert bool(torch.isfinite(shipped.encode(audio)).all())


def test_latents_leave_with_unit_variance_on_average(shipped):
    noise = torch.randn(1, 2, 96_000, generator=torch.Generator().manual_seed(2)) * 0.1
    assert 0.05 < float(shipped.encode(noise).square().mean()) < 20


def test_a_saved_codec_is_the_same_codec(tmp_path):
    torch.manual_seed(0)
    codec = SpectralCodec(channels=16, width=16, blocks=1, rounds=2)
    codec.set_components(torch.randn(500, 4, len(codec.mean)))
    codec.save(tmp_path)
    again = load_codec(tmp_path)
    audio = torch.randn(1, 2, 4800) * 0.1
    assert_close(again.encode(audio), codec.encode(audio))
    assert json.loads((tmp_path / "config.json").read_text())["channels"] == 16


def test_components_of_full_rank_lose_nothing():
    torch.manual_seed(0)
    count = len(SpectralCodec(width=8, blocks=1).mean)
    codec = SpectralCodec(channels=4 * count, width=8, blocks=1)
    features = torch.randn(5000, 4, count) * torch.rand(count) + torch.randn(count)
    codec.set_components(features)
    features = features.flatten(0, 1)[None]
    latents = codec.analyse(features)
    assert latents.shape == (1, 5000, 4 * count)
    # components are found from variances: these are squares, so half of the digits are left
    assert_close(codec.decode_features(latents), features, rounding(1) ** 0.5)
    assert float(latents.square().mean()) == pytest.approx(1, rel=0.05)


def test_a_folder_without_a_codec_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_codec(tmp_path)
    (tmp_path / "config.json").write_text('{"_class_name": "Vorbis"}')
    with pytest.raises(CheckpointError, match="Vorbis"):
        load_codec(tmp_path)


@pytest.fixture(scope="module")
def oobleck():
    """A tiny stock autoencoder, and how it decodes and encodes by itself."""
    from diffusers import AutoencoderOobleck

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates the weight norm that diffusers uses
        return AutoencoderOobleck(
            encoder_hidden_size=8, downsampling_ratios=[2, 4, 4, 6, 10], channel_multiples=[1, 1, 2, 2, 2],
            decoder_channels=8, decoder_input_channels=4, audio_channels=2, sampling_rate=48_000,
        ).eval()  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_the_wrapped_autoencoder_equals_the_stock_one(oobleck, tmp_path):
    from acestep.model.codec.base import OobleckCodec

    latents = torch.randn(1, 600, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        audio = oobleck.decode(latents.transpose(1, 2)).sample
        back = oobleck.encode(audio).latent_dist.mode().transpose(1, 2)
    codec = OobleckCodec(oobleck)
    assert (codec.sample_rate_hz, codec.latent_rate_hz, codec.channels) == (48_000, 25.0, 4)
    assert len(list(codec.decode_windows(latents))) == 3
    assert_close(codec.decode(latents), audio)
    assert_close(codec.encode(audio), back)
    assert not any("weight_g" in name for name in codec.autoencoder.state_dict())
    codec.save(tmp_path / "codec")
    assert_close(load_codec(tmp_path / "codec").decode(latents), audio)
    assert np.isfinite(codec.encode(torch.full((1, 2, 1920), float("nan"))).numpy()).all()
