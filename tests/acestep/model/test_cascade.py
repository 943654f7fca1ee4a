"""Cascade through its public door: takes, seeds, stages, context, progress, cancelling and clear errors."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import soundfile
import torch

from acestep import Cascade, GenerateRequest, errors
from acestep.clips.production import produce
from acestep.model.guide import guide_audio
from acestep.request import AudioRange
from acestep.sound.limiter import levelled
from tests.support.cascades import split_in_three, tone_file, variant
from tests.support.closeness import assert_close, assert_differs
from tests.support.tiny_checkpoints import save_pipeline

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cascade of three stages of one turbo model, with tokenizers."""
    return split_in_three(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def cascade(folder):
    return Cascade.load(folder)


@pytest.fixture(scope="module")
def tone(tmp_path_factory) -> str:
    return tone_file(tmp_path_factory.mktemp("audio"))


def request(**values) -> GenerateRequest:
    known = {"prompt": "dusty breakbeat", "bpm": 120, "bars": 1, "seed": 7, "key": "A minor"}
    return GenerateRequest(**known | values)


def test_a_take_is_stereo_and_longer_than_the_grid(cascade):
    wanted = request(bpm=127.37, signature="7/8", bars=2)
    (take,) = cascade.generate(wanted)
    assert take.audio.dtype == np.float32
    assert take.audio.shape[0] == 2
    assert take.audio.shape[1] >= wanted.grid.samples() + 48_000
    assert np.isfinite(take.audio).all()
    assert np.abs(take.audio).max() <= 1
    assert take.audio.std() > 0
    assert (take.sample_rate_hz, take.seed, take.index) == (48_000, 7, 0)
    assert {"l", "m", "s", "decode"} <= set(take.seconds)


def test_the_same_seed_gives_the_same_samples_and_another_one_others(cascade):
    first, again, other = (cascade.generate(request(seed=seed))[0].audio for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert_differs(first, other)


def test_take_k_of_a_batch_is_the_single_take_with_that_seed(cascade):
    batch = cascade.latents(request(takes=5))
    for k in range(5):
        assert_close(batch[k : k + 1], cascade.latents(request(seed=7 + k)))


def test_takes_are_numbered_through_several_requests(cascade):
    takes = cascade.generate([request(takes=2), request(takes=1, seed=90, bars=2)])
    assert [(take.index, take.seed) for take in takes] == [(0, 7), (1, 8), (2, 90)]
    assert takes[2].audio.shape[1] > takes[0].audio.shape[1]


def test_a_subset_of_the_stages_makes_the_whole_way(cascade, folder):
    with_m = cascade.latents(request(stages=("m",)))
    assert_close(with_m, cascade.latents(request()))  # the stages are copies
    alone = Cascade.load(folder, stages=("s",))
    assert list(alone.stages) == ["s"]
    assert_close(alone.latents(request()), with_m)


def test_stages_that_differ_each_do_their_part(cascade, folder, tmp_path):
    other = variant(folder, tmp_path / "other")
    save_pipeline(tmp_path / "pipeline", turbo=True, seed=11)
    shutil.rmtree(other / "stages" / "s")
    for part in ("transformer", "condition_encoder"):
        shutil.copytree(tmp_path / "pipeline" / part, other / "stages" / "s" / part)
    mixed = Cascade.load(other)
    assert_differs(mixed.latents(request()), cascade.latents(request()))
    assert_close(mixed.latents(request(stages=("l", "m"))), cascade.latents(request()))


def test_overlapping_stages_stay_deterministic(folder, tmp_path):
    stages = [{"name": name, "path": f"stages/{name}", "steps": steps}
              for name, steps in (("l", [0, 5]), ("m", [3, 8]))]  # fmt: skip
    overlapping = Cascade.load(variant(folder, tmp_path / "overlapping", stages=stages))
    batch = overlapping.latents(request(takes=2))
    assert_close(batch[1:], overlapping.latents(request(seed=8)))


def test_pieces_arrive_in_order_and_are_the_take(cascade):
    pieces: dict[int, list] = {0: [], 1: []}

    def on_audio(index, start, audio):
        assert start == sum(piece.shape[1] for piece in pieces[index])
        pieces[index].append(audio)

    takes = cascade.generate(request(takes=2, bars=8, bpm=120), on_audio=on_audio)
    for take in takes:
        heard = np.concatenate(pieces[take.index], axis=1)
        assert len(pieces[take.index]) > 1
        assert heard.shape == take.audio.shape
        scale = np.abs(heard).max() / np.abs(take.audio).max()
        assert_close(heard, take.audio * scale)


def test_progress_grows_and_ends_at_one(cascade):
    seen = []
    cascade.generate(request(takes=2), on_progress=seen.append)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert seen[-1].eta_s == 0
    assert list(dict.fromkeys(progress.stage for progress in seen)) == ["text", "l", "m", "s", "decode"]


@pytest.mark.parametrize("calls", [0, 1, 5, 15])
def test_cancelling_stops_the_work_where_it_is(cascade, calls):
    asked, heard = [], []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > calls

    with pytest.raises(errors.Cancelled):
        cascade.generate(request(), cancelled=cancelled, on_audio=lambda *piece: heard.append(piece))
    assert len(asked) == calls + 1
    assert not heard


def test_cancelling_while_decoding_stops_after_the_window(cascade):
    heard = []
    with pytest.raises(errors.Cancelled):
        cascade.generate(
            request(bars=8), cancelled=lambda: bool(heard), on_audio=lambda *piece: heard.append(piece)
        )
    assert len(heard) == 1


def test_cancelling_is_noticed_within_a_step(cascade):
    asked, steps = [], []
    cascade.generate(
        request(),
        cancelled=lambda: bool(asked.append(1)),
        on_progress=lambda progress: steps.append(progress),
    )
    assert len(asked) > 2 * len(steps)


def test_a_reference_changes_the_sound_and_its_strength_fades_it(cascade, tone):
    plain = cascade.latents(request())
    full, half, none = (
        cascade.latents(request(reference=tone, strength=strength)) for strength in (1.0, 0.5, 0.0)
    )
    assert torch.equal(none, plain)
    assert_differs(full, plain)
    assert_differs(half, plain)
    assert_differs(half, full)


def test_a_long_reference_is_heard_in_a_chosen_range(cascade, tone, tmp_path):
    song = tmp_path / "song.wav"  # the tone, then one that is low and loud
    low = 0.9 * np.sin(2 * np.pi * 40 * np.arange(96_000) / 48_000)[:, None].repeat(2, axis=1)
    soundfile.write(song, np.concatenate([soundfile.read(tone)[0], low]), 48_000, subtype="FLOAT")
    first, second = (
        cascade.latents(request(reference=AudioRange(str(song), *range_s))) for range_s in ((0, 2), (2, 4))
    )
    assert_close(first, cascade.latents(request(reference=tone)))
    assert_differs(second, first)


def test_outside_a_repainted_region_the_audio_is_untouched(cascade, tone):
    wanted = request(task="repaint", context=tone, repaint_s=(0.5, 1.25), bpm=120)
    (take,) = cascade.generate(wanted)
    source = soundfile.read(tone, dtype="float32")[0].T
    inside = slice(24_000, 60_000)
    outside = np.ones(96_000, bool)
    outside[inside] = False
    assert np.array_equal(take.audio[:, :96_000][:, outside], source[:, outside])
    assert_differs(take.audio[:, inside], source[:, inside])


def test_a_clip_is_continued_by_repainting_behind_its_end(cascade, tone):
    wanted = request(task="repaint", context=tone, repaint_s=(2.0, 4.0), bars=2, bpm=120)
    (take,) = cascade.generate(wanted)
    source = soundfile.read(tone, dtype="float32")[0].T
    assert take.audio.shape[1] >= 192_000
    assert np.array_equal(take.audio[:, :96_000], source)
    assert take.audio[:, 96_000:192_000].std() > 0


def test_a_device_that_is_not_here_is_refused(folder):
    with pytest.raises(errors.InvalidRequest, match="no device 'cuda:99' here: expected auto"):
        Cascade.load(folder, device="cuda:99")


def test_a_region_behind_the_clip_is_refused(cascade, tone):
    with pytest.raises(errors.InvalidRequest, match="lies behind"):
        cascade.generate(request(task="repaint", context=tone, repaint_s=(50, 60)))


@pytest.mark.parametrize("task", ["lego", "extract", "complete"])
def test_the_context_is_heard(cascade, tone, task, tmp_path):
    quiet = tmp_path / "quiet.wav"
    soundfile.write(quiet, np.zeros((96_000, 2)), 48_000)
    loud = cascade.latents(request(task=task, context=tone, track="drums"))
    assert_differs(loud, cascade.latents(request(task=task, context=str(quiet), track="drums")))


def test_a_task_the_checkpoint_does_not_support_is_refused(folder, tmp_path, tone):
    limited = Cascade.load(variant(folder, tmp_path / "limited", supports=["text"]))
    assert limited.supports("text")
    assert not limited.supports("lego")
    with pytest.raises(errors.Unsupported, match="cannot do task lego: it supports text"):
        limited.generate(request(task="lego", context=tone))
    with pytest.raises(errors.Unsupported, match="takes no reference"):
        limited.generate(request(reference=tone))


def test_covers_without_an_audio_tokenizer_are_refused(cascade, tone):
    with pytest.raises(errors.Unsupported, match="no audio tokenizer"):
        cascade.generate(request(task="cover", context=tone))


@pytest.mark.parametrize("name", ["mono", "slow", "deep", "nan", "short"])
def test_readable_audio_of_any_kind_is_a_reference(cascade, tmp_path, name):
    path, rng = tmp_path / f"{name}.wav", np.random.default_rng(0)
    samples = rng.uniform(-0.5, 0.5, (48_000, 2)).astype(np.float32)
    if name == "nan":
        samples[100:200] = np.nan
    rate = 8_000 if name == "slow" else 48_000
    shape = {"mono": samples[:, 0], "short": samples[:500]}.get(name, samples)
    soundfile.write(path, shape, rate, subtype="PCM_24" if name == "deep" else "FLOAT")
    assert torch.isfinite(cascade.latents(request(reference=str(path)))).all()


@pytest.mark.parametrize("name", ["missing", "folder", "text", "cut", "hours", "empty"])
def test_unreadable_audio_says_what_is_wrong(cascade, tmp_path, name):
    path = tmp_path / f"{name}.wav"
    if name == "folder":
        path.mkdir()
    elif name == "text":
        path.write_text("this is not audio")
    elif name != "missing":
        seconds = {"hours": 36_000, "empty": 0}.get(name, 1)
        soundfile.write(path, np.zeros((seconds * 1_000, 1)), 1_000, subtype="PCM_U8")
    if name == "cut":
        path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(errors.UnreadableAudio, match=f"{name}.wav"):
        cascade.generate(request(reference=str(path)))


def test_a_prompt_that_is_too_long_keeps_its_metadata_and_says_so(cascade):
    long = request(prompt="a very long story " * 100)
    (take,) = cascade.generate(long)
    assert any("cut to 256 tokens" in note for note in take.notes)
    other_key = dataclasses.replace(long, key="C major")
    assert_differs(cascade.latents(long), cascade.latents(other_key))


def test_a_guide_as_audio_is_the_context_of_a_published_layout_and_never_in_the_clip(cascade):
    guided = request(guide=True, fit=False, sample_format="float32")
    stage = cascade.stages["l"]
    seen = []
    hook = stage.transformer.proj_in_conv.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    latents = cascade.latents(guided)
    hook.remove()
    frames, channels = latents.shape[1], stage.channels
    rate, hop = cascade.codec.sample_rate_hz, 1920
    click = guide_audio(guided.grid, guided.key, round(frames * hop), rate)
    wanted = cascade.codec.encode(torch.from_numpy(click)[None])[:, :frames]
    for given in seen:
        context = given.transpose(1, 2)[:, :frames]
        assert_close(context[..., :channels], wanted)
        assert (context[..., channels : 2 * channels] == 1).all(), "all of it is to be made"
    assert_differs(wanted, stage.silence(frames).expand_as(wanted))
    # the clip is what the latents decode to, and nothing is added to it
    (take,) = cascade.generate(guided)
    decoded = cascade.codec.decode(latents)[0].numpy()
    assert_close(take.audio, decoded / max(1.0, np.abs(decoded).max()))
    assert any("quiet context audio" in note for note in take.notes)
    # without being asked for it is not used at all
    open_, off = (cascade.latents(request(guide=guide)) for guide in (None, False))
    assert torch.equal(open_, off)
    assert_differs(open_, latents)


def test_a_context_of_the_users_own_is_kept_when_a_guide_is_asked_for(cascade, tone):
    both = request(task="complete", context=tone, guide=True)
    assert torch.equal(cascade.latents(both), cascade.latents(dataclasses.replace(both, guide=None)))
    assert any("its context was the request's" in note for note in cascade.generate(both)[0].notes)


def test_what_is_too_loud_keeps_its_shape_until_the_clip_is_limited(folder, tmp_path):
    import safetensors.torch

    loud = variant(folder, tmp_path / "loud")
    (path,) = (loud / "codec").glob("*.safetensors")
    weights = safetensors.torch.load_file(path)
    name = next(name for name in weights if name.startswith("decoder.conv2") and name.endswith("weight_g"))
    weights[name] *= 1000
    safetensors.torch.save_file(weights, path)
    (take,) = Cascade.load(loud).generate(request())
    assert np.abs(take.audio).max() > 10
    (clip,) = produce(Cascade.load(loud), request(), tmp_path / "out")
    assert clip.sidecar["measured"]["after"]["true_peak_db"] < -0.9
    assert clip.sidecar["measured"]["level"]["gain_db"] < -20


def test_a_clip_longer_than_the_training_length_is_made_in_windows(cascade, folder, tmp_path):
    windowed = Cascade.load(variant(folder, tmp_path / "windowed", max_s=3.0))
    long = request(bars=4, bpm=120)  # 8 s and a bar
    ours = windowed.latents(long)
    assert ours.shape == cascade.latents(long).shape
    assert torch.isfinite(ours).all()
    jumps = (ours[:, 1:] - ours[:, :-1]).norm(dim=-1)
    assert jumps.max() < 6 * jumps.median()
    short = request(bars=1, bpm=240)
    assert_close(windowed.latents(short), cascade.latents(short))


@pytest.mark.parametrize("missing", ["cascade.json", "codec/config.json", "stages/m/transformer/config.json"])
def test_an_incomplete_checkpoint_is_refused(folder, tmp_path, missing):
    broken = variant(folder, tmp_path / "broken")
    (broken / missing).unlink()
    with pytest.raises(errors.CheckpointError):
        Cascade.load(broken)


def test_weights_of_another_model_are_refused_by_name(folder, tmp_path):
    import safetensors.torch

    broken = variant(folder, tmp_path / "broken")
    path = broken / "stages/m/transformer/diffusion_pytorch_model.safetensors"
    weights = safetensors.torch.load_file(path)
    weights["layers.0.another.weight"] = weights.pop("layers.0.mlp.up_proj.weight")
    safetensors.torch.save_file(weights, path)
    with pytest.raises(errors.CheckpointError, match=r"layers\.0\.(mlp\.up_proj|another)\.weight"):
        Cascade.load(broken)


def test_an_unknown_cascade_is_not_found():
    with pytest.raises(errors.NotFound, match="no cascade 'nonesuch'"):
        Cascade.load("nonesuch")


def test_cascades_in_home_are_found_by_name(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("ACESTEP_HOME", str(tmp_path))
    variant(folder, tmp_path / "cascades" / "mine", name="mine")
    assert Cascade.load("mine").spec.name == "mine"
    with pytest.raises(errors.NotFound, match="cascade mine has no stage x"):
        Cascade.load("mine", stages=("x",))


def test_cascades_that_are_here_are_listed_with_their_size(folder, cascade, tmp_path, monkeypatch):
    from acestep.checkpoints.checkpoint import available, listed
    from acestep.errors import CheckpointError

    monkeypatch.setenv("ACESTEP_HOME", str(tmp_path))
    variant(folder, tmp_path / "cascades" / "mine", name="mine")
    (tmp_path / "cascades" / "broken").mkdir()
    (tmp_path / "cascades" / "broken" / "cascade.json").write_text("{}")
    here = available()
    with pytest.raises(CheckpointError):
        listed("broken", here["broken"])
    mine = listed("mine", here["mine"])
    assert mine.stages == ("l", "m", "s")
    stages = [part for stage in cascade.stages.values() for part in stage.parts().values()]
    counted = sum(w.numel() for part in stages for w in part.parameters())
    assert counted < mine.parameters < mine.bytes


def test_before_anything_is_measured_no_time_is_promised(folder):
    seen = []
    Cascade.load(folder).generate(request(), on_progress=seen.append)
    assert (seen[0].stage, seen[0].fraction, seen[0].eta_s) == ("text", 0, 0)
    assert all(progress.eta_s < 60 for progress in seen)


def test_where_loud_sounds_meet_only_they_are_held_back(cascade, tmp_path):
    from types import SimpleNamespace

    from acestep.model.song import Song

    tone = 0.95 * np.sin(2 * np.pi * 200 * np.arange(96_000) / 48_000)
    loud = np.stack([tone, tone]).astype(np.float32)
    request = GenerateRequest(prompt="x", task="repaint", context=str(tmp_path), repaint_s=(0.5, 1.0))
    song = SimpleNamespace(request=request, context=loud, cascade=SimpleNamespace(codec=cascade.codec))
    made = Song.spliced(song, loud, 0)
    rate = cascade.codec.sample_rate_hz
    assert np.abs(made).max() > 1.2
    held, _ = levelled(made, rate, None, ceiling_db=0.0)
    assert np.abs(held).max() <= 1.0
    assert held[:, : rate // 4] == pytest.approx(loud[:, : rate // 4], rel=0.001)
