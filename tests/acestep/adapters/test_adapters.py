"""Adapters in every published spelling, against PEFT; mixing, unloading, and what does not belong."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch

from acestep import Cascade, GenerateRequest, errors
from tests.support.cascades import cascade_folder
from tests.support.closeness import FORWARD, assert_close, assert_differs, rounding
from tests.support.tiny_checkpoints import save_pipeline
from tests.support.upstream_adapters import TARGETS, peft_velocity, upstream_name

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

RANK, ALPHA = 4, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("made")
    save_pipeline(made / "pipeline", turbo=True, seed=3, layers=2)
    return cascade_folder(
        made / "split", made / "pipeline", [("l", [0, 4]), ("m", [4, 8])], steps=8, turbo=True
    )


@pytest.fixture(scope="module")
def cascade(folder):
    return Cascade.load(folder)


@pytest.fixture(autouse=True)
def nothing_stays_loaded(cascade):
    yield
    for name in list(cascade.adapters.loaded):
        cascade.unload_adapter(name)


def request(**values) -> GenerateRequest:
    return GenerateRequest(**{"prompt": "dusty breakbeat", "bars": 1, "bpm": 240, "seed": 7} | values)


def peft_model(cascade: Cascade, *, dora: bool = False, targets=TARGETS):
    """A copy of a stage's DiT with a random PEFT adapter, and its tensors by module path."""
    import copy

    from peft import LoraConfig, inject_adapter_in_model

    torch.manual_seed(5)
    model = copy.deepcopy(cascade.stages["l"].transformer)
    config = LoraConfig(
        r=RANK, lora_alpha=ALPHA, target_modules=targets, use_dora=dora, init_lora_weights=False
    )
    inject_adapter_in_model(config, model)
    modules = {}
    for path, layer in model.named_modules():
        if hasattr(layer, "lora_A") and "default" in layer.lora_A:
            with torch.no_grad():
                layer.lora_A["default"].weight.normal_(0, 0.2)
                layer.lora_B["default"].weight.normal_(0, 0.2)
            modules[path] = {"A": layer.lora_A["default"].weight, "B": layer.lora_B["default"].weight}
            if dora:
                layer.lora_magnitude_vector["default"].weight.data.mul_(1.3)
                modules[path]["magnitude"] = layer.lora_magnitude_vector["default"].weight
    return model.eval(), {
        path: {k: v.detach().clone() for k, v in parts.items()} for path, parts in modules.items()
    }


def write_adapter(folder, spelling: str, modules: dict, alpha: float = ALPHA):
    """The adapter as a certain program writes it; gives the path to load."""
    tensors, metadata = {}, {}
    for path, parts in modules.items():
        upstream = f"base_model.model.{upstream_name(path)}"
        a, b, magnitude = parts["A"].contiguous(), parts["B"].contiguous(), parts.get("magnitude")
        if spelling == "peft":
            tensors |= {f"{upstream}.lora_A.weight": a, f"{upstream}.lora_B.weight": b}
            if magnitude is not None:
                tensors[f"{upstream}.lora_magnitude_vector"] = magnitude
        elif spelling == "comfyui":
            tensors |= {f"{upstream}.lora_A.weight": a, f"{upstream}.lora_B.weight": b}
            tensors[f"{upstream}.alpha"] = torch.tensor(float(alpha))
            if magnitude is not None:
                tensors[f"{upstream}.dora_scale"] = magnitude[:, None]
        elif spelling == "kohya":
            flat = "lora_unet_" + upstream_name(path).replace(".", "_")
            tensors |= {f"{flat}.lora_down.weight": a, f"{flat}.lora_up.weight": b}
            tensors[f"{flat}.alpha"] = torch.tensor(float(alpha))
            if magnitude is not None:
                tensors[f"{flat}.dora_scale"] = magnitude[:, None]
        else:
            tensors |= {f"transformer.{path}.lora_A.weight": a, f"transformer.{path}.lora_B.weight": b}
            if magnitude is not None:
                tensors[f"transformer.{path}.lora_magnitude_vector"] = magnitude
            settings = {"transformer.r": RANK, "transformer.lora_alpha": alpha}
            metadata = {"lora_adapter_metadata": json.dumps(settings)}
    folder.mkdir(parents=True, exist_ok=True)
    if spelling == "peft":
        safetensors.torch.save_file(tensors, folder / "adapter_model.safetensors")
        config = {"peft_type": "LORA", "r": RANK, "lora_alpha": alpha}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        return folder
    path = folder / f"{spelling}.safetensors"
    safetensors.torch.save_file(tensors, path, metadata)
    return path


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("spelling", ["peft", "comfyui", "kohya", "diffusers"])
def test_every_spelling_acts_as_in_peft(cascade, tmp_path, spelling, dora):
    model, modules = peft_model(cascade, dora=dora)
    plain = peft_velocity(cascade, cascade.stages["l"].transformer)
    name = cascade.load_adapter(write_adapter(tmp_path / "mine", spelling, modules))
    with cascade.adapters.applied([(name, 1.0)]):
        ours = peft_velocity(cascade, cascade.stages["l"].transformer)
    theirs = peft_velocity(cascade, model)
    assert_differs(theirs, plain)
    assert_close(ours, theirs, rounding(FORWARD))


