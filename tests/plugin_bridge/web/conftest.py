"""One daemon with nano, one page and one browser for all files of this folder: each costs seconds."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser import Tab, chromium, serving
from tests.support.studio import Studio


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
