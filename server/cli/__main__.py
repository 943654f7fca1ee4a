"""`python -m server.cli`: the command `acestep`."""

from server.cli.acestep import main

if __name__ == "__main__":
    raise SystemExit(main())
