"""Training on tiny material: batches mean what they say, and a resumed run is the same run."""

import numpy as np
import pytest
import torch

from acestep.model.codec.spectral import SpectralCodec
from acestep.model.guide import BEAT_CHANNELS, KEY_CHANNELS
from acestep.nano.batches import draw_batch
from acestep.nano.checkpoint import (
    LYRICS,
    TINY,
    NanoModules,
    load_checkpoint,
    train_tokenizer,
    write_untrained,
)
from acestep.nano.latents import Example, View, label, reference_of
from acestep.nano.network import conditions
from acestep.nano.publish import publish
from acestep.nano.train_codec import CodecRecipe, CodecTraining, fit_components
from acestep.nano.train_stages import StageRecipe, StageTraining, caption_texts, split_stages
from acestep.nano.train_text import TextRecipe, train_text
from acestep.training.velocity import Velocity
from tests.support.closeness import FORWARD, assert_close, rounding

CHANNELS = TINY.channels
GUIDE = BEAT_CHANNELS + KEY_CHANNELS


@pytest.fixture(scope="module")
def examples():
    """Loops with noise for latents, of the sizes real ones have."""
    random = np.random.default_rng(0)
    made = []
    for seed in range(6):
        loop = label(seed)
        roles = tuple(part.role for part in loop.parts)

        def noise(frames: int) -> np.ndarray:
            return random.standard_normal((frames, CHANNELS)).astype(np.float16)

        views = [View(roles, noise(400), (), None, noise(75))]
        if len(roles) > 1:
            views.append(View(roles[:1], noise(400), roles[1:], noise(400), noise(75)))
        stems = {role: noise(400) for role in roles} if len(roles) > 1 else {}
        made.append(Example(loop, tuple(views), stems))
    return made


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([*caption_texts(60), LYRICS], 400)


def training(examples, tokenizer, **options):
    recipe = StageRecipe(frames_per_batch=512, bfloat16=False, steps=40, warmup=2, **options)
    return StageTraining(recipe, TINY, examples, tokenizer, torch.zeros(CHANNELS))


def velocity_of(transformer, x, t, given, context):
    return Velocity(transformer)(x, t, given.states, context, condition_mask=given.mask)


def test_a_batch_has_context_where_the_task_gives_one(examples):
    silence = torch.full((CHANNELS,), 7.0)
    seen = set()
    for seed in range(30):
        batch = draw_batch(examples, silence, np.random.default_rng(seed), 1024)
        count, frames, _ = batch.x0.shape
        assert batch.context.shape == (count, frames, 2 * CHANNELS + GUIDE)
        assert count == len(batch.texts) == len(batch.references) == len(batch.null)
        for row, x0, text, task in zip(batch.context, batch.x0, batch.texts, batch.tasks, strict=True):
            source, mask = row[:, :CHANNELS], row[:, CHANNELS : 2 * CHANNELS]
            seen.add(task)
            if task == "text":
                assert text.startswith("Fill")
                assert bool((source == 7).all())
                assert bool((mask == 1).all())
            elif task in ("repaint", "continue"):
                assert text.startswith("Repaint")
                assert 0 < float(mask.mean()) < 1
                assert bool((source[mask > 0.5] == 7).all())
                assert torch.equal(source[mask < 0.5], x0[mask < 0.5])
            else:
                assert text.startswith(("Generate the", "Complete", "Fill"))
                assert not bool((source == 7).any())
    assert seen == {"text", "repaint", "lego", "pair", "complete", "continue"}


def test_what_is_continued_is_kept_from_the_start_to_about_the_middle(examples):
    for seed in range(40):
        batch = draw_batch(examples, torch.zeros(CHANNELS), np.random.default_rng(seed), 1024)
        for row, task in zip(batch.context, batch.tasks, strict=True):
            mask = row[:, CHANNELS]
            if task == "continue":
                kept = int((mask < 0.5).sum())
                assert bool((mask[:kept] < 0.5).all())
                assert 0.28 * len(mask) < kept < 0.72 * len(mask)


