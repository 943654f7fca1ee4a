"""What can be done with a take, in headless Chromium: one take is made, and everything is tried on it."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.support.browser import Tab
from tests.support.studio import Studio, cards, choose, generate, needs_browser

pytestmark = needs_browser

LENGTH_S = 4.0  # two bars of 4/4 at 120
CARD = ".run .card[data-clip]"


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
    made.show("Takes")
    made.script("bridge.sound.player.stop()")
    return made


def clip(tab: Tab) -> Path:
    """The oldest take's file."""
    return Path(tab.attributes(CARD, "data-clip")[-1])


def sidecar(path: Path) -> Any:
    """What is written beside a clip."""
    return json.loads(path.with_name(path.name + ".json").read_text())


def newest(tab: Tab) -> Path:
    """The file of the take that the button Generate makes now."""
    before = set(tab.attributes(CARD, "data-clip"))
    tab.click("#go")
    found = tab.until(lambda: set(tab.attributes(f"{CARD}[data-samples]", "data-clip")) - before, "new take")
    return Path(found.pop())


def test_a_preview_is_drawn_while_decoding_goes_on(tab: Tab) -> None:
    heard = tab.script("return window.previews")
    assert heard, "no preview was drawn before the take was there"
    assert all(one["samples"] > 0 and one["drawn"] for one in heard)


def test_one_line_says_what_it_is_and_the_figures_are_behind_a_badge(tab: Tab) -> None:
    line = tab.texts(f"{CARD} .line")[0]
    assert "Take 1" in line
    assert "120 bpm" in line
    assert not tab.all(f"{CARD} .figures:popover-open")
    tab.click(f"{CARD} .badge")
    figures = tab.until(lambda: tab.texts(f"{CARD} .figures:popover-open"), "figures")[0]
    told = sidecar(clip(tab))["clip"]
    assert f"{told['samples']} samples" in figures
    assert str(told["seed"]) in figures
    tab.one("body").send_keys("\ue00c")  # Escape
    tab.until(lambda: not tab.all(f"{CARD} .figures:popover-open"), "no figures")


def test_the_waveform_has_a_bar_grid_and_the_keyboard_moves_in_it_by_beats(tab: Tab) -> None:
    wave = tab.one(f"{CARD} canvas.wave")
    assert wave.get_attribute("role") == "slider"
    tab.script("arguments[0].focus()", wave)
    wave.send_keys("\ue014")  # arrow right
    tab.until(lambda: tab.script("return bridge.sound.player.owner !== null"), "something that plays")
    tab.script("bridge.sound.player.stop()")
    wave.send_keys("\ue008\ue014\ue014")  # Shift and arrow right, twice: two beats are selected
    selected = tab.script("return document.querySelector(arguments[0]).wave.range", f"{CARD} canvas.wave")
    assert selected == pytest.approx([0, 1.0])
    assert tab.texts(f"{CARD} .selection") == ["bar 1, beat 1 – bar 1, beat 3"]
    wave.send_keys("\ue000\ue00c")  # Escape takes it away
    assert tab.texts(f"{CARD} .selection") == [""]
    # Bars are lines over the whole height, where they belong: 0 and 2 s of 4.
    columns = tab.script(
        """
        const { wave } = document.querySelector(arguments[0]);
        const shown = document.createElement("div");
        const { canvas } = wave;
        const { data } = canvas.getContext("2d").getImageData(0, 2, canvas.width, 1);
        const lines = [];
        for (let x = 0; x < canvas.width; x++) if (data[4 * x + 3] > 250) lines.push(x / canvas.width);
        return lines;
        """,
        f"{CARD} canvas.wave",
    )
    assert any(abs(one) < 0.005 for one in columns)
    assert any(abs(one - 0.5) < 0.005 for one in columns)


