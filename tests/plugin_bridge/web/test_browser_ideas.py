"""Ideas in parts in headless Chromium: asked for, mixed on one clock, taken away, gone on with."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from acestep.sound.riff import read_chunks
from tests.support import axe
from tests.support.browser import Tab
from tests.support.closeness import assert_close
from tests.support.studio import Studio, choose, needs_browser

pytestmark = needs_browser

IDEA = ".run .card.idea"
LANE = f"{IDEA} .lane"
READY = f"{LANE}[data-samples]"


@pytest.fixture(scope="module")
def made(studio: Studio) -> Tab:
    """The page with an idea of two parts, asked for by chips and words, with notes."""
    tab = studio.tab.open()
    tab.fill("#prompt", "neon funk")
    tab.fill("#bpm", "120")
    tab.fill("#bars", "2")
    tab.choose("#key", "A minor")
    tab.press("+ Parts")
    for part in ("drums", "bass"):
        tab.click(f'#parts .chip[data-part="{part}"]')
    tab.fill("#parts .part:nth-child(2) input", "slap")
    tab.click("#midi_out")
    assert tab.texts("#plan") == ["Generate makes an idea: drums, bass and their mix."]
    assert not tab.one("#takes").is_displayed()
    tab.click("#go")
    tab.until(lambda: tab.all('.run[data-state="done"]'), "idea")
    tab.until(lambda: len(tab.all(READY)) == 2, "two parts to hear")
    return tab


@pytest.fixture
def tab(made: Tab) -> Tab:
    """The page with that idea, everything at 0 dB and nothing muted."""
    made.show("Takes")
    made.script("bridge.sound.player.stop()")
    for pressed in made.all(f'{LANE} .toggle[aria-pressed="true"]'):
        pressed.click()
    level(made, "bass", 0)
    return made


def files(tab: Tab) -> dict[str, Path]:
    """Each part's file."""
    told = tab.script(
        "return [...document.querySelectorAll(arguments[0])]"
        ".map(({ dataset }) => [dataset.part, dataset.clip])",
        f"{LANE}[data-clip]",
    )
    return {part: Path(path) for part, path in told}


def sidecar(path: Path) -> Any:
    return json.loads(path.with_name(path.name + ".json").read_text())


def level(tab: Tab, part: str, db: float) -> None:
    """Moves a part's fader."""
    fader = "const one = document.querySelector(arguments[0]); one.value = arguments[1];"
    tab.script(f"{fader} one.dispatchEvent(new Event('input'))", f'[aria-label="Level of {part}"]', db)


def mixed(tab: Tab) -> np.ndarray:
    """What would be saved now, [samples, channels]."""
    sides = tab.later(
        "document.querySelector(arguments[0]).card.mixed().then((buffer) =>"
        "done([0, 1].map((side) => Array.from(buffer.getChannelData(side)))))",
        IDEA,
    )
    return np.array(sides, np.float32).T


def test_the_idea_is_one_entry_with_its_parts_and_was_asked_for_with_their_words(tab: Tab) -> None:
    assert len(tab.all(IDEA)) == 1
    assert list(files(tab)) == ["drums", "bass"]
    request = sidecar(files(tab)["bass"])["idea"]["request"]
    assert (request["parts"], request["bpm"], request["key"]) == ("drums; bass: slap", 120, "A minor")
    assert tab.attributes(READY, "data-samples") == ["192000"] * 2


def test_all_parts_begin_at_one_moment_and_stay_in_phase(tab: Tab) -> None:
    worst = tab.later(
        """
        const { startLoop } = bridge.sound;
        const { lanes } = document.querySelector(arguments[0]).card;
        const buffers = [...lanes.values()].map((lane) => lane.buffer);
        const ctx = new OfflineAudioContext(2, 3 * buffers[0].length, buffers[0].sampleRate);
        const outputs = buffers.map(() => ctx.destination);
        startLoop(ctx, outputs, buffers, { when: 0, from_s: 0, loop: [0, buffers[0].duration] });
        ctx.startRendering().then((heard) => {
          const [one, other] = buffers.map((buffer) => buffer.getChannelData(0));
          const samples = heard.getChannelData(0);
          let worst = 0;
          for (let i = 0; i < samples.length; i++) {
            const at = i % one.length;
            worst = Math.max(worst, Math.abs(samples[i] - one[at] - other[at]));
          }
          done(worst);
        });
        """,
        IDEA,
    )
    assert worst < 1e-6
    tab.press("▶", IDEA)
    tab.until(lambda: tab.script("return bridge.sound.player.level()") > 0.001, "sound")


