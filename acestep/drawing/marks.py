"""What a page shows of numbers and sound: waveforms and charts as SVG, spectrograms as images, players."""

import base64
import html
import io
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from acestep.drawing.sound import Picture

WAVE_HEIGHT = 100
CHART_WIDTH, CHART_HEIGHT, CHART_FOOT = 440, 150, 44
BAR_AT_MOST = 64
MP3_SMALL = 0.7  # libsndfile's scale from 0, best, to 1, smallest: about 100 kbit a second of full music


def wave(picture: Picture, lines_s: Sequence[float] = (), label: str = "waveform") -> str:
    """The lowest and highest sample of every column; upright lines at `lines_s`, such as bars."""
    middle, width = WAVE_HEIGHT / 2, len(picture.lows)
    # silence is still a line
    tops = np.minimum(middle - picture.highs * middle, middle - 0.5)
    feet = np.maximum(middle - picture.lows * middle, middle + 0.5)
    there = " ".join(f"{x},{y:.1f}" for x, y in enumerate(tops))
    back = " ".join(f"{x},{y:.1f}" for x, y in reversed(list(enumerate(feet))))
    lines = "".join(
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{WAVE_HEIGHT}"/>'
        for at in (time_s / picture.duration_s * (width - 1) for time_s in lines_s)
        if 0 <= at < width
    )
    return (
        f'<svg class="wave" viewBox="0 0 {max(1, width - 1)} {WAVE_HEIGHT}" preserveAspectRatio="none" '
        f'role="img" aria-label="{html.escape(label)}">{lines}<path d="M{there} L{back}Z"/></svg>'
    )


def spectrum(picture: Picture, label: str = "spectrogram") -> str:
    """The spectrogram as an image, low pitches below."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, np.flipud(shades(picture.brightness)), format="png")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img class="spectrum" alt="{html.escape(label)}" src="data:image/png;base64,{data}">'


def shades(brightness: NDArray[np.floating]) -> NDArray[np.uint8]:
    """0–1 as colours [..., 3], from a violet that is nearly black to yellow, as in the page."""
    v = np.asarray(brightness)
    red, green = 1.6 * v - 0.15, 1.7 * v - 0.65
    blue = np.where(v < 0.5, 0.12 + 1.1 * v, 1.3 - 1.25 * v)
    return np.asarray(np.clip(np.stack([red, green, blue], axis=-1), 0, 1) * 255, np.uint8)


def player(audio: NDArray[np.floating], rate_hz: int) -> str:
    """Audio [channels, N] to hear, inside of the page as MP3."""
    import soundfile

    file = io.BytesIO()
    clipped = np.clip(audio.T, -1, 1)
    soundfile.write(
        file, clipped, rate_hz, format="MP3", subtype="MPEG_LAYER_III", compression_level=MP3_SMALL
    )
    data = base64.b64encode(file.getvalue()).decode()
    return f'<audio controls preload="none" src="data:audio/mpeg;base64,{data}"></audio>'


def bars(title: str, counts: Mapping[str, int], nothing: str) -> str:
    """A chart of counts with their words below; `nothing` is said where there are none."""
    if not counts:
        said = html.escape(nothing)
        return f'<figure class="card"><h3>{html.escape(title)}</h3><p class="soft">{said}</p></figure>'
    most, step = max(counts.values()), min(BAR_AT_MOST, (CHART_WIDTH - CHART_FOOT) / len(counts))
    foot = CHART_HEIGHT - CHART_FOOT
    marks = []
    for number, (word, count) in enumerate(counts.items()):
        height = (foot - 16) * count / most
        middle = (number + 0.5) * step
        marks.append(
            f'<rect x="{number * step + step * 0.1:.1f}" width="{step * 0.8:.1f}" y="{foot - height:.1f}" '
            f'height="{height:.1f}"/>'
        )
        if count:
            marks.append(
                f'<text x="{middle:.1f}" y="{foot - height - 4:.1f}" text-anchor="middle">{count}</text>'
            )
        marks.append(
            f'<text transform="translate({middle - 4:.1f} {foot + 12}) rotate(35)">{html.escape(word)}</text>'
            if step < 48
            else f'<text x="{middle:.1f}" y="{foot + 14}" text-anchor="middle">{html.escape(word)}</text>'
        )
    said = ", ".join(f"{word}: {count}" for word, count in counts.items() if count)
    return (
        f'<figure class="card"><h3>{html.escape(title)}</h3><svg class="chart" role="img" '
        f'viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}" aria-label="{html.escape(said)}">'
        f'<line x1="0" x2="{CHART_WIDTH}" y1="{foot}" y2="{foot}"/>{"".join(marks)}</svg></figure>'
    )
