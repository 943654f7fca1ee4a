"""Fixtures that several test files share."""

from tests.live.daemon import daemon, tiny_nano
from tests.live.studio import controller, live, live_home

__all__ = ["controller", "daemon", "live", "live_home", "tiny_nano"]
