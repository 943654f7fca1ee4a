"""What can be done with a take, in headless Chromium: one take is made, and everything is tried on it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from acestep.music.key import MODES, Key
from tests.plugin_bridge.web.browser import Tab
from tests.plugin_bridge.web.conftest import Studio, cards, generate, needs_browser

pytestmark = needs_browser

LENGTH_S = 4.0  # two bars of 4/4 at 120


@pytest.fixture(scope="module")
def made(studio: Studio) -> Tab:
    """The page with one take of two bars, which has told what it was like while it was decoded."""
    tab = studio.tab.open()
    tab.script(
        """
        window.previews = [];
        new MutationObserver(() => {
          for (const node of document.querySelectorAll(".preview[data-samples]")) {
            const wave = node.querySelector("canvas");
            const { data } = wave.getContext("2d").getImageData(0, 0, wave.width, wave.height);
            const drawn = data.some((byte) => byte > 0);
            window.previews.push({ samples: Number(node.dataset.samples), drawn });
          }
        }).observe(document.body, { childList: true, subtree: true, attributes: true });
        """
    )
    generate(tab, "funk drums and bass", bpm="120", bars="2", takes="1")
    cards(tab, 1)
    return tab


@pytest.fixture
def tab(made: Tab) -> Tab:
    """The page with that take, as it was left."""
    made.show("Generate")
    made.script("bridge.sound.player.stop()")
    return made


def clip(tab: Tab) -> Path:
    """The oldest take's file."""
    return Path(tab.attributes(".card", "data-clip")[-1])


def sidecar(path: Path) -> Any:
    """What is written beside a clip."""
    return json.loads(path.with_name(path.name + ".json").read_text())


def newest(tab: Tab) -> Path:
    """The file of the take that the button Generate makes now."""
    before = set(tab.attributes(".card", "data-clip"))
    tab.click("#go")
    found = tab.until(lambda: set(tab.attributes(".card[data-samples]", "data-clip")) - before, "new take")
    return Path(found.pop())


def more(tab: Tab) -> None:
    """Unfolds what a take offers beside the usual."""
    tab.script("for (const more of document.querySelectorAll('.card details.more')) more.open = true")


def test_a_preview_is_drawn_while_decoding_goes_on(tab: Tab) -> None:
    heard = tab.script("return window.previews")
    assert heard, "no preview was drawn before the take was there"
    assert all(one["samples"] > 0 and one["drawn"] for one in heard)


def test_the_spectrogram_comes_on_demand_and_shows_a_tone_where_it_is(tab: Tab) -> None:
    assert not tab.all(".card .spectrogram")
    more(tab)
    tab.press("Spectrogram", ".card")
    tab.one(".card .spectrogram")
    spread = tab.script(
        "const canvas = document.querySelector('.card .spectrogram');"
        "const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
        "const red = data.filter((_, i) => i % 4 === 0);"
        "return red.reduce((a, b) => Math.max(a, b)) - red.reduce((a, b) => Math.min(a, b))"
    )
    assert spread > 100
    tab.press("Spectrogram", ".card")
    tab.until(lambda: not tab.all(".card .spectrogram"), "folded sheet")
    # A sine of 1 kHz: on the logarithmic axis from 40 Hz to 18 kHz it lies at ln(18) / ln(450) of the height.
    row = tab.later(
        """
        import("/bridge/static/spectrum.js").then(({ drawSpectrogram }) => {
          const buffer = new AudioBuffer({ length: 48000, sampleRate: 48000 });
          buffer.getChannelData(0).forEach((_, i, all) => { all[i] = Math.sin(2 * Math.PI * i / 48); });
          const canvas = document.createElement("canvas");
          canvas.className = "spectrogram";
          document.querySelector(".card").append(canvas);
          drawSpectrogram(canvas, buffer);
          const { width, height } = canvas;
          const { data } = canvas.getContext("2d").getImageData(width >> 1, 0, 1, height);
          const light = (y) => data[4 * y] + data[4 * y + 1] + data[4 * y + 2];
          const sums = Array.from({ length: height }, (_, y) => light(y));
          canvas.remove();
          done(sums.indexOf(Math.max(...sums)) / height);
        });
        """
    )
    assert row == pytest.approx(np.log(18) / np.log(450), abs=0.03)


