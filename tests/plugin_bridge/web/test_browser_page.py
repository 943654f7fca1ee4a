"""The page in headless Chromium against the real daemon with nano: its form, its takes, its failures."""

import json
import threading
import time

import numpy as np
import pytest
import soundfile

from acestep.music.grid import Grid, Signature
from plugin_bridge import Bridge
from plugin_bridge.words import ClipReady
from tests.plugin_bridge.web.browser import Tab
from tests.plugin_bridge.web.conftest import Studio, cards, generate, needs_browser

pytestmark = needs_browser


def test_the_page_comes_quickly_and_asks_nobody_else(tab: Tab) -> None:
    tab.requested(), tab.complaints()  # those of other pages, whose daemons were ended, are not this visit's
    tab.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    started = time.monotonic()
    tab.driver.get(tab.address)
    tab.until(lambda: tab.all("#prompt textarea"), "the form")
    print(f"\nwith an empty cache the page's form is there after {time.monotonic() - started:.2f} s")
    tab.until(lambda: tab.all('.pill[data-state="up"]'), "the daemon")
    host = tab.address.removeprefix("http://")
    allowed = (f"http://{host}", f"ws://{host}", "data:", "blob:")
    assert {url for url in tab.requested() if not url.startswith(allowed)} == set()
    assert tab.complaints() == []


def test_two_takes_have_the_exact_length_and_sound_as_a_loop_without_a_gap(tab: Tab, studio: Studio) -> None:
    tab.fill("#signature input", "7/8\n")
    generate(tab, "dusty breakbeat", bpm="127.37", bars="2", takes="2", seed="7")
    expected = Grid(127.37, Signature(7, 8), 2).samples()
    cards(tab, 2)
    assert tab.attributes(".card", "data-samples") == [str(expected)] * 2
    tab.press("▶", ".card")
    tab.until(lambda: tab.script("return bridge.sound.player.level()") > 0.001, "sound")
    # The same graph, rendered offline for three rounds: every round equals the first, sample for sample.
    worst = tab.later(
        """
        const { currentCard, clickTrack, startLoop } = bridge.sound;
        const buffer = currentCard().buffer;
        const ctx = new OfflineAudioContext(2, 3 * buffer.length, buffer.sampleRate);
        startLoop(ctx, [ctx.destination], [buffer], { when: 0, from_s: 0, loop: [0, buffer.duration] });
        ctx.startRendering().then((heard) => {
          let worst = 0;
          for (let c = 0; c < 2; c++) {
            const samples = heard.getChannelData(c), first = buffer.getChannelData(c);
            for (let i = 0; i < samples.length; i++)
              worst = Math.max(worst, Math.abs(samples[i] - first[i % first.length]));
          }
          done(worst);
        });
        """
    )
    assert worst < 1e-6
    click = tab.script(
        "const { clickTrack, currentCard } = bridge.sound;"
        "const track = clickTrack(currentCard().buffer, {beat_s: 0.5, numerator: 4});"
        "return Array.from(track.getChannelData(0).slice(24000, 24200))"
    )
    assert max(map(abs, click)) > 0.1


def test_an_untouched_form_with_a_prompt_makes_clips(tab: Tab) -> None:
    for name in ("bpm", "bars"):
        assert tab.one(f"#{name} input").get_attribute("value") == ""
    generate(tab, "warm organ")
    assert len(cards(tab, 2)) == 2


def test_space_plays_and_stops_and_tapping_sets_the_tempo(tab: Tab) -> None:
    generate(tab, "slow pad", takes="1")
    cards(tab, 1)
    body = tab.one("body")
    tab.click(".brand")
    tab.script("document.activeElement.blur()")
    body.send_keys(" ")
    tab.until(lambda: tab.script("return bridge.sound.player.owner !== null"), "something that plays")
    body.send_keys(" ")
    tab.until(lambda: tab.script("return bridge.sound.player.owner === null"), "silence")
    for _ in range(3):
        tab.click("#tap")
    tab.until(lambda: tab.one("#bpm input").get_attribute("value") not in (None, ""), "tapped tempo")
    tempo = tab.later(
        "import('/bridge/static/grid.js').then(({ Taps }) => {"
        " const taps = new Taps(); let bpm; for (let i = 0; i < 6; i++) bpm = taps.tap(i * 60000 / 92.5);"
        " done(bpm); })"
    )
    assert tempo == 92.5


