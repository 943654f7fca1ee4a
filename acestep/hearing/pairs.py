"""How two parts of a song fit each other: onsets, notes, and bands in which they fight.

Every share stands beside what chance would give: the same part shifted within the grid, or transposed. A pair
that does no better than that fits no better than two parts that were thrown together.
Shapes: B bands, T frames of the spectrum, C channels, N samples.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from acestep.hearing.groove import Attacks
from acestep.hearing.onsets import mono
from acestep.hearing.tonality import hear_tones
from acestep.music.grid import Grid

# Chosen by hand where nothing else is said; `python -m tests.benchmarks.parts` prints what comes of them.
TOGETHER_S = 0.020  # onsets so near to one another, or to the grid, are heard as one: given by what is asked
SHIFTS = 16  # places within a sixteenth at which a part is tried for what chance gives
MIN_ONSETS = 3  # fewer tell nothing
CLEAR = 0.4  # of the strongest: softer onsets of a note are often its end, or a string that is touched
MIN_LATE = 2  # hits between the eighths that tell how late those are
MOST_LATE = 0.45  # of a sixteenth: what is later than that belongs to the next one
PLAYED = 0.05  # of all tones: from here on a pitch class is played, below it may be a partial
LOW_PART = 0.5  # bass band's tones over the others: from here on the part is a bass, whose overtones are not
# played: a third and a fifth above it that no other part need have
BAND_EDGES_HZ = tuple(40.0 * 2 ** (k / 3) for k in range(26))  # thirds of octaves, 40 Hz to 12.9 kHz
WINDOW_S, HOP_S = 0.085, 0.043
OWN_DB = 12.0  # a band matters to a part where it is so near to the part's loudest band at that time
HEARD_DB = 40.0  # and the part so near to its loudest moment
EQUAL_DB = 6.0  # of two parts so near in level in a band, neither is clear
ENOUGH = 0.9  # of onsets: below, a part is worth another try. Notes that do not fit are seldom mended by one
FIGHT = 0.3  # of the time in which both play: bands that fight for longer are named


@dataclass(frozen=True)
class Traits:
    """What of a part is compared: its attacks, its tones by pitch class (() without any), levels [B, T]."""

    percussive: bool
    attacks: Attacks
    tones: np.ndarray
    levels_db: np.ndarray

    @classmethod
    def of(cls, audio: np.ndarray, sample_rate_hz: int, percussive: bool) -> "Traits":
        """The traits of `audio` [C, N]; a percussive part has no tones to compare."""
        samples = mono(audio)
        tones = np.zeros(12)
        if not percussive:
            heard = hear_tones(samples, sample_rate_hz)
            tones, low = heard.chroma.sum(axis=0), heard.bass.sum(axis=0)
            tones = low if low.sum() > LOW_PART * tones.sum() else tones
        total = tones.sum()
        return cls(
            percussive,
            Attacks.of(audio, sample_rate_hz),
            tones / total if total > 0 else tones,
            _levels_db(samples, sample_rate_hz),
        )


@dataclass(frozen=True)
class Feel:
    """Where the sixteenths of a quarter lie in the groove of two parts.

    `swing` is long to short eighth, `late` how far every second sixteenth comes behind its place, as a share
    of a sixteenth.
    """

    swing: float = 1.0
    late: float = 0.0

    @classmethod
    def of(cls, drums: Attacks, grid: Grid, downbeat_s: float = 0.0, swing: float | None = None) -> "Feel":
        """The feel that drums have; `swing` is one that is known."""
        found = swing or drums.swing(grid, downbeat_s) or 1.0
        sixteenths = (drums.starts_s - downbeat_s) / (60 / grid.bpm) * 4
        second = sixteenths % 2  # 0 on the eighths, 1 between them
        between = second[np.abs(second - 1) <= MOST_LATE] - 1
        if found > 1.15 or len(between) < MIN_LATE:
            return cls(found)
        return cls(1.0, float(np.median(between)))

    def places(self) -> np.ndarray:
        """The sixteenths of a quarter, straight and in this feel, and the next one: shares of a quarter."""
        off, late = self.swing / (1 + self.swing), self.late / 4
        return np.array([0.0, 0.25, 0.5, 0.75, 1.0, off / 2 + late, off, (1 + off) / 2 + late])


STRAIGHT = Feel()


@dataclass(frozen=True)
class Beside:
    """A share, 0–1, and what chance gives for the same two parts."""

    share: float
    by_chance: float

    @property
    def no_better(self) -> bool:
        """Whether thrown together they would fit as well; where chance alone gives all, nothing is told."""
        return self.share <= self.by_chance < 0.97

    def to_dict(self) -> dict[str, float]:
        """For the sidecar."""
        return {"share": round(self.share, 3), "by_chance": round(self.by_chance, 3)}


@dataclass(frozen=True)
class Pair:
    """Two parts: `onsets` of the first on those of the second or on the grid, and `notes` that they share.

    None where there is nothing to compare. They `fight` in bands from and to so many hertz, for that share of
    the time.
    """

    part: str
    other: str
    onsets: Beside | None
    notes: Beside | None
    fights: tuple[tuple[int, int, float], ...]

    @property
    def worse_than_shuffled(self) -> bool:
        """Whether onsets or notes fit no better than chance."""
        return any(one.no_better for one in (self.onsets, self.notes) if one is not None)

    @property
    def loose(self) -> bool:
        """Whether another try is likely to fit better."""
        return self.worse_than_shuffled or (self.onsets is not None and self.onsets.share < ENOUGH)

    @property
    def penalty(self) -> float:
        """What speaks against the pair: 1 for each tenth of onsets or notes that do not fit."""
        missing = [1 - one.share for one in (self.onsets, self.notes) if one is not None]
        return 10 * sum(missing) + sum(share for _, _, share in self.fights)

    def to_dict(self) -> dict[str, Any]:
        """For the sidecar."""
        return {
            "part": self.part,
            "other": self.other,
            "onsets": self.onsets and self.onsets.to_dict(),
            "notes": self.notes and self.notes.to_dict(),
            "fights": [{"from_hz": low, "to_hz": high, "share": share} for low, high, share in self.fights],
        }

    def __str__(self) -> str:
        said = []
        if self.onsets is not None:
            said.append(f"{self.onsets.share:.0%} of its onsets on those of {self.other} or the grid")
        if self.notes is not None:
            said.append(f"{self.notes.share:.0%} of the notes shared with {self.other}")
        said += [f"fights {self.other} at {low}–{high} Hz" for low, high, _ in self.fights]
        return ", ".join(said)


def pair(
    part: tuple[str, Traits],
    other: tuple[str, Traits],
    grid: Grid,
    downbeat_s: float = 0.0,
    swing: float | None = None,
) -> Pair:
    """How a part fits another one; both begin together. The grid has the feel of the drums among them."""
    (name, mine), (other_name, theirs) = part, other
    onsets = notes = None
    if mine.percussive and not theirs.percussive:  # it is the notes that keep to the beat
        (name, mine), (other_name, theirs) = other, part
    if theirs.percussive:
        clear_s = mine.attacks.starts_s[mine.attacks.strengths >= CLEAR]
        feel = Feel.of(theirs.attacks, grid, downbeat_s, swing)
        onsets = onsets_shared(clear_s, theirs.attacks.starts_s, grid, downbeat_s, feel)
    else:
        notes = notes_shared(mine.tones, theirs.tones)
    return Pair(name, other_name, onsets, notes, _fights(mine.levels_db, theirs.levels_db))


def onsets_shared(
    mine_s: np.ndarray,
    theirs_s: np.ndarray,
    grid: Grid,
    downbeat_s: float = 0.0,
    feel: Feel = STRAIGHT,
) -> Beside | None:
    """The share of `mine_s` within TOGETHER_S of one of theirs or of a sixteenth; None for few onsets.

    By chance: the mean over shifts of mine by parts of a sixteenth.
    """
    if len(mine_s) < MIN_ONSETS:
        return None
    quarter_s = 60 / grid.bpm
    shares = []
    for shift in range(SHIFTS):
        at_s = mine_s + shift * quarter_s / 4 / SHIFTS
        near = _from_grid_s(at_s - downbeat_s, quarter_s, feel) <= TOGETHER_S
        if len(theirs_s):
            near |= np.abs(at_s[:, None] - theirs_s[None, :]).min(axis=1) <= TOGETHER_S
        shares.append(float(near.mean()))
    return Beside(shares[0], float(np.mean(shares)))


def notes_shared(mine: np.ndarray, theirs: np.ndarray) -> Beside | None:
    """How much of the tones [12] of the part with fewer pitch classes lies on pitch classes of the other one.

    By chance: the mean over all transpositions. None where one of the two has no tones.
    """
    if mine.sum() <= 0 or theirs.sum() <= 0:
        return None
    fewer, more = sorted((mine, theirs), key=lambda tones: int((tones >= PLAYED).sum()))
    fewer = np.where(fewer >= PLAYED, fewer, 0.0)
    fewer, held = fewer / fewer.sum(), more >= PLAYED
    shares = [float(np.roll(fewer, step)[held].sum()) for step in range(12)]
    return Beside(shares[0], float(np.mean(shares[1:])))


def _from_grid_s(at_s: np.ndarray, quarter_s: float, feel: Feel) -> np.ndarray:
    """How far times lie from the nearest sixteenth of that feel, in seconds."""
    within = (at_s / quarter_s) % 1.0
    away: np.ndarray = np.abs(within[:, None] - feel.places()[None, :]).min(axis=1) * quarter_s
    return away


def _levels_db(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Level per band and frame [B, T] in dB of full scale."""
    import scipy.fft

    window, hop = round(WINDOW_S * sample_rate_hz), round(HOP_S * sample_rate_hz)
    padded = np.pad(samples.astype(np.float32, copy=False), (0, max(0, window - len(samples))))
    views = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    power = np.square(np.abs(scipy.fft.rfft(views * np.hanning(window).astype(np.float32), axis=1)))
    bins = np.fft.rfftfreq(window, 1 / sample_rate_hz)
    starts = np.searchsorted(bins, BAND_EDGES_HZ)
    summed = np.add.reduceat(power[:, : starts[-1]], starts[:-1], axis=1)
    levels: np.ndarray = 10 * np.log10(summed.T + 1e-9)
    return levels