def test_a_pair_has_one_very_stem_as_context_of_another(examples):
    stems = {
        latents.tobytes(): (number, role)
        for number, example in enumerate(examples)
        for role, latents in example.stems.items()
        for latents in [latents[:64].astype(np.float32)]
    }
    found = 0
    for seed in range(60):
        batch = draw_batch(examples, torch.zeros(CHANNELS), np.random.default_rng(seed), 1024)
        for row, x0, task, part in zip(batch.context, batch.x0, batch.tasks, batch.parts, strict=True):
            made = stems.get(x0[:64].numpy().tobytes())
            if task == "pair" and made is not None:  # else it starts at a later bar
                given = stems[row[:64, :CHANNELS].contiguous().numpy().tobytes()]
                assert made == (given[0], part)
                assert given[1] != part
                found += 1
    assert found > 10


def test_loops_shorter_than_the_longest_stretch_make_batches_of_their_length(examples):
    loop, views = examples[0].loop, examples[0].views
    short = Example(loop, (View(views[0].roles, views[0].target[:256], (), None, views[0].reference),))
    lengths = {
        draw_batch([short], torch.zeros(CHANNELS), np.random.default_rng(seed), 512).x0.shape[1]
        for seed in range(60)
    }
    assert lengths == {64, 128, 200, 256}


def test_seed_and_step_alone_decide_a_batch(examples):
    silence = torch.zeros(CHANNELS)
    first, second = (draw_batch(examples, silence, np.random.default_rng(4), 512) for _ in range(2))
    assert torch.equal(first.x0, second.x0)
    assert first.texts == second.texts


def test_padding_changes_nothing(tokenizer):
    torch.manual_seed(0)
    modules = NanoModules(TINY, len(tokenizer), names=("l",)).eval()
    encoder, transformer = modules.condition_encoders["l"], modules.transformers["l"]
    x, t = torch.randn(1, 32, CHANNELS), torch.tensor([0.7])
    context = torch.randn(1, 32, 2 * CHANNELS + GUIDE)
    with torch.inference_mode():
        alone = conditions(modules.text_encoder, encoder, tokenizer, ["a beat"], [None])
        padded = conditions(
            modules.text_encoder,
            encoder,
            tokenizer,
            ["a beat", "a much longer prompt than that"],
            [None, None],
        )
        padded.states, padded.mask = padded.states[:1], padded.mask[:1]
        first = velocity_of(transformer, x, t, alone, context)
        second = velocity_of(transformer, x, t, padded, context)
    assert_close(first, second, rounding(FORWARD))


def test_the_velocity_equals_the_stock_transformers(tokenizer):
    torch.manual_seed(0)
    modules = NanoModules(TINY, len(tokenizer), names=("l",)).eval()
    encoder, transformer = modules.condition_encoders["l"], modules.transformers["l"]
    x, t = torch.randn(2, 30, CHANNELS), torch.tensor([0.7, 0.7])
    context = torch.randn(2, 30, 2 * CHANNELS + GUIDE)
    with torch.inference_mode():
        given = conditions(modules.text_encoder, encoder, tokenizer, ["a beat", "a beat"], [None, None])
        stock = transformer(x, t, t, given.states, context, return_dict=False)[0]
        assert_close(velocity_of(transformer, x, t, given, context), stock, rounding(FORWARD))


@pytest.mark.parametrize("shared", [0, 3])
def test_a_resumed_run_is_the_same_run(examples, tokenizer, shared):
    straight = training(examples, tokenizer, shared_steps=shared)
    for _ in range(5):
        straight.train_step()
    first = training(examples, tokenizer, shared_steps=shared)
    for _ in range(2):
        first.train_step()
    state = first.state()
    second = training(examples, tokenizer, shared_steps=shared)
    second.restore(state)
    for _ in range(3):
        second.train_step()
    assert second.step == straight.step == 5
    for name, value in straight.state()["averaged"].items():
        assert torch.equal(value, second.state()["averaged"][name]), name


def test_the_first_velocity_is_the_noise_itself(examples, tokenizer):
    modules = training(examples, tokenizer).modules
    x, context = torch.randn(1, 64, CHANNELS), torch.zeros(1, 64, 2 * CHANNELS + GUIDE)
    given = conditions(modules.text_encoder, modules.condition_encoders["l"], tokenizer, ["x"], [None])
    with torch.no_grad():
        made = velocity_of(modules.transformers["l"], x, torch.tensor([0.9]), given, context)
    heard = torch.corrcoef(torch.stack([made.flatten(), x.flatten()]))[0, 1]
    assert float(heard) > 0.3  # a third of the values fit into the tiny width


