"""What real adapter files are like: names of all trainers, broken numbers, and files that change on disk."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest
import safetensors.torch
import soundfile
import torch

from acestep import Cascade, GenerateRequest, errors
from acestep.adapters.adapter_config import Patterns
from acestep.adapters.files import available, read_adapter
from acestep.clips.production import produce, reproduce
from tests.support.cascades import cascade_folder
from tests.support.tiny_checkpoints import save_pipeline
from tests.support.upstream_adapters import TARGETS, upstream_name

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
LAYERS = [f"layers.{n}.{kind}_attn.{name}" for n in (0, 1) for kind in ("self", "cross") for name in TARGETS]
WIDTH, NARROW, RANK = 32, 16, 4


@pytest.fixture(scope="module")
def cascade(tmp_path_factory):
    made = tmp_path_factory.mktemp("made")
    save_pipeline(made / "pipeline", turbo=True, seed=3, layers=2)
    return Cascade.load(
        cascade_folder(made / "split", made / "pipeline", [("l", [0, 8])], steps=8, turbo=True)
    )


@pytest.fixture(autouse=True)
def home(cascade, tmp_path, monkeypatch):
    monkeypatch.setenv("ACESTEP_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "adapters").mkdir(parents=True)
    yield tmp_path / "home"
    for name in list(cascade.adapters.loaded):
        cascade.unload_adapter(name)


def lora(stem: str, seed: int = 0, width: int = WIDTH) -> dict[str, torch.Tensor]:
    """One layer's LoRA under that name."""
    generator = torch.Generator().manual_seed(seed)
    outputs = NARROW if stem.endswith(("to_k", "to_v", "k_proj", "v_proj")) else WIDTH
    return {
        f"{stem}.lora_A.weight": torch.randn(RANK, width, generator=generator),
        f"{stem}.lora_B.weight": torch.randn(outputs, RANK, generator=generator),
    }


