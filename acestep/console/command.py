"""How a command ends: any error becomes one sentence and an exit code; control characters are written out.

Every command of this project runs inside `run`. Errors are told apart by
their `reason`.
"""

import argparse
import contextlib
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from acestep.errors import AceStepError

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
CODES = {
    "invalid_request": BAD_INPUT,
    "unreadable_audio": BAD_INPUT,
    "forbidden_path": BAD_INPUT,
    "unsupported": BAD_INPUT,
    "not_found": BAD_INPUT,
    "already_exists": BAD_INPUT,
    "checkpoint_error": BAD_INPUT,
    "adapter_error": BAD_INPUT,
    "cancelled": INTERRUPTED,
}
MAX_SENTENCE_CHARS = 4_000
# All that moves a terminal's cursor, colours or clears it, or turns the direction of the text. A new line, a
# tab and a carriage return (progress bars draw with it) are what is left.
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    r"""The text with control characters written out, as `\u001b`, which JSON reads back as what it was."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: str) -> str:
    """The same, on one line: for a column of a table, or a sentence that quotes somebody."""
    return plain(" ".join(text.split()))


def run(
    name: str, command: Callable[[], int | None], *, tell: Callable[[str, str], None] | None = None
) -> int:
    """Runs a command and gives its exit code: 0 done, 1 failed, 2 bad input, 130 interrupted.

    `tell(reason, sentence)` says what went wrong; without it, it goes to stderr behind the command's name. A
    fault of the program is written to a file, which the sentence names.
    """
    out: Any = _Plain(sys.stdout)
    error_out: Any = _Plain(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error_out):
        try:
            code = int(command() or DONE)
            sys.stdout.flush()
            return code
        except SystemExit as end:  # argparse: help, and usage errors that it has told itself
            return end.code if isinstance(end.code, int) else DONE if end.code is None else BAD_INPUT
        except BrokenPipeError:  # `acestep jobs | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except KeyboardInterrupt:
            reason, sentence = "cancelled", "interrupted"
        except Exception as error:  # noqa: BLE001 (the last place where an error can become a sentence)
            reason, sentence = explain(error)
        sentence = _shortened(sentence)
        if tell is not None:
            tell(reason, sentence)
        else:
            print(f"{name}: {sentence}", file=sys.stderr)
        return CODES.get(reason, FAILED)


def port(text: str) -> int:
    """For argparse: a port's number, 0 for any free one."""
    if not text.isdecimal() or len(text) > 5 or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is not a port: expected 0–65535")
    return int(text)


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with `~` replaced. `~nobody` stays as it is, and is then not found."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (pathlib's raises RuntimeError for such a name)


def explain(error: Exception) -> tuple[str, str]:
    """(reason, sentence) of any error. What nobody expected is written to a file, named in the sentence."""
    if isinstance(error, AceStepError):  # which say themselves what to do
        return error.reason, str(error) or error.reason
    if isinstance(error, UnicodeEncodeError):
        return "invalid_request", "a text holds bytes that are not text: expected UTF-8"
    if isinstance(error, RecursionError):
        return "invalid_request", "a file is nested too deeply: expected at most some hundred levels"
    if isinstance(error, MemoryError):
        return "out_of_memory", "there is not enough memory for this: close other programs, or ask for less"
    if isinstance(error, OSError) and error.strerror:
        where = f"{os.fsdecode(error.filename):.300}: " if isinstance(error.filename, str | bytes) else ""
        return "storage_error", f"{where}{error.strerror}"
    what = one_line(f"{type(error).__name__}: {error}")[:300]
    return "internal", f"this is a fault of the program, not of what you asked for ({what}). {_kept(error)}"


def _kept(error: Exception) -> str:
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="acestep-fault-", suffix=".txt", encoding="utf-8", errors="replace", delete=False
        ) as file:
            file.write(text)
    except OSError:
        return "No file could be written that says more"
    return f"Please send us {file.name}, which says where it happened"


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_SENTENCE_CHARS else text[:MAX_SENTENCE_CHARS] + " …"


class _Plain:
    """A text stream that writes control characters out. Everything else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        safe = plain(text)
        try:
            self._stream.write(safe)
        except UnicodeEncodeError:  # a name in bytes that are not text, or a terminal that lacks a letter
            encoding = self._stream.encoding or "utf-8"
            self._stream.write(safe.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
