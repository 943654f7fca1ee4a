"""The layout of a nano checkpoint, and the modules in it.

    cascade.json                     see `describe`
    codec/                           config.json (_class_name SpectralCodec), model.safetensors
    tokenizer/                       tokenizer.json, tokenizer_config.json  (AutoTokenizer)
    text_encoder/                    a two-layer Qwen3Model                 (AutoModel)
    stages/{l,m,s}/transformer/      AceStepTransformer1DModel, in_channels 3 C + 32, patch 1
    stages/{l,m,s}/condition_encoder/  AceStepConditionEncoder, 128 wide

What the transformer takes: hidden states x_t [B, T, C]; context latents [B, T, 2 C + 32] = source latents C
(silence where there is none, and inside a region to repaint) | chunk mask C (1 = make, 0 = keep) | guide 32
(`model.guide`). C is the codec's: 192, or 208 with channels for attacks. Latents come normalised from the
codec. Velocity = noise - data, t from 1 (noise) to 0.
The prompt is `prompt_template` filled with the instruction of the task (diffusers' TASK_INSTRUCTIONS, its
TRACK_NAME in capitals), the caption and ACE-Step's metas, all lower-cased by the tokenizer; the lyrics are
ACE-Step's own `# Languages` text. Every condition is trained without padding. The timbre encoder takes
`reference_s` seconds of reference latents: a third each from the front, the middle and the back, as the stock
pipeline does with its 30 s; without a reference, as many frames of the silence latent. Guidance goes against
the condition encoder's `null_condition_emb`, expanded over the tokens, with guide and context kept.
"""

import json
from collections.abc import ItemsView, Iterable, ValuesView
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import nn

from acestep.model.codec.attacks import BANDS, STEPS
from acestep.model.codec.base import silence_of
from acestep.model.codec.spectral import CHANNELS, GROUP, SpectralCodec
from acestep.model.guide import BEAT_CHANNELS, KEY_CHANNELS
from acestep.model.loading import load_text_encoder, load_tokenizer
from acestep.model.modules import ConditionEncoder, TextEncoder, Tokenizer, Transformer
from acestep.nano.data.captions import PROMPT_TEMPLATE, TRACK_SYNONYMS

ATTACKS = 16  # channels of the codec that tell where in a frame hits are
LYRICS = "# Languages\nen\n\n# Lyric\n<|endoftext|>"  # what ACE-Step's format makes of no lyrics
END, PAD, UNKNOWN = "<|endoftext|>", "<pad>", "<unk>"
REFERENCE_S = 3.0  # what the timbre encoder hears, a tenth of ACE-Step's 30 s
STAGES = ("l", "m", "s")


@dataclass(frozen=True)
class NanoConfig:
    """Sizes of a nano cascade; the defaults are what ships."""

    width: int = 336  # a token carries a latent frame of 208 channels: noise must pass through
    feed_forward: int = 512
    layers: tuple[int, int, int] = (4, 3, 2)  # of L, M and S: coarse structure needs depth, polish does not
    heads: int = 5
    head_width: int = 64
    attacks: int = ATTACKS
    condition_width: int = 128
    text_width: int = 128
    text_layers: int = 2
    vocabulary: int = 1500
    codec: dict[str, int] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Of a latent frame."""
        return CHANNELS + self.attacks


TINY = NanoConfig(
    width=64,
    feed_forward=96,
    layers=(2, 2, 1),
    heads=2,
    head_width=32,
    condition_width=32,
    text_width=32,
    text_layers=1,
    vocabulary=400,
    codec={"width": 32, "blocks": 1, "rounds": 2},
)


M = TypeVar("M", bound=nn.Module)


class Named(nn.ModuleDict, Generic[M]):
    """Modules of one kind by name."""

    if TYPE_CHECKING:  # nn.ModuleDict, which does all of it, calls them plain modules

        def __getitem__(self, key: str) -> M: ...
        def items(self) -> ItemsView[str, M]: ...
        def values(self) -> ValuesView[M]: ...


class NanoModules(nn.Module):
    """Text encoder and, per stage, transformer and condition encoder: all that trains after the codec."""

    text_encoder: TextEncoder
    transformers: Named[Transformer]
    condition_encoders: Named[ConditionEncoder]

    def __init__(self, config: NanoConfig, vocabulary: int, names: Iterable[str] = STAGES) -> None:
        super().__init__()
        self.text_encoder = build_text_encoder(config, vocabulary)
        self.transformers = Named()
        self.condition_encoders = Named()
        for name, layers in zip(names, config.layers, strict=False):
            self.transformers[name] = build_transformer(config, layers)
            self.condition_encoders[name] = build_condition_encoder(config)


def build_transformer(config: NanoConfig, layers: int, kinds: list[str] | None = None) -> Transformer:
    """A small AceStepTransformer1DModel that takes the guide; `kinds` are its layers' kinds of attention."""
    from diffusers import AceStepTransformer1DModel

    made: Transformer = AceStepTransformer1DModel(  # type: ignore[assignment]  # see acestep.model.modules
        hidden_size=config.width,
        intermediate_size=config.feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        head_dim=config.head_width,
        in_channels=config.channels * 3 + BEAT_CHANNELS + KEY_CHANNELS,
        audio_acoustic_hidden_dim=config.channels,
        patch_size=1,
        sliding_window=64,
        layer_types=kinds,
        encoder_hidden_size=config.condition_width,
    )
    return made


