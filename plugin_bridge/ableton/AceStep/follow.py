"""Follows the set: tempo, signature, key, selection and where it is saved.

A listener only notes that something changed (Live forbids more); the
values are read in the next tick, and told at most every PUSH_EVERY_S.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from . import scales

PUSH_EVERY_S = 0.05

_SONG = ("tempo", "signature_numerator", "signature_denominator", "root_note", "scale_name", "scale_mode")
_VIEW = ("selected_track", "selected_scene", "detail_clip")


class SongFollower:
    """What the set says now, and whether that is news."""

    def __init__(self, song: Any) -> None:
        self.song = song
        self.changed = True
        self.selection_changed = True
        self._told_at = 0.0
        self._undo: list[Callable[[], None]] = []
        for name in _SONG:
            self._listen(song, name, self._on_song)
        for name in _VIEW:
            self._listen(song.view, name, self._on_selection)

    def _listen(self, subject: Any, name: str, callback: Callable[[], None]) -> None:
        add = getattr(subject, f"add_{name}_listener", None)
        if add is None:
            return  # an older Live: the value is read whenever another one changes
        add(callback)
        self._undo.append(lambda: getattr(subject, f"remove_{name}_listener")(callback))

    def _on_song(self) -> None:
        self.changed = True

    def _on_selection(self) -> None:
        self.selection_changed = True

    def news(self, now: float) -> bool:
        """True when there is something to tell, and it is time to."""
        if not self.changed or now - self._told_at < PUSH_EVERY_S:
            return False
        self.changed, self._told_at = False, now
        return True

    def values(self) -> dict[str, tuple[Any, ...]]:
        """The daemon's settings that the set decides, by their address."""
        song = self.song
        return {
            "tempo": (float(song.tempo),),
            "signature": (int(song.signature_numerator), int(song.signature_denominator)),
            "key": (scales.key(song),),
        }

    @property
    def set_folder(self) -> str:
        """The folder of the saved set; "" for an unsaved one, and for Lives that do not tell."""
        path = str(getattr(self.song, "file_path", "") or "")
        return str(Path(path).parent) if path and Path(path).is_absolute() else ""

    @property
    def set_name(self) -> str:
        """The set's name, for the daemon's list of sessions."""
        path = str(getattr(self.song, "file_path", "") or "")
        return Path(path).stem or "untitled set"

    def close(self) -> None:
        """Takes every listener off; a set that is already gone has none left."""
        for remove in self._undo:
            try:
                remove()
            except (RuntimeError, AttributeError):
                continue
        del self._undo[:]
