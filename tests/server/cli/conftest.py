"""What the tests of commands share: a home of their own, and the engine of their daemon."""

from pathlib import Path

import pytest

from tests.support.daemons import StandIn


@pytest.fixture(autouse=True)
def home(home_of_its_own: Path) -> Path:
    """No test sees this user's home or daemon."""
    return home_of_its_own


@pytest.fixture
def engine() -> StandIn:
    return StandIn()
