"""The daemon's settings on command lines: as flags, and what they come to."""

import argparse
import os
from collections.abc import Iterable

from msgspec import inspect

from acestep.console.usage import maybe_empty
from server.config import OPTIONS, Config, load


def add_config(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """The settings of config.toml as flags; unset ones leave file and environment alone."""
    group = parser.add_argument_group(
        "settings (flags win over ACESTEP_* in the environment, that over config.toml in home)"
    )
    for name in names:
        option = OPTIONS[name]
        said = option.expected + (f"; default {option.default}" if option.default else "")
        doc = f"{option.help} ({said})".replace("%", "%%")
        if isinstance(option.plain_kind, inspect.BoolType):
            doc = option.help.replace("%", "%%")
            group.add_argument(option.flag, action=argparse.BooleanOptionalAction, default=None, help=doc)
        elif isinstance(option.plain_kind, inspect.VarTupleType):
            doc = f"{doc[:-1]}; may be repeated)"
            group.add_argument(option.flag, action="append", metavar="X", help=doc)
        else:
            kind = maybe_empty if option.may_be_empty else str
            group.add_argument(option.flag, type=kind, metavar="X", help=doc)


def config_of(arguments: argparse.Namespace) -> tuple[Config, dict[str, object]]:
    """The settings with this command's flags over them, and what was named by hand: the flags that were
    given, and the home also where ACESTEP_HOME names it."""
    values = vars(arguments)
    flags = {name: values[name] for name in OPTIONS if values.get(name) is not None}
    config = load(flags)
    if os.environ.get(OPTIONS["home"].variable):
        flags.setdefault("home", str(config.home))
    return config, flags
