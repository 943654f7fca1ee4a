"""Fixtures that several test files share."""

from tests.live.studio import controller, live, live_home

__all__ = ["controller", "live", "live_home"]
