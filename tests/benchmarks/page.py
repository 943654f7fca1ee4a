"""The page: how soon it is there, how soon it sounds, how soon a clip is in view; each beside a baseline.

    python -m tests.benchmarks.page [--rounds N]

Headless Chromium, the real daemon with nano. Medians of N rounds; both sides take turns in every round:

- start, visit: a form of the same settings that Gradio draws (`gr.Blocks`, its own components), in a process
  that does nothing else. "Start" begins with the command, "visit" with the address, at an empty cache; both
  end when the field for the tempo is in sight.
- sound: the browser's own `<audio>` element with the same file. From the click to the first sample that is
  not silent.
- clip: the Python client with the same request. From Enter to the take in view, its waveform drawn; and from
  the call to the file.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from plugin_bridge import Bridge
from tests.support.browser import ROOT, Tab, chromium, serving
from tests.support.daemons import Process, settings

LIMIT_S = 120
REQUEST: dict[str, Any] = {"bpm": 92.5, "bars": 4, "takes": 1}
PROMPT = "dusty breakbeat"
# The file is there before the click on both sides, and both are heard by the same meter.
ELEMENT = """
const audio = new Audio(arguments[0]);
audio.preload = "auto";
audio.addEventListener("canplaythrough", () => {
  const ctx = new AudioContext({ sampleRate: 48000, latencyHint: "interactive" });
  const meter = new AnalyserNode(ctx, { fftSize: 2048 });
  new MediaElementAudioSourceNode(ctx, { mediaElement: audio }).connect(meter);
  meter.connect(ctx.destination);
  const heard = new Float32Array(2048);
  const pressed = performance.now();
  const look = () => {
    meter.getFloatTimeDomainData(heard);
    if (!heard.some((one) => Math.abs(one) > 0.001)) return setTimeout(look, 1);
    done(performance.now() - pressed);
    audio.pause();
    ctx.close();
  };
  audio.play().then(look);
}, { once: true });
"""
PRESSED = """
const pressed = performance.now();
document.querySelector(".demo .play").click();
const look = () => {
  if (bridge.sound.player.level() <= 0.001) return setTimeout(look, 1);
  done(performance.now() - pressed);
  bridge.sound.player.stop();
};
look();
"""
IN_VIEW = """
const card = document.querySelector(".card[data-clip][data-samples]");
if (!card || card.dataset.clip === arguments[0]) return null;
const { top, bottom } = card.getBoundingClientRect();
return top >= 0 && bottom <= innerHeight ? card.dataset.clip : null;
"""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, Process(settings(Path(folder))) as daemon:
        address = f"127.0.0.1:{daemon.grpc_port}"
        with Bridge(address) as bridge:
            bridge.generate(PROMPT, **REQUEST).clips()  # the model is loaded now
        print(f"{'medians of ' + str(rounds):<34}{'the page':>12}{'baseline':>12}")
        _started(lambda: serving(address, Path(folder) / "home"), rounds)
        with serving(address, Path(folder) / "home") as page, _gradios_form() as form:
            _visited(page, form, rounds)
            with chromium() as driver:
                tab = Tab(driver, page).open()
                _sounded(tab, rounds)
                _made(tab, address, rounds)


def _started(page: Callable[[], contextlib.AbstractContextManager[str]], rounds: int) -> None:
    with chromium() as driver:

        def started(served: Callable[[], contextlib.AbstractContextManager[str]], field: str) -> float:
            began = time.monotonic()
            with served() as address:
                return _in_sight(driver, address, field) - began

        pairs = [(started(page, "#bpm"), started(_gradios_form, "#bpm input")) for _ in range(rounds)]
    _tell("command to form in sight", "s", pairs)


def _visited(page: str, form: str, rounds: int) -> None:
    def visited(address: str, field: str) -> float:
        with chromium() as driver:  # an empty cache
            driver.get("about:blank")
            began = time.monotonic()
            return _in_sight(driver, address, field) - began

    _tell(
        "address to form in sight", "s",
        [(visited(page, "#bpm"), visited(form, "#bpm input")) for _ in range(rounds)],
    )  # fmt: skip


def _sounded(tab: Tab, rounds: int) -> None:
    tab.until(lambda: len(tab.all(".demo[data-samples]")) >= 3, "clips to press")
    url = tab.script("return bridge.form.description.demos[0].url")
    _tell(
        "click to first sound", "ms", [(tab.later(PRESSED), tab.later(ELEMENT, url)) for _ in range(rounds)]
    )


def _made(tab: Tab, address: str, rounds: int) -> None:
    for name, value in REQUEST.items():
        tab.fill(f"#{name}", str(value))
    tab.fill("#prompt", PROMPT)
    pairs, last = [], ""
    with Bridge(address) as bridge:
        for _ in range(rounds + 1):
            began = time.monotonic()
            tab.one("#prompt").send_keys("\n")
            last = tab.until(lambda last=last: tab.script(IN_VIEW, last), "a take in view")
            page_s = time.monotonic() - began
            began = time.monotonic()
            bridge.generate(PROMPT, **REQUEST).clips()
            pairs.append((page_s, time.monotonic() - began))
    _tell("Enter to take in view", "s", pairs[1:])


def _in_sight(driver: Any, address: str, field: str) -> float:
    """When the field is shown."""
    driver.get(address)
    shown = "const one = document.querySelector(arguments[0]); return Boolean(one && one.offsetParent)"
    end = time.monotonic() + LIMIT_S
    while not driver.execute_script(shown, field):
        if time.monotonic() > end:
            raise SystemExit(f"{address}: no {field} in {LIMIT_S} s")
        time.sleep(0.01)
    return time.monotonic()


def _tell(what: str, unit: str, pairs: list[tuple[float, float]]) -> None:
    page, other = (statistics.median(one) for one in zip(*pairs, strict=True))
    places = 0 if unit == "ms" else 2
    print(f"{what:<34}{page:>9.{places}f} {unit:<2}{other:>9.{places}f} {unit:<2}  {page / other:.2f}×")


@contextlib.contextmanager
def _gradios_form() -> Iterator[str]:
    """The baseline's address; `serve` is what runs there."""
    command = [sys.executable, "-c", "from tests.benchmarks import page; page.serve()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            line = next(line for line in process.stdout if line.startswith("http://"))
            yield line.strip()
        finally:
            process.kill()


def serve() -> None:
    """A form of all settings, drawn by Gradio."""
    import gradio as gr

    from plugin_bridge.web import gradio_api  # noqa: F401 (it tells Gradio to report nothing)
    from protos.table import SETTINGS

    with gr.Blocks(analytics_enabled=False) as blocks:
        for one in SETTINGS:
            if one.kind in ("number", "whole"):
                gr.Number(label=one.title, info=one.help, elem_id=one.name)
            elif one.words:
                gr.Dropdown(list(one.words), label=one.title, info=one.help, elem_id=one.name)
            elif one.kind == "audio":
                gr.Audio(label=one.title, elem_id=one.name)
            elif one.kind == "switch":
                gr.Checkbox(label=one.title, info=one.help, elem_id=one.name)
            else:
                gr.Textbox(label=one.title, info=one.help, elem_id=one.name)
        gr.Button("Generate")
        gr.Audio(label="take")
    _, address, _ = blocks.launch(prevent_thread_lock=True, quiet=True, server_port=None)
    print(address, flush=True)
    blocks.block_thread()


if __name__ == "__main__":
    main()
