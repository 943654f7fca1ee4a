"""The daemon's settings on command lines: as flags, and what they come to."""

import argparse
from collections.abc import Sequence
from typing import Any

from server import config as configuration


def add_config(parser: argparse.ArgumentParser, names: Sequence[str] | dict[str, Any]) -> None:
    """The settings of config.toml as flags; unset ones leave file and environment alone."""
    group = parser.add_argument_group(
        "settings (flags win over ACESTEP_* in the environment, that over config.toml in home)"
    )
    for name in names:
        item = configuration.FIELDS[name]
        flag, doc = f"--{name.replace('_', '-')}", item.metadata["doc"].replace("%", "%%")
        if isinstance(item.default, bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=doc)
        elif isinstance(item.default, tuple):
            group.add_argument(flag, action="append", metavar="X", help=f"{doc} (may be repeated)")
        else:
            shown = (
                ""
                if item.default in (None, "") or name in ("home", "samples")
                else f" (default {item.default})"
            )
            group.add_argument(flag, metavar="X", help=doc + shown)


def config_of(arguments: argparse.Namespace) -> tuple[configuration.Config, dict[str, Any]]:
    """The settings with this command's flags over them, and the flags that were given."""
    values = vars(arguments)
    flags = {name: values[name] for name in configuration.FIELDS if values.get(name) is not None}
    config = configuration.load(flags)
    return config, flags
