"""LoKr and LoHa against PEFT's own layers: every layout, alpha, scale, mixing, and off without a trace."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from acestep import Cascade, GenerateRequest, errors
from acestep.adapters.files import read_adapter
from tests.support.cascades import cascade_folder
from tests.support.closeness import assert_close
from tests.support.tiny_checkpoints import save_pipeline
from tests.support.upstream_adapters import TARGETS, UPSTREAM, peft_velocity

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

RANK, ALPHA = 2, 6
KINDS = {
    "lokr": {"decompose_factor": 4},
    "lokr, both small": {"decompose_factor": 8, "decompose_both": True, "r": 1, "alpha": 3},
    "lokr, whole": {"decompose_factor": 4, "r": 64, "alpha": 64},
    "loha": {},
}
ROUNDING = 2e-5  # relative: float32 sums in another order, through two layers


@pytest.fixture(scope="module")
def cascade(tmp_path_factory):
    made = tmp_path_factory.mktemp("made")
    save_pipeline(made / "pipeline", turbo=True, seed=3, layers=2)
    stages = [("l", [0, 4]), ("m", [4, 8])]
    return Cascade.load(cascade_folder(made / "split", made / "pipeline", stages, steps=8, turbo=True))


@pytest.fixture(autouse=True)
def nothing_stays_loaded(cascade):
    yield
    for name in list(cascade.adapters.loaded):
        cascade.unload_adapter(name)


def peft_model(cascade: Cascade, kind: str, seed: int = 5, **changes):
    """A copy of a stage's DiT with a random PEFT adapter of that kind, and its tensors by module path."""
    from peft import LoHaConfig, LoKrConfig, inject_adapter_in_model

    torch.manual_seed(seed)
    model = copy.deepcopy(cascade.stages["l"].transformer)
    settings = {"r": RANK, "alpha": ALPHA, "target_modules": TARGETS, **KINDS[kind], **changes}
    made = LoKrConfig if kind.startswith("lokr") else LoHaConfig
    inject_adapter_in_model(made(**settings, init_weights=False), model)
    marks = ("lokr_", "hada_")
    modules: dict[str, dict[str, torch.Tensor]] = {}
    for name, parameter in model.named_parameters():
        path, _, part = name.removesuffix(".default").rpartition(".")
        if part.startswith(marks):
            torch.nn.init.normal_(parameter, std=0.3)
            modules.setdefault(path, {})[part] = parameter.detach().clone().contiguous()
    return model.eval(), modules, settings


def upstream(path: str) -> str:
    for ours, theirs in UPSTREAM.items():
        path = path.removesuffix(ours) + theirs if path.endswith(ours) else path
    return path


def write(folder: Path, layout: str, modules, settings) -> Path:
    """The adapter as a certain program writes it; gives the path to load."""
    folder.mkdir(parents=True, exist_ok=True)
    stems = {
        "peft": lambda path: f"base_model.model.{upstream(path)}",
        "lycoris": lambda path: "lycoris_" + upstream(path).replace(".", "_"),
        "upstream folder": lambda path: "lycoris_" + upstream(path).replace(".", "_"),
        "kohya": lambda path: "lora_unet_" + upstream(path).replace(".", "_"),
        "comfyui": lambda path: f"diffusion_model.decoder.{upstream(path)}",
        "diffusers": lambda path: f"transformer.{path}",
    }
    tensors = {}
    for path, parts in modules.items():
        stem = stems[layout](path)
        tensors |= {f"{stem}.{part}": value.clone() for part, value in parts.items()}
        if layout != "peft":
            tensors[f"{stem}.alpha"] = torch.tensor(float(settings["alpha"]))
    if layout == "peft":
        kind = "LOKR" if any("lokr" in key for key in tensors) else "LOHA"
        config = {"peft_type": kind, "r": settings["r"], "alpha": settings["alpha"]}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        safetensors.torch.save_file(tensors, folder / "adapter_model.safetensors")
        return folder
    if layout == "upstream folder":
        safetensors.torch.save_file(tensors, folder / "lokr_weights.safetensors", {"algo": "lokr"})
        return folder
    path = folder / f"{layout}.safetensors"
    safetensors.torch.save_file(tensors, path)
    return path


