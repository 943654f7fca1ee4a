"""The page in headless Chromium against the real daemon with nano: first visit, form, failures, two tabs."""

import json
import threading
import time

import numpy as np
import pytest
import soundfile

from acestep.music.grid import Grid, Signature
from plugin_bridge import Bridge
from plugin_bridge.web.form import DEMOS, EXAMPLES
from plugin_bridge.words import ClipReady
from tests.support.browser import Tab
from tests.support.studio import Studio, cards, generate, needs_browser

pytestmark = needs_browser


def test_the_page_comes_quickly_and_asks_nobody_else(tab: Tab) -> None:
    tab.requested(), tab.complaints()  # those of other pages, whose daemons were ended, are not this visit's
    tab.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    started = time.monotonic()
    tab.driver.get(tab.address)
    tab.until(lambda: tab.all("#bpm"), "the form")
    print(f"\nwith an empty cache the page's form is there after {time.monotonic() - started:.2f} s")
    tab.until(lambda: tab.all('.pill[data-state="up"]'), "the daemon")
    host = tab.address.removeprefix("http://")
    allowed = (f"http://{host}", f"ws://{host}", "data:", "blob:")
    assert {url for url in tab.requested() if not url.startswith(allowed)} == set()
    assert tab.complaints() == []


def test_no_script_may_be_made_of_text(tab: Tab) -> None:
    said = tab.later(
        "const made = document.createElement('script'); made.textContent = 'window.written = true';"
        "document.body.append(made);"
        "setTimeout('window.evaluated = true');"
        "setTimeout(() => done([window.written ?? null, window.evaluated ?? null]), 50)"
    )
    assert said == [None, None]
    tab.complaints()  # the refusals


def test_the_first_visit_offers_clips_that_sound_prompts_and_words(tab: Tab) -> None:
    tab.until(lambda: len(tab.all(".demo[data-samples]")) == len(DEMOS) == 3, "three clips")
    tab.press("▶", ".demo")
    tab.until(lambda: tab.script("return bridge.sound.player.level()") > 0.001, "sound")
    tab.press("■", ".demo")
    tab.press("Use this prompt", ".demo")
    assert tab.value("#prompt") == DEMOS[0]["prompt"]
    title, prompt, settings = EXAMPLES[1]
    tab.press(title, ".begin")
    assert (tab.value("#prompt"), tab.value("#bpm"), tab.value("#key")) == (
        prompt,
        settings["bpm"],
        settings["key"],
    )
    tab.fill("#prompt", "warm")
    tab.press("house", ".words")
    tab.press("bass", ".words")
    assert tab.value("#prompt") == "warm, house, bass"
    assert tab.texts('.words [aria-pressed="true"]') == ["house", "bass"]
    tab.press("house", ".words")
    assert tab.value("#prompt") == "warm, bass"


def test_only_what_the_checkpoint_can_do_is_offered(tab: Tab) -> None:
    tab.click("#more-toggle")
    shown = {one.get_attribute("data-field") for one in tab.all("#more .field") if one.is_displayed()}
    told = tab.later("fetch('/bridge/form').then((answer) => answer.json()).then(done)")
    supports = told["supports"]
    assert not supports["lyrics"]
    assert "lyrics" not in shown
    offered = {one for one in tab.attributes("#task option", "value") if one}
    assert offered == set(supports["tasks"])
    assert {"swing", "loudness_lufs", "seed", "cascade", "format"} <= shown
    assert bool(tab.all('.source[data-role="reference"]:not([hidden])')) == supports["reference"]


def test_a_setting_that_is_new_stands_in_the_panel_by_itself(tab: Tab) -> None:
    # What the server would say after a field was added to the table of settings.
    tab.later(
        """
        fetch("/bridge/form").then((answer) => answer.json()).then((told) => {
          const low = { low: 0, high: 9, default: null, placeholder: "", choices: [], fader: false };
          const said = { title: "Sparkle", help: "How it glitters." };
          told.fields.push({ name: "sparkle", kind: "number", ...said, ...low });
          told.defaults.sparkle = "";
          bridge.form.describe(told);
          done();
        });
        """
    )
    tab.click("#more-toggle")
    tab.fill("#sparkle", "3")
    assert tab.script("return bridge.form.request('a').values.sparkle") == "3"
    assert "How it glitters." in tab.texts('[data-field="sparkle"]')[0]


