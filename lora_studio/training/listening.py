"""How strong an adapter may act before its clips no longer keep what was asked for: tempo and key.

A short training teaches a sound before it teaches which notes belong to which key, and the loss does not
tell: it falls with the sound. So clips are made, at full strength and at less, and heard. On the way from
the base to the adapter clips take on the sound early and lose the key late: that is why less is worth
trying. What clips without the adapter sound like, and how long they take here, is found out before
training, so that it is known which part of a run's time belongs to listening.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acestep.hearing.measure import measure
from acestep.hearing.onsets import mono
from acestep.model.cascade import Cascade, Take
from acestep.music.key import Key
from acestep.request import GenerateRequest
from lora_studio.config import TrainConfig
from lora_studio.data.dataset import Dataset
from lora_studio.training import results
from lora_studio.training.planning import CARE, HEARD, PREVIEWED, Budget, agreed

if TYPE_CHECKING:
    from accelerate import Accelerator

# Chosen by hand; `python -m tests.benchmarks.lora --quality` measures tempo and key of what comes out.
STRENGTHS = (1.0, 0.7, 0.5, 0.4, 0.3)  # strongest first
TRIES = 3  # at most: they are halved each time
UNHEARD = 0.5  # what is kept where there was no time to listen: what short trainings usually keep
KEY_HZ = (60.0, 1000.0)  # where the tones of a key are looked for
TEMPO_ERROR = 0.005  # relative: `acestep.clips.verdict` calls as much good


@dataclass(frozen=True)
class Kept:
    """Which part of some clips' energy lies on the tones of the key asked for, and which part of the clips
    is in tempo. (Whether a clip is heard in its key is only a yes or no: ten clips tell less by that.)
    """

    strength: float
    in_key: float | None  # None: no key was asked for
    in_tempo: float

    def as_good_as(self, base: "Kept") -> bool:
        """Whether this is no worse than the base."""
        if self.in_key is not None and base.in_key is not None and self.in_key < base.in_key:
            return False
        return self.in_tempo >= base.in_tempo


def find_strength(
    cascade: Cascade,
    adapter: str,
    requests: Sequence[GenerateRequest],
    base: Kept,
    *,
    on_clip: Callable[[float], None] = lambda strength: None,
    over: Callable[[], bool] = lambda: False,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[float, list[Kept]]:
    """The most of STRENGTHS at which a loaded adapter's clips keep tempo and key as the base's do – or the
    least –, and what was heard on the way, the base first. It is looked for from the middle: what is kept at
    one strength is kept at less. Where `over` says that the time is up, what is known by then decides.
    """
    heard = [base]
    low, high = 0, len(STRENGTHS) - 1  # places in STRENGTHS, strongest first, that may still be the answer
    while low < high:
        tried = (low + high) // 2
        found = hear(
            cascade, requests, STRENGTHS[tried], adapter, on_clip=on_clip, over=over, cancelled=cancelled
        )
        if found is None:
            tested = [one.strength for one in heard[1:]]
            return (STRENGTHS[high] if tested else UNHEARD), heard
        heard.append(found)
        if found.as_good_as(base):
            high = tried
        else:
            low = tried + 1
    return STRENGTHS[low], heard


def hear(
    cascade: Cascade,
    requests: Sequence[GenerateRequest],
    strength: float,
    adapter: str = "",
    *,
    on_clip: Callable[[float], None] = lambda strength: None,
    over: Callable[[], bool] = lambda: False,
    cancelled: Callable[[], bool] | None = None,
) -> Kept | None:
    """What is kept at a strength (0: without the adapter); None: the time was up before all was heard."""
    adapters = ((adapter, strength),) if strength else ()
    takes: list[Take] = []
    for request in requests:
        if over():
            return None
        takes += cascade.generate(dataclasses.replace(request, adapters=adapters), cancelled=cancelled)
        on_clip(strength)
    return _kept(strength, requests, takes)


def in_other_keys(requests: Sequence[GenerateRequest], count: int) -> list[GenerateRequest]:
    """`count` requests after the given ones, their keys a fifth apart: also where no training file was."""
    made = []
    for number in range(count if requests else 0):
        request = requests[number % len(requests)]
        key = request.key and Key((request.key.tonic + 7 * number) % 12, request.key.mode)
        made.append(dataclasses.replace(request, key=key, seed=(request.seed or 0) + number))
    return made


def _kept(strength: float, requests: Sequence[GenerateRequest], takes: Sequence[Take]) -> Kept:
    in_key, in_tempo = [], []
    for request, take in zip(requests, takes, strict=True):
        audio = take.audio[:, : request.grid.samples(take.sample_rate_hz)]
        found = measure(audio, take.sample_rate_hz, grid=request.grid, on_bar=take.on_bar)
        in_tempo.append(found.bpm is not None and abs(found.bpm / request.grid.bpm - 1) <= TEMPO_ERROR)
        if request.key is not None:
            in_key.append(energy_in_key(mono(audio), take.sample_rate_hz, request.key))
    return Kept(strength, float(np.mean(in_key)) if in_key else None, float(np.mean(in_tempo)))


def energy_in_key(samples: np.ndarray, sample_rate_hz: int, key: Key) -> float:
    """The part of the energy between KEY_HZ of mono samples [N] that is nearest to the key's tones."""
    power = np.square(np.abs(np.fft.rfft(samples)))
    hz = np.fft.rfftfreq(len(samples), 1 / sample_rate_hz)
    heard = (hz > KEY_HZ[0]) & (hz < KEY_HZ[1])
    tones = np.rint(69 + 12 * np.log2(hz[heard] / 440)).astype(int) % 12
    energy = np.bincount(tones, power[heard], 12)
    return float(energy[list(key.pitch_classes)].sum() / max(energy.sum(), 1e-12))


