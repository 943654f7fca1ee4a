"""Screenshots of every page, light and dark, wide and narrow:
`python -m tests.support.page_screenshots DIR [DAEMON]`.

For looking at; some of them are in the README. DAEMON is the address of one that runs and has a few clips.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.browser import Tab, chromium, serving

VIEWS = ("Takes", "Library", "Train", "Set-up")
SIZES = ((1280, 860), (420, 860))
COLOURS = 96  # of a palette: keeps a page under 120 kB


def take(folder: Path, daemon: str) -> None:
    """All of them, and the first visit."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        serving(daemon, Path(home)) as address,
        chromium() as driver,
    ):
        tab = Tab(driver, address).open()
        tab.until(lambda: len(tab.all(".demo[data-samples]")) >= 3, "clips to press")
        _both(tab, folder, ("Takes",), "first-")
        tab.fill("#prompt", "dusty boom bap drums, vinyl crackle")
        tab.fill("#bpm", "92.5")
        tab.one("#prompt").send_keys("\n")
        tab.until(lambda: len(tab.all(".card[data-clip][data-samples]")) >= 2, "two takes")
        tab.script("document.querySelector('.card .play').click()")
        _both(tab, folder, VIEWS)
        tab.show("Takes")
        tab.press("A band in parts")
        tab.click("#midi_out")
        tab.one("#prompt").send_keys("\n")
        tab.until(lambda: len(tab.all(".lane[data-samples]")) >= 3, "an idea")
        tab.until(lambda: tab.all('.run[data-state="done"] .card.idea'), "its end")
        tab.script("document.querySelector('.card.idea .play').click()")
        _both(tab, folder, ("Takes",), "idea-")


def _both(tab: Tab, folder: Path, views: Sequence[str], name: str = "") -> None:
    """In both sizes and both themes."""
    for size in SIZES:
        tab.size(*size)
        for shade in ("dark", "light"):
            while tab.script("return document.documentElement.dataset.theme") != shade:
                tab.click("#theme")
            for view in views:
                tab.show(view)
                time.sleep(2)
                path = folder / f"{name}{view.lower()}-{size[0]}-{shade}.png"
                _save(tab.driver.get_screenshot_as_png(), path)


def _save(png: bytes, path: Path) -> None:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(COLOURS).save(path, optimize=True)
    print(f"{path} {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    take(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:50551")