def test_two_takes_have_the_exact_length_and_sound_as_a_loop_without_a_gap(tab: Tab) -> None:
    generate(tab, "dusty breakbeat", bpm="127.37", signature="7/8", bars="2", takes="2", seed="7")
    expected = Grid(127.37, Signature(7, 8), 2).samples()
    cards(tab, 2)
    assert tab.attributes(".card[data-clip]", "data-samples") == [str(expected)] * 2
    tab.press("▶", ".card")
    tab.until(lambda: tab.script("return bridge.sound.player.level()") > 0.001, "sound")
    # The same graph, rendered offline for three rounds: every round equals the first, sample for sample.
    worst = tab.later(
        """
        const { currentCard, startLoop } = bridge.sound;
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
    assert (tab.value("#bpm"), tab.value("#bars")) == ("", "")
    generate(tab, "warm organ")
    assert len(cards(tab, 2)) == 2


def test_the_keyboard_plays_stops_and_changes_the_take_and_tapping_sets_the_tempo(tab: Tab) -> None:
    generate(tab, "slow pad", takes="2", bars="1")
    paths = cards(tab, 2)
    body = tab.one("body")
    tab.script("document.activeElement.blur()")
    body.send_keys(" ")
    tab.until(lambda: tab.script("return bridge.sound.player.owner !== null"), "something that plays")
    body.send_keys("\ue015")  # arrow down
    tab.until(
        lambda: tab.script("return bridge.sound.player.owner.clip.path") == str(paths[1]), "the second take"
    )
    body.send_keys(" ")
    tab.until(lambda: tab.script("return bridge.sound.player.owner === null"), "silence")
    for _ in range(3):
        tab.click(".tap")
    tab.until(lambda: tab.value("#bpm"), "tapped tempo")
    tempo = tab.later(
        "import('/bridge/static/grid.js').then(({ Taps }) => {"
        " const taps = new Taps(); let bpm; for (let i = 0; i < 6; i++) bpm = taps.tap(i * 60000 / 92.5);"
        " done(bpm); })"
    )
    assert tempo == 92.5
    tab.fill("#bars", "4")
    tab.one("#bars").send_keys("\ue013\ue013")  # arrow up, twice
    assert tab.script("return bridge.form.values.bars") == "6"


def test_a_long_job_is_cancelled_and_leaves_no_file(tab: Tab, studio: Studio) -> None:
    before = set(studio.made.samples.glob("*"))
    generate(tab, "an endless drone", bars="64", takes="16")
    tab.until(lambda: tab.all('.run[data-state="running"], .run[data-state="queued"]'), "job")
    tab.press("Cancel", ".run")
    tab.until(lambda: tab.all('.run[data-state="cancelled"]'), "cancelled run")
    assert set(studio.made.samples.glob("*")) == before


def test_an_error_stands_beside_its_field_and_goes_when_it_is_mended(tab: Tab) -> None:
    tab.fill("#bpm", "5000")
    tab.fill("#prompt", "x")  # leaving the field is enough
    error = '[data-field="bpm"] .field-error'
    tab.until(lambda: "30–300" in tab.texts(error)[0], "error beside the tempo")
    tab.one("#prompt").send_keys("\n")
    assert tab.script("return document.activeElement.id") == "bpm"
    assert tab.one("#bpm").get_attribute("aria-invalid") == "true"
    assert not tab.all(".run")
    tab.fill("#bpm", "120")
    tab.until(lambda: tab.texts(error) == [""], "no error any more")
    assert tab.one("#bpm").get_attribute("aria-invalid") == "false"


def test_what_only_the_daemon_can_refuse_stands_beside_its_field_too(tab: Tab) -> None:
    generate(tab, "x", bars="1", swing="1.5", signature="13/9")
    error = '[data-field="signature"] .field-error'
    tab.until(lambda: tab.texts(error)[0], "the daemon's words beside the signature")
    tab.until(lambda: tab.all('.run[data-state="failed"]') or not tab.all(".run"), "end of the run")
    tab.fill("#signature", "4/4")
    tab.until(lambda: tab.texts(error) == [""] and not tab.all(".error-box:not([hidden])"), "no error")
    tab.one("#prompt").send_keys("\n")
    cards(tab, 1)


def test_the_form_survives_a_reload(tab: Tab, studio: Studio) -> None:
    generate(tab, "funk bass", takes="1", bars="1", bpm="101")
    [path] = cards(tab, 1)
    tab.press("Fit to this", ".card")
    tab.until(lambda: tab.all('.picker.filled[data-role="context"]'), "context")
    tab.fill("#prompt", "a shaker with it")
    tab.choose("#key", "A minor")
    tab.driver.refresh()
    tab.until(lambda: tab.all('.picker.filled[data-role="context"]'), "context after the reload")
    assert tab.value("#prompt") == "a shaker with it"
    assert (tab.value("#bpm"), tab.value("#key")) == ("101", "A minor")
    assert tab.script("return bridge.form.request('a').context.path") == str(path)


def test_again_fills_the_form_and_makes_the_same_samples(tab: Tab, studio: Studio) -> None:
    generate(tab, "funk bass", takes="1", bars="1")
    [first] = cards(tab, 1)
    tab.press("Again", ".card")
    seed = json.loads(first.with_name(first.name + ".json").read_text())["clip"]["seed"]
    tab.until(lambda: tab.value("#seed") == str(seed), "the clip's seed")
    assert "makes the same clip again" in tab.texts(".notice")[-1]
    tab.click("#go")
    [second] = set(cards(tab, 2)) - {first}
    assert np.array_equal(soundfile.read(first)[0], soundfile.read(second)[0])


def test_what_was_filled_in_can_be_undone(tab: Tab) -> None:
    generate(tab, "funk bass", takes="1", bars="1")
    cards(tab, 1)
    tab.fill("#prompt", "something quite different")
    tab.fill("#bpm", "77")
    tab.press("More like this", ".card")
    tab.until(lambda: tab.value("#prompt") == "funk bass", "the clip's prompt")
    tab.press("Undo", "#notices")
    tab.until(lambda: tab.value("#prompt") == "something quite different", "what was there before")
    assert tab.value("#bpm") == "77"
    assert not tab.all(".picker.filled")


def test_a_broken_file_is_refused_and_a_range_of_a_good_one_is_sent(tab: Tab, studio: Studio) -> None:
    broken, good = studio.folder / "broken.wav", studio.folder / "good.wav"
    broken.write_bytes(b"RIFF\x00\x00\x00\x00WAVEnothing")
    soundfile.write(good, 0.1 * np.random.default_rng(0).standard_normal((96_000, 2)), 48_000)
    chooser = tab.all('input[type="file"][data-role="reference"]')[0]
    chooser.send_keys(str(broken))
    error = '.picker[data-role="reference"] .field-error'
    tab.until(lambda: tab.texts(error)[0], "error")
    [said] = tab.texts(error)
    assert said.startswith("broken.wav")
    assert "cut off" in said
    chooser.send_keys(str(good))
    tab.until(lambda: tab.all('.picker.filled[data-role="reference"]'), "filled picker")
    tab.until(lambda: tab.texts(error) == [""], "no error any more")
    tab.until(lambda: tab.script("return bridge.form.sources.reference.buffer"), "waveform")
    tab.drag('.picker[data-role="reference"] canvas', 0.25, 0.75)
    picked = tab.script("return bridge.form.request('a').reference")
    assert picked["path"].startswith("upload:")
    assert picked["start_s"] == pytest.approx(0.5, abs=0.05)
    assert picked["end_s"] == pytest.approx(1.5, abs=0.05)
    generate(tab, "like this", takes="1", bars="1")
    cards(tab, 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty.wav", b""), ("notes.wav", b"these are words"), ("no ending", b"RIFF"), ("tune.mid", b"MThd"),
     ("Größe – 音 " + "x" * 150 + ".wav", b"RIFF\x00")],
    ids=["empty", "words", "no ending", "midi", "long name"],
)  # fmt: skip
def test_what_is_no_audio_is_refused_by_its_name_and_nothing_is_taken_up(
    tab: Tab, studio: Studio, name: str, content: bytes
) -> None:
    odd = studio.folder / name
    odd.write_bytes(content)
    tab.all('input[type="file"][data-role="context"]')[0].send_keys(str(odd))
    error = '.picker[data-role="context"] .field-error'
    said = tab.until(lambda: tab.texts(error)[0], "error")
    assert said.startswith(f"{name}: ")
    assert tab.script("return bridge.form.request('a').context") is None
    assert tab.script("return document.documentElement.scrollWidth <= innerWidth")


def test_a_prompt_that_is_too_long_is_refused_beside_it_and_can_be_cut(tab: Tab) -> None:
    tab.script("const p = document.getElementById('prompt'); p.value = 'drums '.repeat(400);"
               "p.dispatchEvent(new Event('input', {bubbles: true}))")  # fmt: skip
    tab.click("#go")
    tab.until(lambda: "expected at most" in tab.texts("#prompt-error")[0], "error beside the prompt")
    assert tab.script("return document.querySelector('.top').offsetHeight < innerHeight / 2")
    tab.fill("#prompt", "drums")
    tab.until(lambda: tab.texts("#prompt-error") == [""], "no error any more")
    tab.until(lambda: tab.all(".run") == [], "no run that was refused")
    generate(tab, "drums", takes="1", bars="1")
    cards(tab, 1)


def test_a_reload_in_the_middle_of_a_job_loses_nothing(tab: Tab) -> None:
    generate(tab, "slow strings", takes="1", bars="4")
    tab.driver.refresh()
    tab.until(lambda: tab.texts(".run > header h2") == ["slow strings"], "the run after the reload")
    assert len(cards(tab, 1)) == 1
    assert tab.value("#prompt") == "slow strings"


def test_a_recording_from_the_microphone_reaches_the_daemon(tab: Tab) -> None:
    tab.click('.source[data-role="context"]')
    tab.click(".pop:popover-open .entry", "Record…")
    tab.until(lambda: "Recording" in " ".join(tab.texts(".recording")), "recording")
    tab.later("setTimeout(done, 600)")
    tab.press("Stop", ".recording")
    tab.until(
        lambda: tab.script("return bridge.form.request('a').context?.path?.startsWith('upload:')"), "upload"
    )


def test_two_tabs_do_not_disturb_each_other(tab: Tab, studio: Studio) -> None:
    generate(tab, "only in the first tab", takes="1", bars="1")
    cards(tab, 1)
    first = tab.driver.current_window_handle
    tab.driver.switch_to.new_window("window")
    try:
        tab.driver.get(tab.address)
        tab.until(lambda: tab.all('.pill[data-state="up"]'), "the daemon")
        tab.click("#queue summary")
        tab.until(lambda: "only in the first tab" in " ".join(tab.texts(".job")), "everybody's queue")
        assert tab.all(".run") == []
        generate(tab, "only in the second tab", takes="1", bars="1")
        cards(tab, 1)
    finally:
        tab.driver.close()
        tab.driver.switch_to.window(first)
    assert tab.texts(".run > header h2") == ["only in the first tab"]
    assert tab.value("#prompt") == "only in the first tab"


def test_a_finished_clip_is_in_the_page_soon_after_the_daemons_event(tab: Tab, studio: Studio) -> None:
    told: list[float] = []
    watching = threading.Event()

    def listen() -> None:
        with Bridge(f"127.0.0.1:{studio.port}") as bridge:
            events = bridge.watch()
            watching.set()
            for event in events:
                if isinstance(event, ClipReady):
                    told.append(time.time() * 1000)
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    watching.wait(30)
    tab.script(
        "new MutationObserver(() => {"
        " if (document.querySelector('.card[data-clip]')) window.cardAt ??= Date.now(); })"
        ".observe(document.body, {childList: true, subtree: true})"
    )
    generate(tab, "quick", takes="1", bars="1")
    cards(tab, 1)
    thread.join(30)
    late_ms = tab.script("return window.cardAt") - told[0]
    print(f"\nfrom the daemon's event to the card in the page: {late_ms:.0f} ms")


def test_the_set_up_names_daemon_and_checkpoints(tab: Tab) -> None:
    tab.show("Set-up")
    tab.until(lambda: any("samples folder" in text for text in tab.texts(".panel")), "facts of the daemon")
    tab.until(lambda: tab.all(".model[data-cascade]"), "checkpoints")
    titles = tab.until(lambda: "REAPER" in (found := tab.texts(".model strong")) and found, "bridges")
    assert len(titles) == len(set(titles))  # the plugin's formats are one bridge


def test_light_and_dark_change_with_one_press_and_are_kept(tab: Tab) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    before = tab.script(ground)
    tab.click("#theme")
    after = tab.script(ground)
    assert after != before
    tab.driver.refresh()
    tab.until(lambda: tab.all("#bpm"), "the form")
    assert tab.script(ground) == after


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
    tab.click("#more-toggle")
    tab.choose("#guide", "off")
    fields = {"swing": "1,5", "tempo_map": "0 100 ramp, 8 120", "loudness_lufs": "-20"}
    generate(tab, "warm organ", bars="2", takes="1", **fields)
    (path,) = cards(tab, 1)
    request = json.loads(path.with_name(path.name + ".json").read_text("utf-8"))["request"]
    assert request["tempo_map"] == [[0.0, 100.0, True], [8.0, 120.0, False]]
    assert (request["swing"], request["guide"], request["loudness_lufs"]) == (1.5, False, -20)
    for name, other in (("swing", "2"), ("tempo_map", "0 90"), ("loudness_lufs", "off")):
        tab.fill(f"#{name}", other)
    tab.press("Again", ".card")
    tab.until(lambda: tab.value("#tempo_map") == "0 100 ramp, 8 120", "the clip's tempo map")
    held = [tab.value(f"#{name}") for name in ("swing", "guide", "loudness_lufs", "bpm")]
    assert held == ["1.5", "off", "-20", ""]
