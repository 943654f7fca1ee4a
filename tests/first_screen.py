"""What README.md shows first: `python -m tests.first_screen [clips | picture]` makes it anew.

The picture lies in .github/first_screen/, the clips in the page's static/examples/. The clips are the first
takes of three prompts at one seed, from the shipped model: nothing was chosen. The picture is the page in
Chromium and the plugin's editor in pedalboard, each with a clip that it has just made through a daemon. It
needs Chromium and what `.ci/install_hosts` installs.
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageOps

from plugin_bridge import Bridge
from plugin_bridge.web.form import DEMO_BARS, DEMOS
from tests.support.browser import ROOT, Tab, chromium, serving
from tests.support.daemons import Process, settings
from tests.support.hosts.editor import PROMPT as EDITORS_PROMPT
from tests.support.hosts.editor import Editor
from tests.support.hosts.peer import eventually
from tests.support.hosts.screen import Screen

FOLDER = ROOT / ".github" / "first_screen"
EXAMPLES = ROOT / "plugin_bridge" / "web" / "static" / "examples"  # the page plays them, too
SEED = 7
PROMPT = "dusty boom bap drums, vinyl crackle"
PAGE = (1000, 920)  # pixels
UNDER = 385  # of them are above the editor: the form and the first take
COLOURS = 128  # of a palette: keeps the picture small


def clips() -> None:
    """The MP3s, by the command that a musician would type."""
    EXAMPLES.mkdir(parents=True, exist_ok=True)
    for demo in DEMOS:
        flags = ["--bpm", str(demo["bpm"]), *(["--key", demo["key"]] if demo["key"] else [])]
        with tempfile.TemporaryDirectory() as made:
            command = [
                sys.executable,
                "-m",
                "server.cli",
                "generate",
                demo["prompt"],
                *flags,
                "--bars",
                str(DEMO_BARS),
                "--seed",
            ]
            command += [str(SEED), "--format", "mp3", "--local", "--out", made]
            subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "ACESTEP_HOME": made})
            (clip,) = Path(made).glob("*.mp3")
            clip.replace(EXAMPLES / f"{demo['name']}.mp3")
        _told(EXAMPLES / f"{demo['name']}.mp3")


def picture() -> None:
    """The page, and the editor over its lower part, as windows lie on a desk."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made, Process(settings(Path(made))) as daemon:
        page = _page(f"127.0.0.1:{daemon.grpc_port}", Path(made) / "home")
        editor = _editor(daemon, Path(made))
    framed = ImageOps.expand(editor, 2, "#5b6b85")
    page.paste(framed, (page.width - framed.width, UNDER))
    both = page.crop((0, 0, page.width, UNDER + framed.height))
    both.quantize(COLOURS).save(FOLDER / "page_and_plugin.png", optimize=True)
    _told(FOLDER / "page_and_plugin.png")


def _page(daemon: str, home: Path) -> Image.Image:
    with serving(daemon, home) as address, chromium() as driver:
        tab = Tab(driver, address).open()
        tab.size(*PAGE)
        tab.script("document.documentElement.dataset.theme = 'dark'")
        for name, text in (("bpm", "92.5"), ("takes", "1")):
            tab.fill(f"#{name}", text)
        tab.script("bridge.form.set('seed', arguments[0])", str(SEED))
        tab.script("document.documentElement.style.scrollbarWidth = 'none'")
        tab.fill("#prompt", PROMPT)
        tab.one("#prompt").send_keys("\n")
        tab.until(lambda: tab.all(".card[data-clip][data-samples]"), "a take")
        tab.script("document.querySelector('.card .play').click()")
        time.sleep(2)
        shot = Image.open(io.BytesIO(driver.get_screenshot_as_png()))
        return shot.convert("RGB")


def _editor(daemon: Process, folder: Path) -> Image.Image:
    with Screen(folder) as screen, Bridge(f"127.0.0.1:{daemon.grpc_port}") as bridge:
        editor = Editor(screen, folder, daemon.osc_port)
        editor.click(EDITORS_PROMPT)
        screen.type(PROMPT)
        asked, before = len(bridge.jobs()), editor.picture("asked")

        def made() -> bool:
            if len(bridge.jobs()) == asked:
                screen.key("Return")  # again: until the editor has found the daemon, nothing is sent
                time.sleep(2)
            return len(bridge.jobs()) > asked and bridge.jobs()[0].state == "done"

        missing = f"typing into the editor at {EDITORS_PROMPT} made no clip: is its prompt elsewhere?"
        eventually(made, missing, limit_s=120)
        shot = Image.fromarray(editor.settled("result", before))
        x, y, width, height = screen.place(editor.window)
        editor.close()
        return shot.crop((x, y, x + width, y + height))


def _told(path: Path) -> None:
    print(f"{path.relative_to(ROOT)} {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    for name in sys.argv[1:] or ("clips", "picture"):
        {"clips": clips, "picture": picture}[name]()
