"""What README.md shows first: `python -m tests.first_screen [clips | picture]` makes it anew.

It lies in .github/first_screen/. The clips are the first takes of three prompts at one seed, from the shipped
model: nothing was chosen. The picture is the page in Chromium and the plugin's editor in pedalboard, each
with a clip that it has just made through a daemon. It needs Chromium and what `.ci/install_hosts` installs.
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageOps

from tests.plugin_bridge.web.browser import ROOT, Tab, chromium, serving
from tests.support.daemons import Process, settings
from tests.support.hosts.editor import Editor
from tests.support.hosts.screen import Screen

FOLDER = ROOT / ".github" / "first_screen"
SEED = 7
CLIPS = (
    ("drums", "dusty boom bap drums, vinyl crackle", "--bpm", "92.5"),
    ("full", "synthwave, saw lead, warm pad, synth bass", "--bpm", "108", "--key", "A minor"),
    ("keys", "mellow lofi, electric piano chords", "--bpm", "78", "--key", "Eb major"),
)
PROMPT = "dusty boom bap drums, vinyl crackle"
PAGE = (1000, 920)  # pixels
UNDER = 385  # of them are above the editor: the form and the first take
PROMPT_FIELD, ACCENT = (200, 58), (0.38, 0.66, 0.98)  # the editor's, from its top left corner
COLOURS = 128  # of a palette: keeps the picture small


def clips() -> None:
    """The MP3s, by the command that a musician would type."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, prompt, *flags in CLIPS:
        with tempfile.TemporaryDirectory() as made:
            command = [
                sys.executable,
                "-m",
                "server.cli",
                "generate",
                prompt,
                *flags,
                "--bars",
                "4",
                "--seed",
            ]
            command += [str(SEED), "--format", "mp3", "--local", "--out", made]
            subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "ACESTEP_HOME": made})
            (clip,) = Path(made).glob("*.mp3")
            clip.replace(FOLDER / f"{name}.mp3")
        _told(FOLDER / f"{name}.mp3")


def picture() -> None:
    """The page, and the editor over its lower part, as windows lie on a desk."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made, Process(settings(Path(made))) as daemon:
        page = _page(f"127.0.0.1:{daemon.grpc_port}", Path(made) / "home")
        editor = _editor(daemon.osc_port, Path(made))
    framed = ImageOps.expand(editor, 2, "#5b6b85")
    page.paste(framed, (page.width - framed.width, UNDER))
    both = page.crop((0, 0, page.width, UNDER + framed.height))
    both.quantize(COLOURS).save(FOLDER / "page_and_plugin.png", optimize=True)
    _told(FOLDER / "page_and_plugin.png")


def _page(daemon: str, home: Path) -> Image.Image:
    with serving(daemon, home) as address, chromium() as driver:
        tab = Tab(driver, address).open()
        size = {"width": PAGE[0], "height": PAGE[1], "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        tab.script("document.querySelector('.top [title=\"Light or dark\"]').click()")
        tab.fill("#prompt textarea", PROMPT)
        tab.fill("#bpm input", "92.5")
        tab.fill("#seed input", str(SEED))
        tab.script("document.documentElement.style.scrollbarWidth = 'none'")
        tab.one("#prompt textarea").send_keys("\n")
        tab.until(lambda: tab.all(".card[data-samples]"), "a take")
        tab.script("document.querySelector('.card .play').click()")
        time.sleep(2)
        shot = Image.open(io.BytesIO(driver.get_screenshot_as_png()))
        return shot.convert("RGB")


def _editor(port: int, folder: Path) -> Image.Image:
    with Screen(folder) as screen:
        editor = Editor(screen, folder, port)
        editor.click(PROMPT_FIELD)
        screen.type(PROMPT)
        screen.key("Return")
        editor.until("result", ACCENT, 3000, tolerance=20)  # the waveform
        shot = Image.fromarray(screen.picture("editor"))
        x, y, width, height = screen.place(editor.window)
        editor.close()
        return shot.crop((x, y, x + width, y + height))


def _told(path: Path) -> None:
    print(f"{path.relative_to(ROOT)} {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    for name in sys.argv[1:] or ("clips", "picture"):
        {"clips": clips, "picture": picture}[name]()