def test_mute_solo_and_level_are_heard_at_once_and_saved_as_heard(tab: Tab, studio: Studio) -> None:
    drums, bass = (soundfile.read(path, dtype="float32")[0] for path in files(tab).values())
    trim = min(1.0, 0.89 / np.abs(drums + bass).max())
    assert_close(mixed(tab), trim * (drums + bass), within=1e-5)
    level(tab, "bass", -6)
    assert_close(mixed(tab), trim * (drums + 10 ** (-6 / 20) * bass), within=1e-5)
    tab.click('[aria-label="Solo bass"]')
    assert_close(mixed(tab), trim * 10 ** (-6 / 20) * bass, within=1e-5)
    tab.click('[aria-label="Solo bass"]')
    tab.click('[aria-label="Mute bass"]')
    assert tab.attributes(f"{LANE}.silent", "data-part") == ["bass"]
    folder = studio.folder / "mixes"
    tab.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
    )
    tab.press("Save this mix", IDEA)
    tab.until(lambda: list(folder.glob("*.wav")), "a file")
    [saved] = folder.glob("*_own-mix.wav")
    tab.until(lambda: saved.stat().st_size > 192_000 * 8, "the whole file")
    assert_close(soundfile.read(saved, dtype="float32")[0], trim * drums, within=1e-5)
    acid = read_chunks(saved)["acid"]
    assert (acid["bpm"], acid["quarters"], acid["signature"], acid["stretch"]) == (120, 8, "4/4", True)
    tab.press("▶", IDEA)
    tab.until(lambda: tab.script("return bridge.sound.player.level()") > 0.001, "sound")
    tab.click('[aria-label="Mute drums"]')
    tab.until(lambda: tab.script("return bridge.sound.player.level()") < 1e-4, "silence")


def dragged(tab: Tab, selector: str) -> tuple[str, str, str]:
    """(kind, name, address) of the file that dragging an element gives."""
    given = tab.script(
        """
        const node = document.querySelector(arguments[0]);
        const dataTransfer = new DataTransfer();
        node.dispatchEvent(new DragEvent("dragstart", { bubbles: true, dataTransfer }));
        return [node.draggable, dataTransfer.getData("DownloadURL")];
        """,
        selector,
    )
    assert given[0]
    kind, name, url = given[1].split(":", 2)
    return kind, name, url


def fetched(tab: Tab, url: str) -> bytes:
    cookies = "; ".join(f"{one['name']}={one['value']}" for one in tab.driver.get_cookies())
    with urllib.request.urlopen(urllib.request.Request(url, headers={"cookie": cookies})) as answer:
        return bytes(answer.read())


def test_each_part_is_dragged_alone_and_its_notes_as_a_midi_file(tab: Tab) -> None:
    for part, path in files(tab).items():
        kind, name, url = dragged(tab, f'{LANE}[data-part="{part}"] .part-name')
        assert (kind, name) == ("audio/wav", path.name)
        assert fetched(tab, url) == path.read_bytes()
        kind, name, url = dragged(tab, f'{LANE}[data-part="{part}"] .note')
        assert (kind, name) == ("audio/midi", f"{path.stem}.mid")
        assert fetched(tab, url) == path.with_suffix(".mid").read_bytes()
    assert "_mix." in dragged(tab, f"{IDEA} > header .line")[1]


