"""How commands end: every error is a sentence and an exit code, and nothing moves a terminal's cursor."""

import contextlib
import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from acestep import errors
from acestep.console.command import BAD_INPUT, CODES, FAILED, INTERRUPTED, one_line, plain, run
from plugin_bridge import errors as bridge_errors

CONTROLS = "".join(map(chr, (*range(0, 9), 11, 12, *range(14, 32), *range(127, 160), 0x202E, 0x2066)))


def ended(command: Callable[[], int | None]) -> tuple[int, str, str]:
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = run("thing", command)
    return code, out.getvalue(), error.getvalue()


def raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize("kind", [*errors.all_errors(), *bridge_errors.BridgeError.__subclasses__()])
def test_every_error_of_ours_is_its_own_sentence_and_a_code(kind: type[Exception]) -> None:
    code, out, error = ended(raising(kind("the tempo is 9: expected 30–300")))
    assert (code, out, error) == (
        CODES.get(kind.reason, FAILED),  # type: ignore[attr-defined]
        "",
        "thing: the tempo is 9: expected 30–300\n",
    )


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), INTERRUPTED, "interrupted"),
        (RecursionError("maximum recursion depth exceeded"), BAD_INPUT, "nested too deeply"),
        (MemoryError(), FAILED, "memory"),
        (FileNotFoundError(2, "No such file or directory", "/no/such"), FAILED, "/no/such: No such file"),
        (OSError(36, "File name too long", "x" * 9000), FAILED, "xxx: File name too long"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"), BAD_INPUT, "UTF-8"),
        (SystemExit(2), 2, ""),
        (SystemExit(None), 0, ""),
    ],
)
def test_other_errors_are_a_sentence_as_well(error: BaseException, code: int, said: str) -> None:
    found, _, text = ended(raising(error))
    assert found == code
    assert said in text
    assert "Traceback" not in text


def test_a_fault_of_the_program_is_kept_in_a_file_for_its_authors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, _, text = ended(raising(AttributeError("'list' object has no attribute 'items'")))
    assert code == FAILED
    assert text.count("\n") == 1
    assert "fault of the program" in text
    file = Path(re.search(r"\S+acestep-fault-\S+\.txt", text)[0])  # type: ignore[index]
    assert "Traceback" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0 or os.name == "nt"


def test_control_characters_reach_no_terminal_and_json_reads_them_back() -> None:
    def command() -> int:
        print(f"a{CONTROLS}b")
        print(json.dumps({"prompt": CONTROLS}, ensure_ascii=False))
        raise errors.NotFound(f"no clip {CONTROLS}: look again")

    _, out, error = ended(command)
    assert not set(CONTROLS) & set(out + error)
    assert "\\u001b" in out
    assert "\\u001b" in error
    assert json.loads(out.splitlines()[1])["prompt"] == CONTROLS


def test_progress_bars_and_lines_stay_as_they_are() -> None:
    assert plain("\r50 %|█\tés\n") == "\r50 %|█\tés\n"
    assert one_line("two\nlines\r\x1b[2J") == "two lines \\u001b[2J"


def test_a_terminal_that_lacks_a_letter_gets_it_written_out() -> None:
    raw = io.BytesIO()
    with contextlib.redirect_stdout(io.TextIOWrapper(raw, "ascii")) as out:
        assert run("thing", lambda: print("Fréd → \udcff")) == 0
        out.flush()
    assert raw.getvalue() == b"Fr\\xe9d \\u2192 \\udcff" + os.linesep.encode()
