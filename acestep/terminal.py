"""Output on terminals and pipes of every encoding: what cannot be shown is written plainer, and never fails.

A Japanese, Korean or OEM code page has no `–` or `é`; a file name may hold bytes that are no text at all.
"""

import codecs
import io
import sys
import unicodedata

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


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter) or _letter(letter) for letter in text), error.end


def _letter(letter: str) -> str:
    """`é` → `e`; `?` for what has no such letter."""
    return unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode("ascii") or "?"