def test_the_sidecar_is_shown_and_the_folder_opened(tab: Tab, studio: Studio) -> None:
    more(tab)
    tab.press("Sidecar", ".card")
    tab.until(lambda: tab.all(".card .sheet pre"), "sidecar")
    assert json.loads(tab.script("return document.querySelector('.sheet pre').textContent")) == sidecar(
        clip(tab)
    )
    tab.press("Sidecar", ".card")
    tab.press("Show in folder", ".card")
    tab.until(lambda: studio.opened.exists() and studio.opened.read_text().strip(), "opened folder")
    assert studio.opened.read_text().split() == [str(clip(tab).parent)]


def test_a_download_is_the_file_itself(tab: Tab, studio: Studio) -> None:
    folder = studio.folder / "downloads"
    tab.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
    )
    tab.press("Download", ".card")
    loaded = folder / clip(tab).name
    tab.until(loaded.is_file, "downloaded file")
    assert loaded.read_bytes() == clip(tab).read_bytes()


def test_the_click_is_heard_only_when_it_is_on_and_the_loop_ends_when_it_is_off(tab: Tab) -> None:
    tab.script("document.activeElement.blur()")
    body = tab.one("body")
    silence = (
        "const buffer = new AudioBuffer({ length: 48000, sampleRate: 48000 });"
        "bridge.sound.player.play({}, { buffer, grid: { beat_s: 0.25, numerator: 4 }, range: null })"
    )
    tab.script(silence)
    assert tab.later("setTimeout(() => done(bridge.sound.player.level()), 600)") == 0
    body.send_keys("c")
    tab.until(lambda: tab.script("return bridge.sound.player.level()") > 0.01, "click")
    assert tab.texts('.top .toggle[aria-pressed="true"]') == ["Loop", "Click"]
    body.send_keys("c")
    assert tab.later("setTimeout(() => done(bridge.sound.player.level()), 600)") == 0
    assert tab.script("return bridge.sound.player.owner !== null"), "the loop has ended"
    body.send_keys("l")
    tab.until(lambda: tab.script("return bridge.sound.player.owner === null"), "end after one round")
    body.send_keys("l")


def test_space_presses_a_checkbox_that_has_the_focus(tab: Tab) -> None:
    box = tab.one("#lock input")
    before = box.is_selected()
    tab.script("arguments[0].focus()", box)
    box.send_keys(" ")
    assert box.is_selected() != before
    assert tab.script("return bridge.sound.player.owner === null")
    box.send_keys(" ")


def test_a_typed_seed_is_kept(tab: Tab) -> None:
    tab.fill("#seed input, #seed textarea", "77")
    tab.until(lambda: tab.one("#lock input").is_selected(), "tick at Keep seed")
    tab.script("document.querySelector('#lock input').click()")


def test_a_deleted_take_comes_back_where_it_was(tab: Tab) -> None:
    path = clip(tab)
    more(tab)
    tab.press("Delete", ".card")
    tab.until(lambda: not tab.all(".card") and not path.exists(), "empty run")
    tab.press("Undo", "#notices")
    cards(tab, 1)
    assert clip(tab) == path
    assert path.exists()


def test_the_library_filters_by_tempo_key_and_date(tab: Tab, studio: Studio) -> None:
    tab.show("Library")
    files = {path.removesuffix(".json") for path in map(str, studio.made.samples.glob("*.json"))}
    tab.until(lambda: set(tab.attributes(".clip-row", "data-clip")) == files, "a row for every clip")
    rows = len(files)
    # A clip without an asked key carries the one that was heard, and every seed sounds in another.
    heard = {sidecar(Path(file))["clip"]["key"] for file in files}
    keys = (str(Key(tonic, mode)) for mode in MODES for tonic in range(12))
    absent = next(key for key in keys if key not in heard)
    for label, empty, full in (("tempo from", "399", ""), ("tempo to", "1", "")):
        tab.fill(f'.filters [aria-label="{label}"]', empty)
        tab.until(lambda: not tab.all(".clip-row"), f"empty list by {label}")
        _set(tab, f'.filters [aria-label="{label}"]', full)
        tab.until(lambda: len(tab.all(".clip-row")) == rows, "all rows")
    for selector, empty in (('.filters [type="date"]', "2999-01-01"), (".filters select", absent)):
        _set(tab, selector, empty)
        tab.until(lambda: not tab.all(".clip-row"), f"empty list by {selector}")
        _set(tab, selector, "")
        tab.until(lambda: len(tab.all(".clip-row")) == rows, "all rows")