def _fights(mine_db: np.ndarray, theirs_db: np.ndarray) -> tuple[tuple[int, int, float], ...]:
    """Neighbouring bands in which both parts are about as loud for long, as one band each."""
    frames = min(mine_db.shape[1], theirs_db.shape[1])
    mine_db, theirs_db = mine_db[:, :frames], theirs_db[:, :frames]
    matters, plays = [], []
    for levels in (mine_db, theirs_db):
        loudest = levels.max(axis=0)
        heard = loudest > loudest.max(initial=-np.inf) - HEARD_DB
        matters.append((levels > loudest - OWN_DB) & heard)
        plays.append(heard)
    both = plays[0] & plays[1]
    if not both.any():
        return ()
    equal = matters[0] & matters[1] & (np.abs(mine_db - theirs_db) < EQUAL_DB)
    share = equal[:, both].mean(axis=1)
    found: list[tuple[int, int, float]] = []
    for band in np.flatnonzero(share >= FIGHT):
        low, high = round(BAND_EDGES_HZ[band]), round(BAND_EDGES_HZ[band + 1])
        if found and found[-1][1] == low:
            low, _, before = found.pop()
            found.append((low, high, round(max(before, float(share[band])), 2)))
        else:
            found.append((low, high, round(float(share[band]), 2)))
    return tuple(found)
