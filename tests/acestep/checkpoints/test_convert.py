"""Converting ACE-Step's original layout, on tiny random checkpoints in exactly that layout."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from acestep import Cascade, GenerateRequest, errors
from acestep.checkpoints import weights
from acestep.checkpoints.compose import compose, parse_stage
from acestep.checkpoints.convert import convert
from acestep.checkpoints.original import modules_on_meta, part_configs
from tests.support.closeness import assert_close, assert_differs
from tests.support.original_layout import original_key, write_original
from tests.support.stock import base_options, stock_latents, turbo_options, within

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.mark.parametrize(("turbo", "xl", "shards"), [(True, False, 1), (False, False, 1), (True, True, 3)])
def test_a_converted_checkpoint_equals_the_stock_pipeline(tmp_path, turbo, xl, shards):
    source, pipeline = write_original(tmp_path, turbo=turbo, xl=xl, shards=shards)
    cascade = Cascade.load(convert(source, tmp_path / "out", dtype="F32"))
    request = GenerateRequest(prompt="strings", lyrics="la", bars=1, bpm=200, seed=2, steps=4)
    options = {**turbo_options(), "num_inference_steps": 4} if turbo else base_options(4)
    if xl:  # the stock pipeline leaves XL's timbre token out; ACE-Step's own XL code puts it in front
        encoder = pipeline.condition_encoder.timbre_encoder
        token = encoder.special_token
        encoder.embed_tokens.register_forward_hook(
            lambda _m, _i, out: torch.cat([token.expand(out.shape[0], -1, -1), out], dim=1)
        )
    theirs = stock_latents(pipeline, cascade, request, **options)
    assert_close(cascade.latents(request), theirs, within(options))
    assert cascade.supports("lego") is not turbo
    assert cascade.stages["m"].timbre_token is xl


def test_weights_are_cast_while_they_are_written(tmp_path):
    source, pipeline = write_original(tmp_path, turbo=True, shards=2)
    seen = []
    out = convert(source, tmp_path / "out", on_progress=lambda part, fraction: seen.append(fraction))
    entries = weights.read_headers(out / "stages/m/transformer")
    assert {entry.dtype for entry in entries.values()} == {"BF16"}
    name = "layers.1.cross_attn.to_out.0.weight"
    assert torch.equal(entries[name].read(), pipeline.transformer.state_dict()[name].bfloat16())
    assert seen == sorted(seen)
    assert seen[-1] == 1


@pytest.mark.parametrize("harm", ["shard", "cut", "key", "silence", "vae", "config", "code", "shape"])
def test_a_checkpoint_that_is_not_whole_is_refused_and_leaves_nothing(tmp_path, harm):
    source, _ = write_original(tmp_path, turbo=True, shards=2)
    shard = source / "model-00001-of-00002.safetensors"
    if harm == "shard":
        shard.unlink()
    elif harm == "cut":
        shard.write_bytes(shard.read_bytes()[:-100])
    elif harm in ("key", "shape"):
        tensors = safetensors.torch.load_file(shard)
        name = next(name for name in tensors if name.endswith("mlp.up_proj.weight"))
        value = tensors.pop(name)
        tensors["decoder.another" if harm == "key" else name] = value if harm == "key" else value[:-1].clone()
        safetensors.torch.save_file(tensors, shard)
    elif harm == "silence":
        (source / "silence_latent.pt").unlink()
    elif harm == "code":
        (source / "silence_latent.pt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    elif harm == "vae":
        (tmp_path / "vae" / "config.json").unlink()
    else:
        (source / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8}))
    message = {
        "shard": "shards",
        "cut": "cut off",
        "key": "too many|missing|does not have",
        "silence": "silence_latent",
        "vae": "--shared",
        "config": "another architecture",
        "code": "refused",
        "shape": "another shape",
    }
    with pytest.raises(errors.CheckpointError, match=message[harm]):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*partial"))


def test_nothing_is_overwritten(tmp_path):
    source, _ = write_original(tmp_path, turbo=True)
    (tmp_path / "out").mkdir()
    with pytest.raises(errors.AlreadyExists):
        convert(source, tmp_path / "out")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with two turbo cascades and one base cascade that share codec and text encoder."""
    home, published = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("published")
    for number, (name, turbo) in enumerate({"one": True, "two": True, "base": False}.items()):
        source, _ = write_original(published, turbo=turbo, seed=number, dit=name)
        (home / "cascades").mkdir(exist_ok=True)
        convert(source, home / "cascades" / name, dtype="F32")
    return home


@pytest.fixture(autouse=True)
def at_home(request, monkeypatch):
    if "home" in request.fixturenames:
        monkeypatch.setenv("ACESTEP_HOME", str(request.getfixturevalue("home")))


def test_stages_of_two_cascades_are_composed_by_name(home):
    out, notes = compose([parse_stage("l=one:0-3"), parse_stage("m=two:3-8")], home / "cascades" / "mine")
    cascade = Cascade.load("mine")
    assert list(cascade.stages) == ["l", "m"]
    assert sum(1 for note in notes if "steps, noise level" in note) == 2
    assert not list(out.rglob("*.safetensors"))
    request = GenerateRequest(prompt="strings", bars=1, bpm=200, seed=2)
    alone = Cascade.load("one").latents(request)
    assert_close(cascade.latents(GenerateRequest.from_dict({**request.to_dict(), "stages": ["l"]})), alone)
    assert_differs(cascade.latents(request), alone)


