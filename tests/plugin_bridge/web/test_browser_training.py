"""The training page in headless Chromium with the real `lora_studio`: look, train, stop, go on, use it."""

import json
import re
from pathlib import Path

import numpy as np
import soundfile

from tests.support.browser import Tab
from tests.support.studio import Studio, cards, generate, needs_browser

pytestmark = needs_browser

ENDED = ", ".join(f'.training[data-state="{state}"]' for state in ("done", "failed", "stopped"))


def stems(folder: Path) -> Path:
    """Six loops of noise bursts, and a file that is none."""
    folder.mkdir()
    noise = np.random.default_rng(1)
    for number in range(6):
        times = np.arange(48_000 * 4) / 48_000
        beat = np.exp(-40 * (times % 0.5)) * noise.standard_normal(times.size)
        ending = "aiff" if number == 5 else "wav"
        name = f"loop{number}_120bpm_Am.{ending}"
        soundfile.write(folder / name, 0.2 * np.stack([beat, beat], 1), 48_000)
    (folder / "broken.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVEnothing")
    return folder


def steps(tab: Tab) -> dict[str, int]:
    """How far the curve of each stage goes."""
    found = (re.match(r"stage (\w+) step (\d+)", one) for one in tab.texts(".curves figcaption"))
    return {one[1]: int(one[2]) for one in found if one}


def test_a_run_is_looked_at_started_stopped_goes_on_and_its_adapter_is_used(tab: Tab, studio: Studio) -> None:
    tab.show("Train")
    tab.click("#train-look")
    tab.until(lambda: "no folder is named" in tab.texts("#train-error")[0], "error beside the folder")
    assert tab.one("#train-folder").get_attribute("aria-invalid") == "true"
    tab.fill("#train-folder", str(stems(studio.folder / "stems")))
    assert tab.texts("#train-error") == [""]
    tab.click("#train-look")
    tab.until(lambda: tab.all("#train-found .panel"), "what was found")
    assert "6 files" in tab.texts("#train-found .panel")[0]
    assert "broken.wav" in " ".join(tab.texts("#train-found .warnings"))
    tab.until(lambda: len(tab.all(".files .row[data-drawn]")) == 6, "waveforms of all files")
    assert all("120 bpm" in one for one in tab.texts(".files .bpm"))
    assert all("A minor" in one for one in tab.texts(".files .key"))
    tab.click('.files .row[data-file$=".aiff"] .play')
    tab.until(lambda: tab.script("return bridge.sound.player.level()") > 0.0005, "sound of a file")
    tab.script("bridge.sound.player.stop()")
    tab.until(lambda: tab.attributes(".training", "data-state") == ["done"], "end of the look")
    tab.fill("#train-name", "tiny")
    tab.fill("#train-minutes", "1.2")
    tab.click("#train-start")
    tab.until(lambda: tab.all(".curve"), "curve")
    assert tab.all("#train-found .panel"), "what was found is gone"
    tab.click("#train-stop")
    tab.until(lambda: tab.all(ENDED), "end of the first part")
    assert tab.attributes(".training", "data-state") == ["stopped"], tab.texts(".training")
    reached = steps(tab)
    assert not (studio.made.home / "adapters" / "tiny").exists()
    tab.click("#train-start")
    tab.until(lambda: tab.all('.training[data-state="running"] .curve'), "curve of the second part")
    assert max(reached.values()) > 0
    tab.until(
        lambda: any(step > reached.get(stage, 0) for stage, step in steps(tab).items()),
        "step behind those of the first part",
    )
    tab.until(lambda: tab.all(ENDED), "end of the run")
    assert (studio.made.home / "adapters" / "tiny").is_dir(), tab.texts(".training")
    before, after = tab.attributes(".comparison:first-of-type .side", "data-preview")[:2]
    assert ("before" in before, "after" in after) == (True, True)
    tab.click(f'[data-preview="{before}"] .play')
    tab.until(lambda: tab.script("return bridge.sound.player.level()") > 0.0005, "sound before")
    tab.click(f'[data-preview="{after}"] .play')
    tab.until(lambda: tab.script("return bridge.sound.player.owner.url").endswith("after.wav"), "after")
    tab.script("bridge.sound.player.stop()")
    tab.press("Use it", ".training")
    tab.until(lambda: tab.script("return bridge.form.adapters.tiny") == 1, "adapter in the request")
    tab.script(
        "const fader = document.querySelector('.adapter input[type=range]'); fader.value = 0.5;"
        "fader.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    generate(tab, "with the adapter", takes="1", bars="1")
    [path] = cards(tab, 1)
    tab.click(".card .badge")
    assert "tiny × 0.5" in tab.until(lambda: tab.texts(".card .figures:popover-open"), "figures")[0]
    told = json.loads(path.with_name(path.name + ".json").read_text())["request"]
    assert told["adapters"] == [["tiny", 0.5]]
    tab.show("Library")
    tab.click('[data-filter="adapter:tiny"]')
    tab.until(lambda: len(tab.all(".row[data-clip]")) == 1, "the one clip with it")
    tab.press("Clear", ".filters")
