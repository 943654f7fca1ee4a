"""More than two channels mixed down to stereo by where their loudspeakers stand.

Weights are those of ITU-R BS.775 (−3 dB for the centre and the rear, nothing of the low effects), scaled so
that no sum can exceed full scale.
"""

import math
import struct

import numpy as np

HALF_POWER = math.sqrt(0.5)
# Loudspeakers in the order of their bits in a WAV's channel mask: [left, right]
SPEAKERS: dict[str, tuple[float, float]] = {
    "FL": (1, 0), "FR": (0, 1), "FC": (HALF_POWER, HALF_POWER), "LFE": (0, 0),
    "BL": (HALF_POWER, 0), "BR": (0, HALF_POWER), "FLC": (1, 0), "FRC": (0, 1),
    "BC": (0.5, 0.5), "SL": (HALF_POWER, 0), "SR": (0, HALF_POWER), "TC": (0.5, 0.5),
    "TFL": (HALF_POWER, 0), "TFC": (0.5, 0.5), "TFR": (0, HALF_POWER),
    "TBL": (0.5, 0), "TBC": (0.35, 0.35), "TBR": (0, 0.5),
}  # fmt: skip
USUAL = {  # in WAV, FLAC and AIFF files that do not say
    3: "FL FR FC", 4: "FL FR BL BR", 5: "FL FR FC BL BR", 6: "FL FR FC LFE BL BR",
    7: "FL FR FC LFE BC SL SR", 8: "FL FR FC LFE BL BR SL SR",
}  # fmt: skip
OF_OGG = {  # Vorbis and Opus put the centre between left and right
    3: "FL FC FR", 4: "FL FR BL BR", 5: "FL FC FR BL BR", 6: "FL FC FR BL BR LFE",
    7: "FL FC FR SL SR BC LFE", 8: "FL FC FR SL SR BL BR LFE",
}  # fmt: skip
# Apple's layouts by number: AIFF's CHAN and CAF's chan
OF_APPLE = {
    108: "FL FR BL BR", 113: "FL FR FC", 114: "FC FL FR", 115: "FL FR FC BC", 116: "FC FL FR BC",
    117: "FL FR FC BL BR", 118: "FL FR BL BR FC", 119: "FL FC FR BL BR", 120: "FC FL FR BL BR",
    121: "FL FR FC LFE BL BR", 122: "FL FR BL BR FC LFE", 123: "FL FC FR BL BR LFE",
    124: "FC FL FR BL BR LFE", 125: "FL FR FC LFE BL BR BC", 126: "FL FR FC LFE BL BR FLC FRC",
    127: "FC FLC FRC FL FR BL BR LFE", 128: "FL FR FC LFE SL SR BL BR", 131: "FL FR BC", 132: "FL FR BL BR",
}  # fmt: skip
APPLE_DESCRIBES, APPLE_MASK = 0, 1 << 16
APPLE_REAR = {33: "BL", 34: "BR"}


def apple_layout(content: bytes) -> tuple[str, ...]:
    """The loudspeakers that an AIFF's CHAN or a CAF's chan chunk names; () where it names none we know."""
    if len(content) < 12:
        return ()
    tag, mask, count = struct.unpack(">III", content[:12])
    names = tuple(SPEAKERS)
    if tag == APPLE_MASK:
        return tuple(name for bit, name in enumerate(names) if mask >> bit & 1)
    if tag != APPLE_DESCRIBES:
        return tuple(OF_APPLE.get(tag >> 16, "").split())
    labels = [int.from_bytes(content[at : at + 4], "big") for at in range(12, len(content) - 19, 20)][:count]
    known = dict(enumerate(names, 1)) | APPLE_REAR
    return tuple(known[label] for label in labels) if all(label in known for label in labels) else ()


def speakers(
    channels: int, mask: int | None, ogg: bool = False, named: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], bool]:
    """The loudspeaker of each channel, and whether that was only assumed; () where nobody can know."""
    if len(named) == channels:
        return named, False
    if ogg:
        return tuple(OF_OGG.get(channels, "").split()), False
    if mask:
        by_mask = tuple(name for bit, name in enumerate(SPEAKERS) if mask >> bit & 1)
        if len(by_mask) == channels:
            return by_mask, False
    return tuple(USUAL.get(channels, "").split()), True


def fold_weights(channels: int, named: tuple[str, ...]) -> np.ndarray:
    """[C, 2]: what of each channel goes left and right. Channels of unknown place go to the middle."""
    weights = np.array([SPEAKERS[name] for name in named] or [(1.0, 1.0)] * channels, np.float32)
    loudest = float(weights.sum(axis=0).max())
    return weights / loudest if loudest > 0 else np.full((channels, 2), 1 / channels, np.float32)


def fold_note(channels: int, named: tuple[str, ...], assumed: bool) -> str:
    """What was done, for the musician."""
    if not named:
        return (
            f"{channels} channels folded to two, all in the middle: the file does not say where they belong"
        )
    note = f"{channels} channels folded to two ({' '.join(named)})"
    if assumed:
        note += "; the file does not say where they belong, so the usual order was assumed"
    return f"{note}; the LFE channel was left out" if "LFE" in named else note