def save(path, *parts, metadata=None):
    tensors = {key: value for part in parts for key, value in part.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(tensors, path, metadata)
    return path


def flat(path: str) -> str:
    return upstream_name(path).replace(".", "_")


PREFIXES = {
    "none": lambda path: path,
    "peft": lambda path: f"base_model.model.{upstream_name(path)}",
    "peft twice": lambda path: f"base_model.model.base_model.model.{upstream_name(path)}",
    "upstream": lambda path: f"decoder.{upstream_name(path)}",
    "comfyui": lambda path: f"model.diffusion_model.decoder.{upstream_name(path)}",
    "kohya": lambda path: f"lora_unet_{flat(path)}",
    "kohya with the part": lambda path: f"lora_unet_decoder_{flat(path)}",
    "lycoris": lambda path: f"lycoris_{flat(path)}",
    "diffusers, joined": lambda path: f"lora_transformer_{path.replace('.', '_')}",
    "compiled": lambda path: f"_orig_mod.{path}",
    "compiled, layer by layer": lambda path: path.replace("layers.0.", "layers.0._orig_mod."),
    "lycoris, compiled": lambda path: f"lycoris__orig_mod_{flat(path)}",
    "several machines": lambda path: f"module.{upstream_name(path)}",
    "sharded": lambda path: f"_fsdp_wrapped_module.{path}".replace(".self", "._fsdp_wrapped_module.self"),
    "never seen before": lambda path: f"student.net.ema.{upstream_name(path)}",
    "never seen before, joined": lambda path: f"my_trainer_v2_{flat(path)}",
}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_layer_is_known_by_its_name_whatever_stands_before_it(cascade, tmp_path, prefix):
    plain = save(tmp_path / "plain.safetensors", *(lora(path, n) for n, path in enumerate(LAYERS)))
    other = save(
        tmp_path / "other.safetensors", *(lora(PREFIXES[prefix](path), n) for n, path in enumerate(LAYERS))
    )
    expected, found = read_adapter(plain).stages[None], read_adapter(other)
    assert found.left_out == ()
    assert found.stages[None].keys() == expected.keys() == set(LAYERS)
    assert all(torch.equal(found.stages[None][path].up, one.up) for path, one in expected.items())
    assert cascade.adapters.loaded[cascade.load_adapter(other)] == ("l",)


def test_layers_outside_the_blocks_are_known_as_well(cascade, tmp_path):
    embedder = cascade.stages["l"].transformer.time_embed.linear_1
    tensors = {
        "lora_unet_time_embed_linear_1.lora_down.weight": torch.randn(RANK, embedder.in_features),
        "lora_unet_time_embed_linear_1.lora_up.weight": torch.randn(embedder.out_features, RANK),
    }
    request = GenerateRequest(prompt="bass", bars=1, bpm=240, seed=3)
    before = cascade.latents(request)
    save(tmp_path / "home" / "adapters" / "times.safetensors", tensors)
    adapted = cascade.latents(GenerateRequest(prompt="bass", bars=1, bpm=240, seed=3, adapters=("times",)))
    assert not torch.equal(adapted, before)
    assert cascade.adapters.notes([("times", 1.0)]) == ()


@pytest.mark.parametrize(
    "stem",
    [
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj",
        "text_encoders.qwen3_06b.transformer.model.layers.0.self_attn.q_proj",
        "encoder.lyric_encoder.layers.0.self_attn.q_proj",
        "detokenizer.layers.0.self_attn.q_proj",
        "layers.90.self_attn.q_proj",
        "layers.0.self_attn.qkv",
        "controlnet_hint",
    ],
)
def test_what_belongs_to_another_model_is_left_out_and_told(cascade, tmp_path, stem):
    path = save(tmp_path / "mine.safetensors", lora(f"decoder.{LAYERS[0]}"), lora(stem, width=16))
    name = cascade.load_adapter(path)
    (told,) = cascade.adapters.notes([(name, 1.0)])
    assert f"{stem}.lora_A.weight" in told
    alone = save(tmp_path / "alone.safetensors", lora(stem, width=16))
    with pytest.raises(errors.AdapterError, match=r"changes no layer of ACE-Step: it holds .*lora_A"):
        cascade.load_adapter(alone)


def test_two_names_of_one_layer_do_not_fight(cascade, tmp_path):
    path = save(
        tmp_path / "mine.safetensors",
        *(lora(f"decoder.{path}", n) for n, path in enumerate(LAYERS)),
        lora(f"teacher.{LAYERS[0]}", 99),
    )
    file = read_adapter(path)
    assert torch.equal(file.stages[None][LAYERS[0]].up, lora("x", 0)["x.lora_B.weight"])
    assert file.left_out == tuple(lora(f"teacher.{LAYERS[0]}"))


def broken(**changes) -> dict[str, torch.Tensor]:
    return lora("layers.0.self_attn.q_proj") | lora("layers.0.self_attn.k_proj") | changes


NAN, INF = float("nan"), float("inf")
UP, DOWN = "layers.0.self_attn.k_proj.lora_B.weight", "layers.0.self_attn.k_proj.lora_A.weight"
ALPHA, SCALE = "layers.0.self_attn.k_proj.alpha", "layers.0.self_attn.k_proj.dora_scale"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({UP: torch.full((WIDTH, RANK), NAN)}, UP),
        ({DOWN: torch.eye(RANK, WIDTH).where(torch.eye(RANK, WIDTH) == 0, torch.tensor(INF))}, DOWN),
        ({DOWN: torch.full((RANK, WIDTH), 1e300, dtype=torch.float64)}, DOWN),
        ({DOWN: torch.full((RANK, WIDTH), 1e20), UP: torch.full((WIDTH, RANK), 1e20)}, "only make noise"),
        ({UP: torch.zeros(WIDTH, RANK, dtype=torch.int8)}, f"{UP} as int8"),
        ({ALPHA: torch.tensor(NAN)}, ALPHA),
        ({ALPHA: torch.tensor(-INF)}, ALPHA),
        ({ALPHA: torch.ones(3)}, f"{ALPHA} with 3 numbers"),
        ({SCALE: torch.full((WIDTH, 1), NAN)}, SCALE),
        ({SCALE: torch.ones(7)}, f"7 lengths in {SCALE}"),
        ({UP: torch.ones(WIDTH, RANK + 1)}, f"{UP} .*{DOWN}"),
        ({UP: torch.ones(WIDTH, 0), DOWN: torch.ones(0, WIDTH)}, UP),
        ({UP: torch.ones(WIDTH, 20_000), DOWN: torch.ones(20_000, WIDTH)}, "rank 20000"),
        ({UP: torch.ones(WIDTH)}, UP),
        ({UP: torch.ones(WIDTH, RANK, 3)}, UP),
    ],
)
def test_broken_numbers_are_refused_naming_the_tensor(cascade, tmp_path, changes, told):
    path = save(tmp_path / "mine.safetensors", broken(), changes)
    with pytest.raises(
        errors.AdapterError, match=rf"mine\.safetensors: layers\.0\.self_attn\.k_proj .*{told}"
    ):
        cascade.load_adapter(path)
    assert cascade.adapters.loaded == {}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"lora_alpha": NAN}, "alpha in .* is nan: expected a number"),
        ({"lora_alpha": "loud"}, "is loud: expected a number"),
        ({"lora_alpha": True}, "expected a number"),
        ({"lora_alpha": 8, "r": -1}, "says rank -1"),
        ({"lora_alpha": 8, "r": 10**9}, "says rank 1e"),
        ({"lora_alpha": 8, "alpha_pattern": ["x"]}, "alpha_pattern in .* is not a table"),
        ({"lora_alpha": 8, "alpha_pattern": {"to_q": INF}}, "alpha_pattern in .*'to_q' is inf"),
        ({"lora_alpha": 8, "rank_pattern": {"to_q": 0}}, "says rank 0"),
        ({"lora_alpha": 8, "alpha_pattern": {"(a+)+$": 4}}, "simple expression"),
        (
            {"lora_alpha": 8, "alpha_pattern": {"(a|a)" * 16 + "x": 4}},
            "simple expression",
        ),
        ({"lora_alpha": 8, "alpha_pattern": {"a?a?a?a?a?aaaaa": 4}}, "simple expression"),
        ({"lora_alpha": 8, "rank_pattern": {r"(.*)\1": 4}}, "simple expression"),
        ({"lora_alpha": 8, "alpha_pattern": {f"x{n}.*": 4 for n in range(1000)}}, "simple expression"),
    ],
)
def test_settings_that_are_none_are_refused_naming_them(cascade, tmp_path, config, told):
    save(tmp_path / "mine" / "adapter_model.safetensors", broken())
    (tmp_path / "mine" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **config}))
    with pytest.raises(errors.AdapterError, match=told):
        cascade.load_adapter(tmp_path / "mine")


