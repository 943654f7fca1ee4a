"""The command line: exit codes, messages, outputs; through a daemon with a stand-in engine or none at all."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mido
import pytest
import soundfile

from server.cli import acestep as cli
from server.daemon import Daemon
from tests.support.commands import run
from tests.support.daemons import WAIT_S, Osc, Process, StandIn, running, settings

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def daemon(tmp_path: Path, engine: StandIn) -> Iterator[Daemon]:
    with running(settings(tmp_path), engine) as found:
        yield found


def test_all_settings_of_a_request_have_flags() -> None:
    from acestep.request import GenerateRequest

    code, text, _ = run("generate", "--help")
    assert code == 0
    named = {
        "repaint_s": "--repaint",
        "adapters": "--adapter",
        "sample_format": "--sample-format",
        "loudness_lufs": "--loudness",
        "midi_out": "--midi-out",
        "prompt_b": "--prompt-b",
    }
    named["tempo_map"] = "--midi"
    for name in set(GenerateRequest(prompt="p").to_dict()) - {"prompt"}:
        assert named.get(name, f"--{name}") in text


def test_paths_go_to_stdout_and_the_rest_to_stderr(daemon: Daemon) -> None:
    code, out, error = run("generate", "dusty", "--takes", "2", "--bpm", "92.5")
    assert code == 0
    assert [Path(line).is_file() for line in out.splitlines()] == [True, True]
    assert "%" in error


def test_quiet_is_quiet(daemon: Daemon) -> None:
    assert run("generate", "dusty", "--quiet")[2] == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_at_a_terminal_each_clip_is_a_line_with_what_it_is_and_how_it_fits(daemon: Daemon) -> None:
    words = ("generate", "dusty", "--takes", "2", "--bpm", "92.5", "--bars", "1", "--key", "A minor")
    with contextlib.redirect_stdout(Terminal()) as out, contextlib.redirect_stderr(io.StringIO()):
        assert cli.main(words) == 0
        lines = out.getvalue().splitlines()
        assert cli.main([*words, "--quiet"]) == 0
        assert Path(out.getvalue().splitlines()[-1]).is_file()
    assert len(lines) == 2
    path, _, said = lines[0].partition("  ")
    assert Path(path).is_file()
    assert said == "92.5 bpm, A minor, 1 bar, -14.2 LUFS, fits after small changes"


def test_a_line_says_which_figure_is_off() -> None:
    from acestep.clips.clip import Clip
    from acestep.clips.wording import describe

    values: dict[str, Any] = dict.fromkeys(("take", "seed", "duration_s", "samples", "sample_rate_hz"), 0)
    values |= dict.fromkeys(("name", "path", "job", "prompt", "cascade"), "")
    values |= {"tempo_error_pct": 2.5, "downbeat_error_ms": 3.0, "key_match": "other", "fit": "poor"}
    sidecar = '{"measured": {"after": {"lufs": null}}}'
    clip = Clip(**values, bpm=92.5, signature="7/8", key="", bars=2, sidecar_json=sidecar)
    assert describe(clip) == (
        "92.5 bpm in 7/8, no key, 2 bars, silent, does not fit: the tempo is off by 2.5 % (at most 0.5 %), "
        "the notes are of another key"
    )


def test_without_words_each_command_says_how_to_begin() -> None:
    for words in ((), ("lora",), ("bridge",)):
        code, out, error = run(*words)
        assert (code, error) == (0, "")
        assert "To begin" in out
    code, _, error = run("genrate")
    assert code == 2
    assert error.splitlines()[0].startswith("usage: acestep ")
    assert error.splitlines()[1:] == ["acestep: there is no command 'genrate': did you mean generate?"]
    assert "acestep lora: there is no command 'trian': did you mean train?" in run("lora", "trian")[2]
    assert "did you mean open?" in run("opne")[2]
    for strange in (run("nope")[2], run("help", "nope")[2]):  # three letters of "open", and yet no typo of it
        assert "nope" in strange
        assert "did you mean" not in strange


def test_status_says_what_runs_and_what_is_true_when_nothing_does(daemon: Daemon, tmp_path: Path) -> None:
    code, out, _ = run("status")
    assert code == 0
    assert str(daemon.osc.port) in out
    assert "0 jobs waiting" in out
    told = json.loads(run("status", "--json")[1])
    assert (told["running"], told["grpc_port"]) == (True, daemon.grpc.port)
    code, out, _ = run("status", "--home", str(tmp_path / "other"))
    assert code == 1
    assert "no daemon runs here" in out
    assert str(tmp_path / "samples") in out


def test_stop_ends_the_daemon_and_says_when_there_is_none(tmp_path: Path) -> None:
    code, _, error = run("stop")
    assert code == 1
    assert "nothing to stop" in error
    made = settings(tmp_path)
    (tmp_path / "link").symlink_to(made.home)  # a home may have several names
    with Process(made) as process:
        code, out, error = run("stop", "--home", str(tmp_path / "link"))
        assert (code, out, error) == (0, "stopped\n", "")
        assert process.process.wait(WAIT_S) == 0


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="the programs are shell scripts")
def test_play_hands_a_file_to_a_player_or_says_that_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a b.wav"
    soundfile.write(file, [0.0] * 480, 48_000)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    code, _, error = run("play", str(file))
    assert code == 1
    assert "no player" in error
    assert "ffplay" in error
    program(tmp_path / "bin", "aplay", f'echo "$2" > "{tmp_path}/played"')
    assert run("play", str(file))[0] == 0
    assert (tmp_path / "played").read_text() == f"{file}\n"
    program(tmp_path / "bin", "aplay", "echo no sound card >&2; exit 1")
    code, _, error = run("play", str(file))
    assert code == 1
    assert "no sound card" in error
    assert run("play", str(tmp_path / "none.wav"))[0] == 2
    (tmp_path / "text.wav").write_text("no audio")
    assert run("play", str(tmp_path / "text.wav"))[0] == 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have their own file managers")
def test_open_shows_a_folder_or_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert run("open")[0] == 2  # no clip was made yet
    (tmp_path / "samples").mkdir()
    code, _, error = run("open")
    assert code == 1
    assert str(tmp_path / "samples") in error
    program(tmp_path / "bin", "xdg-open", f'echo "$1" > "{tmp_path}/asked"')
    assert run("open") == (0, f"{tmp_path / 'samples'}\n", "")
    assert (tmp_path / "asked").read_text() == f"{tmp_path / 'samples'}\n"
    assert run("open", str(tmp_path / "none"))[0] == 2
    program(tmp_path / "bin", "xdg-open", "exit 3")
    code, _, error = run("open")
    assert code == 1
    assert str(tmp_path / "samples") in error


@pytest.mark.parametrize("program", ["acestep", "lora_studio", "plugin-bridge"])
def test_a_shell_learns_the_commands(program: str) -> None:
    code, script, error = run("completion", "bash", "--for", program)
    assert (code, error) == (0, "")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    option = {"acestep": "--bpm", "lora_studio": "--minutes", "plugin-bridge": "--dry-run"}[program]
    assert option in script
    assert "complete" in script


def test_flags_become_the_request(daemon: Daemon, tmp_path: Path) -> None:
    code, out, _ = run(
        "generate", "dusty", "--bpm", "127.37", "--key", "F# minor", "--bars", "3", "--signature", "7/8",
        "--seed", "7", "--strength", "0.5", "--stages", "l,m", "--steps", "4", "--guidance", "2", "--no-fit",
        "--strict", "--lyrics", "la", "--candidates", "2", "--sample-format", "float32", "--quiet", "--json",
        "--out", str(tmp_path / "samples" / "deeper"),
    )  # fmt: skip
    assert code == 0
    request = daemon.queue.jobs()[0].request
    assert (request.bpm, str(request.key), request.bars, str(request.signature)) == (
        127.37,
        "F# minor",
        3,
        "7/8",
    )
    assert (request.seed, request.strength, request.stages, request.steps) == (7, 0.5, ("l", "m"), 4)
    assert (request.guidance, request.fit, request.strict, request.lyrics) == (2, False, True, "la")
    assert (request.candidates, request.sample_format) == (2, "float32")
    row = json.loads(out)[0]
    assert (row["bpm"], row["seed"]) == (127.37, 7)
    assert Path(row["path"]).parent == tmp_path / "samples" / "deeper"


BAD = [
    ([], "no prompt"),
    ([""], "prompt is empty"),
    (["x" * 100_000], "at most 2000"),
    (["\udcff"], "not text"),
    (["p", "--bpm", "0"], "30–300"),
    (["p", "--bpm", "nan"], "not a number"),
    (["p", "--bpm", "5000"], "30–300"),
    (["p", "--bpm", "fast"], "'fast' is not a number"),
    (["p", "--key", "H minor"], "A–G"),
    (["p", "--signature", "0/4"], "1–32"),
    (["p", "--signature", "waltz"], "N/D"),
    (["p", "--bars", "0"], "0.0625–512"),
    (["p", "--bars", "10000"], "0.0625–512"),
    (["p", "--takes", "99"], "1–16"),
    (["p", "--format", "doc"], "expected one of wav"),
    (["p", "--adapter", "x:y"], "NAME:SCALE"),
    (["p", "--reference-start", "3"], "need --reference"),
    (["p", "--midi-bar", "3"], "needs --midi"),
    (["p", "--track", "drums"], "would do nothing"),
    (["p", "--format", "FLAC", "--sample-format", "float32"], "hold no float32"),
    (["p", "--task", "cover"], "needs a context"),
    (["p", "--repaint", "1", "2"], "only for task repaint"),
    (["p", "--midi", "/no/such.mid"], "not there"),
    (["--from", "/no/such.wav.json"], "no sidecar"),
    (["p", "--from", ""], "--from is empty"),
    (["p", "--nonsense"], "no option --nonsense\n"),
    (["p", "--bmp", "120"], "did you mean --bpm?"),
    (["p", "--sample_format", "pcm24"], "did you mean --sample-format?"),
    (["warm", "pad"], "into quotes"),
    (["p", "--speed", "120"], "did you mean --bpm?"),
    (["p", "--bpm", "120", "--tempo-map", "0 100, 8 120"], "name one of them"),
    (["p", "--tempo-map", "fast"], "0 100 ramp, 16 120"),
    (["p", "--length", "8"], "did you mean --bars?"),
    (["p", "-n", "4"], "did you mean --takes?"),
    (["p", "--output", "x"], "did you mean --out?"),
    (["p", "--model", "turbo"], "did you mean --cascade?"),
    (["p", "--bpm"], "--bpm needs a value"),
    (["p", "--grpc-port", "x"], "expected a whole number"),
]


@pytest.mark.parametrize(("words", "expected"), BAD, ids=[" ".join(words)[:30] for words, _ in BAD])
@pytest.mark.parametrize("how", ["daemon", "alone"])
def test_bad_input_is_exit_code_2_and_says_what_was_expected(
    how: str, words: list[str], expected: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if how == "daemon":
        request.getfixturevalue("daemon")
    code, out, error = run("generate", *words)
    assert (code, out) == (2, "")
    assert expected in error
    assert not list(tmp_path.glob("samples/*"))


@pytest.mark.parametrize("name", ["missing", "folder", "text", "outside"])
@pytest.mark.parametrize("how", ["daemon", "alone"])
def test_bad_references_are_exit_code_2(
    how: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if how == "daemon":
        request.getfixturevalue("daemon")
    folder = tmp_path / ("elsewhere" if name == "outside" else "samples")
    folder.mkdir(exist_ok=True)
    file = folder / "a.wav"
    if name == "folder":
        file.mkdir()
    elif name in ("text", "outside"):
        file.write_text("no audio")
    code, _, error = run("generate", "p", "--reference", str(file))
    assert code == 2
    assert str(file) in error


def test_a_failed_job_is_exit_code_1(daemon: Daemon, engine: StandIn) -> None:
    engine.fail = RuntimeError("boom")
    code, out, error = run("generate", "p", "--quiet")
    assert (code, out) == (1, "")
    assert "boom" in error


def test_ctrl_c_is_130_and_cancels_the_job(daemon: Daemon, engine: StandIn, home: Path) -> None:
    engine.hold.clear()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "server.cli", "generate", "p"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert engine.started.acquire(timeout=WAIT_S)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out) == (130, "")
    assert error.splitlines()[-1] == "acestep: the job was cancelled"
    deadline = time.monotonic() + WAIT_S
    while daemon.queue.jobs()[0].state != "cancelled":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_jobs_are_listed_with_and_without_a_daemon(daemon: Daemon) -> None:
    run("generate", "dusty break", "--quiet")
    assert "dusty break" in run("jobs")[1]
    assert json.loads(run("jobs", "--json")[1])[0]["state"] == "done"
    daemon.stop()
    deadline = time.monotonic() + WAIT_S
    while daemon.config.running_file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "dusty break" in run("jobs")[1]


def test_jobs_that_a_daemon_left_are_not_said_to_run(daemon: Daemon, engine: StandIn, home: Path) -> None:
    engine.hold.clear()
    with Osc(daemon.osc.port) as osc:
        osc.send("generate", "dusty break")
        osc.until("progress")
    copy = home.parent / "killed"  # what a daemon leaves that is killed now
    copy.mkdir()
    for file in home.glob("jobs.sqlite*"):
        (copy / file.name).write_bytes(file.read_bytes())
    before = contents(copy)
    code, out, told = run("jobs", "--home", str(copy))
    assert code == 0
    assert contents(copy) == before
    assert "interrupted" in out
    assert "running" not in out
    assert "--resume" in out
    assert "no daemon runs here" in told


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + bytes(5_000)], ids=["text", "zeros"]
)
def test_a_damaged_journal_is_told_and_left_to_the_daemon(home: Path, content: bytes) -> None:
    home.mkdir(exist_ok=True)
    file = home / "jobs.sqlite"
    file.write_bytes(content)
    before = contents(home)
    code, out, told = run("jobs")
    assert (code, out) == (1, "")
    assert f"{file} is damaged" in told
    assert "the next `acestep serve` keeps it as jobs.sqlite.broken" in told
    assert contents(home) == before


def test_reading_commands_change_nothing_in_a_home(home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text('samples = "clips"')
    before = contents(home)
    for words in (("jobs",), ("status",), ("models",), ("words",), ("lora", "list"), ("bridge", "status")):
        run(*words)
    assert contents(home) == before
    assert [path.name for path in home.iterdir()] == ["config.toml"]


def test_jobs_without_any_are_none() -> None:
    code, out, told = run("jobs")
    assert (code, out) == (0, "")
    assert "no daemon runs here" in told
    assert run("jobs", "--limit", "0")[0] == 2


def test_a_job_is_cancelled_by_its_id(daemon: Daemon, engine: StandIn) -> None:
    engine.hold.clear()
    with Osc(daemon.osc.port) as osc:
        osc.send("generate", "p")
        job = osc.until("accepted")[1][0]
        assert run("cancel", job)[:2] in ((0, f"{job}  cancelling\n"), (0, f"{job}  cancelled\n"))
        assert osc.until("cancelled", "done") == ("cancelled", [job])
    assert run("cancel", "none")[0] == 2


def test_cancelling_without_a_daemon_says_so() -> None:
    code, _, error = run("cancel", "x")
    assert code == 1
    assert "acestep serve" in error


def test_a_midi_file_gives_tempo_signature_and_key(daemon: Daemon, tmp_path: Path) -> None:
    file = mido.MidiFile()
    track = mido.MidiTrack()
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(97.3)))
    track.append(mido.MetaMessage("time_signature", numerator=6, denominator=8))
    track.append(mido.MetaMessage("key_signature", key="Bb"))
    track.append(mido.MetaMessage("end_of_track", time=480 * 16))
    file.tracks.append(track)
    file.save(tmp_path / "song.mid")
    assert run("generate", "p", "--midi", str(tmp_path / "song.mid"), "--bars", "2", "--quiet")[0] == 0
    assert run("generate", "p", "--midi", str(tmp_path / "song.mid"), "--bpm", "88", "--quiet")[0] == 0
    first, second = (job.request for job in daemon.queue.jobs())
    assert (first.bpm, str(first.signature), str(first.key), first.bars) == (97.3, "6/8", "A# major", 2)
    assert second.bpm == 88  # a flag says more than a file


def test_a_midi_file_with_a_ramp_gives_its_tempo_map_from_the_bar_on(daemon: Daemon, tmp_path: Path) -> None:
    track = mido.MidiTrack()
    for step in range(17):  # as DAWs write a ramp: a tempo every eighth
        track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(100 + step), time=240 if step else 0))
    track.append(mido.MetaMessage("end_of_track", time=480 * 8))
    file = mido.MidiFile()
    file.tracks.append(track)
    file.save(tmp_path / "ramp.mid")
    at_bar_2 = ("--midi", str(tmp_path / "ramp.mid"), "--midi-bar", "2", "--bars", "2", "--quiet")
    code, _, told = run("generate", "p", *at_bar_2)
    assert code == 0
    assert "moves between 108 and 116" in told
    (job,) = daemon.queue.jobs()
    tempo_map = job.request.tempo_map
    assert tempo_map is not None
    assert [point.bpm for point in tempo_map.points[:3]] == pytest.approx([108, 109, 110], rel=1e-4)
    assert job.request.bpm == pytest.approx(tempo_map.mean_bpm(job.request.signature, 2))
    assert run("generate", "p", *at_bar_2, "--bpm", "90")[0] == 0
    assert [job.request.tempo_map for job in daemon.queue.jobs()] == [tempo_map, None]


def test_a_daemon_of_another_wire_version_is_refused(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protos.WIRE_VERSION", "999")
    code, _, error = run("jobs")
    assert code == 1
    assert "wire version" in error


def test_an_unreadable_config_is_exit_code_2(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("colour = 'red'")
    code, _, error = run("jobs")
    assert code == 2
    assert "unknown key colour" in error


def test_help_lists_all_commands() -> None:
    code, out, _ = run("--help")
    assert code == 0
    made_here = ("serve", "generate", "models", "inspect", "jobs", "cancel", "status", "stop", "play", "open")
    listed = {line.split()[0] for line in out.splitlines() if line.startswith("    ") and line.split()}
    assert {*made_here, "completion", "nano", "web", "lora", "bridge"} <= listed


def test_the_embedded_recipe_is_reached() -> None:
    code, out, _ = run("nano", "--help")
    assert code == 0
    assert "init" in out