def velocity(cascade: Cascade, *wanted) -> torch.Tensor:
    with cascade.adapters.applied(wanted):
        return peft_velocity(cascade, cascade.stages["l"].transformer)


def assert_same_change(found, expected, plain) -> None:
    """Equal to rounding, beside what the adapter changes; and it changes something."""
    change = (expected - plain).norm()
    assert change > 1e-2 * plain.norm()
    assert (found - expected).norm() < ROUNDING * (change + plain.norm())


@pytest.mark.parametrize("layout", ["peft", "lycoris", "upstream folder", "kohya", "comfyui", "diffusers"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_layout_of_every_kind_acts_as_in_peft(cascade, tmp_path, kind, layout):
    model, modules, settings = peft_model(cascade, kind)
    name = cascade.load_adapter(write(tmp_path / "mine", layout, modules, settings))
    plain = velocity(cascade)
    assert_same_change(velocity(cascade, (name, 1.0)), peft_velocity(cascade, model), plain)


@pytest.mark.parametrize("kind", KINDS)
def test_the_update_of_each_layer_is_pefts_own(cascade, tmp_path, kind):
    model, modules, settings = peft_model(cascade, kind)
    file = read_adapter(write(tmp_path / "mine", "peft", modules, settings))
    assert file.stages[None].keys() == modules.keys()
    for path, update in file.stages[None].items():
        expected = model.get_submodule(path).get_delta_weight("default").detach()
        assert_close(update.delta(), expected)
        x = torch.randn(3, 5, expected.shape[1])
        added = update.scaling * update.added(x)
        assert_close(added, x @ expected.T)


def test_whole_lokr_matrices_are_scaled_by_peft_and_taken_as_they_are_by_lycoris(cascade, tmp_path):
    _, modules, settings = peft_model(cascade, "lokr, whole", alpha=16)
    assert all(set(parts) == {"lokr_w1", "lokr_w2"} for parts in modules.values())
    by_peft = read_adapter(write(tmp_path / "peft", "peft", modules, settings)).stages[None]
    by_lycoris = read_adapter(write(tmp_path / "lycoris", "lycoris", modules, settings)).stages[None]
    for path in modules:
        assert_close(by_peft[path].delta() * 4, by_lycoris[path].delta())


def test_patterns_give_a_layer_its_own_alpha_and_rank_as_in_peft(cascade, tmp_path):
    patterns = {
        "alpha_pattern": {"layers.0.self_attn.to_q": 1, r".*cross_attn\.to_v": 12},
        "rank_pattern": {"layers.1.self_attn.to_k": 1},
    }
    for kind in ("lokr", "loha"):
        model, modules, settings = peft_model(cascade, kind, **patterns)
        folder = write(tmp_path / kind, "peft", modules, settings)
        config = json.loads((folder / "adapter_config.json").read_text()) | patterns
        (folder / "adapter_config.json").write_text(json.dumps(config))
        for path, update in read_adapter(folder).stages[None].items():
            expected = model.get_submodule(path).get_delta_weight("default").detach()
            assert_close(update.delta(), expected)


@pytest.mark.parametrize("kind", ["lokr", "loha"])
def test_it_scales_mixes_and_switches_off_like_lora(cascade, tmp_path, kind):
    plain = GenerateRequest(prompt="dusty breakbeat", bars=1, bpm=240, seed=7)
    before = cascade.latents(plain)
    weights = {name: one.clone() for name, one in cascade.stages["l"].transformer.state_dict().items()}
    _, modules, settings = peft_model(cascade, kind)
    weaker = {**settings, "alpha": settings["alpha"] / 2}
    full = cascade.load_adapter(write(tmp_path / "full", "peft", modules, settings))
    half = cascade.load_adapter(write(tmp_path / "half", "peft", modules, weaker))
    expected = velocity(cascade, (full, 1.0))
    none = velocity(cascade)
    assert_same_change(velocity(cascade, (half, 2.0)), expected, none)
    assert_same_change(velocity(cascade, (half, 1.0), (full, 0.5)), expected, none)
    assert torch.equal(velocity(cascade, (full, 0.0)), none)
    cascade.unload_adapter(full)
    cascade.unload_adapter(half)
    after = cascade.stages["l"].transformer.state_dict()
    assert list(after) == list(weights)
    assert all(torch.equal(after[key], weights[key]) for key in weights)
    assert torch.equal(cascade.latents(plain), before)


@pytest.mark.parametrize("per_input", [False, True])
@pytest.mark.parametrize("kind", ["lokr", "loha"])
def test_with_dora_the_weights_rows_or_columns_get_the_learnt_length(cascade, tmp_path, kind, per_input):
    _, modules, settings = peft_model(cascade, kind)
    model = copy.deepcopy(cascade.stages["l"].transformer)
    file = read_adapter(write(tmp_path / "plain", "lycoris", modules, settings))
    for path, update in file.stages[None].items():
        weight = model.get_submodule(path).weight
        changed = weight.detach() + update.delta()
        dim = 0 if per_input else 1
        length = 1.3 * weight.detach().norm(dim=dim, keepdim=True)
        modules[path]["dora_scale"] = length
        weight.data = changed * length / changed.norm(dim=dim, keepdim=True)
    name = cascade.load_adapter(write(tmp_path / "dora", "lycoris", modules, settings))
    assert_same_change(velocity(cascade, (name, 1.0)), peft_velocity(cascade, model), velocity(cascade))


def test_a_core_between_lokrs_factors_is_taken_in(cascade, tmp_path):
    _, modules, settings = peft_model(cascade, "lokr")
    plain = read_adapter(write(tmp_path / "plain", "lycoris", modules, settings)).stages[None]
    for parts in modules.values():
        a, b = parts["lokr_w2_a"], parts["lokr_w2_b"]
        core = torch.eye(RANK) * 2
        parts |= {"lokr_w2_a": (a / 2).T.contiguous(), "lokr_w2_b": b, "lokr_t2": core[:, :, None, None]}
    with_core = read_adapter(write(tmp_path / "core", "lycoris", modules, settings)).stages[None]
    for path, update in plain.items():
        assert_close(with_core[path].delta(), update.delta())


def test_a_file_may_mix_kinds_layer_by_layer(cascade, tmp_path):
    _, lokr, settings = peft_model(cascade, "lokr")
    _, loha, _ = peft_model(cascade, "loha")
    mixed = {path: (lokr if number % 2 else loha)[path] for number, path in enumerate(lokr)}
    file = read_adapter(write(tmp_path / "mixed", "lycoris", mixed, settings))
    assert {update.kind for update in file.stages[None].values()} == {"LoKr", "LoHa"}
    name = cascade.load_adapter(file.path)
    assert not torch.equal(velocity(cascade, (name, 1.0)), velocity(cascade))


@pytest.mark.parametrize("missing", ["lokr_w1", "lokr_w2_a", "lokr_w2_b"])
def test_half_a_lokr_is_refused_by_name(cascade, tmp_path, missing):
    _, modules, settings = peft_model(cascade, "lokr")
    del modules["layers.1.cross_attn.to_k"][missing]
    path = write(tmp_path / "half", "lycoris", modules, settings)
    with pytest.raises(errors.AdapterError, match=r"lycoris_layers_1_cross_attn_k_proj has no .*incomplete"):
        cascade.load_adapter(path)


def test_settings_of_another_kind_than_the_tensors_are_refused(cascade, tmp_path):
    _, modules, settings = peft_model(cascade, "lokr")
    folder = write(tmp_path / "mine", "peft", modules, settings)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LOHA", "r": 2, "alpha": 2}))
    with pytest.raises(errors.AdapterError, match=r"is LoKr, but adapter_config\.json says LoHa"):
        cascade.load_adapter(folder)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "VERA"}))
    with pytest.raises(errors.AdapterError, match="VERA adapter: expected LoRA, LoKr, LoHa"):
        cascade.load_adapter(folder)
