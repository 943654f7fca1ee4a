"""What an adapter says of alpha and rank, layer by layer: PEFT's `adapter_config.json`, or a file's header.

Adapters come from strangers: numbers are checked, and patterns are taken for what PEFT writes (names and
simple expressions), so that none can keep the machine busy.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from acestep.errors import AdapterError
from acestep.typed_json import fault_of

KINDS = {"LORA": "LoRA", "LOKR": "LoKr", "LOHA": "LoHa"}  # PEFT's names of what we play → ours
# Bounds on files of unknown origin, chosen by hand.
MAX_RANK = 16_384
MAX_PATTERNS = 4_096
MAX_PATTERN_CHARS = 200
MAX_CONFIG_CHARS = 4_000_000
NAME_CHARS = 64  # how long a layer's name is, about: a repetition tries so many places
MAX_STEPS = 20_000  # what all expressions of a file may take for one name together


class Patterns:
    """PEFT's `alpha_pattern` or `rank_pattern`: the first name or expression a layer's name ends with."""

    def __init__(self, given: Any, where: str) -> None:
        if not isinstance(given, Mapping) or len(given) > MAX_PATTERNS:
            raise AdapterError(f"{where} is not a table of at most {MAX_PATTERNS} layers and numbers")
        self._values = [number(value, f"{where} for {key!r}") for key, value in given.items()]
        self._names: dict[str, int] = {}
        self._expressions: list[tuple[int, re.Pattern[str], bool]] = []
        steps = 0.0
        for place, key in enumerate(map(str, given)):
            plain = key.removeprefix("^").removesuffix("$").replace("\\.", ".")
            if re.fullmatch(r"[\w.\-]+", plain) and not key.startswith("^"):
                self._names.setdefault(plain, place)
                continue
            steps += _steps(key)
            if steps > MAX_STEPS or len(key) > MAX_PATTERN_CHARS:
                raise AdapterError(
                    f"{where} has the pattern {key[:60]!r}, which is more than a layer's name or a simple "
                    "expression such as 'layers\\.[0-3]\\.self_attn\\..*': write the layers' names instead"
                )
            self._expressions.append((place, _compiled(key, where), key.startswith("^")))

    def find(self, names: Iterable[str]) -> float | None:
        """The value for a layer that is known by these names, None if no pattern is meant for it."""
        places = [place for name in names for place in self._places(name)]
        return self._values[min(places)] if places else None

    def _places(self, name: str) -> list[int]:
        ends = [name]
        while "." in ends[-1]:
            ends.append(ends[-1].partition(".")[2])
        found = [self._names[end] for end in ends if end in self._names]
        for place, expression, at_start in self._expressions:
            if any(expression.fullmatch(end) for end in (ends[:1] if at_start else ends)):
                found.append(place)
        return found


# letters, classes, groups that are neither nested nor repeated, and single repetitions
_SIMPLE = re.compile(r"(?:[\w.\-]|\\[.d]|\[[\w\-]+\]|\((?=[^()]*\))|\)(?![+*?])|\||(?<![+*?(|])[+*?])*")


def _steps(pattern: str) -> float:
    """How many steps matching a name may take at most; infinite for an expression of another form."""
    plain = pattern.removeprefix("^").removesuffix("$").replace("(?:", "(")
    if not _SIMPLE.fullmatch(plain):
        return math.inf
    repeats = sum(plain.count(sign) for sign in "+*?")
    choices = math.prod(group.count("|") + 1 for group in re.findall(r"\(([^()]*)\)", plain))
    most: float = float(NAME_CHARS) ** repeats * choices * (plain.count("|") + 1)
    return most


def _compiled(pattern: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise AdapterError(f"{where} has the broken pattern {pattern!r}: {error}") from None


def number(value: Any, where: str) -> float:
    """A finite number, also where it is written as text. Raises AdapterError."""
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise AdapterError(f"{where} is {str(value)[:40]}: expected a number")
    return found


@dataclass(frozen=True)
class AdapterConfig:
    """What an adapter says of its alpha and rank; `kind` is ours ("LoRA" …), "" where nothing says it."""

    kind: str = ""
    alpha: float | None = None
    rank: float | None = None
    alphas: Patterns = field(default_factory=lambda: Patterns({}, ""))
    ranks: Patterns = field(default_factory=lambda: Patterns({}, ""))
    rank_stabilised: bool = False

    @classmethod
    def read(cls, values: Mapping[str, Any], where: str) -> AdapterConfig:
        """From the values of an `adapter_config.json`. Raises AdapterError, naming the value."""
        peft = str(values.get("peft_type") or "").upper()
        if peft and peft not in KINDS:
            raise AdapterError(f"{where} is of a {peft[:40]} adapter: expected {', '.join(KINDS.values())}")
        alpha, rank = values.get("lora_alpha", values.get("alpha")), values.get("r")
        found = cls(
            kind=KINDS.get(peft, ""),
            alpha=None if alpha is None else number(alpha, f"alpha in {where}"),
            rank=None if rank is None else number(rank, f"r in {where}"),
            alphas=Patterns(values.get("alpha_pattern") or {}, f"alpha_pattern in {where}"),
            ranks=Patterns(values.get("rank_pattern") or {}, f"rank_pattern in {where}"),
            rank_stabilised=bool(values.get("use_rslora")),
        )
        for one in (found.rank, *found.ranks._values):
            if one is not None and not 1 <= one <= MAX_RANK:
                raise AdapterError(f"{where} says rank {one:g}: expected 1 to {MAX_RANK}")
        return found

    @classmethod
    def of_header(cls, metadata: Mapping[str, str], where: str) -> AdapterConfig:
        """From a safetensors header: diffusers' JSON, or a plain alpha."""
        told = metadata.get("lora_adapter_metadata", "")
        if told:
            values = parsed(told, f"lora_adapter_metadata of {where}")
            return cls.read(
                {str(key).removeprefix("transformer."): one for key, one in values.items()}, where
            )
        for name in ("lora_alpha", "alpha", "ss_network_alpha"):
            if metadata.get(name, "None") not in ("", "None"):
                return cls(alpha=number(metadata[name], f"{name} in the header of {where}"))
        return cls()

    def alpha_of(self, names: Iterable[str]) -> float | None:
        """Alpha of the layer that is known by these names."""
        found = self.alphas.find(names)
        return self.alpha if found is None else found

    def rank_of(self, names: Iterable[str]) -> float | None:
        """Rank of the layer that is known by these names."""
        found = self.ranks.find(names)
        return self.rank if found is None else found


def parsed(text: str | bytes, where: str) -> dict[str, Any]:
    """A JSON object of bounded size. Raises AdapterError."""
    if len(text) > MAX_CONFIG_CHARS:
        raise AdapterError(f"{where} has {len(text)} characters: expected at most {MAX_CONFIG_CHARS}")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AdapterError(f"{where} cannot be read: {fault_of(error)}") from None
    if not isinstance(values, dict):
        raise AdapterError(f"{where} is not an object: expected what PEFT writes as adapter_config.json")
    return values
