"""Commands whose output goes to a terminal or pipe of another code page: none fails for a character."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acestep.console.terminal import write_plainly

BIN = Path(sys.executable).parent
CODE_PAGES = ["cp1252", "cp932", "cp949", "cp437", "ascii", "utf-8"]


def run(code_page: str, *words: object) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": code_page, "PYTHONUTF8": "0"}
    return subprocess.run([BIN / str(words[0]), *map(str, words[1:])], env=environment, capture_output=True)


@pytest.mark.parametrize("code_page", CODE_PAGES)
@pytest.mark.parametrize(
    "words",
    [("acestep", "generate", "--help"), ("lora_studio", "train", "--help"), ("plugin-bridge", "--help")],
    ids="-".join,
)
def test_help_is_printed_on_every_code_page(code_page: str, words: tuple[str, ...]) -> None:
    done = run(code_page, *words)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"usage" in done.stdout.lower()


def test_a_file_with_a_name_that_no_code_page_has_is_described(tmp_path: Path) -> None:
    file = tmp_path / "für Ünï – 音.wav"
    soundfile.write(file, np.zeros((4_800, 1)), 48_000)
    for words in (("inspect", file), ("inspect", "--json", file), ("inspect", tmp_path / "gone – ö.wav")):
        done = run("cp437", "acestep", *words)
        assert b"Traceback" not in done.stderr
        assert done.returncode == (2 if "gone" in str(words[-1]) else 0)
        if words[1] == "--json":
            assert json.loads(done.stdout.decode("cp437"))["samples"] == 4_800


def test_what_cannot_be_shown_is_written_plainer(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    write_plainly()
    print("“café” – 8 × 4 … 音 \udcff", flush=True)
    assert raw.getvalue().decode().strip() == "'cafe' - 8 x 4 ... ? ?"
