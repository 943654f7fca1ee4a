"""How strong an adapter may act: found by listening to clips, judged against the base's."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from acestep.key import Key
from acestep.request import GenerateRequest
from lora_studio.strength import Kept, find_strength, in_other_keys

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
        for request in requests:
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


@pytest.mark.parametrize("late", [False, True])
def test_the_strongest_that_keeps_key_and_tempo_is_found(late: bool) -> None:
    strength, heard = find_strength(Player(0.65, late), "mine", asked())  # type: ignore[arg-type]
    assert strength == 0.5
    assert [one.strength for one in heard] == [0.0, 1.0, 0.7, 0.5]
    if late:
        assert heard[1].in_tempo < heard[0].in_tempo
    else:
        assert (heard[0].in_key or 0) > 0.9
        assert (heard[1].in_key or 1) < 0.6


def test_what_fits_at_once_is_kept_whole_and_no_more_clips_are_made() -> None:
    player = Player(1.0)
    assert find_strength(player, "mine", asked())[0] == 1.0  # type: ignore[arg-type]
    assert player.asked == [0.0] * 4 + [1.0] * 4


def test_without_anything_to_ask_for_it_is_kept_whole() -> None:
    assert find_strength(Player(0.0), "mine", []) == (1.0, [])  # type: ignore[arg-type]


def test_keys_are_spread_and_seeds_differ() -> None:
    requests = asked()
    assert len({str(one.key) for one in requests}) == len({one.seed for one in requests}) == 4


def test_a_base_without_key_asks_for_none() -> None:
    base = Kept(0.0, None, 0.5)
    assert Kept(1.0, None, 0.5).as_good_as(base)
    assert not Kept(1.0, None, 0.3).as_good_as(base)
