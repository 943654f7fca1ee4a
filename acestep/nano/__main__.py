"""`python -m acestep.nano`: the same as `acestep nano`."""

import sys

from acestep.nano.cli import main

if __name__ == "__main__":
    sys.exit(main())
