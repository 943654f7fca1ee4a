"""A work folder that goes on from a finished checkpoint, whose latents may have fewer channels.

Stages get new columns for the new channels and a wider token to carry them; everything else is carried over,
and the first velocity of the channels there were is what it was.
"""

import shutil
from pathlib import Path

import torch
from torch import Tensor, nn

from acestep.model.codec.base import silence_of
from acestep.model.codec.spectral import SpectralCodec
from acestep.model.modules import ConditionEncoder, Transformer
from acestep.nano.checkpoint import (
    ATTACKS,
    Named,
    NanoConfig,
    NanoModules,
    build_condition_encoder,
    build_transformer,
    load_checkpoint,
)
from acestep.nano.data.sounds import Bank
from acestep.nano.states import write_state
from acestep.nano.train_codec import CODEC, fit_attacks

START = "start.pt"  # of a work folder: the weights training begins with, where they are not drawn by lot
GATES = 0.3  # of what blocks write to the new part of a token: nothing yet, but open
READ = 4.0  # how strongly it is read back: noise reaches it as soon as a small weight has grown
_NORMS = ("self_attn_norm.weight", "cross_attn_norm.weight", "mlp_norm.weight", "norm_out.weight")


def carry_over(work: Path, checkpoint: Path, config: NanoConfig | None = None) -> Path:
    """Fill `work` with a checkpoint's codec, given channels for attacks where it has none, tokenizer, text
    encoder, and `start.pt`, its stages; returns the latter. Needs `work/bank`.
    """
    config = config or NanoConfig()
    modules, tokenizer, codec, _ = load_checkpoint(checkpoint)
    if not (work / CODEC / "config.json").exists():  # where it is, latents may have been made with it
        grown = codec if codec.attacks is not None else with_attacks(codec, Bank(work / "bank"))
        grown.save(work / CODEC)
    grown = SpectralCodec.load(work / CODEC)
    grown.save(work / "codec")
    tokenizer.save_pretrained(work / "tokenizer")
    shutil.copytree(checkpoint / "text_encoder", work / "text_encoder", dirs_exist_ok=True)
    write_state({"modules": widened(modules, config, silence_of(grown)[0, 0]).state_dict()}, work / START)
    return work / START


def with_attacks(codec: SpectralCodec, bank: Bank) -> SpectralCodec:
    """The same codec with channels for attacks beside its own, fitted to loops played with the bank."""
    return fit_attacks(grown_by(codec, ATTACKS), bank)


def grown_by(codec: SpectralCodec, channels: int) -> SpectralCodec:
    """The same codec with so many channels for attacks, not fitted yet."""
    grown = SpectralCodec(**codec.sizes, attacks=channels)
    own = {name: value for name, value in codec.state_dict().items() if not name.startswith("phases.")}
    grown.load_state_dict({**grown.state_dict(), **own})
    grown.phases = codec.phases
    return grown.eval().requires_grad_(False)


def widened(modules: NanoModules, config: NanoConfig, silence: Tensor) -> NanoModules:
    """The same modules in the sizes of `config`, which are at least theirs; `silence` [C] is the codec's."""
    made = NanoModules.__new__(NanoModules)
    nn.Module.__init__(made)
    made.text_encoder = modules.text_encoder
    made.transformers, made.condition_encoders = Named[Transformer](), Named[ConditionEncoder]()
    for name, old in modules.transformers.items():
        transformer = build_transformer(config, len(old.layers), list(old.layer_types))
        _carry_transformer(old, transformer)
        encoder = build_condition_encoder(config)
        before = modules.condition_encoders[name].state_dict()
        own = encoder.state_dict()
        placed = {key: _placed(before[key], value) for key, value in own.items() if key in before}
        encoder.load_state_dict({**own, **placed})
        encoder.silence_latent = silence.expand_as(encoder.silence_latent).clone()
        made.transformers[name], made.condition_encoders[name] = transformer, encoder
    return made


def _carry_transformer(old: Transformer, new: Transformer) -> None:
    before, values = old.state_dict(), {}
    width, wide = old.config.hidden_size, new.config.hidden_size
    channels, more = old.config.audio_acoustic_hidden_dim, new.config.audio_acoustic_hidden_dim
    for name, like in new.state_dict().items():
        value = before[name]
        if "time_proj" in name:  # six parts, a token wide each
            placed = _placed(value.unflatten(0, (6, width)), like.unflatten(0, (6, wide))).flatten(0, 1)
        elif name == "proj_in_conv.weight":
            placed = torch.zeros_like(like)
            placed[:width, _columns(channels, more, like.shape[1])] = value
        elif name.endswith(_NORMS):  # the mean square of a longer token is less, by as much as it is longer
            placed = torch.ones_like(like)
            placed[:width] = value
            placed *= (width / wide) ** 0.5
        else:
            placed = _placed(value, like)
        values[name] = placed
    for name in values:
        if name.endswith(".scale_shift_table") and wide > width:
            values[name][:, [2, 5], width:] = GATES
    for index in range(min(wide - width, more - channels)):
        values["proj_out_conv.weight"][width + index, channels + index] = READ
    new.load_state_dict(values)


def _columns(channels: int, more: int, total: int) -> Tensor:
    """Where the inputs source, mask, guide and x of `channels` lie among those of `more`."""
    guide = total - 3 * more
    starts = ((0, channels), (more, channels), (2 * more, guide), (2 * more + guide, channels))
    return torch.cat([torch.arange(start, start + count) for start, count in starts])


def _placed(value: Tensor, like: Tensor) -> Tensor:
    """`value` in the first places of zeros of the shape of `like`."""
    placed = torch.zeros_like(like)
    placed[tuple(slice(0, count) for count in value.shape)] = value
    return placed