CLIPS, LONGEST_S = 10, 10.0  # heard at each strength that is tried, where there is time; at most that long
FEWEST = 2  # fewer clips tell nothing
TOO_LATE = 0.6  # by then all that is left of the time is for training
WARM_CLIPS = 2  # the first clip of a process takes longer than all others …
WARM = 0.05  # … which is not tried again where it took more than this share of the time
OnStage = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class Audition:
    """What will be heard at each strength, what was heard without the adapter, and the previews so far."""

    requests: tuple[GenerateRequest, ...] = ()
    base: Kept | None = None
    previews: tuple[tuple[GenerateRequest, np.ndarray], ...] = ()  # with what they sound like before
    listening_s: float = 0.0  # what listening will take after training, at most …
    previews_s: float = 0.0  # … and the previews


def hold(
    cascade: Cascade,
    dataset: Dataset,
    config: TrainConfig,
    budget: Budget,
    accelerator: "Accelerator",
    on_stage: OnStage | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Audition:
    """Makes and hears the clips without the adapter, as many as their share of the time allows."""
    wanted = results.preview_requests(dataset, config, CLIPS, LONGEST_S) if config.strength is None else []
    requests = in_other_keys(wanted, CLIPS)
    previews = results.preview_requests(dataset, config, config.previews)
    if agreed(accelerator, budget.over(TOO_LATE)) or not (requests or previews):
        return Audition()
    told = _Told(on_stage, WARM_CLIPS + len(requests) + len(previews))
    clip_s = _clip_s(cascade, (requests or previews)[0], budget, told, cancelled)
    number = _affordable(len(requests), budget.allowed_s(HEARD) / ((1 + TRIES) * clip_s), FEWEST)
    shown = _affordable(len(previews), budget.allowed_s(PREVIEWED) / (2 * clip_s), 1)
    number, shown = agreed(accelerator, (number, shown))
    base = None
    if number:
        base = hear(cascade, requests[:number], 0.0, on_clip=told.more, cancelled=cancelled)
    before = []
    started = time.monotonic()
    for request in previews[:shown]:
        before.append((request, results.preview(cascade, request)))
        told.more()
    previews_s = CARE * (time.monotonic() - started)
    listening_s = CARE * number * TRIES * clip_s
    told.end()
    return Audition(tuple(requests[:number]), base, tuple(before), listening_s, previews_s)


def _clip_s(
    cascade: Cascade,
    request: GenerateRequest,
    budget: Budget,
    told: "_Told",
    cancelled: Callable[[], bool] | None,
) -> float:
    """Seconds that making and hearing a clip takes."""
    took_s = float("inf")
    for _ in range(WARM_CLIPS):
        started = time.monotonic()
        hear(cascade, [request], 0.0, cancelled=cancelled)
        took_s = min(took_s, time.monotonic() - started)
        told.more()
        if took_s > budget.allowed_s(WARM):
            break
    return took_s


def _affordable(wanted: int, possible: float, fewest: int) -> int:
    number = int(min(wanted, possible))
    return number if number >= min(fewest, wanted) else 0


class _Told:
    """Counts clips for a progress bar."""

    def __init__(self, on_stage: OnStage | None, total: int) -> None:
        self._on_stage, self._total, self._done = on_stage, total, 0

    def more(self, *_: object) -> None:
        self._done += 1
        if self._on_stage:
            self._on_stage("listening before", self._done, self._total, "")

    def end(self) -> None:
        self._done = self._total - 1
        self.more()
