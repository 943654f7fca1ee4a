"""The names of an adapter file's tensors: which part of which layer's update each is, whoever wrote it.

Trainers put all kinds of prefixes before a layer's name, and some join it with underscores. So a name is
looked up from its end among the model's own names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

# the last part of a layer's name in diffusers → what upstream and others call it
SPELLINGS = {
    "to_q": ("q_proj",),
    "to_k": ("k_proj",),
    "to_v": ("v_proj",),
    "to_out.0": ("o_proj", "to_out", "out_proj"),
}
# what the field calls the tensors of an update → our word
PARTS = {
    "lora_A": "down",
    "lora_down": "down",
    "lora.down": "down",
    "lora_linear_layer.down": "down",
    "lora_B": "up",
    "lora_up": "up",
    "lora.up": "up",
    "lora_linear_layer.up": "up",
    "alpha": "alpha",
    "dora_scale": "magnitude",
    "lora_magnitude_vector": "magnitude",
    **{f"lokr_{part}": f"lokr_{part}" for part in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
    **{f"hada_{part}": f"hada_{part}" for part in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
}
_KEY = re.compile(
    rf"(?P<stem>.+?)\.(?P<part>{'|'.join(re.escape(part) for part in sorted(PARTS, key=len, reverse=True))})"
    r"(?:\.(?!weight$|bias$)(?P<adapter>[^.]+))?(?:\.weight)?"
)
OTHER_KINDS = {"oft_": "OFT", "vera_": "VeRA", "ia3_": "IA³", "boft_": "BOFT", "glora": "GLoRA"}
# words in a prefix that name another part of the model, whose layers have names like the transformer's
OTHER_MODELS = re.compile(
    r"(?:^|_)(?:text|te\d?|(?:\w+_)?encoders?|(?:de)?tokenizer|clip\w?|t5\w*|qwen\w*|llm|lm|vae|codec|planner)_"
)
# what torch and its wrappers put into the middle of a name
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "module")
MAX_KEY_CHARS = 512  # of a file of unknown origin
ARCHITECTURE_LAYERS = 128  # more than any published ACE-Step has


@dataclass(frozen=True)
class Key:
    """A tensor's name taken apart: the layer as the file calls it, our word for the part, PEFT's adapter."""

    stem: str
    part: str
    adapter: str = ""


def read_key(key: str) -> Key | None:
    """The name taken apart; None for a tensor that no supported update has."""
    found = _KEY.fullmatch(key) if len(key) <= MAX_KEY_CHARS else None
    return found and Key(found["stem"], PARTS[found["part"]], found["adapter"] or "")


def other_kind(keys: Iterable[str]) -> str:
    """The name of an unsupported kind of adapter, if these names show one."""
    return next((kind for key in keys for mark, kind in OTHER_KINDS.items() if mark in key), "")


class Names:
    """A model's layers, to be found by whatever a file calls them."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = {_flat(spelling): path for path in paths for spelling in spellings(path)}

    def find(self, stem: str) -> tuple[str, str] | None:
        """(the layer's own path, what stood before it) for a file's name of it; None if no layer has it.

        The longest own name that the file's name ends with counts.
        """
        flat, at = _flat(stem), 0
        while flat[at:] not in self._paths:
            at = flat.find("_", at) + 1
            if at == 0:
                return None
        prefix = flat[:at]
        return None if OTHER_MODELS.search(prefix) else (self._paths[flat[at:]], prefix)

    def match(self, stems: Sequence[str]) -> tuple[dict[str, str], list[str]]:
        """(file's name → own path, names that are none). Where two names are one layer's, the one with the
        prefix that most of the file's names have wins."""
        found = {stem: place for stem in stems if (place := self.find(stem)) is not None}
        prefixes = Counter(prefix for _, prefix in found.values())
        matched: dict[str, str] = {}
        taken: set[str] = set()
        for stem in sorted(found, key=lambda stem: -prefixes[found[stem][1]]):
            if found[stem][0] not in taken:
                matched[stem] = found[stem][0]
                taken.add(found[stem][0])
        return matched, [stem for stem in stems if stem not in matched]


def spellings(path: str) -> list[str]:
    """A layer's path in diffusers' words, and in everybody else's."""
    made = [path]
    for ours, others in SPELLINGS.items():
        if path == ours or path.endswith(f".{ours}"):
            made += [path.removesuffix(ours) + other for other in others]
    return made


@lru_cache(maxsize=1)
def architecture() -> Names:
    """The linear layers of ACE-Step 1.5's transformer, for files that are read without a model."""
    attention = [f"{kind}_attn.{name}" for kind in ("self", "cross") for name in SPELLINGS]
    blocks = [*attention, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    times = [f"{name}.{part}" for name in ("time_embed", "time_embed_r") for part in _TIME_PARTS]
    layers = [f"layers.{number}.{name}" for number in range(ARCHITECTURE_LAYERS) for name in blocks]
    return Names([*layers, *times, "condition_embedder"])


_TIME_PARTS = ("linear_1", "linear_2", "time_proj")


def _flat(name: str) -> str:
    """A name with underscores for dots, without what wrappers put into it."""
    flat = "_".join(part for part in name.split(".") if part not in WRAPPERS)
    for wrapper in WRAPPERS[:-1]:  # `module` is too plain a word to be taken out of a joined name
        flat = flat.replace(f"_{wrapper}_", "_").removeprefix(f"{wrapper}_")
    return flat