def test_a_long_job_is_cancelled_and_leaves_no_file(tab: Tab, studio: Studio) -> None:
    before = set(studio.made.samples.glob("*"))
    generate(tab, "an endless drone", bars="64", takes="16")
    tab.until(lambda: tab.all('.run[data-state="running"], .run[data-state="queued"]'), "job")
    tab.press("Cancel", ".run")
    tab.until(lambda: tab.all('.run[data-state="cancelled"]'), "cancelled run")
    assert set(studio.made.samples.glob("*")) == before


def test_the_daemons_own_words_are_shown(tab: Tab) -> None:
    generate(tab, "x", bpm="5000")
    tab.until(lambda: tab.all(".error-box:not([hidden])"), "error")
    assert "30–300" in tab.texts(".error-box")[0]


def test_again_fills_the_form_and_makes_the_same_samples(tab: Tab, studio: Studio) -> None:
    generate(tab, "funk bass", takes="1", bars="1")
    [first] = cards(tab, 1)
    tab.press("Again", ".card")
    tab.until(lambda: tab.one("#lock input").is_selected(), "kept seed")
    assert tab.one("#seed input, #seed textarea").get_attribute("value") in tab.texts(".card")[0]
    tab.click("#go")
    [second] = set(cards(tab, 2)) - {first}
    assert np.array_equal(soundfile.read(first)[0], soundfile.read(second)[0])


def test_search_star_delete_and_undo(tab: Tab, studio: Studio) -> None:
    generate(tab, "zither rain", takes="1", bars="1")
    [path] = cards(tab, 1)
    tab.show("Library")
    tab.until(lambda: len(tab.all(".clip-row")) > 0, "rows")
    tab.fill("#library-words", "zither rain")
    tab.until(lambda: len(tab.all(".clip-row")) == 1, "the one row")
    tab.click(".clip-row .star")
    tab.until(lambda: tab.texts(".clip-row .star") == ["★"], "star")
    tab.press("Delete", ".clip-row")
    tab.until(lambda: not tab.all(".clip-row") and not path.exists(), "empty list")
    tab.press("Undo", "#notices")
    tab.until(lambda: len(tab.all(".clip-row")) == 1, "row that is back")
    assert path.exists()


def test_a_broken_file_is_refused_and_a_range_of_a_good_one_is_sent(tab: Tab, studio: Studio) -> None:
    broken, good = studio.folder / "broken.wav", studio.folder / "good.wav"
    broken.write_bytes(b"RIFF\x00\x00\x00\x00WAVEnothing")
    soundfile.write(good, 0.1 * np.random.default_rng(0).standard_normal((96_000, 2)), 48_000)
    tab.click("#audio-fields > button")
    chooser = tab.one('input[type="file"][data-role="reference"]')
    chooser.send_keys(str(broken))
    tab.until(lambda: tab.all(".notice.error"), "error")
    [said] = tab.texts(".notice.error > span")
    assert said.startswith("broken.wav")
    assert "cut off" in said
    chooser.send_keys(str(good))
    tab.until(lambda: tab.all('.picker.filled[data-role="reference"]'), "filled picker")
    tab.until(
        lambda: tab.script("return bridge.formState().reference?.path?.startsWith('upload:')"), "upload"
    )
    tab.drag('.picker[data-role="reference"] canvas', 0.25, 0.75)
    picked = tab.script("return bridge.formState().reference")
    assert picked["start_s"] == pytest.approx(0.5, abs=0.05)
    assert picked["end_s"] == pytest.approx(1.5, abs=0.05)
    generate(tab, "like this", takes="1", bars="1")
    cards(tab, 1)


def test_a_recording_from_the_microphone_reaches_the_daemon(tab: Tab) -> None:
    tab.click("#audio-fields > button")
    tab.press("● Record", '.picker[data-role="context"]')
    tab.until(lambda: "■ Stop" in "".join(tab.texts('.picker[data-role="context"]')), "recording")
    time.sleep(0.6)
    tab.press("■ Stop", '.picker[data-role="context"]')
    tab.until(lambda: tab.script("return bridge.formState().context?.path?.startsWith('upload:')"), "upload")


