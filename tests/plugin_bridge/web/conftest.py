"""One daemon with nano, one page and one browser for all files of this folder: each costs seconds."""

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.plugin_bridge.web.browser import Tab, chromium, serving
from tests.support.daemons import Process, settings

NEEDS = [name for name in ("gradio", "selenium") if find_spec(name) is None]
NEEDS += [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
needs_browser = [
    pytest.mark.heavy,
    pytest.mark.skipif(bool(NEEDS), reason=f"needs {', '.join(NEEDS)}"),
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


@pytest.fixture(scope="session")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> str:
    """nano, or where its weights are not, the same architecture untrained and smaller."""
    from acestep.nano import WEIGHTS, cli

    if (WEIGHTS / "cascade.json").exists():
        return "nano"
    folder = tmp_path_factory.mktemp("nano") / "tiny"
    assert not cli.main(["init", "--tiny", str(folder)])
    return str(folder)


@pytest.fixture(scope="session")
def driver() -> Iterator[Any]:
    """The browser."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory, cascade: str, driver: Any) -> Iterator[Studio]:
    """The daemon and its page."""
    made = Studio(tmp_path_factory.mktemp("page"), cascade)
    try:
        with serving(f"127.0.0.1:{made.port}", made.made.home, path=made.file_manager()) as address:
            made.tab = Tab(driver, address)
            yield made
    finally:
        made.daemon.kill()


@pytest.fixture
def tab(studio: Studio) -> Tab:
    """The page, fresh."""
    return studio.tab.open()


def generate(tab: Tab, prompt: str, **fields: str) -> None:
    """Fills the form and presses Enter in the prompt."""
    for name, text in fields.items():
        tab.fill(f"#{name} input, #{name} textarea", text)
    tab.fill("#prompt textarea", prompt)
    tab.one("#prompt textarea").send_keys("\n")
    tab.until(lambda: tab.all(".run"), "run")


def cards(tab: Tab, count: int) -> list[Path]:
    """The files of the takes in the page, once that many are loaded."""

    def loaded() -> list[str]:
        assert not tab.all(".error-box:not([hidden])"), tab.said()
        files = tab.attributes(".card[data-samples]", "data-clip")
        return files if len(files) >= count else []

    return [Path(file) for file in tab.until(loaded, f"{count} loaded takes")]
