"""Tensors computed once and kept on disk: latents, contexts and conditions, by what they were made from.

A key is a hash of content and checkpoint, so nothing is ever stale and an interrupted run goes on where it
stopped.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from acestep.errors import StorageError
from lora_studio.files import write_tensors


def key_of(*parts: object) -> str:
    """A key for whatever JSON can tell apart."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:40]


class TensorCache:
    """Tensors by key, in a folder, with the most recent ones in memory."""

    def __init__(self, folder: Path, memory_bytes: int = 1 << 30) -> None:
        self.folder = folder
        self.memory_bytes = memory_bytes
        self.hits = self.misses = 0
        self._recent: OrderedDict[str, Tensor] = OrderedDict()
        self._held = 0

    def __contains__(self, key: str) -> bool:
        return key in self._recent or self._path(key).is_file()

    def get(self, key: str, compute: Callable[[], Tensor] | None = None) -> Tensor:
        """The tensor kept under the key, or computed and kept now."""
        found = self._recent.get(key)
        if found is not None:
            self._recent.move_to_end(key)
            return found
        found = self._read(key)
        if found is None:
            if compute is None:
                raise StorageError(f"{self._path(key)} is gone: was the cache cleared during the run?")
            self.misses += 1
            found = compute().detach().to("cpu").contiguous().clone()
            write_tensors(self._path(key), {"tensor": found})
        else:
            self.hits += 1
        self._keep(key, found)
        return found

    def _read(self, key: str) -> Tensor | None:
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            return load_file(path)["tensor"]
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError):
            path.unlink(missing_ok=True)  # a broken file is as good as none
            return None

    def _keep(self, key: str, tensor: Tensor) -> None:
        self._recent[key] = tensor
        self._held += tensor.nbytes
        while self._held > self.memory_bytes and len(self._recent) > 1:
            _, oldest = self._recent.popitem(last=False)
            self._held -= oldest.nbytes

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"


def pad_stack(tensors: list[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Tensors [n_i, D] → [B, max n, D] with a mask [B, max n], None where all are equally long."""
    lengths = [len(tensor) for tensor in tensors]
    if len(set(lengths)) == 1:
        return torch.stack(tensors), None
    stacked = tensors[0].new_zeros(len(tensors), max(lengths), tensors[0].shape[1])
    mask = torch.zeros(len(tensors), max(lengths), dtype=torch.bool)
    for row, tensor in enumerate(tensors):
        stacked[row, : len(tensor)] = tensor
        mask[row, : len(tensor)] = True
    return stacked, mask