def _set(tab: Tab, selector: str, value: str) -> None:
    tab.script(
        "const field = document.querySelector(arguments[0]); field.value = arguments[1];"
        "field.dispatchEvent(new Event('input', { bubbles: true }))",
        selector,
        value,
    )


def test_a_new_search_leaves_rows_that_stay_as_they_are_and_an_open_one_open(tab: Tab) -> None:
    tab.show("Library")
    tab.click(".clip-row .line button", "▸")
    tab.one(".clip-row .card[data-samples]")
    tab.script("document.querySelectorAll('.clip-row').forEach((row, place) => { row.place = place; })")
    places = "return [...document.querySelectorAll('.clip-row')].map((row) => row.place)"
    before = tab.script(places)
    tab.click(".clip-row .line .star")
    tab.until(lambda: tab.texts(".clip-row .line .star")[0] == "★", "star in the row")
    assert tab.all(".clip-row .card[data-samples]")
    assert tab.script(places) == before
    tab.click(".clip-row .line .star")
    tab.until(lambda: tab.texts(".clip-row .line .star")[0] == "☆", "row without a star")
    tab.click(".clip-row .line button", "▾")
    tab.until(lambda: not tab.all(".clip-row .card"), "closed row")


def test_more_like_this_and_fit_to_this_reach_the_request(tab: Tab) -> None:
    tab.fill("#bpm input", "90")
    tab.drag(".card canvas.wave", 0.03, 0.5)
    tab.press("More like this", ".card")
    tab.until(lambda: tab.all('.picker.filled[data-role="reference"]'), "reference")
    tab.press("Fit to this", ".card")
    tab.until(lambda: tab.all('.picker.filled[data-role="context"]'), "context")
    tab.until(lambda: tab.one("#bpm input").get_attribute("value") == "120", "the context's tempo")
    path = clip(tab)
    tab.click(".card canvas.wave")  # takes the range away
    tab.press("×", '.picker[data-role="context"]')
    tab.press("Fit to this", ".card")
    tab.until(lambda: tab.all('.picker.filled[data-role="context"]'), "context without a range")
    request = sidecar(newest(tab))["request"]
    assert (request["reference"]["path"], request["context"]["path"]) == (str(path), str(path))
    assert request["reference"]["end_s"] == pytest.approx(LENGTH_S / 2)
    assert request["context"]["end_s"] is None
    for role in ("reference", "context"):
        tab.press("×", f'.picker[data-role="{role}"]')
        tab.until(lambda role=role: not tab.all(f'.picker.filled[data-role="{role}"]'), "empty picker")


def test_a_dragged_region_is_made_anew_and_the_rest_stays(tab: Tab) -> None:
    path = clip(tab)
    card = f'.card[data-clip="{path}"]'
    tab.drag(f"{card} canvas.wave", 0.25, 0.5)
    tab.press("Repaint", card)
    tab.until(lambda: tab.all('.picker.filled[data-role="context"]'), "context")
    tab.until(lambda: tab.one("#task input").get_attribute("value").startswith("repaint"), "task repaint")
    # Dragging on the context's own waveform changes the region: it is what counts then.
    tab.drag('.picker[data-role="context"] canvas', 0.5, 0.75)
    again = newest(tab)
    request = sidecar(again)["request"]
    assert (request["task"], request["context"]["path"]) == ("repaint", str(path))
    start_s, end_s = request["repaint_s"]
    assert start_s == pytest.approx(LENGTH_S * 0.5, abs=0.03)
    assert end_s == pytest.approx(LENGTH_S * 0.75, abs=0.03)
    (before, rate), (after, _) = soundfile.read(path), soundfile.read(again)
    first, last = int((start_s + 0.1) * rate), int((end_s - 0.1) * rate)
    assert np.abs(before[: first - rate // 5] - after[: first - rate // 5]).max() < 0.02
    assert np.sqrt(np.mean((before[first:last] - after[first:last]) ** 2)) > 1e-3
    tab.press("×", '.picker[data-role="context"]')
    tab.until(lambda: tab.one("#task input").get_attribute("value") == "by what is given", "ordinary task")
