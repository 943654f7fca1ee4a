"""Notes that hold: tones that the stages let dip for some hundredths of a second go on.

Stages tell levels with some error, and a tone that ought to stand still dips now and then: notes crumble.
Where a band stands out from its neighbours for long, it is a tone, and what is missing in a short dip is
filled up to the lower of the dip's two sides. The time right before a hit stays as it is: there silence
belongs to the hit.
Shapes: B clips, S spectra (100 a second), K bands or bins. Levels are natural logs of amplitude.
"""

import torch.nn.functional as F
from torch import Tensor

# Chosen by hand on nano's clips of seeds 40 to 47. `tests.benchmarks.phase` prints what comes of them on
# other clips.
DIP = 11  # spectra, an odd number: shorter dips are filled
LONG = 31  # spectra over which a tone must stand out, an odd number
STANDS_OUT = (0.2, 0.7)  # natural log of amplitude over the neighbours: from not a tone to surely one
NEIGHBOURS = 9  # bands, an odd number
HIT = 1.2  # natural log of amplitude: what is so much louder than all of the last BEFORE spectra is a hit
BEFORE, AFTER = 10, 2  # spectra
QUIET = 5  # spectra before a hit that are left alone
REACH = LONG // 2 + 2 * (DIP // 2)  # spectra that are seen to either side


def without_dips(levels: Tensor, hits: Tensor) -> Tensor:
    """Levels [B, S, K] with the dips of tones filled, except where `hits` [B, S] says that a hit comes."""
    rows = levels.transpose(1, 2)
    closed = -_most(-_most(rows, DIP), DIP)
    long = F.avg_pool1d(closed, LONG, 1, LONG // 2, count_include_pad=False).transpose(1, 2)
    around = F.avg_pool1d(long, NEIGHBOURS, 1, NEIGHBOURS // 2, count_include_pad=False)
    least, most = STANDS_OUT
    tone = ((_most(long, 3) - around - least) / (most - least)).clamp(0, 1)
    return levels + tone * ~hits[..., None] * (closed.transpose(1, 2) - levels)


def before_hits(high: Tensor) -> Tensor:
    """Levels of the bands above 3 kHz [B, S, K] → whether a hit comes within the next spectra [B, S]."""
    level = high.mean(-1)[:, None]
    after = F.max_pool1d(F.pad(level, (0, AFTER), mode="replicate"), AFTER + 1, 1)
    before = F.max_pool1d(F.pad(level, (BEFORE, 0), mode="replicate"), BEFORE, 1)[..., : level.shape[-1]]
    hit = (after - before > HIT).float()
    return F.max_pool1d(F.pad(hit, (0, QUIET)), QUIET + 1, 1)[:, 0] > 0


def _most(rows: Tensor, width: int) -> Tensor:
    """The most of every `width` neighbours in the last dimension, an odd number."""
    return F.max_pool1d(rows, width, 1, width // 2)