def test_an_adapter_on_the_feed_forward_alone_acts(cascade, tmp_path):
    model, modules = peft_model(cascade, targets=["gate_proj", "up_proj", "down_proj"])
    name = cascade.load_adapter(write_adapter(tmp_path / "mine", "peft", modules))
    with cascade.adapters.applied([(name, 1.0)]):
        ours = peft_velocity(cascade, cascade.stages["l"].transformer)
    assert_close(ours, peft_velocity(cascade, model), rounding(FORWARD))


def test_alpha_and_scale_multiply_the_update(cascade, tmp_path):
    _, modules = peft_model(cascade)
    half = cascade.load_adapter(write_adapter(tmp_path / "half", "peft", modules, alpha=ALPHA / 2))
    full = cascade.load_adapter(write_adapter(tmp_path / "full", "peft", modules))
    at_half = cascade.latents(request(adapters=[(full, 0.5)]))
    assert_close(at_half, cascade.latents(request(adapters=[(half, 1.0)])))
    assert_differs(at_half, cascade.latents(request(adapters=[(full, 1.0)])))


def test_two_adapters_add_up(cascade, tmp_path):
    _, modules = peft_model(cascade)
    first = cascade.load_adapter(write_adapter(tmp_path / "first", "peft", modules))
    second = cascade.load_adapter(write_adapter(tmp_path / "second", "comfyui", modules))
    both = cascade.latents(request(adapters=[(first, 0.25), (second, 0.5)]))
    assert_close(both, cascade.latents(request(adapters=[(first, 0.75)])))


def test_without_the_adapter_the_output_is_bit_identical(cascade, tmp_path):
    before = cascade.latents(request())
    weights = {name: w.clone() for name, w in cascade.stages["l"].transformer.state_dict().items()}
    _, modules = peft_model(cascade)
    name = cascade.load_adapter(write_adapter(tmp_path / "mine", "peft", modules))
    assert torch.equal(cascade.latents(request()), before)
    assert torch.equal(cascade.latents(request(adapters=[(name, 0.0)])), before)
    assert_differs(cascade.latents(request(adapters=[name])), before)
    assert torch.equal(cascade.latents(request()), before)
    cascade.unload_adapter(name)
    assert torch.equal(cascade.latents(request()), before)
    after = cascade.stages["l"].transformer.state_dict()
    assert list(after) == list(weights)
    assert all(torch.equal(after[key], weights[key]) for key in weights)


def test_an_adapter_acts_on_its_own_stages_only(cascade, tmp_path):
    _, modules = peft_model(cascade)
    write_adapter(tmp_path / "mine" / "m", "peft", modules)
    description = {"format": 1, "name": "mine", "stages": {"m": "m"}, "trigger": "dusty"}
    (tmp_path / "mine" / "adapter.json").write_text(json.dumps(description))
    name = cascade.load_adapter(tmp_path / "mine")
    assert cascade.adapters.loaded == {"mine": ("m",)}
    assert cascade.adapters.triggers["mine"] == "dusty"
    with pytest.raises(errors.Unsupported, match=r"acts on stage m, which does not run here \(only l\)"):
        cascade.latents(request(adapters=[name], stages=("l",)))
    assert_differs(cascade.latents(request(adapters=[name])), cascade.latents(request()))


