"""How strong an adapter may act: found by listening to clips, judged against the base's."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from acestep.music.key import Key
from acestep.request import GenerateRequest
from lora_studio.training.listening import TRIES, Kept, find_strength, hear, in_other_keys

RATE_HZ = 48_000


class Player:
    """Plays a scale in the key asked for, on the beat; an adapter above `limit` plays it a tritone away,
    or, `late`, at another tempo.
    """

    def __init__(self, limit: float, late: bool = False) -> None:
        self.limit, self.late = limit, late
        self.asked: list[float] = []

    def generate(self, requests: Any, **_: Any) -> list[Any]:
        takes = []
        for request in [requests] if isinstance(requests, GenerateRequest) else requests:
            strength = dict(request.adapters).get("mine", 0.0)
            self.asked.append(strength)
            lost = strength > self.limit
            takes.append(
                SimpleNamespace(
                    audio=self._scale(request, 6 if lost and not self.late else 0, lost and self.late),
                    sample_rate_hz=RATE_HZ,
                    on_bar=False,
                )
            )
        return takes

    def _scale(self, request: GenerateRequest, moved: int, late: bool) -> np.ndarray:
        assert request.key is not None
        steps = sorted((pitch - request.key.tonic) % 12 for pitch in request.key.pitch_classes)
        beat_s = 60 / request.bpm * (1.07 if late else 1)
        audio = np.zeros(request.grid.samples())
        for number in range(round(len(audio) / RATE_HZ / beat_s)):
            pitch = 60 + (request.key.tonic + moved + steps[number % 7]) % 12
            time = np.arange(round(beat_s * RATE_HZ)) / RATE_HZ
            hz = 440 * 2 ** ((pitch - 69) / 12)
            note = sum(np.sin(2 * np.pi * hz * n * time) / n for n in range(1, 6)) * np.exp(-6 * time)
            at = round(number * beat_s * RATE_HZ)
            audio[at : at + len(note)] += 0.3 * note[: len(audio) - at]
        return np.stack([audio, audio]).astype(np.float32)


def asked() -> list[GenerateRequest]:
    first = GenerateRequest(prompt="scale", bpm=120, bars=4, key=Key.parse("A minor"), seed=1)
    return in_other_keys([first], 4)


def base(player: Player) -> Kept:
    kept = hear(player, asked(), 0.0)  # type: ignore[arg-type]
    assert kept is not None
    return kept


@pytest.mark.parametrize("late", [False, True])
def test_the_strongest_that_keeps_key_and_tempo_is_found(late: bool) -> None:
    player = Player(0.65, late)
    strength, heard = find_strength(player, "mine", asked(), base(player))  # type: ignore[arg-type]
    assert strength == 0.5
    assert [one.strength for one in heard] == [0.0, 0.5, 0.7]
    if late:
        assert heard[2].in_tempo < heard[0].in_tempo
    else:
        assert (heard[0].in_key or 0) > 0.9
        assert (heard[2].in_key or 1) < 0.6


@pytest.mark.parametrize("limit", [1.0, 0.7, 0.5, 0.4, 0.3, 0.1])
def test_at_most_three_strengths_are_tried_wherever_the_limit_lies(limit: float) -> None:
    player = Player(limit)
    strength, heard = find_strength(player, "mine", asked(), base(player))  # type: ignore[arg-type]
    assert strength == max(limit, 0.3)
    assert len(heard) <= 1 + TRIES


@pytest.mark.parametrize(("clips", "strength"), [(0, 0.5), (3, 0.5), (4, 0.5), (8, 0.7), (11, 0.7)])
def test_where_the_time_is_up_what_was_heard_by_then_decides(clips: int, strength: float) -> None:
    player = Player(0.9)
    before = base(player)
    player.asked.clear()
    found, heard = find_strength(
        player,
        "mine",
        asked(),
        before,
        over=lambda: len(player.asked) >= clips,  # type: ignore[arg-type]
    )
    assert found == strength
    assert len(player.asked) == clips
    assert len(heard) == 1 + clips // 4


def test_keys_are_spread_and_seeds_differ() -> None:
    requests = asked()
    assert len({str(one.key) for one in requests}) == len({one.seed for one in requests}) == 4


def test_a_base_without_key_asks_for_none() -> None:
    base = Kept(0.0, None, 0.5)
    assert Kept(1.0, None, 0.5).as_good_as(base)
    assert not Kept(1.0, None, 0.3).as_good_as(base)
