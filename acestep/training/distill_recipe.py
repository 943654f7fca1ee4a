"""What a distillation is told, as one strict dataclass; nothing else decides how it goes."""

from dataclasses import dataclass

from acestep import ranges
from acestep.errors import InvalidRequest


@dataclass(frozen=True)
class Recipe:
    """Everything a run depends on. `width` and `depth` are the student's sizes over the teacher's."""

    teacher: str  # CASCADE[/STAGE][:FIRST-LAST], steps of the teacher's own schedule to learn
    audio: str = ""  # folder of audio, each file with its caption in NAME.txt
    captions: str = ""  # text file, a caption a line: for the teacher's own trajectories
    width: float = 0.625
    depth: float = 0.75
    steps: int = 20_000
    batch: int = 8
    accumulate: int = 1  # batches added up for a step
    seconds: float = 30.0
    rate: float = 2e-4  # of AdamW
    warmup: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        if bool(self.audio) == bool(self.captions):
            raise InvalidRequest("name either a folder with --audio or a text file with --captions")
        for name, low, high in (
            ("width", 0.01, 1),
            ("depth", 0.01, 1),
            ("seconds", 0.1, 600),
            ("rate", 0, 1),
        ):
            ranges.number(name, getattr(self, name), low, high)
        for name, most in (("steps", 10**8), ("batch", 4096), ("accumulate", 4096)):
            ranges.whole(name, getattr(self, name), 1, most)

    def rate_at(self, step: int) -> float:
        """Warm up, then fall to nothing in a straight line."""
        warm = min(self.warmup, self.steps // 4)
        if step < warm:
            return self.rate * (step + 1) / warm
        return self.rate * max(0.0, (self.steps - step) / max(1, self.steps - warm))
