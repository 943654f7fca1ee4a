"""`python -m plugin_bridge.web`."""

import sys

from plugin_bridge.web.cli import main

if __name__ == "__main__":
    sys.exit(main())