def test_split_stages_start_as_parts_of_the_shared_one(tokenizer):
    torch.manual_seed(0)
    shared = NanoModules(TINY, len(tokenizer), names=("l",))
    parts = split_stages(shared, TINY)
    assert set(parts.transformers) == {"l", "m", "s"}
    own, source = parts.transformers["s"].state_dict(), shared.transformers["l"].state_dict()
    assert torch.equal(own["proj_in_conv.weight"], source["proj_in_conv.weight"])
    assert torch.equal(own["layers.0.self_attn.to_q.weight"], source["layers.0.self_attn.to_q.weight"])


def test_the_codecs_training_goes_down_and_resumes(tmp_path):
    random = np.random.default_rng(0)
    base = random.standard_normal((30, len(SpectralCodec(channels=8, width=16, blocks=1).mean)))
    np.save(tmp_path / "train-0000.npy", (random.standard_normal((3000, 30)) @ base).astype(np.float16))
    recipe = CodecRecipe(steps=30, batch=2, frames=32, warmup=2)

    def begin() -> CodecTraining:
        torch.manual_seed(0)
        return CodecTraining(
            recipe, tmp_path, fit_components(SpectralCodec(channels=8, width=16, blocks=1), tmp_path)
        )

    straight = begin()
    losses = [straight.train_step() for _ in range(6)]
    assert np.isfinite(losses).all()
    first, second = begin(), begin()
    for _ in range(2):
        first.train_step()
    second.restore(first.state())
    for _ in range(4):
        second.train_step()
    for name, value in straight.codec.state_dict().items():
        assert torch.equal(value, second.codec.state_dict()[name]), name


def test_the_text_encoder_learns_keys_from_prompts(tokenizer):
    torch.manual_seed(0)
    encoder = NanoModules(TINY, len(tokenizer), names=("l",)).text_encoder
    loops = [label(seed) for seed in range(20)]
    before = train_text(encoder, tokenizer, loops, TextRecipe(steps=1, batch=16))
    after = train_text(encoder, tokenizer, loops, TextRecipe(steps=80, batch=16, rate=4e-3))
    assert after["signature"] > before["signature"] or after["signature"] > 0.8


def test_a_reference_is_cut_in_thirds():
    latents = torch.arange(900.0)[:, None].expand(-1, 2)
    cut = reference_of(latents, 300)[:, 0]
    assert (cut[0], cut[100], cut[200], cut[299]) == (0, 300, 800, 899)
    assert reference_of(torch.zeros(7, 2), 300).shape == (300, 2)


def test_training_ends_in_a_checkpoint_that_loads(examples, tokenizer, tmp_path):
    write_untrained(tmp_path / "start", TINY)
    _, _, codec, _ = load_checkpoint(tmp_path / "start")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    codec.save(tmp_path / "codec")
    made = training(examples, tokenizer)
    made.train_step()
    made.modules.text_encoder.save_pretrained(tmp_path / "text_encoder")
    torch.save(made.state(), tmp_path / "lms.pt")
    assert publish(tmp_path, tmp_path / "checkpoint", TINY) == {"l": 1, "m": 1, "s": 1}
    modules, again, _, description = load_checkpoint(tmp_path / "checkpoint")
    assert set(modules.transformers) == {"l", "m", "s"}
    assert len(again) == len(tokenizer)
    assert description["guide"] == {"beat": 8, "key": 24}


def test_silence_is_not_stored_but_comes_from_the_codec(tmp_path):
    from safetensors import safe_open

    from acestep.model.cascade import Cascade
    from acestep.model.codec.base import silence_of

    write_untrained(tmp_path, TINY)
    (file,) = (tmp_path / "stages" / "m" / "condition_encoder").glob("*.safetensors")
    with safe_open(file, "pt") as stored:
        assert "silence_latent" not in stored.keys()  # noqa: SIM118 (not a dict)
    cascade = Cascade.load(tmp_path, device="cpu")
    expected = silence_of(cascade.codec).expand(1, 5, -1)
    for stage in cascade.stages.values():
        assert_close(stage.silence(5), expected, rounding(FORWARD))
