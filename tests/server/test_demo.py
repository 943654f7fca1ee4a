"""`make run`: a first clip, then a line for whatever others ask the daemon for."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemons import Osc

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.heavy
@pytest.mark.skipif(os.name != "posix", reason="it is interrupted as Ctrl-C does")
def test_while_it_serves_it_shows_others_clips_and_refusals(tmp_path: Path) -> None:
    ports = ["--grpc-port", "0", "--osc-port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "server.demo", "--home", str(tmp_path / "home"), *ports,
         "--samples", str(tmp_path / "samples")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        # a shell in which the tests run in the background has Ctrl-C ignored by all they start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdout is not None
    try:
        seen = []
        for line in process.stdout:
            seen.append(line)
            if line.startswith("serving"):
                break
        else:
            raise AssertionError("".join(seen))
        with Osc(json.loads((tmp_path / "home" / "daemon.json").read_text())["osc_port"]) as osc:
            osc.send("tempo", 1.0)
            osc.send("tempo", 127.5)
            osc.send("bars", 1)
            osc.send("key", "C major")
            osc.send("generate", "warm analog pad")
            refused, clip = process.stdout.readline(), process.stdout.readline()
        assert refused.startswith("refused: ")
        assert "30–300" in refused
        path, _, said = clip.rstrip().partition("  ")
        assert Path(path).is_file()
        assert said.startswith("127.5 bpm, ")  # then the key, as it is heard
        assert said.endswith(", 1 bar")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=100)
