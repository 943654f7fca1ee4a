"""Output on terminals and pipes of every encoding: what cannot be shown is written plainer, and never fails.

Progress is a bar at a terminal and a few plain lines in a file or pipe. A Japanese, Korean or OEM code page
has no `–` or `é`; a file name may hold bytes that are not text at all.
"""

import codecs
import io
import sys
import unicodedata
from typing import Any

HANDLER = "acestep.plain"
# Double quotes become single ones: a line of JSON must stay one.
PLAIN = {
    "–": "-", "—": "-", "−": "-", "“": "'", "”": "'", "„": "'", "‘": "'", "’": "'", "…": "...", "×": "x",
    "·": "-", "•": "-", "→": "->", "←": "<-", "±": "+-", "≤": "<=", "≥": ">=", "≈": "~", "♯": "#", "♭": "b",
    "ß": "ss", "æ": "ae", "ø": "o", "°": " degrees", "µ": "u", "│": "|", "█": "#", "©": "(c)",
}  # fmt: skip


def write_plainly() -> None:
    """From now on standard output and errors write what their encoding lacks in plain letters, or as `?`."""
    codecs.register_error(HANDLER, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def time_left(eta_s: float) -> str:
    """`1.3 s left`, `12 min left`, `3 h 5 min left`; "" while no time is known, which is 0."""
    if eta_s < 100:
        return f"{eta_s:.1f} s left" if eta_s >= 0.05 else ""
    hours, minutes = divmod(round(eta_s / 60), 60)
    return f"{hours} h {minutes} min left" if hours else f"{minutes} min left"


class Bar:
    """Progress on stderr: a bar at a terminal; else a line for each new stage and each quarter of the way."""

    def __init__(self, quiet: bool = False):
        self._bar: Any = None
        self._quiet = quiet
        self._told: set[str] = set()
        self._quarters = 0
        if not quiet and sys.stderr.isatty():
            from tqdm import tqdm

            shape = "{desc:<12} {percentage:3.0f} %|{bar}| {unit}"
            self._bar = tqdm(total=1.0, file=sys.stderr, bar_format=shape, unit="", leave=False)

    def show(self, stage: str, fraction: float, eta_s: float = 0.0, detail: str = "") -> None:
        """Brings it up to date: `fraction` 0–1 of the whole, seconds left where they are known."""
        left = ", ".join(text for text in (detail, time_left(eta_s)) if text)
        if self._bar is not None:
            self._bar.set_description_str(stage, refresh=False)
            self._bar.unit = left
            self._bar.update(max(0.0, fraction - self._bar.n))
            self._bar.refresh()
        elif not self._quiet and (stage not in self._told or int(fraction * 4) > self._quarters):
            self._told.add(stage)
            self._quarters = max(self._quarters, int(fraction * 4))
            print(f"{stage} {fraction:.0%}{', ' if left else ''}{left}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Takes a bar away; lines stay."""
        if self._bar is not None:
            self._bar.close()


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter) or _letter(letter) for letter in text), error.end


def _letter(letter: str) -> str:
    """`é` → `e`; `?` for what has no such letter."""
    return unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode("ascii") or "?"