def build_condition_encoder(config: NanoConfig) -> ConditionEncoder:
    """A small AceStepConditionEncoder: one lyric layer, two timbre layers."""
    from diffusers.pipelines.ace_step import AceStepConditionEncoder

    width = config.condition_width
    made: ConditionEncoder = AceStepConditionEncoder(  # type: ignore[assignment]  # see acestep.model.modules
        hidden_size=width,
        intermediate_size=2 * width,
        text_hidden_dim=config.text_width,
        timbre_hidden_dim=config.channels,
        num_lyric_encoder_hidden_layers=1,
        num_timbre_encoder_hidden_layers=2,
        num_attention_heads=max(width // 32, 1),
        num_key_value_heads=max(width // 32, 1),
        head_dim=32,
        sliding_window=128,
    )
    return made


def build_text_encoder(config: NanoConfig, vocabulary: int) -> TextEncoder:
    """A tiny Qwen3Model, as ACE-Step's text encoder is a Qwen3."""
    from transformers import Qwen3Config, Qwen3Model

    width = config.text_width
    made: TextEncoder = Qwen3Model(  # type: ignore[assignment]  # see acestep.model.modules
        Qwen3Config(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=config.text_layers,
            num_attention_heads=width // 32,
            num_key_value_heads=width // 32,
            head_dim=32,
            max_position_embeddings=4096,
            use_cache=False,
            tie_word_embeddings=False,
        )
    )
    return made


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A lower-casing byte-level BPE: digits stand alone, and any language falls back to bytes."""
    from tokenizers import Tokenizer as Bpe
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Bpe(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END, PAD, UNKNOWN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, unk_token=UNKNOWN, model_max_length=4096
    )


def describe(
    schedule: dict[str, Any], guidance: dict[str, Any], cuts: tuple[int, int], trained_on: str
) -> dict[str, Any]:
    """The content of cascade.json; `cuts` are the step indices where M and S take over."""
    firsts = (0, *cuts)
    lasts = (*cuts, schedule["steps"])
    return {
        "format": 1,
        "name": "nano",
        "stages": [
            {"name": name, "path": f"stages/{name}", "steps": [first, last]}
            for name, first, last in zip(STAGES, firsts, lasts, strict=True)
        ],
        "schedule": schedule,
        "guidance": guidance,
        "sample_rate_hz": SpectralCodec.sample_rate_hz,
        "latent_rate_hz": SpectralCodec.latent_rate_hz,
        "guide": {"beat": BEAT_CHANNELS, "key": KEY_CHANNELS},
        "prompt_template": PROMPT_TEMPLATE,
        "reference_s": REFERENCE_S,
        "max_s": 16.0,  # the longest stretches in training; longer clips are made in windows
        "supports": ["text", "reference", "context", "lego", "complete", "repaint"],
        "tracks": sorted({word for words in TRACK_SYNONYMS.values() for word in words}),
        "range": {"bpm": [60, 180], "bars": [1, 8], "signatures": ["3/4", "4/4", "6/8"]},
        "trained_on": trained_on,
        "license": "MIT",
    }


def save_checkpoint(
    folder: Path,
    modules: NanoModules,
    tokenizer: Tokenizer,
    codec: SpectralCodec,
    description: dict[str, Any],
) -> None:
    """Write everything in half precision, cascade.json last."""
    folder.mkdir(parents=True, exist_ok=True)
    codec.save(folder / "codec")
    tokenizer.save_pretrained(folder / "tokenizer")
    _half(modules.text_encoder).save_pretrained(folder / "text_encoder")
    for name in modules.transformers:
        _half(modules.transformers[name]).save_pretrained(folder / "stages" / name / "transformer")
        encoder = _half(modules.condition_encoders[name])
        # 15,000 equal frames, which whoever loads it has from the codec
        encoder.register_buffer("silence_latent", encoder.silence_latent, persistent=False)
        encoder.save_pretrained(folder / "stages" / name / "condition_encoder")
    text = json.dumps(description, indent=2, ensure_ascii=False)
    (folder / "cascade.json").write_text(text + "\n", encoding="utf-8")


def load_checkpoint(folder: Path) -> tuple[NanoModules, Tokenizer, SpectralCodec, dict[str, Any]]:
    """(modules, tokenizer, codec, description) in float32, as the recipe's own sampling uses them."""
    from diffusers import AceStepTransformer1DModel
    from diffusers.pipelines.ace_step import AceStepConditionEncoder

    description = json.loads((folder / "cascade.json").read_text(encoding="utf-8"))
    modules = NanoModules.__new__(NanoModules)
    nn.Module.__init__(modules)
    modules.text_encoder = load_text_encoder(folder / "text_encoder", torch.float32)
    codec = SpectralCodec.load(folder / "codec")
    modules.transformers = Named()
    modules.condition_encoders = Named()
    for stage in description["stages"]:
        path = folder / stage["path"]
        options = {"torch_dtype": torch.float32, "use_safetensors": True}
        modules.transformers[stage["name"]] = AceStepTransformer1DModel.from_pretrained(
            path / "transformer", **options
        )
        encoder = AceStepConditionEncoder.from_pretrained(path / "condition_encoder", **options)
        encoder.silence_latent = silence_of(codec).expand_as(encoder.silence_latent)
        modules.condition_encoders[stage["name"]] = encoder
    tokenizer = load_tokenizer(folder / "tokenizer")
    return modules.eval(), tokenizer, codec, description


def write_untrained(folder: Path, config: NanoConfig | None = None, seed: int = 0) -> None:
    """A checkpoint with random weights in the final layout: for tests of everything around it."""
    config = config or NanoConfig()
    torch.manual_seed(seed)
    texts = ["generate the drums track based on the audio context:", "- bpm: 120 - keyscale: c minor"]
    tokenizer = train_tokenizer(texts, config.vocabulary)
    codec = SpectralCodec(attacks=config.attacks, **config.codec).eval()
    # components of noise around a quiet level: every latent is heard, as in a trained codec
    codec.set_components(torch.randn(2 * GROUP * len(codec.mean), GROUP, len(codec.mean)) - 3)
    if codec.attacks is not None:
        codec.attacks.fit(torch.randn(2 * STEPS * BANDS, STEPS * BANDS) / 2)
    modules = NanoModules(config, len(tokenizer))
    schedule, guidance = {"steps": 9, "shift": 1.0}, {"scale": 3.0, "mode": "cfg", "interval": [0.0, 1.0]}
    save_checkpoint(
        folder, modules, tokenizer, codec, describe(schedule, guidance, (3, 6), "nothing: random")
    )


def _half(module: M) -> M:
    import copy

    return copy.deepcopy(module).half()