def test_turbo_and_base_are_composed_with_a_word_on_guidance(home):
    chosen = [parse_stage("a=base:0-20"), parse_stage("b=two:4-8")]
    _, notes = compose(chosen, home / "cascades" / "mixed")
    assert any("guidance is added in a only" in note for note in notes)
    assert any("noise is added" in note or "goes on down" in note for note in notes)
    cascade = Cascade.load("mixed")
    assert not cascade.supports("lego")
    assert torch.isfinite(cascade.latents(GenerateRequest(prompt="strings", bars=1, bpm=200, seed=2))).all()


def test_stages_of_different_latent_spaces_are_not_composed(home, tmp_path):
    torch.manual_seed(77)
    source, _ = write_original(tmp_path, turbo=True, seed=77)
    convert(source, home / "cascades" / "foreign", dtype="F32")
    with pytest.raises(errors.CheckpointError, match="different codecs"):
        compose([parse_stage("l=one:0-3"), parse_stage("m=foreign:3-8")], home / "cascades" / "wrong")
    assert not (home / "cascades" / "wrong").exists()


@pytest.mark.parametrize("text", ["l", "l=one:3-2", "l=one:0-99", "l=one/x:0-3", "l=nonesuch"])
def test_a_stage_that_cannot_be_is_refused(home, text):
    with pytest.raises((errors.InvalidRequest, errors.NotFound)):
        parse_stage(text)


XL_WIDTHS = {
    "hidden_size": 2560, "intermediate_size": 9728, "num_attention_heads": 32, "num_key_value_heads": 8,
    "encoder_hidden_size": 2048, "encoder_intermediate_size": 6144, "encoder_num_attention_heads": 16,
    "encoder_num_key_value_heads": 8, "head_dim": 128, "in_channels": 192, "audio_acoustic_hidden_dim": 64,
    "patch_size": 2, "text_hidden_dim": 1024, "timbre_hidden_dim": 64, "fsq_dim": 2048, "sliding_window": 128,
    "rope_theta": 1_000_000, "rms_norm_eps": 1e-6, "is_turbo": True, "model_version": "turbo",
}  # fmt: skip
XL_DEPTHS = {
    "num_hidden_layers": 3, "num_lyric_encoder_hidden_layers": 2, "num_timbre_encoder_hidden_layers": 1,
}  # fmt: skip


def write_sparse_xl(folder: Path, shard_bytes: int) -> int:
    """XL's layout at full width with few layers, float32 zeros in sparse shards; gives their bytes."""
    config = {**XL_WIDTHS, **XL_DEPTHS}
    config["layer_types"] = ["sliding_attention", "full_attention"] * 2
    config["layer_types"] = config["layer_types"][: config["num_hidden_layers"]]
    shapes = {
        original_key(part, name): tuple(tensor.shape)
        for part, module in modules_on_meta(part_configs(config)).items()
        for name, tensor in module.state_dict().items()
        if name != "silence_latent"
    }
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    torch.save(torch.zeros(1, 64, 15_000), folder / "silence_latent.pt")
    shards: list[dict] = [{}]
    for name, shape in sorted(shapes.items()):
        begin = max((entry["data_offsets"][1] for entry in shards[-1].values()), default=0)
        if begin > shard_bytes:
            shards.append({})
            begin = 0
        end = begin + 4 * math.prod(shape)
        shards[-1][name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    where = {}
    for number, header in enumerate(shards, 1):
        file = folder / f"model-{number:05}-of-{len(shards):05}.safetensors"
        text = json.dumps(header).encode()
        with file.open("wb") as opened:
            opened.write(len(text).to_bytes(8, "little") + text)
            opened.truncate(8 + len(text) + max(entry["data_offsets"][1] for entry in header.values()))
        where |= dict.fromkeys(header, file.name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return 4 * sum(math.prod(shape) for shape in shapes.values())


@pytest.mark.heavy
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peak memory is read from Linux's /proc")
def test_converting_gigabytes_keeps_only_a_tensor_in_memory(tmp_path):
    """The tensors are as large as XL's own, so XL's 18.8 GB, which has more of them, takes no more."""
    write_original(tmp_path, turbo=True)  # for its codec and text encoder
    total = write_sparse_xl(tmp_path / "xl", shard_bytes=1_000_000_000)
    code = (
        "import sys; from acestep.checkpoints.convert import main\n"
        "code = main(sys.argv[1:])\n"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
        "sys.exit(code)"
    )
    words = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "xl"), "--out", str(tmp_path / "out")]
    made = subprocess.run(words, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    peak = int(made.stdout.split("VmHWM:")[1].split()[0]) * 1024
    written = sum(file.stat().st_size for file in (tmp_path / "out").rglob("*.safetensors"))
    print(f"{total / 1e9:.2f} GB converted to {written / 1e9:.2f} GB with {peak / 1e9:.2f} GB at most")
    assert total > 2.5e9
    assert written > 0.49 * total
    assert peak < 1.0e9  # libraries, and one tensor in both formats: less than a shard