def test_a_request_loads_an_adapter_from_home_by_name(cascade, tmp_path, monkeypatch):
    monkeypatch.setenv("ACESTEP_HOME", str(tmp_path))
    _, modules = peft_model(cascade)
    write_adapter(tmp_path / "adapters" / "mine", "peft", modules)
    assert_differs(cascade.latents(request(adapters=["mine"])), cascade.latents(request()))
    assert cascade.adapters.loaded == {"mine": ("l", "m")}
    with pytest.raises(errors.NotFound, match="no adapter 'yours': here are mine"):
        cascade.generate(request(adapters=["yours"]))
    with pytest.raises(errors.NotFound, match="loaded are mine"):
        cascade.unload_adapter("yours")


def test_an_adapter_of_a_larger_model_is_refused_with_its_shapes(cascade, tmp_path):
    _, modules = peft_model(cascade)
    modules["layers.0.self_attn.to_q"]["A"] = torch.zeros(RANK, 48)
    with pytest.raises(
        errors.AdapterError, match=r"layers\.0\.self_attn\.to_q is 32→32, the adapter's is 48→32"
    ):
        cascade.load_adapter(write_adapter(tmp_path / "mine", "peft", modules))
    assert cascade.adapters.loaded == {}


def test_layers_that_the_model_has_not_are_left_out_and_told(cascade, tmp_path, caplog):
    _, modules = peft_model(cascade)
    first = modules["layers.0.self_attn.to_q"]
    modules["layers.31.self_attn.to_q"] = {part: tensor.clone() for part, tensor in first.items()}
    name = cascade.load_adapter(write_adapter(tmp_path / "mine", "diffusers", modules))
    take = cascade.generate(request(adapters=[name]))[0]
    for told in (caplog.text, take.notes[-1]):
        assert "2 of its tensors have no place here" in told
        assert "transformer.layers.31.self_attn.to_q.lora_A.weight" in told
    assert not cascade.generate(request())[0].notes


def test_an_adapter_for_any_stage_goes_where_the_least_of_it_is_left_out(cascade, tmp_path):
    _, modules = peft_model(cascade, targets=[*TARGETS, "up_proj"])
    path = write_adapter(tmp_path / "mine", "peft", modules)
    assert cascade.adapters.loaded[cascade.load_adapter(path)] == ("l", "m")
    cascade.unload_adapter("mine")
    block = cascade.stages["m"].transformer.layers[1].mlp
    removed = block._modules.pop("up_proj")  # as in a stage with fewer layers
    try:
        assert cascade.adapters.loaded[cascade.load_adapter(path)] == ("l",)
    finally:
        block._modules["up_proj"] = removed


@pytest.mark.parametrize("key", ["oft_diag", "vera_lambda_b"])
def test_other_kinds_of_adapters_are_refused_by_name(cascade, tmp_path, key):
    path = tmp_path / "mine.safetensors"
    safetensors.torch.save_file({f"lycoris_layers_0_self_attn_q_proj.{key}": torch.zeros(2, 2)}, path)
    with pytest.raises(errors.AdapterError, match=r"another kind, (OFT|VeRA)"):
        cascade.load_adapter(path)


def test_half_an_adapter_is_refused(cascade, tmp_path):
    path = tmp_path / "mine.safetensors"
    safetensors.torch.save_file(
        {"transformer.layers.0.self_attn.to_q.lora_A.weight": torch.zeros(4, 32)}, path
    )
    with pytest.raises(errors.AdapterError, match="no up matrix"):
        cascade.load_adapter(path)


def test_pickles_and_broken_files_are_refused(cascade, tmp_path):
    (tmp_path / "pickled").mkdir()
    torch.save({}, tmp_path / "pickled" / "adapter_model.bin")
    with pytest.raises(errors.AdapterError, match="may contain code"):
        cascade.load_adapter(tmp_path / "pickled")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(errors.AdapterError, match="not a whole safetensors file"):
        cascade.load_adapter(tmp_path / "cut.safetensors")


def test_an_adapter_folder_cannot_point_elsewhere(cascade, tmp_path):
    _, modules = peft_model(cascade)
    write_adapter(tmp_path / "elsewhere", "peft", modules)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "adapter.json").write_text(json.dumps({"stages": {"l": "../elsewhere"}}))
    with pytest.raises(errors.AdapterError, match="outside its folder"):
        cascade.load_adapter(tmp_path / "mine")
