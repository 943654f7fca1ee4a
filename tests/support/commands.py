"""Test side: commands in this process, with what they say on both streams."""

import contextlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from server.cli import acestep as cli

Main = Callable[[Sequence[str]], int]


def run(*words: str | Path, main: Main = cli.main) -> tuple[int, str, str]:
    """The exit code of a command line, and what it wrote to stdout and stderr."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = main([str(word) for word in words])
    return code, out.getvalue(), error.getvalue()
