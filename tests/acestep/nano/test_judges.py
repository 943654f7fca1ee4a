"""What the evaluation of nano measures with: on frames whose answer is known."""

import numpy as np
import pytest

from acestep.music.grid import Grid, Signature
from acestep.nano import judges

CHANNELS = judges.CHANNELS


def hits(grid: Grid, places: list[int], of: int = 16, noise: float = 0.05) -> np.ndarray:
    """Frames of a loop that is struck at these places of every bar; a spectrum's window is 40 ms wide."""
    count = round(grid.bars * grid.bar_s * judges.RATE_HZ)
    frames = noise * np.random.default_rng(0).standard_normal((count, CHANNELS)).astype(np.float32)
    at = np.arange(count)[:, None]
    for bar in range(int(grid.bars)):
        for place in places:
            start = (bar + place / of) * grid.bar_s * judges.RATE_HZ
            frames[:, :8] += 4 * np.exp(-0.5 * ((at - start) / 3) ** 2)
    return frames


@pytest.mark.parametrize("bpm", [87.3, 120.0, 174.0])
@pytest.mark.parametrize("place", [3, 8, 14])
def test_rhythm_and_levels_tell_where_in_the_bar_it_sounds_at_any_tempo(bpm: float, place: int) -> None:
    grid = Grid(bpm, Signature(4, 4), 4)
    frames = hits(grid, [place])
    risen = judges.rhythm(frames, grid).reshape(16, 16)[:, :8].sum(1)
    assert int(risen.argmax()) == place
    high = judges.levels(frames, grid).reshape(32, 8).sum(1)
    assert int(high.argmax()) in (2 * place - 1, 2 * place)  # a hit stands on the edge of two


@pytest.mark.parametrize("bpm", [80.0, 120.0, 170.0])
def test_pulse_tells_the_tempo_that_sounds_without_being_told(bpm: float) -> None:
    grid = Grid(bpm, Signature(4, 4), 4)
    pulse = judges.pulse(hits(grid, [0, 4, 8, 12]))
    lags_s = np.geomspace(0.12, 2.2, len(pulse))
    beat = int(np.abs(lags_s - grid.beat_s).argmin())
    off = int(np.abs(lags_s - 0.7 * grid.beat_s).argmin())
    assert pulse[beat - 1 : beat + 2].max() > 3 * abs(pulse[off])


def test_features_are_finite_for_silence_and_for_a_loop_shorter_than_the_longest_lag() -> None:
    grid = Grid(180.0, Signature(4, 4), 1)
    for frames in (np.zeros((1024, CHANNELS), np.float32), hits(grid, [0])):
        values = judges.features(frames, grid)
        assert values.shape == (808,)
        assert np.isfinite(values).all()


def test_a_probe_names_clips_it_has_not_seen() -> None:
    random = np.random.default_rng(1)
    grid = Grid(120.0, Signature(4, 4), 2)
    patterns = {"straight": [0, 4, 8, 12], "late": [2, 6, 10, 14], "dense": list(range(0, 16, 2))}

    def made(name: str) -> np.ndarray:
        frames = hits(grid, patterns[name], noise=float(random.uniform(0.05, 0.5)))
        return judges.features(frames + random.normal(0, 1, CHANNELS).astype(np.float32), grid)

    labels = list(patterns) * 20
    probe = judges.train_probe(np.stack([made(label) for label in labels]), labels)
    assert probe.tell(np.stack([made(label) for label in patterns])) == list(patterns)


def test_frechet_is_nothing_for_the_same_set_and_grows_with_the_gap() -> None:
    random = np.random.default_rng(2)
    real = random.normal(size=(300, 40))
    same, near, far = (judges.frechet(real + gap, real) for gap in (0.0, 0.5, 1.0))
    assert abs(same) < 1e-6 * near
    assert near < far


def test_onsets_agree_with_themselves_and_not_with_a_shifted_loop() -> None:
    grid = Grid(100.0, Signature(4, 4), 4)
    first, second, shifted = (
        judges.onset_curve(hits(grid, at)) for at in ([0, 6, 10], [0, 6, 10], [3, 7, 13])
    )
    assert judges.agreement(first, second) > 2 * judges.agreement(first, shifted)
