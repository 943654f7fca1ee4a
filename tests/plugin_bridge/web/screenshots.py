"""Screenshots of every page, light and dark, wide and narrow:
`python -m tests.plugin_bridge.web.screenshots DIR [DAEMON]`.

For looking at; three of them are in the README. DAEMON is the address of one that runs and has a few clips.
"""

import sys
import tempfile
import time
from pathlib import Path

from tests.plugin_bridge.web.browser import Tab, chromium, serving

PAGES = ("Generate", "Library", "Train", "Set-up")
SIZES = ((1280, 860), (420, 1500))
COLOURS = 96  # of a palette: keeps a page under 120 kB


def take(folder: Path, daemon: str) -> None:
    """All of them."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        serving(daemon, Path(home)) as address,
        chromium() as driver,
    ):
        tab = Tab(driver, address).open()
        tab.fill("#prompt textarea", "dusty boom bap drums, vinyl crackle")
        tab.fill("#bpm input", "92.5")
        tab.one("#prompt textarea").send_keys("\n")
        tab.until(lambda: len(tab.all(".card[data-samples]")) >= 2, "two takes")
        tab.script("document.querySelector('.card .play').click()")
        time.sleep(1)
        for width, height in SIZES:
            driver.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
            )
            for shade in ("light", "dark"):
                for page in PAGES:
                    tab.show(page)
                    time.sleep(2)
                    _save(driver.get_screenshot_as_png(), folder / f"{page.lower()}-{width}-{shade}.png")
                tab.script("document.querySelector('.top [title=\"Light or dark\"]').click()")


def _save(png: bytes, path: Path) -> None:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(COLOURS).save(path, optimize=True)
    print(f"{path} {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    take(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:50551")
