"""Which files of a data set are kept from training, to measure with."""

import hashlib

from lora_studio.data.dataset import Dataset, Sample

HELD_OUT_PART = 0.1
MAX_HELD_OUT = 32


def hold_out(dataset: Dataset) -> None:
    """Hold out whole files (whole songs where they are stems), the same ones every time."""
    units: dict[str, list[Sample]] = {}
    for sample in dataset.used():
        units.setdefault(f"song {sample.song}" if sample.song else sample.content, []).append(sample)
    if any(sample.split == "held_out" for sample in dataset.used()):
        return
    count = max(round(len(units) * HELD_OUT_PART), min(2, len(units) // 5), 1 if len(units) >= 2 else 0)
    count = min(MAX_HELD_OUT, count)
    if count == 0:
        dataset.notes.append("only one file: nothing can be held out, so validation cannot be trusted")
    order = sorted(units, key=lambda unit: hashlib.sha256(unit.encode()).hexdigest())
    for unit in order[:count]:
        for sample in units[unit]:
            sample.split = "held_out"
