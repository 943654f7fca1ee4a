"""What a newcomer types and mistypes: help, versions, numbers, missing files, and what is said back."""

import json
import os
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from acestep.console.terminal import time_left
from lora_studio import cli as lora
from plugin_bridge import cli as bridge
from plugin_bridge.words import Progress
from server.cli import acestep as cli
from tests.support.commands import run
from tests.support.daemons import StandIn, running, settings

Main = Callable[[Sequence[str]], int]
POSIX = pytest.mark.skipif(os.name != "posix", reason="rights are other things there")


@pytest.fixture(autouse=True)
def home(home_of_its_own: Path) -> Path:
    """No test sees this user's home or daemon."""
    return home_of_its_own


@pytest.mark.parametrize(
    ("main", "command"), [(cli.main, "generate"), (lora.main, "train"), (bridge.main, "install")]
)
def test_help_and_version_are_commands_as_well_as_options(main: Main, command: str) -> None:
    for short, long in (("help",), ("--help",)), (("help", command), (command, "--help")):
        assert run(*short, main=main) == run(*long, main=main)
    code, version, _ = run("--version", main=main)
    assert (code, run("version", main=main)[1]) == (0, version)
    assert version.split()[-1][0].isdigit()


def test_help_reaches_the_commands_of_other_parts() -> None:
    assert run("help", "lora")[1] == run("lora", "--help")[1] != ""


@pytest.mark.parametrize(("typed", "meant"), [("92,5", 92.5), ("92.5", 92.5), (" 92,50", 92.5)])
def test_a_decimal_comma_is_a_decimal_point(typed: str, meant: float, tmp_path: Path) -> None:
    with running(settings(tmp_path), StandIn()) as daemon:
        words = ("generate", "p", "--bpm", typed, "--loudness", "-12,5", "--quiet")
        assert run(*words)[0] == 0
        request = daemon.queue.jobs()[-1].request
    assert (request.bpm, request.loudness_lufs) == (meant, -12.5)


@pytest.mark.parametrize("typed", ["1,234.5", "92,5,1", "1,000,000", ",", "fast"])
def test_what_is_no_number_is_said_to_be_none(typed: str) -> None:
    code, _, error = run("generate", "p", "--bpm", typed)
    assert code == 2
    assert f"--bpm {typed!r} is not a number" in error


def test_a_word_too_many_is_told_without_talk_of_quotes_where_no_word_belongs() -> None:
    code, _, error = run("status", "extra")
    assert code == 2
    assert "it takes options only: leave 'extra' out" in error
    assert "quotes" not in error


def test_what_does_not_fit_is_said_on_stderr_where_only_paths_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    from server.jobs.job import Job
    from tests.support import daemons

    whole = daemons.write_short_clip

    def second_is_poor(job: Job, take: int) -> Any:
        made = whole(job, take)
        return dataclasses.replace(made, fit="poor", tempo_error_pct=2.5) if take == 1 else made

    monkeypatch.setattr(daemons, "write_short_clip", second_is_poor)
    with running(settings(tmp_path), StandIn()):
        for flags in (("--quiet",), (), ("--json",)):
            code, _, error = run("generate", "p", "--takes", "3", *flags)
            said = [line for line in error.splitlines() if "fit" in line and "%" in line]
            assert (code, said) == (
                0,
                ["acestep: clip 2 does not fit: the tempo is off by 2.5 % (at most 0.5 %)"],
            )


def test_making_a_clip_again_with_other_options_says_what_is_changed(tmp_path: Path) -> None:
    with running(settings(tmp_path), StandIn()):
        path = run("generate", "p", "--bpm", "92.5", "--seed", "3", "--quiet")[1].strip()
        again = ("generate", "--from", f"{path}.json", "--quiet")
        assert run(*again)[2] == ""
        assert run(*again, "--bpm", "100", "--loudness", "off", "--seed", "3")[2].splitlines() == [
            "acestep: changed: bpm, loudness"
        ]
        assert "nothing is changed" in run(*again, "--bpm", "92.5")[2]
    assert "other options given beside it change it" in " ".join(run("generate", "--help")[1].split())


def test_progress_in_a_file_is_a_few_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    from acestep.console.terminal import Bar

    bar = Bar()
    for step in range(101):
        bar.show("m" if step < 90 else "fitting", step / 100, 10 - step / 10)
    bar.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "m 0%, 10.0 s left"
    assert lines[-1] == "fitting 100%"
    assert len(lines) == 6
    assert len(set(lines)) == len(lines)
    Bar().show("text", 0.0, 0.0)
    assert capsys.readouterr().err == "text 0%\n"  # no time is known yet
    quiet = Bar(quiet=True)
    quiet.show("m", 0.5)
    assert capsys.readouterr().err == ""


