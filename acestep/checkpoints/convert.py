"""From ACE-Step's original layout to a cascade: keys renamed, weights cast while streaming.

    acestep convert checkpoints/acestep-v15-turbo [--shared checkpoints] [--name turbo]

The original layout is a folder with config.json, model.safetensors (or shards with an index) and
silence_latent.pt, beside vae/ and Qwen3-Embedding-0.6B/. One tensor is in memory at a time. The result
appears whole or not at all.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep.checkpoints import weights
from acestep.checkpoints.checkpoint import (
    BASE_GUIDANCE,
    BASE_SCHEDULE,
    FORMAT,
    TURBO_SCHEDULE,
    cascades_folder,
)
from acestep.checkpoints.original import (
    CLASSES,
    Original,
    check_keys,
    part_configs,
    read_original,
    read_silence,
)
from acestep.checkpoints.weights import Entry
from acestep.console import command
from acestep.console.terminal import Bar
from acestep.console.usage import Parser
from acestep.errors import AlreadyExists, CheckpointError, StorageError
from acestep.files import appearing_folder

if TYPE_CHECKING:
    import torch

WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"
TEXT_ENCODER = "Qwen3-Embedding-0.6B"
SUPPORTS = {  # what each kind of checkpoint was trained for (ACE-Step 1.5's model cards)
    "turbo": ["text", "reference", "cover", "repaint"],
    "sft": ["text", "reference", "cover", "repaint"],
    "base": ["text", "reference", "cover", "repaint", "lego", "complete", "extract"],
}
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "chat_template.jinja",
)


def convert(
    folder: Path,
    out: Path,
    *,
    shared: Path | None = None,
    name: str = "",
    dtype: str = "BF16",
    on_progress: Callable[[str, float], None] | None = None,
) -> Path:
    """Convert `folder` into the cascade folder `out`; gives `out`.

    `shared` holds vae/ and the text encoder (default: the folder above). Raises CheckpointError for what is
    missing, broken or of another kind, before anything is written; nothing half-made stays behind.
    """
    original = read_original(folder)
    shared = shared or folder.parent
    codec, text_encoder = shared / "vae", shared / TEXT_ENCODER
    for part in (codec, text_encoder):
        if not (part / "config.json").is_file():
            raise CheckpointError(
                f"{part} is missing: convert needs the codec and the text encoder of ACE-Step/Ace-Step1.5; "
                "name the folder that holds them with --shared"
            )
        weights.read_headers(part)
    configs = part_configs(original.config)
    check_keys(original, configs)
    if out.exists():
        raise AlreadyExists(f"{out} exists already: choose another --name or remove it")
    check_space(out, original, (codec, text_encoder), dtype)
    try:
        with appearing_folder(out) as hidden:
            _write(original, configs, hidden, (codec, text_encoder), name or out.name, dtype, on_progress)
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror or error}") from error
    return out


def check_space(out: Path, original: Original, copied: Sequence[Path], dtype: str) -> None:
    """Raise StorageError when the result will not fit on the disk."""
    needed = sum(
        (entry.end - entry.begin) // weights.item_bytes(entry.dtype) * weights.item_bytes(dtype)
        for part in original.parts.values()
        for entry in part.values()
    )
    needed += sum(file.stat().st_size for folder in copied for file in folder.rglob("*") if file.is_file())
    at = next(parent for parent in (out, *out.parents) if parent.exists())
    free = shutil.disk_usage(at).free
    if free < needed * 1.02:
        raise StorageError(
            f"{at} has {free / 1e9:.1f} GB free, the cascade takes {needed / 1e9:.1f} GB: make room"
        )


def describe(original: Original, name: str) -> dict[str, Any]:
    """The cascade.json of a converted checkpoint."""
    kind = original.kind
    schedule = TURBO_SCHEDULE if kind == "turbo" else BASE_SCHEDULE
    stage = "l" if original.config["hidden_size"] > 2048 else "m"
    entry: dict[str, Any] = {"name": stage, "path": f"stages/{stage}"}
    if original.is_xl:
        entry["timbre_token"] = True
    return {
        "format": FORMAT,
        "name": name,
        "stages": [entry],
        "schedule": asdict(schedule),
        "guidance": None
        if kind == "turbo"
        else {"scale": BASE_GUIDANCE.scale, "mode": "apg", "interval": [0, 1]},
        "sample_rate_hz": 48_000,
        "latent_rate_hz": 25.0,
        "supports": SUPPORTS[kind],
        "empty_lyrics": "[Instrumental]",
        "trained_on": "as published: ACE-Step 1.5",
        "license": "MIT",
    }


def _write(
    original: Original,
    configs: dict[str, dict[str, Any]],
    out: Path,
    shared: tuple[Path, Path],
    name: str,
    dtype: str,
    on_progress: Callable[[str, float], None] | None,
) -> None:
    description = describe(original, name)
    stage = out / description["stages"][0]["path"]
    total = sum(entry.end - entry.begin for part in original.parts.values() for entry in part.values())
    done = 0.0
    for part, entries in original.parts.items():

        def report(part: str, size: int) -> None:
            nonlocal done
            done += size
            if on_progress is not None:
                on_progress(part, min(1.0, done / total))

        tensors: list[Any] = []
        for key, entry in sorted(entries.items()):

            def get(entry: Entry = entry, part: str = part) -> torch.Tensor:
                value = entry.read()
                report(part, entry.end - entry.begin)
                return value

            tensors.append((key, entry.shape, get))
        if part == "condition_encoder":
            silence = read_silence(original.folder)
            tensors.append(("silence_latent", tuple(silence.shape), lambda silence=silence: silence))
        weights.write(stage / part / WEIGHTS_NAME, tensors, dtype)
        config = {"_class_name": CLASSES[part], **configs[part]}
        (stage / part / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    copy_shared(*shared, out)
    (out / "cascade.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def copy_shared(codec: Path, text_encoder: Path, out: Path) -> None:
    """The codec, the text encoder and its tokenizer into a cascade's folder."""
    patterns = shutil.ignore_patterns("*.bin", "*.pt", "*.pth", ".*")
    shutil.copytree(codec, out / "codec", ignore=patterns)
    shutil.copytree(text_encoder, out / "text_encoder", ignore=patterns)
    (out / "tokenizer").mkdir(parents=True)
    for name in TOKENIZER_FILES:
        if (text_encoder / name).is_file():
            shutil.copy2(text_encoder / name, out / "tokenizer" / name)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `acestep convert`."""
    parser.add_argument(
        "folder", type=Path, help="folder with config.json and model.safetensors or its shards"
    )
    parser.add_argument("--name", default="", help="name of the cascade (default: the folder's)")
    parser.add_argument("--shared", type=Path, help="folder with vae/ and the text encoder")
    parser.add_argument("--out", type=Path, help="where to write (default: cascades in ACESTEP_HOME)")
    parser.add_argument("--dtype", choices=("bf16", "f16", "f32"), default="bf16", help="default %(default)s")


def run(args: argparse.Namespace) -> int:
    """Convert as the command line says, with progress on stderr and the path on stdout."""
    name = args.name or args.folder.name
    out = args.out or cascades_folder() / name

    bar = Bar()
    try:
        convert(
            args.folder, out, shared=args.shared, name=name, dtype=args.dtype.upper(), on_progress=bar.show
        )
    finally:
        bar.close()
    print(out)
    return 0


def main(argv: list[str] | None = None) -> int:
    """`acestep convert`."""
    parser = Parser(prog="acestep convert", description=(__doc__ or "").splitlines()[0])
    add_arguments(parser)
    return command.run("acestep convert", lambda: run(parser.parse_args(argv)))
