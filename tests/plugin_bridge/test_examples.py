"""The examples as a musician runs them, against one real daemon, and what is heard of them."""

import contextlib
import json
import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from plugin_bridge.examples import layouts
from tests.support import walkthroughs
from tests.support.daemons import Osc
from tests.support.hosts.building import ROOT, need
from tests.support.live.daemon import Daemon

pytestmark = [pytest.mark.hosts, pytest.mark.heavy, pytest.mark.timeout(600)]

EXAMPLES = ROOT / "plugin_bridge" / "examples"
DRIVERS = ROOT / "tests" / "support" / "examples"
WAIT_S = 120.0  # only ever reached by a test that fails
FRAMES = round(4 * 60 / 140 * 48_000)  # a bar at 140


class Run:
    """A program of somebody else's and its lines, as they come."""

    def __init__(self, *command: str | Path, **environment: str | Path) -> None:
        self.lines: list[str] = []
        self._new: queue.Queue[str] = queue.Queue()
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace",
            env={**os.environ, **{name: str(value) for name, value in environment.items()}},
            start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as said:
            for line in said:
                self._new.put(line.rstrip())

    def until(self, pattern: str) -> re.Match[str]:
        """The next line that has it."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            with contextlib.suppress(queue.Empty):
                self.lines.append(self._new.get(timeout=0.2))
                if found := re.search(pattern, self.lines[-1]):
                    return found
                continue
            if self.process.poll() is not None and self._new.empty():
                break
        raise AssertionError(f"it never said {pattern}:\n" + "\n".join(self.lines[-40:]))

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # what it started holds its output too
        self.process.wait()
        self._reader.join(10)


def clip_in(daemon: Daemon, words: str) -> Path:
    (path,) = daemon.samples.glob(f"*_{words}_*.wav")
    return path


def heard(recording: Path, clip: Path) -> list[int]:
    """Where the clip begins in the recording, sample for sample at some level."""
    recorded, played = (soundfile.read(path, always_2d=True)[0][:, 0] for path in (recording, clip))
    played = played[: len(played) - 256]  # a program may begin the loop anew within a block of its own
    size = 1 << (len(recorded) + len(played)).bit_length()
    spectrum = np.fft.rfft(recorded, size) * np.conj(np.fft.rfft(played, size))
    likeness = np.fft.irfft(spectrum, size)[: max(0, len(recorded) - len(played)) + 1]
    found = []
    for _ in range(12):  # the likeliest places
        at = int(likeness.argmax())
        part = recorded[at : at + len(played)]
        level = float(part @ played / (played @ played))
        if level > 0.1 and np.abs(part - level * played).max() < 1e-3:
            found.append(at)
        likeness[max(0, at - len(played) // 2) : at + len(played) // 2] = -np.inf
    return sorted(found)


def test_pure_data_plays_the_clip_again_and_again_in_time(daemon: Daemon, tmp_path: Path) -> None:
    need("pd")
    recording = tmp_path / "pd.wav"
    sent = (
        f"acestep-port {daemon.osc_port}", "acestep-tempo 140", "acestep-bars 1",
        f"record symbol {recording}",
        r"acestep-generate symbol pd\ drums",
    )  # fmt: skip
    done = subprocess.run(
        [
            *("pd", "-nogui", "-noaudio", "-nomidi", "-r", "48000", "-stderr"),
            *("-open", str(EXAMPLES / "pure_data" / "acestep.pd"), "-open", str(DRIVERS / "record.pd")),
            *(word for message in sent for word in ("-send", message)),
        ],
        capture_output=True, text=True, timeout=WAIT_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.strip()) == (0, "")
    found = heard(recording, clip_in(daemon, "pd-drums"))
    assert len(found) >= 2
    assert np.abs(np.diff(found) - FRAMES).max() <= 64  # a block of Pd's


@contextlib.contextmanager
def jack(folder: Path) -> Iterator[dict[str, str]]:
    """A sound server without a sound card; the environment of who plays through it."""
    environment = {"JACK_DEFAULT_SERVER": f"acestep-{os.getpid()}", "JACK_NO_AUDIO_RESERVATION": "1"}
    words = ("-n", environment["JACK_DEFAULT_SERVER"], "-r", "-d", "dummy", "-r", "48000", "-p", "1024")
    with Run("jackd", *words, HOME=folder) as server:
        server.until("self-connect-mode")  # its last words before it runs
        yield environment


def block_of(name: str) -> str:
    """The first block in parentheses, which is what a musician evaluates."""
    found = re.search(r"^\($.*?^\)$", (EXAMPLES / "supercollider" / name).read_text("utf-8"), re.M | re.S)
    assert found
    return found[0]


DRIVER = """
~whenReady = {{ s.record("{recording}"); ~clock.tempo = 140 / 60; ~bars = 1; ~ask.("sc drums") }};
~times = 0;
~whenHeard = {{ |path|
    ~times = ~times + 1;
    "heard % %".format(~clock.beats.round(0.001), path).postln;
    case
    {{ ~times == 1 }} {{ thisProcess.interpreter.executeFile("{master}") }}
    {{ ~times == 4 }} {{ {{ s.stopRecording; 1.wait; s.quit; 0.5.wait; 0.exit }}.fork(SystemClock) }};
}};
thisProcess.interpreter.executeFile("{player}");
"""


def test_supercollider_plays_it_and_goes_on_as_the_clock_of_a_set(daemon: Daemon, tmp_path: Path) -> None:
    need("sclang", "scsynth", "jackd")
    files = {name: tmp_path / f"{name}.scd" for name in ("player", "master", "driver")}
    files["player"].write_text(block_of("acestep.scd"))
    files["master"].write_text(block_of("clock_master.scd"))
    recording = tmp_path / "sc.wav"
    files["driver"].write_text(DRIVER.format(recording=recording, **files))
    with jack(tmp_path) as sound:
        environment = {
            **sound, "QT_QPA_PLATFORM": "offscreen", "QTWEBENGINE_DISABLE_SANDBOX": "1",
            "HOME": str(tmp_path),
            "ACESTEP_OSC_PORT": str(daemon.osc_port), "SC_JACK_DEFAULT_OUTPUTS": "system",
        }  # fmt: skip
        with Run("sclang", files["driver"], **environment) as sclang:
            played = [sclang.until(r"heard (\S+) (/.*\.wav)") for _ in range(4)]
            sclang.process.wait(WAIT_S)
    assert "sc-drums" in played[0][2]
    assert all(float(found[1]) % 4 == 0 for found in played)  # each from a bar line of the clock
    assert len({found[2] for found in played}) == 4
    assert heard(recording, Path(played[0][2]))
    assert any("%" in line and "#" in line for line in sclang.lines)  # progress was shown


def test_sonic_pis_program_asks_and_loops_the_clip(daemon: Daemon, tmp_path: Path) -> None:
    need("ruby")
    text = (EXAMPLES / "sonic_pi" / "acestep.rb").read_text("utf-8")
    changed = text.replace('"dusty boom bap drums", 92.5, 4', '"sonic drums", 140.0, 1')
    assert changed != text
    program = tmp_path / "acestep.rb"
    program.write_text(changed)
    subprocess.run(["ruby", "-wc", str(program)], check=True, capture_output=True)
    with Run("ruby", DRIVERS / "sonic_pi.rb", program, daemon.osc_port) as sonic_pi:
        sonic_pi.until(r"^fit 100 %")
        for _ in range(2):
            found = sonic_pi.until(r"^sample (\S+) (/.*)")
            assert float(found[1]) == pytest.approx(FRAMES / 48_000, abs=1e-5)
            assert Path(found[2]) == clip_in(daemon, "sonic-drums")


def test_chuck_asks_and_loops_the_clip(daemon: Daemon) -> None:
    need("chuck")
    with Osc(1) as port:
        free = port.port
    environment = {"ACESTEP_OSC_PORT": str(daemon.osc_port), "ACESTEP_CHUCK_PORT": str(free)}
    program = f"{EXAMPLES / 'chuck' / 'acestep.ck'}:chuck drums:140:1"
    with Run("chuck", "--silent", program, **environment) as chuck:
        chuck.until(r"100 %")
        found = chuck.until(r"playing (/.*\.wav) (\d+) samples")
        assert Path(found[1]) == clip_in(daemon, "chuck-drums")
        assert int(found[2]) == FRAMES


def test_plain_c_asks_shows_progress_and_names_the_clip(daemon: Daemon, tmp_path: Path) -> None:
    need("cc")
    source, program = EXAMPLES / "c" / "ask.c", tmp_path / "ask"
    strict = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsanitize=address,undefined")
    subprocess.run(["cc", *strict, "-o", str(program), str(source)], check=True)

    def ask(port: int, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "ACESTEP_OSC_PORT": str(port)}
        return subprocess.run(
            [str(program), *words],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=WAIT_S,
        )

    done = ask(daemon.osc_port, "plain c drums", "140", "1")
    assert (done.returncode, Path(done.stdout.strip())) == (0, clip_in(daemon, "plain-c-drums"))
    assert "####" in done.stderr
    assert "tempo 1400" in ask(daemon.osc_port, "plain c drums", "1400").stderr
    nobody = ask(9)
    assert (nobody.returncode, "acestep serve" in nobody.stderr) == (1, True)
    assert ask(9, "x" * 9000).returncode == 2


def python(daemon: Daemon, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ACESTEP_HOME": str(daemon.home), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(EXAMPLES / "python" / name), *words],
        capture_output=True, text=True, check=False, env=environment, timeout=WAIT_S,
    )  # fmt: skip


def test_the_python_examples_ask_one_by_one_and_all_at_once(daemon: Daemon) -> None:
    done = python(daemon, "ask.py", "python drums", "140", "1")
    assert done.returncode == 0, done.stderr
    assert sorted(map(Path, done.stdout.split())) == sorted(daemon.samples.glob("*_python-drums_*.wav"))
    assert "100%" in done.stderr
    done = python(daemon, "ask_async.py", "140", "1", "A minor")
    assert done.returncode == 0, done.stderr
    named = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert named.keys() == {"drums", "bass", "keys"}
    assert all(Path(path).is_file() and "_140bpm_Am_1bar" in path for path in named.values())
    for program, words in (("ask.py", ("x", "1400")), ("ask_async.py", ("1400",))):
        done = python(daemon, program, *words)
        assert (done.returncode, "1400" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


def test_the_daemon_is_called_by_what_it_says_of_itself(daemon: Daemon) -> None:
    address = daemon.address
    methods = python(daemon, "reflect.py", address).stdout.splitlines()
    assert "Generate GenerateRequest → JobEvent" in methods
    assert json.loads(python(daemon, "reflect.py", address, "GetStatus").stdout)["oscPort"] == daemon.osc_port
    asked = json.dumps({"prompt": "reflected pad", "bpm": 140, "bars": 1})
    events = [
        json.loads(line)
        for line in python(daemon, "reflect.py", address, "Generate", asked).stdout.splitlines()
    ]
    assert Path(events[-2]["clip"]["path"]) == clip_in(daemon, "reflected-pad")
    assert events[-1]["done"] == {"clips": 1}
    assert "INVALID_ARGUMENT" in python(daemon, "reflect.py", address, "Generate", "{}").stderr
    assert "has no Nothing" in python(daemon, "reflect.py", address, "Nothing").stderr


# --- layouts and patches of programs that do not run here --------------------------------------------


def taken(daemon: Daemon, messages: list[tuple[str, list[object]]]) -> None:
    """The daemon takes every message: none is answered by an error."""
    with Osc(daemon.osc_port) as osc:
        osc.send("session", "an example")
        for address, values in messages:
            assert address.startswith("/acestep/")
            osc.send(address.removeprefix("/acestep/"), *values)
            assert "error" not in osc.waiting(), (address, values)
            if address == "/acestep/generate":
                osc.send("cancel")
        for address, values in messages:
            if address == "/acestep/subscribe":
                osc.send("unsubscribe", *values)
        osc.waiting()


def test_the_layouts_are_written_from_their_list(tmp_path: Path) -> None:
    layouts.write(tmp_path)
    for name in (layouts.TOUCHOSC, layouts.OPEN_STAGE_CONTROL):
        unpack: Callable[[bytes], bytes] = zlib.decompress if name.suffix == ".tosc" else bytes
        there, made = (unpack((folder / name).read_bytes()) for folder in (EXAMPLES, tmp_path))
        assert there == made, "run python -m plugin_bridge.examples.layouts"


def test_what_the_touchosc_layout_sends_is_taken(daemon: Daemon) -> None:
    root = ElementTree.fromstring(zlib.decompress((EXAMPLES / layouts.TOUCHOSC).read_bytes()))
    messages: list[tuple[str, list[object]]] = []
    for osc in root.iter("osc"):
        address = osc.findtext("path/partial/value") or ""
        (argument,) = osc.findall("arguments/partial")
        kind, value = argument.findtext("conversion"), argument.findtext("value") or ""
        if argument.findtext("type") == "VALUE":
            values: list[object] = [float(argument.findtext(name) or "") for name in ("scaleMin", "scaleMax")]
        else:
            values = [int(value) if kind == "INTEGER" else value]
        messages += [(address, [each]) for each in values]
    assert len(messages) == len(layouts.CONTROLS) + 1 + sum(
        isinstance(c, layouts.Fader) for c in layouts.CONTROLS
    )
    taken(daemon, messages)


def test_what_the_open_stage_control_session_sends_is_taken(daemon: Daemon) -> None:
    session = json.loads((EXAMPLES / layouts.OPEN_STAGE_CONTROL).read_text("utf-8"))
    messages: list[tuple[str, list[object]]] = []
    for widget in session["content"]["widgets"]:
        address = widget["address"]
        if widget["type"] == "fader":
            messages += [(address, [float(widget["range"][end])]) for end in ("min", "max")]
        elif widget["type"] == "button":
            messages.append((address, [widget["on"]]))
        elif widget["type"] == "input":
            messages.append((address, ["a prompt that was typed"]))
    assert len(messages) > len(layouts.CONTROLS)
    taken(daemon, messages)


def test_the_max_patch_is_whole_and_what_it_sends_is_taken(daemon: Daemon) -> None:
    patcher = json.loads((EXAMPLES / "max" / "acestep.maxpat").read_text("utf-8"))["patcher"]
    boxes = {entry["box"]["id"]: entry["box"] for entry in patcher["boxes"]}
    assert len(boxes) == len(patcher["boxes"])
    for entry in patcher["lines"]:
        (source, outlet), (target, inlet) = entry["patchline"]["source"], entry["patchline"]["destination"]
        assert outlet < boxes[source]["numoutlets"]
        assert inlet < boxes[target]["numinlets"]
    messages: list[tuple[str, list[object]]] = []
    for box in boxes.values():
        words = shlex.split(box.get("text", ""))
        if box["maxclass"] == "message" and words[0].startswith("/acestep/"):
            messages.append((words[0], [int(word) if word.isdigit() else word for word in words[1:]]))
        elif words[:1] == ["prepend"] and words[1].startswith("/"):
            messages.append((words[1], [4.0 if "bars" in words[1] else 92.5]))
    assert {address for address, _ in messages} >= {
        "/acestep/generate",
        "/acestep/tempo",
        "/acestep/subscribe",
    }
    taken(daemon, messages)


def test_the_walk_throughs_pictures_show_what_the_doubles_were_told(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACESTEP_HOME", str(daemon.home))
    monkeypatch.setattr(walkthroughs, "BARS", 1)
    for draw in (walkthroughs.live, walkthroughs.reaper):
        picture = draw(daemon.home)
        ElementTree.fromstring(picture)
        takes = len(walkthroughs.PARTS) * 2 if draw is walkthroughs.live else 2
        assert picture.count('stroke="' + walkthroughs.colour("accent")) == takes  # a waveform for each
        assert picture.count("92.5") >= takes
