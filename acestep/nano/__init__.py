"""nano: the recipe of the embedded cascade (data, codec, stages, evaluation) and its shipped weights."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
