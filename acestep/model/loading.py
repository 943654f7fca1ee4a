"""Loading a cascade's parts into memory, checked: every weight is there, and belongs to this architecture."""

from __future__ import annotations

import contextlib
import functools
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from acestep.checkpoints.checkpoint import CascadeSpec, StageSpec, stage_names
from acestep.checkpoints.weights import BROKEN_FILES
from acestep.errors import CheckpointError, InvalidRequest, NotFound
from acestep.model.codec.base import Codec, load_codec, silence_of
from acestep.model.modules import TextEncoder, Tokenizer
from acestep.model.quantise import quantise
from acestep.model.stage import Stage

# A checkpoint is data: code that it brings along (`auto_map`) is never run, and nobody is asked whether to.
ONLY_DATA = {"local_files_only": True, "trust_remote_code": False}
log = logging.getLogger(__name__)


def choose_device(device: str = "auto") -> torch.device:
    """For "auto" the first of CUDA, MPS and CPU that is here. Raises InvalidRequest for one that is not."""
    found = [f"cuda:{index}".removesuffix(":0") for index in range(torch.cuda.device_count())]
    found += ["mps"] if torch.backends.mps.is_available() else []
    found += ["cpu"]
    if device == "auto":
        return torch.device(found[0])
    if device.removesuffix(":0") not in found:
        raise InvalidRequest(
            f"there is no device {device!r} here: expected auto or one of {', '.join(found)}, "
            f"as PyTorch {torch.__version__} sees this machine"
        )
    return torch.device(device)


def choose_dtype(device: torch.device, dtype: torch.dtype | None = None) -> torch.dtype:
    """bfloat16 on a GPU, float32 elsewhere, unless asked otherwise."""
    return dtype or (torch.bfloat16 if device.type == "cuda" else torch.float32)


def check_names(spec: CascadeSpec, names: Sequence[str]) -> tuple[str, ...]:
    """The stages as the cascade spells them. Raises NotFound for those that it does not have."""
    have = [stage.name for stage in spec.stages]
    try:
        return stage_names(have, names)
    except InvalidRequest:
        unknown = [name for name in names if name.casefold() not in [one.casefold() for one in have]]
        raise NotFound(
            f"cascade {spec.name} has no stage {', '.join(unknown)}: it has {', '.join(have)}"
        ) from None


def load_parts(
    spec: CascadeSpec,
    names: Sequence[str] = (),
    place: torch.device = torch.device("cpu"),  # noqa: B008 (immutable)
    dtype: torch.dtype | None = None,
    waiting: torch.device | None = None,
    int8: bool = False,
) -> tuple[CascadeSpec, dict[str, Stage], Codec, TextEncoder, Tokenizer]:
    """(spec, stages by name, codec, text encoder, tokenizer) of the chosen stages, on the device.

    `waiting` is where stages are put instead, if they take turns; `int8` makes their transformers' weights
    integers.
    """
    kind = choose_dtype(place, dtype)
    with _quiet():
        text_encoder = load_text_encoder(spec.text_encoder, kind).to(place)
        tokenizer = load_tokenizer(spec.tokenizer)
        codec = load_codec(spec.codec)
        codec.to(place)
        codec.for_playing()
        silence = functools.cache(lambda: silence_of(codec, place))
        stages = {
            stage.name: load_stage(stage, silence, waiting or place, kind, int8)
            for stage in spec.stages
            if not names or stage.name in names
        }
    return spec, stages, codec, text_encoder, tokenizer


def load_stage(
    spec: StageSpec,
    silence: Callable[[], torch.Tensor],
    device: torch.device,
    dtype: torch.dtype,
    int8: bool = False,
) -> Stage:
    """One stage from its folder. What int8 changes is measured and logged, and kept as its `int8_error`.

    `silence` gives the latents [1, 1, C] for a condition encoder that is stored without.
    """
    from diffusers import AceStepAudioTokenDetokenizer, AceStepAudioTokenizer, AceStepConditionEncoder
    from diffusers import AceStepTransformer1DModel as Transformer

    parts = {
        "transformer": load_model(Transformer, spec.folder / "transformer", dtype),
        "condition_encoder": load_model(
            AceStepConditionEncoder, spec.folder / "condition_encoder", dtype, may_miss=("silence_latent",)
        ),
    }
    encoder = parts["condition_encoder"]
    if not bool(encoder.silence_latent.any()):
        encoder.silence_latent = silence().to("cpu", dtype).expand_as(encoder.silence_latent)
    optional = {
        "audio_tokenizer": AceStepAudioTokenizer,
        "audio_token_detokenizer": AceStepAudioTokenDetokenizer,
    }
    for name, kind in optional.items():
        if (spec.folder / name).is_dir():
            parts[name] = load_model(kind, spec.folder / name, dtype)
    stage = Stage(spec.name, **parts, timbre_token=spec.timbre_token)
    if int8:  # in main memory: the device never holds the large weights
        stage.int8_error = quantise(stage)
        log.info(stage.int8_note)
    stage.to(device)
    return stage


def load_model(kind: Any, folder: Path, dtype: torch.dtype, may_miss: tuple[str, ...] = ()) -> Any:
    """A diffusers model from safetensors in a folder. Raises CheckpointError naming what does not match."""
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} has no config.json: is the checkpoint complete?")
    try:
        model, info = kind.from_pretrained(
            folder, torch_dtype=dtype, use_safetensors=True, output_loading_info=True, local_files_only=True
        )
    except BROKEN_FILES as error:
        raise CheckpointError(f"{folder} cannot be loaded as {kind.__name__}: {_short(error)}") from error
    for name in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        found = set(map(str, info.get(name, [])))
        keys = sorted(found - set(may_miss) if name == "missing_keys" else found)
        if keys:
            listed = ", ".join(keys[:5]) + (" …" if len(keys) > 5 else "")
            raise CheckpointError(
                f"{folder} is not a whole {kind.__name__}: {len(keys)} {name.replace('_', ' ')}: {listed}"
            )
    return model.eval().requires_grad_(False)


def load_text_encoder(folder: Path, dtype: torch.dtype) -> TextEncoder:
    """The text encoder in a folder, for reading alone. Raises CheckpointError for one that is not whole."""
    from transformers import AutoModel

    try:
        model: TextEncoder = AutoModel.from_pretrained(folder, dtype=dtype, use_safetensors=True, **ONLY_DATA)
    except BROKEN_FILES as error:
        raise CheckpointError(f"the text encoder in {folder} cannot be loaded: {_short(error)}") from error
    return model.eval().requires_grad_(False)


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a folder. Raises CheckpointError for one that is not whole."""
    from transformers import AutoTokenizer

    try:
        tokenizer: Tokenizer = AutoTokenizer.from_pretrained(folder, **ONLY_DATA)
        return tokenizer
    except BROKEN_FILES as error:
        raise CheckpointError(f"the tokenizer in {folder} cannot be loaded: {_short(error)}") from error


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else text[:400] + " …"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Loading libraries report through logging and warnings what is checked and raised here."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    levels = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        diffusers_logging.set_verbosity(levels[0])
        transformers_logging.set_verbosity(levels[1])
