"""Which examples a step is made of, and its random numbers: a function of seed and step, nothing else.

So a run that was cut off goes on exactly where it was.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lora_studio.data.examples import Example

SORTED_BATCHES = 8  # examples of this many batches are sorted by length together, so little is padded


def generator(*parts: object) -> torch.Generator:
    """A CPU generator whose seed is a hash of the parts."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest[:7], "big"))


@dataclass(frozen=True)
class Order:
    """Batches without end. `plain` examples are visited once an epoch; some of the visits give context."""

    plain: tuple[Example, ...]
    with_context: dict[str, Example]  # latents key → the same segment with the rest of the mix
    batch_size: int
    stem_aware: float
    seed: int

    @property
    def batches_per_epoch(self) -> int:
        """How many batches visit every example once."""
        return -(-len(self.plain) // self.batch_size)

    def batch(self, number: int) -> list[Example]:
        """Batch `number` of the run, from 0."""
        epoch, index = divmod(number, self.batches_per_epoch)
        random = generator("order", self.seed, epoch)
        places = torch.randperm(len(self.plain), generator=random).tolist()
        chunk = SORTED_BATCHES * self.batch_size
        batches: list[list[int]] = []
        for start in range(0, len(places), chunk):
            part = sorted(places[start : start + chunk], key=lambda place: self.plain[place].frames)
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        turn = torch.randperm(len(batches), generator=random).tolist()
        chance = torch.rand(len(self.plain), generator=random).tolist()
        return [self._visit(place, chance[place]) for place in batches[turn[index]]]

    def _visit(self, place: int, chance: float) -> Example:
        example = self.plain[place]
        return self.with_context.get(example.latents_key, example) if chance < self.stem_aware else example


def order_of(examples: Sequence[Example], batch_size: int, stem_aware: float, seed: int) -> Order:
    """The order over a stage's training examples."""
    plain = tuple(example for example in examples if not example.stem_aware)
    contexts = {example.latents_key: example for example in examples if example.stem_aware}
    return Order(plain, contexts, min(batch_size, len(plain)), stem_aware, seed)
