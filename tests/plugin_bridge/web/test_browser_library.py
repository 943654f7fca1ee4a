"""The library in headless Chromium: rows with waveforms, search, chips, sorting, groups, stars, the trash."""

from pathlib import Path

import pytest

from plugin_bridge import Bridge
from tests.support.browser import Tab
from tests.support.studio import Studio, choose, needs_browser

pytestmark = needs_browser

ROW = ".row[data-clip]"


@pytest.fixture(scope="module")
def made(studio: Studio) -> Tab:
    """The library with three clips of two requests, as another client made them; one is an AIFF."""
    with Bridge(f"127.0.0.1:{studio.port}") as bridge:
        for clip in bridge.clips(limit=1000):  # other tests' clips
            bridge.trash(clip.path)
        bridge.generate("zither rain", bpm=84, bars=1, takes=2, seed=3).clips()
        bridge.generate("techno drums", bpm=132, bars=2, takes=1, seed=3, format="aiff").clips()
    return studio.tab.open()


@pytest.fixture
def tab(made: Tab) -> Tab:
    """The library."""
    made.show("Library")
    made.until(lambda: len(made.all(ROW)) == 3, "a row for every clip")
    return made


def names(tab: Tab) -> list[str]:
    return tab.texts(f"{ROW} .open strong")


def test_every_row_has_its_waveform_and_what_a_browser_cannot_decode_plays_too(tab: Tab) -> None:
    tab.until(lambda: len(tab.all(f"{ROW}[data-samples]")) == 3, "waveforms")
    assert all("bpm" in one for one in tab.texts(f"{ROW} .bpm"))
    aiff = next(path for path in tab.attributes(ROW, "data-clip") if Path(path).suffix.startswith(".aif"))
    tab.click(f'{ROW}[data-clip="{aiff}"] .play')
    tab.until(lambda: tab.script("return bridge.sound.player.level()") > 0.0005, "sound of the AIFF")
    tab.script("bridge.sound.player.stop()")


def test_no_row_has_a_red_button(tab: Tab) -> None:
    labels = tab.script(
        "return [...document.querySelectorAll('.row .line > button, .row .line > .holder > button')]"
        ".map((one) => one.textContent)"
    )
    assert labels
    assert not any(word in " ".join(labels) for word in ("Delete", "trash", "Trash"))


def test_rows_are_sorted_and_grouped_by_request(tab: Tab) -> None:
    assert names(tab)[0].startswith("techno drums")
    tab.choose("#library-order", "tempo")
    assert names(tab)[-1].startswith("techno drums")
    tab.press("By request", "#library")
    assert len(tab.texts(".group")) == 2
    assert any("zither rain" in one and "2 takes" in one for one in tab.texts(".group"))
    tab.press("By request", "#library")
    tab.choose("#library-order", "newest")


@pytest.mark.parametrize(("chip", "left"), [("tempo:0", 2), ("tempo:3", 1), ("when:today", 3)])
def test_chips_narrow_the_list_down(tab: Tab, chip: str, left: int) -> None:
    tab.click(f'[data-filter="{chip}"]')
    tab.until(lambda: len(tab.all(ROW)) == left, f"{left} rows")
    assert tab.texts("#library-count")[0].startswith(str(left))
    tab.press("Clear", ".filters")
    tab.until(lambda: len(tab.all(ROW)) == 3, "all rows")


def test_search_star_trash_and_undo(tab: Tab) -> None:
    tab.fill("#library-words", "techno")
    tab.until(lambda: len(tab.all(ROW)) == 1, "the one row")
    path = Path(tab.attributes(ROW, "data-clip")[0])
    tab.click(f"{ROW} .star")
    tab.until(lambda: tab.texts(f"{ROW} .star") == ["★"], "star")
    tab.script(
        "const words = document.querySelector('#library-words'); words.value = '';"
        "words.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    tab.click('[data-filter="starred:starred"]')
    tab.until(lambda: tab.attributes(ROW, "data-clip") == [str(path)], "the starred one")
    tab.press("Clear", ".filters")
    choose(tab, "Move to the trash", f'{ROW}[data-clip="{path}"]')
    tab.until(lambda: len(tab.all(ROW)) == 2 and not path.exists(), "two rows")
    tab.press("Undo", "#notices")
    tab.until(lambda: len(tab.all(ROW)) == 3, "row that is back")
    assert path.exists()
    choose(tab, "Move to the trash", f'{ROW}[data-clip="{path}"]')
    tab.click('[data-filter="trashed"]')
    mine = f'{ROW}[data-clip*="{path.name}"]'
    tab.until(lambda: len(tab.all(mine)) == 1, "the trash with it")
    choose(tab, "Bring back", mine)
    tab.until(lambda: not tab.all(mine), "the trash without it")
    tab.press("Clear", ".filters")


def test_a_row_opens_into_the_large_clip_and_stays_when_others_change(tab: Tab) -> None:
    tab.click(f"{ROW} .open")
    tab.one(f"{ROW} .card[data-samples]")
    tab.script(f"document.querySelectorAll('{ROW}').forEach((row, place) => {{ row.place = place; }})")
    places = f"return [...document.querySelectorAll('{ROW}')].map((row) => row.place)"
    before = tab.script(places)
    star = tab.texts(f"{ROW} .line > .star")[0]
    tab.click(f"{ROW} .line > .star")
    tab.until(lambda: tab.texts(f"{ROW} .line > .star")[0] != star, "another star in the row")
    assert tab.all(f"{ROW} .card[data-samples]")
    assert tab.script(places) == before
    tab.click(f"{ROW} .line > .star")
    tab.press("Fit to this", f"{ROW} .card")
    tab.until(lambda: tab.all('.picker.filled[data-role="context"]'), "context")
    tab.click(f"{ROW} .open")
    tab.until(lambda: not tab.all(f"{ROW} .card"), "closed row")
