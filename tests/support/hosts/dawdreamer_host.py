"""Runs the VST3 in dawdreamer (a JUCE host with a real tempo and playhead) and prints what it saw as JSON.

`dawdreamer_host.py TASK PLUGIN.vst3 FOLDER`; the tasks are the functions of this file.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import dawdreamer
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from tests.support.hosts.peer import Peer, eventually
from tests.support.hosts.sound import read_wav, write_wav

STEP = 2.0**-20  # audio that counts samples: sample k is (k + 1) * STEP, exact in float32


class Song:
    """An engine at `bpm` with a counting input and one instance of the plugin behind it."""

    def __init__(self, plugin: str, rate_hz: int, block: int, bpm: float, seconds: float):
        self.engine = dawdreamer.RenderEngine(rate_hz, block)
        self.engine.set_bpm(bpm)
        self.plugin = self.engine.make_plugin_processor("plugin", plugin)
        self.rate_hz = rate_hz
        count = np.arange(1, int(seconds * rate_hz) + 1, dtype=np.float32)
        self.input = np.stack([count, -count]) * np.float32(STEP)
        track = self.engine.make_playback_processor("track", self.input)
        self.engine.load_graph([(track, []), (self.plugin, ["track"])])
        self.index = {item["name"]: item["index"] for item in self.plugin.get_parameters_description()}

    def render(self, seconds: float, **pressed_at_s: float) -> np.ndarray:
        """The output; parameters named here (`Take_context=1.5`) go up at that time and stay up."""
        for name, at_s in pressed_at_s.items():
            curve = np.zeros(int(seconds * self.rate_hz) + 1, np.float32)
            curve[int(at_s * self.rate_hz) :] = 1
            self.plugin.set_automation(self.index[name.replace("_", " ")], curve)
        self.engine.render(seconds)
        for name in pressed_at_s:
            self.plugin.set_automation(self.index[name.replace("_", " ")], np.zeros(8, np.float32))
        return self.engine.get_audio()


def passthrough(plugin: str, _: Path) -> dict:
    """Which rates and block sizes leave the audio as it is, bit by bit."""
    result = {}
    for rate_hz in (44100, 48000, 96000):
        for block in (1, 64, 333, 4096):
            song = Song(plugin, rate_hz, block, 120.0, 0.2 if block == 1 else 2.0)
            length = song.input.shape[1]
            output = song.render(length / rate_hz)[:, :length]
            result[f"{rate_hz}/{block}"] = bool(np.array_equal(output, song.input[:, : output.shape[1]]))
    return result


def parameters(plugin: str, _: Path) -> list:
    """Names in the order of their ids, with defaults as text."""
    song = Song(plugin, 48000, 512, 120.0, 1.0)
    return [[item["name"], item["text"]] for item in song.plugin.get_parameters_description()]


def transport(plugin: str, folder: Path) -> dict:
    """Tempo and playhead as the daemon hears of them, and a capture of the last bars."""
    with Peer() as peer:
        os.environ["ACESTEP_OSC_PORT"] = str(peer.port)
        song = Song(plugin, 44100, 441, 97.3, 12.0)
        song.render(0.1)
        peer.wait_for("/acestep/ping")
        time.sleep(0.2)
        song.render(12.0, Take_context=11.5)
        captures = folder / "captures"
        file = eventually(lambda: next(captures.glob("*.wav"), None), "no capture")
        song.render(1.0, Trigger=0.5)
        request = peer.wait_for("/acestep/generate")[0]
    audio, rate_hz = read_wav(file)
    first = round(float(audio[0, 0]) / STEP) - 1
    expected = song.input[:, first : first + audio.shape[1]]
    bar = 4 * 60 / 97.3 * 44100
    return {
        "request": request,
        "name": file.name,
        "capture": str(file),
        "rate_hz": rate_hz,
        "samples": audio.shape[1],
        "exact_samples": 4 * bar,
        "first_off_bar": first - round(first / bar) * bar,
        "equal": bool(np.array_equal(audio, expected)),
    }


def preview(plugin: str, folder: Path) -> list:
    """Where a preview starts and restarts, for several rates, blocks and moments of switching it on."""
    results = []
    for rate_hz, block, bpm, clip_rate_hz in (
        (48000, 512, 97.0, 48000),
        (44100, 64, 133.7, 44100),
        (96000, 1000, 71.9, 48000),
    ):
        bar = 4 * 60 / bpm
        length = round(2 * bar * clip_rate_hz)
        clip = folder / f"clip-{rate_hz}.wav"
        tone = np.full((2, length), 0.25, np.float32)
        tone[:, :4] = 0.5  # marks the start
        write_wav(clip, tone, clip_rate_hz)
        with Peer(clip) as peer:
            os.environ["ACESTEP_OSC_PORT"] = str(peer.port)
            song = Song(plugin, rate_hz, block, bpm, bar * 6 + 1)
            song.plugin.set_parameter(song.index["Bars"], 1 / 63)
            song.render(0.1)
            peer.wait_for("/acestep/ping")
            time.sleep(0.2)
            song.render(1.0, Trigger=0.5)
            peer.wait_for("/acestep/generate")
            time.sleep(1.0)  # the worker loads the clip
            for switched_on_s in (0.0, 0.6 * bar):
                song.render(0.2)  # off again: the host hands a new value on with the block after
                output = song.render(bar * 5, Preview=switched_on_s)
                heard = output[0] - song.input[0, : output.shape[1]]
                starts = np.flatnonzero((heard[1:] > 0.01) & (heard[:-1] <= 0.01)) + 1
                if heard[0] > 0.01:
                    starts = np.concatenate([[0], starts])
                # the marked start of every repetition, also where there is no gap before it
                marks = np.flatnonzero((heard[1:] > 0.4) & (heard[:-1] <= 0.4)) + 1
                marks = marks if heard[0] <= 0.4 else np.concatenate([[0], marks])
                results.append(
                    {
                        "rate_hz": rate_hz,
                        "switched_on_bars": switched_on_s / bar,
                        "first_sample": int(starts[0]),
                        "bar_samples": bar * rate_hz,
                        "repeats": [int(mark) for mark in marks],
                        "same_rate": rate_hz == clip_rate_hz,
                    }
                )
    return results


def cpu(plugin: str, _: Path) -> dict:
    """Processor time of 240 s through host and plugin (an upper bound), and through the host alone."""

    def measure(with_plugin: bool) -> float:
        song = Song(plugin, 48000, 512, 120.0, 240.0)
        if not with_plugin:
            song.engine.load_graph([(song.engine.make_playback_processor("alone", song.input), [])])
        song.engine.render(1.0)
        before = resource.getrusage(resource.RUSAGE_SELF)
        song.engine.render(240.0)
        after = resource.getrusage(resource.RUSAGE_SELF)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    with_it, without = (min(measure(on) for _ in range(3)) for on in (True, False))
    return {"with_s": with_it, "without_s": without, "percent": 100 * with_it / 240.0}


if __name__ == "__main__":
    task, plugin_path, home = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    os.environ["ACESTEP_HOME"] = str(home)
    os.environ.setdefault("ACESTEP_OSC_PORT", "9")
    answer = json.dumps(
        {f.__name__: f for f in (passthrough, parameters, transport, preview, cpu)}[task](plugin_path, home)
    )
    print("\n" + answer, flush=True)
    os._exit(0)  # dawdreamer's own teardown is not what is tested