def test_an_alpha_in_the_header_must_be_a_number_as_well(tmp_path):
    path = save(tmp_path / "mine.safetensors", broken(), metadata={"lora_alpha": "nan"})
    with pytest.raises(errors.AdapterError, match="lora_alpha in the header"):
        read_adapter(path)
    path = save(tmp_path / "mine.safetensors", broken(), metadata={"lora_adapter_metadata": "[" * 100_000})
    with pytest.raises(errors.AdapterError, match="cannot be read"):
        read_adapter(path)


def test_patterns_find_what_peft_finds():
    from peft.utils.other import get_pattern_key

    given = {
        "to_q": 1, "layers.1.self_attn.to_k": 2, r"layers\.(0|1)\.cross_attn\.to_v": 3,
        "^layers.0.mlp.up_proj": 4, r"layers\.\d\.cross_attn\..*": 5, "k": 6, r".*\.to_out\.0$": 7,
        "[sc]el+f_attn.to_v": 8,
    }  # fmt: skip
    patterns = Patterns(given, "alpha_pattern")
    names = [*LAYERS, "layers.0.mlp.up_proj", "other.layers.0.mlp.up_proj", "layers.1.self_attn.to_kk", "k"]
    for name in names:
        assert patterns.find([name]) == given.get(get_pattern_key(given, name)), name
    slow = "layers." + "0" * 400
    started = time.process_time()
    assert Patterns({r".*\.(a|b)\..*x": 1}, "alpha_pattern").find([slow]) is None
    assert time.process_time() - started < 5


