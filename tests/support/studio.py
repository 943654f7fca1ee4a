"""What the tests of the page share: the daemon and its page, and what a musician does there."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.browser import Tab
from tests.support.daemons import Process, settings

NEEDS = [name for name in ("gradio", "selenium") if find_spec(name) is None]
NEEDS += [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
needs_browser = [
    pytest.mark.heavy,
    pytest.mark.skipif(bool(NEEDS) and not os.environ.get("CI"), reason=f"needs {', '.join(NEEDS)}"),
    pytest.mark.timeout(900),
]


class Studio:
    """The daemon, its page and one tab."""

    def __init__(self, folder: Path, cascade: str) -> None:
        self.cascade = cascade
        self.made = settings(folder)
        self.folder = folder
        self.opened = folder / "opened.txt"  # what the file manager was asked to show
        self.daemon = self.start()
        self.port = self.daemon.grpc_port
        self.tab: Tab

    def start(self, port: int = 0) -> Process:
        """The daemon, on the same port as before."""
        flags = ["--cascade", self.cascade, "--allowed-folders", str(self.folder)]
        return Process(self.made, "--grpc-port", str(port), *flags)

    def file_manager(self) -> str:
        """A PATH on which opening a folder only writes down which: a desktop is not at hand."""
        program = self.folder / "bin" / "xdg-open"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\necho "$1" >> "{self.opened}"\n')
        program.chmod(0o755)
        return str(program.parent)


def generate(tab: Tab, prompt: str, **fields: str) -> None:
    """Fills the form and presses Enter in the prompt."""
    before = len(tab.all(".run"))
    for name, text in fields.items():
        if not tab.one(f"#{name}").is_displayed():
            tab.click("#more-toggle")
        tab.fill(f"#{name}", text)
    tab.fill("#prompt", prompt)
    tab.one("#prompt").send_keys("\n")
    tab.until(lambda: len(tab.all(".run")) > before, "run")


def cards(tab: Tab, count: int) -> list[Path]:
    """The files of the takes in the page, once that many are loaded."""

    def loaded() -> list[str]:
        assert not tab.all(".error-box:not([hidden])"), tab.said()
        files = tab.attributes(".run .card[data-clip][data-samples]", "data-clip")
        return files if len(files) >= count else []

    return [Path(file) for file in tab.until(loaded, f"{count} loaded takes")]


def choose(tab: Tab, text: str, within: str) -> None:
    """Opens the menu of the first one that fits and presses an entry."""
    tab.click(f'{within} button[aria-label="More to do with this clip"]')
    tab.click(f"{within} .pop:popover-open .entry", text)