@pytest.mark.parametrize("width", [1280, 420])
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_finds_nothing_wrong(tab: Tab, theme: str, width: int) -> None:
    tab.size(width, 860)
    try:
        tab.script("document.documentElement.dataset.theme = arguments[0]", theme)
        tab.script("document.querySelector('#parts').hidden = false")
        tab.click('[aria-label="Mute bass"]')
        assert axe.complaints(tab) == []
        tab.click('[aria-label="Make bass anew; the others stay"]')
        tab.until(lambda: tab.all(".pop:popover-open input"), "words")
        assert axe.complaints(tab) == []
        tab.one(".pop:popover-open input").send_keys("\ue00c")
        assert tab.script("return document.documentElement.scrollWidth") <= width
    finally:
        tab.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_one_part_is_made_anew_another_added_and_the_rest_stays(tab: Tab) -> None:
    before = files(tab)
    tab.click('[aria-label="Make bass anew; the others stay"]')
    words = tab.until(lambda: tab.all(".pop:popover-open input"), "words")[0]
    tab.until(lambda: words.get_attribute("value") == "slap", "the words it had")
    words.clear()
    words.send_keys("upright")
    tab.press("Make it anew", ".pop:popover-open")
    tab.until(lambda: files(tab)["bass"] != before["bass"], "another bass")
    tab.until(lambda: tab.all('.run[data-state="done"]'), "the end of it")
    assert (files(tab)["drums"], len(tab.all(IDEA))) == (before["drums"], 1)
    assert sidecar(files(tab)["bass"])["idea"]["request"]["parts"] == "drums; bass: upright"
    tab.press("+ Part", IDEA)
    tab.press("lead", ".pop:popover-open")
    tab.until(lambda: len(tab.all(READY)) == 3, "a third part")
    tab.until(lambda: tab.all('.run[data-state="done"]'), "the end of it")
    assert list(files(tab)) == ["drums", "bass", "lead"]
    # A part in the trash gives way to the one before it, and comes back.
    later = files(tab)["bass"]
    choose(tab, "Move to the trash", f'{LANE}[data-part="bass"]')
    tab.until(lambda: files(tab).get("bass") == before["bass"], "the bass of before")
    tab.press("Undo", "#notices")
    tab.until(lambda: files(tab).get("bass") == later, "the bass that is back")


def test_the_library_shows_the_idea_once_and_several_clips_are_one_context(tab: Tab) -> None:
    tab.show("Library")
    tab.fill("#library-words", "neon")
    row = ".row[data-clip]"
    tab.until(lambda: len(tab.all(row)) == 1, "the idea's row")
    assert "drums, bass, lead" in tab.texts(f"{row} .open")[0]
    tab.click(f"{row} .open")
    tab.until(lambda: len(tab.all(f"{row} .lane[data-samples]")) == 3, "its mixer")
    tab.click(f"{row} .open")
    tab.click('[data-filter="earlier"]')
    tab.until(lambda: len(tab.all(row)) == 3, "a bass and two mixes that have later ones in their place")
    assert len([one for one in tab.attributes(row, "data-clip") if "_bass." in one]) == 1
    tab.press("Select", "#library")
    for box in tab.all(f"{row} .pick")[:2]:
        box.click()
    tab.press("Fit to these 2", ".finder")
    tab.until(lambda: tab.script("return bridge.form.sources.context.buffer"), "the context's sound")
    assert "2 clips" in tab.texts('.picker[data-role="context"]')[0]
    tab.press("Select", "#library")
    tab.press("Clear", ".filters")
    tab.press("Clear", "#parts")
    tab.fill("#prompt", "shaker")
    tab.fill("#takes", "1")
    tab.click("#go")
    path = tab.until(lambda: tab.attributes(".run .card[data-clip][data-samples]", "data-clip"), "a take")[0]
    context = sidecar(Path(path))["request"]["context"]
    assert len({context["path"], *(one["path"] for one in context["plus"])}) == 2
    assert (len(context["plus"]), Path(path).with_suffix(".mid").is_file()) == (1, True)
    tab.press("×", '.picker[data-role="context"]')


def test_the_idea_is_there_again_after_a_reload(tab: Tab) -> None:
    before = files(tab)
    tab.driver.get(tab.address)
    tab.until(lambda: len(tab.all(READY)) == 3, "three parts")
    assert files(tab) == before
    tab.until(lambda: tab.texts(".run:has(.idea) .state") == ["3 parts"], "how many there are")
