"""What a training run is told, as one strict dataclass; nothing else decides how it goes.

Validation lives here, with the valid values in every message.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep import ranges
from acestep.console.command import expanded
from acestep.errors import InvalidRequest
from acestep.home import home as users_home
from acestep.typed_json import fault_of
from lora_studio.data.segments import Limits

TARGETS: dict[str, tuple[str, ...]] = {
    "attention": ("to_q", "to_k", "to_v", "to_out.0"),
    "mlp": ("gate_proj", "up_proj", "down_proj"),
    "all": ("to_q", "to_k", "to_v", "to_out.0", "gate_proj", "up_proj", "down_proj"),
}
NOISES = ("auto", "discrete", "logit_normal", "uniform")
PRECISIONS = ("auto", "float32", "bfloat16")
NAME_PATTERN = re.compile(r"[^\W_](?:[\w .-]{0,62}[\w])?")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run. None and "auto" mean: what suits the checkpoint, the data and the device."""

    data: str  # folder of audio, or a dataset.json
    name: str  # of the adapter
    base: str = ""  # cascade: name or folder; "" is the default one
    stages: tuple[str, ...] = ()  # () is every stage
    trigger: str = ""  # word that calls the sound up; "" is none
    home: str = ""  # where cascades, adapters and caches are; "" is the user's

    rank: int = 32
    alpha: float | None = None  # None: 2 × rank
    dropout: float = 0.0
    targets: str = "attention"
    dora: bool = False

    minutes: float | None = None  # budgets: the first to run out ends the run; None: no such limit
    audio_seconds: float | None = None
    steps: int | None = None
    batch_size: int | None = None
    accumulate: int = 1
    learning_rate: float | None = None  # None: by the stage's width, 5e-4 for ACE-Step's own
    warmup: float = 0.05  # part of the run
    final_rate: float = 0.05  # of learning_rate, at the end of the cosine
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema: float = 0.98  # of the weights that are kept; 0 keeps the last ones

    noise: str = "auto"
    condition_dropout: float | None = None  # None: 0.15 for base and SFT, 0 for turbo
    stem_aware: float = 0.5  # part of examples that give the rest of the mix, where stems line up
    shortest_s: float = 0.5
    longest_s: float = 20.0

    precision: str = "auto"
    device: str = "auto"
    gradient_checkpointing: bool | None = None
    seed: int = 0
    validate_every: int | None = None  # steps; None: about 12 times in a run
    patience: int | None = 4  # validations without a better loss before it stops; None: never
    validation_pairs: int = 32
    save_every_s: float = 60.0
    previews: int = 2
    preview_bars: float = 4.0
    tensorboard: bool = True
    resume: bool = True  # go on with a run of the same name and settings that was cut off
    strength: float | None = None  # of what is kept; None: the most that keeps tempo and key, up to 1
    min_effect: float = 0.005  # relative change of the velocity below which a run has failed

    def __post_init__(self) -> None:
        self._check_names()
        object.__setattr__(self, "stages", tuple(self.stages))
        low: float
        high: float
        for name, low, high in (
            ("rank", 1, 512),
            ("accumulate", 1, 1024),
            ("seed", 0, 2**31 - 1),
            ("validation_pairs", 1, 1024),
            ("previews", 0, 16),
        ):
            self._check(name, low, high, whole=True)
        for name, low, high in (
            ("steps", 1, 10**7),
            ("batch_size", 1, 1024),
            ("validate_every", 1, 10**6),
            ("patience", 1, 1000),
        ):
            self._check(name, low, high, whole=True, optional=True)
        for name, low, high in (
            ("dropout", 0, 0.9),
            ("warmup", 0, 0.9),
            ("final_rate", 0, 1),
            ("weight_decay", 0, 1),
            ("clip_norm", 0.001, 1000),
            ("ema", 0, 0.99999),
            ("stem_aware", 0, 1),
            ("save_every_s", 0, 86_400),
            ("preview_bars", 0.0625, 64),
            ("min_effect", 0, 1),
        ):
            self._check(name, low, high)
        for name, low, high in (
            ("alpha", 0.01, 4096),
            ("learning_rate", 1e-7, 0.1),
            ("minutes", 0.01, 100_000),
            ("audio_seconds", 1, 1e9),
            ("condition_dropout", 0, 0.9),
            ("strength", 0.05, 1),
        ):
            self._check(name, low, high, optional=True)
        _ = self.limits

    def _check_names(self) -> None:
        if not isinstance(self.name, str) or not NAME_PATTERN.fullmatch(self.name):
            raise InvalidRequest(
                f"name {self.name!r} cannot be used: expected 1–64 letters, digits, spaces, "
                "dots, - or _, starting with a letter or digit"
            )
        for name in ("data", "base", "trigger", "home"):
            if not isinstance(getattr(self, name), str) or "\0" in getattr(self, name):
                raise InvalidRequest(f"{name} is {getattr(self, name)!r:.60}: expected text")
        if not isinstance(self.stages, list | tuple) or not all(isinstance(s, str) for s in self.stages):
            raise InvalidRequest(f"stages is {self.stages!r:.60}: expected a list of names")
        if not self.data.strip():
            raise InvalidRequest("data is empty: expected a folder of audio or a dataset.json")
        for name, choices in (
            ("targets", tuple(TARGETS)),
            ("noise", NOISES),
            ("precision", PRECISIONS),
        ):
            if getattr(self, name) not in choices:
                raise InvalidRequest(
                    f"{name} {getattr(self, name)!r:.60} is unknown: expected {', '.join(choices)}"
                )
        for name in ("dora", "tensorboard", "resume"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidRequest(f"{name} is {getattr(self, name)!r}: expected true or false")

    def _check(
        self, name: str, low: float, high: float, *, whole: bool = False, optional: bool = False
    ) -> None:
        value: Any = getattr(self, name)
        if value is None and optional:
            return
        if whole:
            ranges.whole(name, value, int(low), int(high))
        else:
            ranges.number(name, value, low, high)

    @property
    def home_folder(self) -> Path:
        """The home of this run."""
        return expanded(self.home).absolute() if self.home else users_home()

    @property
    def limits(self) -> Limits:
        """How long segments may be."""
        return Limits(self.shortest_s, self.longest_s)

    @property
    def resolved_alpha(self) -> float:
        """alpha, or twice the rank."""
        return self.alpha if self.alpha is not None else 2.0 * self.rank

    @property
    def target_modules(self) -> tuple[str, ...]:
        """Names of the layers that get an adapter, in diffusers' spelling."""
        return TARGETS[self.targets]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` gives the same configuration back."""
        return {**dataclasses.asdict(self), "stages": list(self.stages)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """Strict: an unknown name raises InvalidRequest and lists those that exist."""
        names = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - names)
        if unknown:
            raise InvalidRequest(
                f"unknown setting {', '.join(unknown)}: expected some of {', '.join(sorted(names))}"
            )
        missing = sorted({"data", "name"} - set(values))
        if missing:
            are = "is" if len(missing) == 1 else "are"
            raise InvalidRequest(f"{' and '.join(missing)} {are} missing: a run needs data and a name")
        return cls(**values)

    def to_json(self) -> str:
        """Readable JSON with sorted names."""
        return json.dumps(self.to_dict(), indent=1, sort_keys=True, ensure_ascii=False)

    @classmethod
    def read(cls, path: Path) -> "TrainConfig":
        """From a JSON or TOML file."""
        return cls.from_dict(cls.read_values(path))

    @staticmethod
    def read_values(path: Path) -> Any:
        """The values in a JSON or TOML file, unchecked."""
        try:
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".toml":
                import tomllib

                return tomllib.loads(text)
            return json.loads(text)
        except OSError as error:
            raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"{path} is neither JSON nor TOML: {fault_of(error)}") from error
