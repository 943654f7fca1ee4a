"""Who can use the page: axe-core in all views and both themes, the keyboard alone, a window of 420 pixels."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import axe
from tests.support.browser import Tab
from tests.support.studio import Studio, cards, generate, needs_browser

pytestmark = needs_browser

VIEWS = ("Takes", "Library", "Train", "Set-up")


@pytest.fixture(scope="module")
def made(studio: Studio) -> Tab:
    """The page with two takes."""
    tab = studio.tab.open()
    generate(tab, "warm organ", bars="1", takes="2")
    cards(tab, 2)
    return tab


@pytest.fixture
def narrow(made: Tab) -> Iterator[Tab]:
    """The same on a phone."""
    made.show("Takes")
    made.size(420, 860)
    yield made
    made.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_wrong(made: Tab, theme: str, view: str) -> None:
    made.script("document.documentElement.dataset.theme = arguments[0]", theme)
    made.show(view)
    if view == "Library":
        made.until(lambda: made.all(".row[data-samples]"), "rows")
        made.click(".row .open")
        made.one(".row .card[data-samples]")
    if view == "Set-up":
        made.until(lambda: made.all(".model[data-cascade]"), "checkpoints")
    if view == "Takes":
        made.click("#more-toggle")
        made.fill("#bpm", "5000")
        made.fill("#prompt", "warm organ")
    try:
        assert axe.complaints(made) == []
    finally:
        if view == "Library":
            made.click(".row .open")
        if view == "Takes":
            made.fill("#bpm", "120")
            made.click("#more-toggle")


def test_axe_finds_nothing_wrong_on_the_first_visit_and_in_what_pops_up(made: Tab) -> None:
    made.show("Takes")
    made.click(".card .badge")
    assert axe.complaints(made) == []
    made.one("body").send_keys("\ue00c")
    made.click('.card button[aria-label="More to do with this clip"]')
    assert axe.complaints(made) == []
    made.click(".card .pop:popover-open .entry", "Sidecar")
    made.one("dialog[open]")
    assert axe.complaints(made) == []
    made.press("Close", "dialog[open]")


def test_everything_can_be_reached_with_the_tab_key(made: Tab) -> None:
    made.show("Takes")
    made.script("document.activeElement.blur(); scrollTo(0, 0)")
    wanted = made.script(
        "const controls = 'button, a[href], input, select, textarea, summary, canvas.wave';"
        "return [...document.querySelectorAll(controls)]"
        ".filter((one) => one.offsetParent && !one.disabled && one.tabIndex >= 0)"
        ".map((one, i) => { one.dataset.nth = i; return String(i); })"
    )
    assert len(wanted) > 40
    body, reached = made.one("body"), set()
    for _ in range(len(wanted) + 5):
        body = made.script("return document.activeElement")
        body.send_keys("\ue004")
        reached.add(made.script("return document.activeElement.dataset.nth"))
    assert set(wanted) - reached == set()


def test_on_a_phone_the_result_of_generate_is_in_view_without_scrolling(narrow: Tab) -> None:
    narrow.script("scrollTo(0, 400)")
    before = len(narrow.all(".card[data-clip]"))
    narrow.click("#go")
    narrow.until(lambda: len(narrow.all(".card[data-clip][data-samples]")) > before, "a new take")
    box = narrow.script(
        "const box = document.querySelector('.card[data-clip]').getBoundingClientRect();"
        "const top = document.querySelector('.top').getBoundingClientRect().bottom;"
        "const foot = document.querySelector('.transport').getBoundingClientRect().top;"
        "return [box.top - top, foot - box.bottom]"
    )
    assert min(box) >= 0, box


@pytest.mark.parametrize("view", VIEWS)
def test_on_a_phone_nothing_is_wider_than_the_window(narrow: Tab, view: str) -> None:
    narrow.show(view)
    if view == "Library":
        narrow.until(lambda: narrow.all(".row[data-samples]"), "rows")
    if view == "Set-up":
        narrow.until(lambda: narrow.all(".model[data-cascade]"), "checkpoints")
    assert narrow.script("return document.documentElement.scrollWidth") <= 420


def test_on_a_phone_every_field_can_be_read_beside_one_that_is_wrong(narrow: Tab) -> None:
    narrow.fill("#bpm", "5000")
    narrow.fill("#bars", "abc")
    try:
        narrow.one("#prompt").click()
        narrow.until(lambda: len(narrow.all(".strip-fields .field.wrong")) == 2, "two errors")
        places = narrow.script(
            "return [...document.querySelectorAll('.strip-fields .field')].map((one) => {"
            " const { left, right } = one.getBoundingClientRect(); return [left, right]; })"
        )
        assert all(left >= 0 and right <= 420 and right - left > 60 for left, right in places), places
    finally:
        narrow.fill("#bpm", "120")
        narrow.fill("#bars", "1")


def test_the_pages_modules_are_all_fetched_with_it(studio: Studio, made: Tab) -> None:
    from plugin_bridge.web.app import STATIC

    hinted = {Path(one).name for one in made.attributes('link[rel="modulepreload"]', "href")}
    assert hinted | {"main.js", "theme.js"} == {one.name for one in STATIC.glob("*.js")}
