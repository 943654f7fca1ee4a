"""What a clip should be: its grid, key and tempo map, and where its first bar begins."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acestep.errors import InvalidRequest
from acestep.music.grid import Grid, Signature
from acestep.music.key import Key
from acestep.music.tempo_map import TempoMap


@dataclass(frozen=True)
class Aim:
    """What was asked for.

    `downbeat_s` is where the first bar begins. `on_bar`: see `measure`. `given` says that the beats come from
    other music, and the clip is a part for it. A part is judged by where its attacks lie on those beats,
    because a lone bass or lead does not tell which beat begins a bar.
    """

    grid: Grid
    key: Key | None = None
    tempo_map: TempoMap | None = None
    downbeat_s: float = 0.0
    on_bar: bool = False
    given: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values for the sidecar."""
        return {
            "bpm": self.grid.bpm,
            "signature": str(self.grid.signature),
            "bars": self.grid.bars,
            "key": str(self.key) if self.key else None,
            "tempo_map": self.tempo_map.to_list() if self.tempo_map else None,
            "downbeat_s": self.downbeat_s,
            "on_bar": self.on_bar,
            "given": self.given,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Aim":
        """From `to_dict`'s values. Raises InvalidRequest for others."""
        try:
            return cls(
                Grid(values["bpm"], Signature.parse(values["signature"]), values["bars"]),
                Key.parse(values["key"]) if values["key"] else None,
                TempoMap.parse(values["tempo_map"]) if values["tempo_map"] else None,
                float(values["downbeat_s"]),
                bool(values["on_bar"]),
                bool(values.get("given")),  # older sidecars do not say
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRequest(f"the sidecar does not say what its clip should be: {error}") from error
