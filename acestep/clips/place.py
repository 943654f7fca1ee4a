"""A part's place in an idea: what it is called, how loud it is, and how it stands beside the other parts."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acestep.clips.score import Score
from acestep.errors import InvalidRequest
from acestep.hearing.pairs import Pair, Traits, pair
from acestep.music.grid import Grid
from acestep.request import GenerateRequest
from acestep.sound.audio import read_audio


@dataclass(frozen=True)
class Standing:
    """A part beside each of the others; `tried` is how often it was made until it fitted."""

    pairs: tuple[Pair, ...]
    tried: int = 1

    @property
    def penalty(self) -> float:
        """What speaks against it (see `Pair.penalty`)."""
        return sum(one.penalty for one in self.pairs)

    @property
    def worse_than_shuffled(self) -> bool:
        """Whether it fits one of the others no better than chance."""
        return any(one.worse_than_shuffled for one in self.pairs)

    @property
    def loose(self) -> bool:
        """Whether another try is likely to fit one of the others better."""
        return any(one.loose for one in self.pairs)

    @property
    def said(self) -> tuple[str, ...]:
        """For the label: each pair in words."""
        return tuple(f"beside {one.other}: {one}" for one in self.pairs if str(one))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a listener should look at."""
        found = [
            f"{one.part} and {one.other} fight at {low}–{high} Hz for {share:.0%} of the time: turn one down "
            "there"
            for one in self.pairs
            for low, high, share in one.fights
        ]
        found += [
            f"{one.part} fits {one.other} no better than a part that was not made for it: make it anew, or "
            "ask for more candidates"
            for one in self.pairs
            if one.worse_than_shuffled
        ]
        return tuple(found)


@dataclass(frozen=True)
class Place:
    """What a part is in its idea. `lufs` is how loud it is among the parts, None: as it was made.

    `settings` is the request for the whole idea, `beside` what the other parts sound like.
    """

    idea: str
    part: str
    prompt: str
    lufs: float | None
    started_s: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)  # of a mix: part → file name
    scores: Callable[[], Mapping[str, Score]] | None = None  # of a mix: the parts' notes
    downbeat_s: float = 0.0
    swing: float | None = None
    grid: Grid = field(default_factory=Grid)
    beside: Mapping[str, Traits] = field(default_factory=dict)
    percussive: bool = False

    def traits(self, audio: np.ndarray, sample_rate_hz: int) -> Traits:
        """What of `audio` [C, N] is compared, as this part."""
        return Traits.of(audio, sample_rate_hz, self.percussive)

    def standing(self, traits: Traits) -> Standing:
        """How a part of these traits would stand beside the other parts, which are as they are."""
        mine = (self.part, traits)
        return Standing(
            tuple(pair(mine, other, self.grid, self.downbeat_s, self.swing) for other in self.beside.items())
        )

    def to_dict(self, standing: Standing | None) -> dict[str, Any]:
        """For the sidecar."""
        told: dict[str, Any] = {
            "id": self.idea,
            "part": self.part,
            "prompt": self.prompt,
            "lufs": self.lufs,
            "downbeat_s": self.downbeat_s,
            "swing": self.swing,
            "beside": {name: traits.percussive for name, traits in self.beside.items()},
            "at_s": time.time(),  # of two clips for one part, the later one counts
            "request": dict(self.settings),
        }
        if self.members:
            told["parts"] = dict(self.members)
        if standing is not None:
            told |= {"together": [one.to_dict() for one in standing.pairs], "tried": standing.tried}
        return told

    @classmethod
    def from_sidecar(
        cls, values: Mapping[str, Any], request: GenerateRequest, sample_rate_hz: int
    ) -> "Place":
        """What `to_dict` wrote, for a part that is made again as it was.

        The parts beside it are read from the request's context where candidates are chosen by them. Raises
        InvalidRequest, UnreadableAudio.
        """
        try:
            lufs, swing, beside = values["lufs"], values.get("swing"), dict(values.get("beside") or {})
            sources = request.context.sources if request.context and request.candidates > 1 else ()
            others = zip(beside.items(), sources[-len(beside) :] if beside else (), strict=False)
            return cls(
                str(values["id"]),
                str(values["part"]),
                str(values["prompt"]),
                None if lufs is None else float(lufs),
                time.time(),
                dict(values["request"]),
                downbeat_s=float(values.get("downbeat_s", 0.0)),
                swing=None if swing is None else float(swing),
                grid=request.grid,
                beside={
                    str(name): Traits.of(
                        read_audio(source, sample_rate_hz=sample_rate_hz), sample_rate_hz, bool(percussive)
                    )
                    for (name, percussive), source in others
                },
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRequest(f"the sidecar does not say what its part is in its idea: {error}") from error
