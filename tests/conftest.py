"""Fixtures that several test files share, and which tests CI runs once more as other CPUs would."""

from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING

import pytest

from tests.support.live.daemon import daemon, tiny_nano
from tests.support.live.studio import controller, live, live_home

if TYPE_CHECKING:
    from server.library.index import ClipLibrary

__all__ = ["controller", "daemon", "live", "live_home", "tiny_nano"]


@pytest.fixture
def home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home for commands: a test that has it never sees this user's home or daemon."""
    monkeypatch.setenv("ACESTEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ACESTEP_SAMPLES", str(tmp_path / "samples"))
    monkeypatch.setenv("ACESTEP_GRPC_PORT", "1")  # nobody answers there
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty samples folder."""
    (tmp_path / "samples").mkdir()
    return tmp_path / "samples"


@pytest.fixture
def library(tmp_path: Path, folder: Path) -> "ClipLibrary":
    """The library of that folder."""
    from server.library.index import ClipLibrary

    return ClipLibrary(tmp_path / "clips.sqlite", [folder], tmp_path / "trash")


COMPARISONS = {
    "assert_close", "assert_differs", "assert_same", "assert_same_effect", "off_in_windows", "equal",
    "array_equal",
}  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as `numeric` every test that compares computed numbers: its function calls a comparison."""
    for item in items:
        function = getattr(item, "function", None)
        inner = getattr(getattr(function, "hypothesis", None), "inner_test", function)
        if inner is not None and not COMPARISONS.isdisjoint(names(inner.__code__)):
            item.add_marker("numeric")


def names(code: CodeType) -> Iterator[str]:
    """What a function calls or reads by name, inner functions and comprehensions included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names(constant)