def test_two_tabs_do_not_disturb_each_other(tab: Tab, studio: Studio) -> None:
    generate(tab, "only in the first tab", takes="1", bars="1")
    cards(tab, 1)
    first = tab.driver.current_window_handle
    tab.driver.switch_to.new_window("window")
    try:
        tab.driver.get(tab.address)
        tab.until(lambda: tab.all('.pill[data-state="up"]'), "the daemon")
        tab.click(".queue summary")
        tab.until(lambda: "only in the first tab" in " ".join(tab.texts(".job")), "everybody's queue")
        assert tab.all(".run") == []
        generate(tab, "only in the second tab", takes="1", bars="1")
        cards(tab, 1)
    finally:
        tab.driver.close()
        tab.driver.switch_to.window(first)
    assert tab.texts(".run > header strong") == ["only in the first tab"]


def test_a_finished_clip_is_in_the_page_soon_after_the_daemons_event(tab: Tab, studio: Studio) -> None:
    told: list[float] = []

    def listen() -> None:
        with Bridge(f"127.0.0.1:{studio.port}") as bridge:
            for event in bridge.watch():
                if isinstance(event, ClipReady):
                    told.append(time.time() * 1000)
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    time.sleep(0.3)
    tab.script(
        "new MutationObserver(() => { if (document.querySelector('.card')) window.cardAt ??= Date.now(); })"
        ".observe(document.body, {childList: true, subtree: true})"
    )
    generate(tab, "quick", takes="1", bars="1")
    cards(tab, 1)
    thread.join(30)
    late_ms = tab.script("return window.cardAt") - told[0]
    print(f"\nfrom the daemon's event to the card in the page: {late_ms:.0f} ms")


def test_every_page_is_drawn(tab: Tab) -> None:
    tab.show("Set-up")
    tab.until(lambda: any("samples folder" in text for text in tab.texts(".panel")), "facts of the daemon")
    tab.until(lambda: tab.all(".model[data-cascade]"), "checkpoints")
    tab.show("Train")
    tab.until(lambda: tab.all("#train-start"), "form")
    tab.click(".top .b[title='Light or dark']")
    assert tab.script("return document.body.classList.contains('dark')")


def test_a_killed_daemon_shows_and_heals(tab: Tab, studio: Studio) -> None:
    generate(tab, "an endless drone", bars="64", takes="16")
    tab.until(lambda: tab.all('.run[data-state="running"]'), "running job")
    studio.daemon.kill()
    tab.until(lambda: tab.all('.pill[data-state="down"]'), "sign that the daemon is gone")
    assert "acestep serve" in tab.until(lambda: [t for t in tab.texts(".pill") if "serve" in t], "advice")[0]
    studio.daemon = studio.start(studio.port)
    tab.until(lambda: tab.all('.pill[data-state="up"]'), "daemon that is back")
    tab.until(lambda: tab.all('.run[data-state="failed"]'), "run that says it was lost")
    assert "interrupted" in tab.texts(".error-box")[0]
    tab.open()  # the lost run with its error is gone
    generate(tab, "after the fall", bars="1", takes="1")
    cards(tab, 1)


def test_swing_a_changing_tempo_and_the_guide_reach_the_request_and_come_back_with_again(tab: Tab) -> None:
    for section in ("tempo-fields", "model-fields"):
        tab.click(f"#{section} > button")
    tab.fill("#guide input", "off\n")
    tab.fill("#loudness_lufs input, #loudness_lufs textarea", "-20")
    generate(tab, "warm organ", bars="2", takes="1", swing="1,5", tempo_map="0 100 ramp, 8 120")
    (path,) = cards(tab, 1)
    request = json.loads(path.with_name(path.name + ".json").read_text("utf-8"))["request"]
    assert request["tempo_map"] == [[0.0, 100.0, True], [8.0, 120.0, False]]
    assert (request["swing"], request["guide"], request["loudness_lufs"]) == (1.5, False, -20)
    for name, other in (("swing", "2"), ("tempo_map", "0 90"), ("loudness_lufs", "off")):
        tab.fill(f"#{name} input, #{name} textarea", other)
    tab.press("Again", ".card")

    def value(name: str) -> str | None:
        return tab.one(f"#{name} input, #{name} textarea").get_attribute("value")

    tab.until(lambda: value("tempo_map") == "0 100 ramp, 8 120", "the clip's tempo map")
    assert (value("swing"), value("guide"), value("loudness_lufs"), value("bpm")) == ("1.5", "off", "-20", "")