def clips(cascade, folder, **values):
    request = {"prompt": "bass", "bars": 1, "bpm": 240, "seed": 3, "fit": False, "adapters": (("mine", 1.0),)}
    return produce(cascade, GenerateRequest(**request | values), folder)


def sidecar_of(clip) -> dict:
    return json.loads(Path(f"{clip.path}.json").read_text())


def audio(clip):
    return soundfile.read(clip.path)[0]


@pytest.mark.parametrize("how", ["written over", "moved there", "with the old time and size"])
@pytest.mark.parametrize("layout", ["file", "folder"])
def test_a_file_replaced_under_its_name_is_heard_in_the_next_song(cascade, home, tmp_path, layout, how):
    place = home / "adapters" / ("mine.safetensors" if layout == "file" else "mine/adapter_model.safetensors")
    first = save(tmp_path / "first.safetensors", *(lora(path, n) for n, path in enumerate(LAYERS)))
    second = save(tmp_path / "second.safetensors", *(lora(path, n + 50) for n, path in enumerate(LAYERS)))
    place.parent.mkdir(exist_ok=True)
    shutil.copy(first, place)
    before = clips(cascade, tmp_path / "out")[0]
    state = place.stat()
    if how == "written over":
        place.write_bytes(second.read_bytes())
    else:
        shutil.copy(second, place.with_name("next"))
        os.utime(place.with_name("next"), ns=(state.st_atime_ns, state.st_mtime_ns))
        place.with_name("next").replace(place)
    if how == "with the old time and size":
        assert (place.stat().st_size, place.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    after = clips(cascade, tmp_path / "out")[0]
    assert (audio(before) != audio(after)).any()
    shutil.copy(second, home / "adapters" / "fresh.safetensors")
    assert (audio(after) == audio(clips(cascade, tmp_path / "out", adapters=(("fresh", 1.0),))[0])).all()
    hashes = [
        next(iter(sidecar_of(clip)["checkpoint"]["adapters"]["mine"].values())) for clip in (before, after)
    ]
    assert hashes == [sha256(first), sha256(second)]


def sha256(path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_a_file_replaced_while_a_song_is_made_is_not_in_its_sidecar(cascade, home, tmp_path):
    place = save(home / "adapters" / "mine.safetensors", *(lora(path) for path in LAYERS))
    used = sha256(place)

    def replace(_: object) -> None:
        save(place, *(lora(path, 9) for path in LAYERS))

    request = GenerateRequest(prompt="bass", bars=1, bpm=240, seed=3, fit=False, adapters=("mine",))
    (clip,) = produce(cascade, request, tmp_path / "out", on_progress=replace)
    assert sidecar_of(clip)["checkpoint"]["adapters"] == {"mine": {"mine.safetensors": used}}
    assert sha256(place) != used


def test_only_the_adapters_of_a_request_are_in_its_sidecar(cascade, home, tmp_path):
    for name in ("mine", "yours"):
        save(home / "adapters" / f"{name}.safetensors", lora(LAYERS[0]))
    (clip,) = clips(cascade, tmp_path / "out", adapters=(("mine", 1.0), ("yours", 0.0)))
    assert sidecar_of(clip)["checkpoint"]["adapters"].keys() == {"mine"}
    (clip,) = clips(cascade, tmp_path / "out", adapters=())
    assert sidecar_of(clip)["checkpoint"]["adapters"] == {}


def test_a_clip_is_not_made_again_with_another_content_under_the_name(cascade, home, tmp_path):
    place = save(home / "adapters" / "mine.safetensors", *(lora(path) for path in LAYERS))
    kept, used = shutil.copy(place, tmp_path / "kept"), sha256(place)
    (clip,) = clips(cascade, tmp_path / "out")
    save(place, *(lora(path, 9) for path in LAYERS))
    with pytest.raises(errors.AceStepError, match="mine") as caught:
        reproduce(f"{clip.path}.json", cascade, tmp_path / "again")
    assert "mine.safetensors" in str(caught.value)
    assert not list(tmp_path.glob("again/*.wav"))
    shutil.copy(kept, place)
    again = reproduce(f"{clip.path}.json", cascade, tmp_path / "again")
    assert (audio(again) == audio(clip)).all()
    assert sidecar_of(again)["checkpoint"]["adapters"]["mine"]["mine.safetensors"] == used


def test_a_file_that_is_touched_or_half_written_is_handled_as_what_it_holds(cascade, home):
    place = save(home / "adapters" / "mine.safetensors", lora(LAYERS[0]))
    request = GenerateRequest(prompt="bass", bars=1, bpm=240, seed=3, adapters=("mine",))
    before, whole = cascade.latents(request), place.read_bytes()
    layer = cascade.stages["l"].transformer.get_submodule(LAYERS[0])
    place.touch()
    assert torch.equal(cascade.latents(request), before)
    assert cascade.stages["l"].transformer.get_submodule(LAYERS[0]) is layer  # not loaded anew
    place.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(errors.AdapterError, match="not a whole safetensors file"):
        cascade.latents(request)
    place.write_bytes(whole)
    assert torch.equal(cascade.latents(request), before)


def test_an_adapter_that_was_deleted_is_gone_at_the_next_song(cascade, home):
    place = save(home / "adapters" / "mine.safetensors", lora(LAYERS[0]))
    plain = GenerateRequest(prompt="bass", bars=1, bpm=240, seed=3)
    before = cascade.latents(plain)
    with_it = GenerateRequest(prompt="bass", bars=1, bpm=240, seed=3, adapters=("mine",))
    assert not torch.equal(cascade.latents(with_it), before)
    place.unlink()
    with pytest.raises(errors.NotFound, match="no adapter 'mine'"):
        cascade.latents(with_it)
    assert cascade.adapters.loaded == {}
    assert torch.equal(cascade.latents(plain), before)


def test_an_adapter_is_called_as_its_folder_whatever_its_manifest_says(cascade, home):
    for name in ("first", "second"):
        save(home / "adapters" / name / "l" / "adapter_model.safetensors", lora(LAYERS[0], len(name)))
        manifest = {"name": "first", "stages": {"l": "l"}}
        (home / "adapters" / name / "adapter.json").write_text(json.dumps(manifest))
    assert [cascade.load_adapter(name) for name in ("first", "second")] == ["first", "second"]


def test_folders_and_files_of_all_kinds_are_found_by_name(home):
    save(home / "adapters" / "one.safetensors", lora(LAYERS[0]))
    save(home / "adapters" / "lokr" / "lokr_weights.safetensors", lora(LAYERS[0]))
    save(home / "adapters" / "one" / "adapter_model.safetensors", lora(LAYERS[0]))
    save(home / "adapters" / ".half.part" / "adapter_model.safetensors", lora(LAYERS[0]))
    (home / "adapters" / "notes").mkdir()
    (home / "adapters" / "dir.safetensors").mkdir()
    found = available()
    assert list(found) == ["lokr", "one"]
    assert found["one"].is_dir()
