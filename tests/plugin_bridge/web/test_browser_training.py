"""The training page in headless Chromium with the real `lora_studio`: look, train, stop, go on, use it."""

import json
from pathlib import Path

import numpy as np
import soundfile

from tests.plugin_bridge.web.browser import Tab
from tests.plugin_bridge.web.conftest import Studio, cards, generate, needs_browser

pytestmark = needs_browser

ENDED = ", ".join(f'.training[data-state="{state}"]' for state in ("done", "failed", "stopped"))


def stems(folder: Path) -> Path:
    """Six loops of noise bursts."""
    folder.mkdir()
    noise = np.random.default_rng(1)
    for number in range(6):
        times = np.arange(48_000 * 4) / 48_000
        beat = np.exp(-40 * (times % 0.5)) * noise.standard_normal(times.size)
        soundfile.write(folder / f"loop{number}_120bpm.wav", 0.2 * np.stack([beat, beat], 1), 48_000)
    return folder


def steps(tab: Tab) -> int:
    """How far the curve goes."""
    shown = tab.texts(".curves figcaption")
    return int(shown[0].split("step ")[1].split()[0]) if shown else 0


def test_a_run_is_looked_at_started_stopped_goes_on_and_its_adapter_is_used(tab: Tab, studio: Studio) -> None:
    tab.show("Train")
    tab.click("#train-look")
    tab.until(lambda: "no folder is named" in " ".join(tab.texts(".notice.error")), "error")
    tab.press("×", ".notice")
    tab.fill("#train-folder input, #train-folder textarea", str(stems(studio.folder / "stems")))
    tab.click("#train-look")
    tab.until(lambda: tab.all('.training[data-state="done"] .panel'), "what was found")
    assert "6 files" in tab.texts(".training .panel")[0]
    tab.fill("#train-name input, #train-name textarea", "tiny")
    tab.fill("#train-minutes input, #train-minutes textarea", "0.6")
    tab.click("#train-start")
    tab.until(lambda: tab.all(".curve"), "curve")
    tab.click("#train-stop")
    tab.until(lambda: tab.all(ENDED), "end of the first part")
    assert tab.attributes(".training", "data-state") == ["stopped"], tab.texts(".training")
    reached = steps(tab)
    assert not (studio.made.home / "adapters" / "tiny").exists()
    tab.click("#train-start")
    tab.until(lambda: tab.all('.training[data-state="running"] .curve'), "curve of the second part")
    assert reached > 0
    tab.until(lambda: steps(tab) > reached, "step behind those of the first part")
    tab.until(lambda: tab.all(ENDED), "end of the run")
    assert (studio.made.home / "adapters" / "tiny").is_dir(), tab.texts(".training")
    tab.press("▶", ".training .preview")
    tab.until(lambda: tab.script("return bridge.sound.player.level()") > 0.0005, "sound of a preview")
    tab.press("■", ".training .preview")
    tab.press("Use it", ".training")
    tab.until(lambda: tab.script("return bridge.formState().adapters.tiny") == 1, "adapter in the request")
    tab.script(
        "const fader = document.querySelector('.adapter input[type=range]'); fader.value = 0.5;"
        "fader.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    generate(tab, "with the adapter", takes="1", bars="1")
    [path] = cards(tab, 1)
    assert "tiny × 0.5" in tab.texts(".card")[0]
    told = json.loads(path.with_name(path.name + ".json").read_text())["request"]
    assert told["adapters"] == [["tiny", 0.5]]
    tab.show("Library")
    tab.until(lambda: tab.all('.filters option[value="tiny"]'), "adapter among the filters")
    tab.script(
        "const adapter = document.querySelector('.filters option[value=tiny]').parentElement;"
        "adapter.value = 'tiny'; adapter.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    tab.until(lambda: len(tab.all(".clip-row")) == 1, "the one clip with it")