def test_a_peak_meter_a_position_in_bars_and_a_volume_follow_what_plays(tab: Tab) -> None:
    tab.press("▶", CARD)
    tab.until(
        lambda: float(tab.one(".meter").get_attribute("aria-valuenow")) > -40, "a level on the peak meter"
    )
    tab.until(lambda: "/ 2" in tab.texts(".transport .position")[0], "position in bars")
    tab.script(
        "const volume = document.querySelector('.volume'); volume.value = 0;"
        "volume.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    tab.until(lambda: tab.script("return bridge.sound.player.level()") == 0, "silence at volume nought")
    tab.script("bridge.sound.player.setVolume(1)")
    tab.until(lambda: tab.script("return bridge.sound.player.level()") > 0.001, "sound")


def test_a_clip_can_be_dragged_out_as_a_file(tab: Tab, studio: Studio) -> None:
    given = tab.script(
        """
        const line = document.querySelector(arguments[0]);
        const dataTransfer = new DataTransfer();
        line.dispatchEvent(new DragEvent("dragstart", { bubbles: true, dataTransfer }));
        return [line.draggable, dataTransfer.getData("DownloadURL")];
        """,
        f"{CARD} .line",
    )
    kind, name, url = given[1].split(":", 2)
    assert (given[0], kind, name) == (True, "audio/wav", clip(tab).name)
    cookies = "; ".join(f"{one['name']}={one['value']}" for one in tab.driver.get_cookies())
    with urllib.request.urlopen(urllib.request.Request(url, headers={"cookie": cookies})) as answer:
        assert name in answer.headers["content-disposition"]
        assert answer.read() == clip(tab).read_bytes()


def test_the_spectrogram_comes_on_demand_and_shows_a_tone_where_it_is(tab: Tab) -> None:
    assert not tab.all(".card .spectrogram")
    choose(tab, "Spectrogram", CARD)
    tab.one(".card .spectrogram")
    spread = tab.script(
        "const canvas = document.querySelector('.card .spectrogram');"
        "const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
        "const red = data.filter((_, i) => i % 4 === 0);"
        "return red.reduce((a, b) => Math.max(a, b)) - red.reduce((a, b) => Math.min(a, b))"
    )
    assert spread > 100
    choose(tab, "Spectrogram", CARD)
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
    choose(tab, "Sidecar", CARD)
    tab.until(lambda: tab.all("dialog[open] pre"), "sidecar")
    assert json.loads(tab.script("return document.querySelector('dialog[open] pre').textContent")) == sidecar(
        clip(tab)
    )
    tab.press("Close", "dialog[open]")
    tab.until(lambda: not tab.all("dialog[open]"), "closed dialog")
    choose(tab, "Show in folder", CARD)
    tab.until(lambda: studio.opened.exists() and studio.opened.read_text().strip(), "opened folder")
    assert studio.opened.read_text().split() == [str(clip(tab).parent)]


def rename(tab: Tab, stem: str) -> None:
    choose(tab, "Rename…", CARD)
    tab.fill("dialog[open] input", stem)
    tab.press("Rename", "dialog[open]")
    tab.until(lambda: clip(tab).stem == stem, "the new name")


def test_a_clip_is_renamed_and_tagged(tab: Tab) -> None:
    made = clip(tab)
    rename(tab, "slap and snare")
    assert "slap and snare" in tab.texts(f"{CARD} .line")[0]
    assert clip(tab).exists()
    assert not made.exists()
    choose(tab, "Tags…", CARD)
    tab.fill("dialog[open] input", "groove, live")
    tab.press("Tags", "dialog[open]")
    tab.until(lambda: tab.texts(f"{CARD} .tag") == ["groove", "live"], "tags")
    assert sidecar(clip(tab))["clip"]["tags"] == ["groove", "live"]
    rename(tab, made.stem)
    assert made.exists()


def test_a_download_is_the_file_itself(tab: Tab, studio: Studio) -> None:
    folder = studio.folder / "downloads"
    tab.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
    )
    choose(tab, "Download", CARD)
    loaded = folder / clip(tab).name
    tab.until(loaded.is_file, "downloaded file")
    assert loaded.read_bytes() == clip(tab).read_bytes()


