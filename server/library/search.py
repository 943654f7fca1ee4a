"""What to look for among the clips, and how the index is asked for it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from acestep.errors import InvalidRequest
from acestep.music.key import Key

DEFAULT_LIMIT = 200
MAX_LIMIT = 5_000


@dataclass(frozen=True, kw_only=True)
class Search:
    """What to look for; unset values do not narrow the search."""

    words: str = ""  # all of them in prompt, name or tags
    bpm_min: float | None = None
    bpm_max: float | None = None
    key: str = ""
    adapter: str = ""
    since: str = ""  # ISO 8601; in this machine's time where it names no zone
    starred: bool = False
    trashed: bool = False
    idea: str = ""
    limit: int = 0

    def conditions(self) -> tuple[str, list[Any]]:
        """The rows of table `clips` that match, as an SQL condition and its values."""
        where = ["trashed = ?"]
        values: list[Any] = [int(self.trashed)]
        for word in self.words.lower().split():
            where.append("words LIKE ? ESCAPE '\\'")
            values.append("%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%")
        for condition, value in (
            ("bpm >= ?", self.bpm_min),
            ("bpm <= ?", self.bpm_max),
            ("key = ?", str(Key.parse(self.key).sharp) if self.key else None),
            ("adapters LIKE ?", f'%"{self.adapter}"%' if self.adapter else None),
            ("created >= ?", _as_created(self.since) if self.since else None),
            ("idea = ?", self.idea or None),
            ("starred = ?", 1 if self.starred else None),
        ):
            if value is not None:
                where.append(condition)
                values.append(value)
        return " AND ".join(where), values

    @property
    def most(self) -> int:
        """How many clips are told at most."""
        return min(self.limit or DEFAULT_LIMIT, MAX_LIMIT)


def _as_created(since: str) -> str:
    """The moment in this machine's time, as sidecars tell theirs. Raises InvalidRequest."""
    try:
        return datetime.fromisoformat(since).astimezone().strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        raise InvalidRequest(
            f"since {since!r:.40} is no date: expected one such as 2026-11-29, or 2026-11-29T18:00+01:00"
        ) from None
