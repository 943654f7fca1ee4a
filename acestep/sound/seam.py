"""The joint of a loop: cutting a clip to length so that its end runs into its beginning without a click.

Audio is [C, N] float32.
"""

import numpy as np

# Chosen by hand; `python -m tests.benchmarks.fit` prints the clicks of loops that are cut by them.
FADE_S = 0.012  # of the joint
SEARCH_S = 0.060  # where the best joint is looked for
SMOOTH_S = 0.006  # what is bent to meet the other side
TAIL_S = 1.5  # of what rings on behind the end, at most
SPLICE_FADE_S = 0.008  # at the ends of a first sound that is moved
SPLICE_BEFORE_S = (-0.060, -0.005)  # around a first sound that is moved by itself: where it is entered …
SPLICE_BEHIND_S = (0.015, 0.080)  # … and left; the fastest sixteenth comes after that
BULGE = 1.0  # of the peak: what meeting a slope may add on the way, at most
TILT_PEAK = 4 / 27  # the most that x² (1 − x) reaches
NEW_ONSET = 1.6  # of the energy: what grows by more is a new attack, not a tail


def cut_loop(audio: np.ndarray, start: int, length: int, sample_rate_hz: int) -> np.ndarray:
    """`length` samples from `start`, wrapped around if the material ends before that.

    What lies before `start` leads into the loop. What rings on after the end is added to the beginning. After
    its end the material is assumed to go on as it did one length before.
    """
    total = audio.shape[1]
    if start < 0:
        lead = min(-start, min(length, total) // 2)
        before = audio[:, min(length, total) - lead : min(length, total)]  # what leads to the start next time
        audio = join(before, audio, min(round(FADE_S * sample_rate_hz), lead))
        if audio.shape[1] >= length:
            return audio[:, :length]
        start, total = 0, audio.shape[1]
    if start + length <= total:
        clip = audio[:, start : start + length].copy()
        before, after = audio[:, :start], audio[:, start + length :]
        if before.shape[1] >= round(FADE_S * sample_rate_hz):
            _lead_in(clip, before, sample_rate_hz)
        elif after.shape[1]:
            _fold_tail(clip, after, sample_rate_hz)
        return clip
    head = audio[:, start:]
    missing = length - head.shape[1]
    fade = min(round(FADE_S * sample_rate_hz), head.shape[1], missing)
    again = audio[:, max(0, total - length) :][:, :missing]
    again = np.pad(again, ((0, 0), (0, missing - again.shape[1])))
    return join(head, again, fade)[:, :length]


def join(first: np.ndarray, second: np.ndarray, fade: int) -> np.ndarray:
    """`first` then `second`, without overlap: the end of the first is bent so that it meets the second."""
    meeting = first.copy()
    meet(meeting, second, fade)
    return np.concatenate([meeting, second], axis=1)


def meet(clip: np.ndarray, following: np.ndarray, width: int) -> None:
    """Bends the last `width` samples so that value and slope continue into `following` (at least 2 samples).

    Nothing becomes louder than its surroundings: the slope is matched over a short way only, since between
    two samples of a cymbal it can be as steep as sound can be and says nothing about where it leads.
    """
    width = min(width, clip.shape[1])
    if width < 4 or following.shape[1] < 2:
        return
    tail = clip[:, -width:]
    peak = np.maximum(np.abs(tail).max(axis=1), np.abs(following[:, :width]).max(axis=1))
    step = following[:, 1] - following[:, 0]
    last, last_but_one = (np.clip(following[:, 0] - n * step, -peak, peak) for n in (1, 2))
    value = last - clip[:, -1]
    slope = value - (last_but_one - clip[:, -2])
    tail += value[:, None] * _rise(width)
    for channel, steep in enumerate(np.abs(slope)):
        reach = int(np.clip(BULGE * peak[channel] / max(TILT_PEAK * steep, 1e-9), 4, width))
        clip[channel, -reach:] += slope[channel] * _tilt(reach)
    np.clip(tail, -peak[:, None], peak[:, None], out=tail)


def _rise(width: int) -> np.ndarray:
    """From 0 to 1, level at both ends."""
    t = np.arange(1, width + 1, dtype=np.float32) / width
    return t * t * (3 - 2 * t)


def _tilt(width: int) -> np.ndarray:
    """From 0 to 0, ending with slope 1 a sample; goes down to TILT_PEAK times the width on its way."""
    t = np.arange(1, width + 1, dtype=np.float32) / width
    return width * t * t * (t - 1)


def _lead_in(clip: np.ndarray, before: np.ndarray, sample_rate_hz: int) -> None:
    """Cross-fades the end into what led up to the start, where that changes least."""
    fade = round(FADE_S * sample_rate_hz)
    reach = min(round(SEARCH_S * sample_rate_hz), before.shape[1], clip.shape[1] // 4)
    end, lead = clip[:, -reach:], before[:, -reach:]
    offsets = range(0, reach - fade + 1, max(1, fade // 4))
    change, level = np.square(end - lead).sum(axis=0), np.square(lead).sum(axis=0)
    cost = [float((change + level)[i : i + fade].sum()) for i in offsets]
    at = list(offsets)[int(np.argmin(cost))]
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    end[:, at : at + fade] += ramp * (lead[:, at : at + fade] - end[:, at : at + fade])
    end[:, at + fade :] = lead[:, at + fade :]


def _fold_tail(clip: np.ndarray, after: np.ndarray, sample_rate_hz: int) -> None:
    """Adds what rings on after the end to the beginning. Music that goes on is not added."""
    window = round(0.04 * sample_rate_hz)
    size = min(after.shape[1], round(TAIL_S * sample_rate_hz), clip.shape[1]) // window * window
    if size < window:
        return
    tail = after[:, :size]
    level = np.square(tail).reshape(tail.shape[0], -1, window).mean(axis=(0, 2))
    before = float(np.square(clip[:, -window:]).mean())
    silent = 1e-7 * float(np.square(clip).max())
    if level[0] > NEW_ONSET * before + silent or np.any(level[1:] > NEW_ONSET * level[:-1] + silent):
        return
    clip[:, :size] += tail * np.linspace(1, 0, size, dtype=np.float32) ** 2


def start_moved(clip: np.ndarray, late: int, sample_rate_hz: int) -> np.ndarray:
    """The loop with the sound it begins with `late` samples earlier (negative: later); all else stays.

    Before and behind that sound it is cross-faded into itself moved, where the two differ least.
    """
    fade = round(SPLICE_FADE_S * sample_rate_hz)
    before, behind = (
        [round(edge_s * sample_rate_hz) for edge_s in region] for region in (SPLICE_BEFORE_S, SPLICE_BEHIND_S)
    )
    middle = -before[0] + abs(late)
    around = np.concatenate([clip[:, -middle:], clip[:, : behind[1] + abs(late) + fade]], axis=1)
    moved = np.roll(around, -late, axis=1)
    early = min(late, 0)  # an attack that lies there already is not entered within
    enter = _least_change(
        around,
        moved,
        range(middle + before[0] + early, middle + before[1] + early - fade, fade // 4),
        fade,
    )
    leave = _least_change(
        around, moved, range(middle + behind[0], middle + behind[1] - fade, fade // 4), fade
    )
    share = np.zeros(around.shape[1], np.float32)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    share[enter : enter + fade], share[enter + fade : leave], share[leave : leave + fade] = (
        ramp,
        1,
        ramp[::-1],
    )
    around = around + share * (moved - around)
    result = clip.copy()
    result[:, -middle:], result[:, : around.shape[1] - middle] = around[:, :middle], around[:, middle:]
    return result


def _least_change(one: np.ndarray, other: np.ndarray, starts: range, length: int) -> int:
    """Where, over `length` samples, the two differ least for their level."""
    change, level = np.square(one - other).sum(axis=0), (np.square(one) + np.square(other)).sum(axis=0)
    costs = [
        float(change[i : i + length].sum()) / (float(level[i : i + length].sum()) + 1e-9) for i in starts
    ]
    return starts[int(np.argmin(costs))]


def smooth_seam(clip: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """The clip with its last 6 ms bent so that they run into its first sample."""
    result = clip.copy()
    meet(result, clip, round(SMOOTH_S * sample_rate_hz))
    return result