def test_the_click_is_heard_only_when_it_is_on_and_the_loop_ends_when_it_is_off(tab: Tab) -> None:
    tab.script("document.activeElement.blur()")
    body = tab.one("body")
    silence = (
        "const buffer = new AudioBuffer({ length: 48000, sampleRate: 48000 });"
        "bridge.sound.player.play({}, { buffer, grid: { beat_s: 0.25, numerator: 4, bars: 1 }, range: null })"
    )
    tab.script(silence)
    assert tab.later("setTimeout(() => done(bridge.sound.player.level()), 600)") == 0
    body.send_keys("c")
    tab.until(lambda: tab.script("return bridge.sound.player.level()") > 0.01, "click")
    assert tab.texts('.transport .toggle[aria-pressed="true"]') == ["Loop", "Click"]
    body.send_keys("c")
    assert tab.later("setTimeout(() => done(bridge.sound.player.level()), 600)") == 0
    assert tab.script("return bridge.sound.player.owner !== null"), "the loop has ended"
    body.send_keys("l")
    tab.until(lambda: tab.script("return bridge.sound.player.owner === null"), "end after one round")
    body.send_keys("l")


def test_space_presses_a_checkbox_that_has_the_focus(tab: Tab) -> None:
    tab.click("#more-toggle")
    box = tab.one("#strict")
    tab.script("arguments[0].focus()", box)
    box.send_keys(" ")
    assert box.is_selected()
    assert tab.script("return bridge.sound.player.owner === null")
    box.send_keys(" ")
    tab.click("#more-toggle")


def test_a_trashed_take_comes_back_where_it_was(tab: Tab) -> None:
    path = clip(tab)
    choose(tab, "Move to the trash", CARD)
    tab.until(lambda: not tab.all(CARD) and not path.exists(), "empty run")
    tab.press("Undo", "#notices")
    cards(tab, 1)
    assert clip(tab) == path
    assert path.exists()


def test_more_like_this_and_fit_to_this_say_what_will_happen_and_reach_the_request(tab: Tab) -> None:
    tab.fill("#bpm", "90")
    tab.drag(f"{CARD} canvas.wave", 0.03, 0.5)
    tab.press("More like this", CARD)
    tab.until(lambda: tab.all('.picker.filled[data-role="reference"]'), "reference")
    tab.until(lambda: tab.value("#bpm") == "120", "the clip's tempo")
    assert "sound like bar 1, beat 1 to bar 2, beat 1 of funk drums and bass" in tab.texts(".notice")[-1]
    path = clip(tab)
    request = sidecar(newest(tab))["request"]
    assert request["reference"]["path"] == str(path)
    assert request["reference"]["end_s"] == pytest.approx(LENGTH_S / 2)
    assert (request["prompt"], request["bpm"]) == ("funk drums and bass", 120)
    tab.fill("#prompt", "shaker")
    card = f'.card[data-clip="{path}"]'
    tab.click(f"{card} canvas.wave")  # takes the range away
    tab.press("Fit to this", card)
    tab.until(lambda: tab.all('.picker.filled[data-role="context"]'), "context")
    assert not tab.all('.picker.filled[data-role="reference"]')
    assert tab.value("#prompt") == "shaker"
    assert "to go with" in tab.texts(".notice")[-1]
    assert "fitted to" in tab.texts("#plan")[0]
    request = sidecar(newest(tab))["request"]
    assert (request["context"]["path"], request["context"]["end_s"]) == (str(path), None)
    assert (request["reference"], request["bars"]) == (None, 2)
    tab.press("×", '.picker[data-role="context"]')
    tab.until(lambda: not tab.all(".picker.filled"), "empty picker")


def test_a_dragged_region_is_made_anew_and_the_rest_stays(tab: Tab) -> None:
    path = clip(tab)
    card = f'.card[data-clip="{path}"]'
    tab.drag(f"{card} canvas.wave", 0.25, 0.5)
    tab.press("Make this part anew", card)
    tab.until(lambda: tab.all('.picker.filled[data-role="context"]'), "context")
    tab.until(lambda: tab.value("#task") == "repaint", "task repaint")
    tab.until(lambda: tab.script("return bridge.form.sources.context.buffer"), "waveform")
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
    tab.until(lambda: tab.value("#task") == "", "ordinary task")
