"""The command `acestep`."""