def test_an_event_of_a_job_prints_rounded() -> None:
    assert str(Progress("j1", "m", 1.0, 1.2e-16)) == "Progress(j1: m 100%)"
    assert str(Progress("j1", "m", 0.501, 1.26)) == "Progress(j1: m 50%, 1.3 s left)"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, ""), (0.04, ""), (1.26, "1.3 s left"), (99.9, "99.9 s left"), (100, "2 min left"),
     (3599, "1 h 0 min left"), (11_100, "3 h 5 min left")],
)  # fmt: skip
def test_time_that_is_left_is_told_as_people_say_it(seconds: float, told: str) -> None:
    assert time_left(seconds) == told


def test_a_relay_on_a_taken_port_says_which_and_what_to_do() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for daemons_port, holder in ((port, "the daemon itself"), (9, "another program")):
            code, _, error = run(
                "monitor", "--port", str(daemons_port), "--relay", str(port), main=bridge.main
            )
            assert code == 1
            assert f"port {port}: {holder} listens there" in error
            assert "--relay N" in error


def test_removing_an_adapter_where_there_is_none_says_so() -> None:
    code, _, error = run("remove", "theirs", "--yes", main=lora.main)
    assert code == 2
    assert "none is there yet" in error


def test_a_command_that_is_suggested_can_be_typed_as_it_stands(tmp_path: Path) -> None:
    folder = tmp_path / "My Loops"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(2):
        soundfile.write(folder / f"loop {number} 120bpm.wav", rng.normal(0, 0.1, 96_000), 48_000)
    code, out, _ = run("prepare", str(folder), main=lora.main)
    assert code == 0
    assert f"lora_studio train '{folder}' --name" in out


@pytest.mark.parametrize("option", ["--plot", "--midi"])
def test_inspect_says_that_a_folder_to_write_to_is_not_there(tmp_path: Path, option: str) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(4800), 48_000)
    code, out, error = run("inspect", str(tmp_path / "a.wav"), option, str(tmp_path / "no" / "x"))
    assert (code, out) == (2, "")
    assert f"the folder {tmp_path / 'no'} does not exist" in error


def test_inspect_refuses_what_it_cannot_write_before_it_measures(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(4800), 48_000)
    (tmp_path / "there.mid").touch()
    for option, name, expected in (
        ("--plot", "x.xyz", "expected a name that ends in .png"),
        ("--plot", ".", "is a folder"),
        ("--midi", "there.mid", "nothing is ever overwritten"),
    ):
        code, out, error = run("inspect", str(tmp_path / "a.wav"), option, str(tmp_path / name))
        assert code in (1, 2)
        assert out == ""
        assert expected in error


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("loops",), "--name is missing: say what the adapter is called"),
        (("loops", "--steps", "0"), "steps 0 is out of range: expected 1–10000000; --name is missing"),
        (
            ("nothere",),
            "nothere does not exist: expected a folder of audio or a dataset.json; --name is missing",
        ),
        (("--name", "x"), "DATA is missing: expected a folder of audio"),
    ],
)
def test_training_says_all_that_is_missing_or_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loops").mkdir()
    code, _, error = run("train", *words, main=lora.main)
    assert code == 2
    assert f"lora_studio: {expected}" in error


def test_names_that_are_not_there_or_taken_are_bad_input(home: Path) -> None:
    code, _, error = run("convert", "nothere")
    assert (code, "nothere is not a folder" in error) == (2, True)
    (home / "adapters" / "taken").mkdir(parents=True)
    code, _, error = run("train", "loops", "--name", "taken", main=lora.main)
    assert (code, "choose another name" in error) == (2, True)


@POSIX
def test_what_commands_write_into_the_home_is_its_owners_alone(home: Path, tmp_path: Path) -> None:
    from acestep.home import make_private
    from plugin_bridge.install import Remembered, write_live_settings

    Remembered(home).save()
    write_live_settings(home, ["acestep", "serve"])
    home.chmod(0o755)  # as releases before left it
    make_private(home, "distill", "mine")
    for path in (home, home / "distill", home / "distill" / "mine"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for name in ("installed.json", "live.json"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
        assert isinstance(json.loads((home / name).read_text()), dict)
