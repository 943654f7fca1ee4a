"""ACE-Step music generation whose clips fit the song: cascades, requests and clips.

    from acestep import Cascade, GenerateRequest
    takes = Cascade.load("nano").generate(GenerateRequest(prompt="dusty breakbeat", bpm=92.5, key="A minor"))

Names are loaded when first used, so importing this package does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from acestep.version import __version__

_HOME = {
    "AudioRange": "acestep.request",
    "Cascade": "acestep.model.cascade",
    "Clip": "acestep.clips.clip",
    "GenerateRequest": "acestep.request",
    "Grid": "acestep.music.grid",
    "Key": "acestep.music.key",
    "Signature": "acestep.music.grid",
    "Take": "acestep.model.cascade",
    "errors": "acestep.errors",
    "produce": "acestep.clips.production",
}

__all__ = [*_HOME, "__version__"]

if TYPE_CHECKING:
    from acestep import errors as errors
    from acestep.clips.clip import Clip as Clip
    from acestep.clips.production import produce as produce
    from acestep.model.cascade import Cascade as Cascade
    from acestep.model.cascade import Take as Take
    from acestep.music.grid import Grid as Grid
    from acestep.music.grid import Signature as Signature
    from acestep.music.key import Key as Key
    from acestep.request import AudioRange as AudioRange
    from acestep.request import GenerateRequest as GenerateRequest


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'acestep' has no attribute {name!r}")
    module = import_module(_HOME[name])
    return module if name == "errors" else getattr(module, name)
