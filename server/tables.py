"""Writes everything that follows from the tables of settings, and nano's words for the page.

`--check` fails when something is out of date.

The proto's GenerateRequest, the bridges' tables and the tables in the READMEs are made from
`acestep.request.SETTINGS`, the table of the daemon's own settings from `server.config.Config`. A bridge does
not import the table of a request, since the daemon alone decides what a value may be: it is told names, kinds
and help. And type checkers read the Python client's keywords as text.
Run: `python -m server.tables`.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from acestep.request import SETTINGS
from acestep.settings import (
    BRIDGES,
    AdapterScales,
    AudioFile,
    Choice,
    Names,
    Number,
    Parts,
    Region,
    Switch,
    Tempi,
    Text,
    TimeSignature,
    Tonality,
    Whole,
)
from server.cli.words import learned
from server.config import OPTIONS
from server.osc.spelling import MESSAGES, NAMED

ROOT = Path(__file__).resolve().parent.parent
# kind → its name in the bridges' table, its type in the proto, its type in the Python client
KINDS: dict[type, tuple[str, str, str]] = {
    Number: ("number", "optional double", "float"),
    Whole: ("whole", "optional uint32", "int"),
    Text: ("text", "string", "str"),
    Parts: ("parts", "string", "str"),
    Choice: ("choice", "string", "str"),
    Switch: ("switch", "optional bool", "bool"),
    TimeSignature: ("signature", "string", "str"),
    Tonality: ("key", "string", "str"),
    AudioFile: ("audio", "AudioRange", "AudioFile"),
    Region: ("region", "Region", "tuple[float, float]"),
    Names: ("names", "repeated string", "str | Sequence[str]"),
    AdapterScales: (
        "adapters",
        "repeated AdapterUse",
        "Mapping[str, float] | Sequence[str | tuple[str, float]]",
    ),
    Tempi: ("tempi", "repeated TempoPoint", "str | Sequence[Sequence[float]]"),
}
LIVE_TYPES = {"f": "float", "i": "int", "b": "int", "s": "str"}
FOLLOWED_BY_LIVE = ("bpm", "signature")  # the set has them
GENERATED = "Made from the table in acestep/request.py by `make tables`: change that table, not this file."


def proto(text: str) -> str:
    """The schema with its GenerateRequest's settings written anew."""
    lines = []
    for setting in sorted(SETTINGS.values(), key=lambda one: one.wire):
        kind = KINDS[type(setting.kind)][1]
        zero = "" if setting.none is None or setting.default is None else f" {setting.none:g} is off."
        lines.append(f"  // {setting.help}{zero}\n  {kind} {setting.proto} = {setting.wire};\n")
    return _between(text, "  // settings, from the table\n", "  // end of the settings\n", "".join(lines))


def client_table(_: str) -> str:
    """`protos/table.py`: the settings as bridges know them."""
    rows, names = [], []
    for setting in SETTINGS.values():
        kind, _, annotation = KINDS[type(setting.kind)]
        if isinstance(setting.kind, AudioFile) and setting.kind.several:
            annotation = f"{annotation} | list[{annotation}]"
        values = {
            "name": setting.name,
            "kind": kind,
            "group": setting.group,
            "title": setting.title,
            "help": setting.help,
            "default": setting.default,
            "proto": setting.proto,
        }
        if isinstance(setting.kind, Number | Whole):
            values |= {"low": setting.kind.low, "high": setting.kind.high}
        if isinstance(setting.kind, Choice):
            values["words"] = dict(setting.kind.words)
        values |= {"none": setting.none} if setting.none is not None else {}
        values |= {"without": tuple(setting.without)} if setting.without else {}
        rows.append(f"Setting({', '.join(f'{name}={value!r}' for name, value in values.items())}),")
        if setting.name != "prompt":
            names += [f"    # {setting.help}", f"    {setting.name}: {annotation}"]
    text = "\n".join(
        [
            f'"""The settings of a request, for bridges. {GENERATED}"""\n',
            "import os",
            "from collections.abc import Mapping, Sequence",
            "from typing import TypedDict\n",
            "from protos.setting import Setting\n",
            "AudioFile = str | os.PathLike[str] | tuple[str | os.PathLike[str], float, float | None]\n",
            "class Settings(TypedDict, total=False):",
            '    """The settings as keyword arguments. Left out means the daemon\'s default."""\n',
            *names,
            "\nSETTINGS = (",
            *rows,
            ")",
        ]
    )
    return _formatted(text, "protos/table.py")


def live_table(_: str) -> str:
    """The Live script's settings: it runs inside Live, without any of our packages."""
    rows = []
    for setting in SETTINGS.values():
        spelling = MESSAGES.get(setting.osc)
        if spelling is None or "live" in setting.without or setting.name in FOLLOWED_BY_LIVE:
            continue
        if isinstance(setting.kind, AudioFile):
            continue  # clips of the set, chosen by gestures
        ((letter, _),) = NAMED[setting.osc].arguments
        rows.append(f"    {setting.osc!r}: {LIVE_TYPES[letter]},  # {setting.help}")
    text = "\n".join(
        [
            f'"""The settings a request from Live may have, and their types. {GENERATED}"""\n',
            "TYPES = {",
            *rows,
            "}  # type: dict[str, type]",
        ]
    )
    return _formatted(text, "plugin_bridge/ableton/AceStep/table.py")


def server_readme(text: str) -> str:
    """The daemon's settings in one table, a request's in another."""
    return _requests_settings(_daemons_settings(text))


def _daemons_settings(text: str) -> str:
    """What they do, their values, their defaults."""
    rows = ["| setting | | values | default |", "|---|---|---|---|"]
    for option in OPTIONS.values():
        default = f"`{option.default}`" if option.default else ""
        rows.append(f"| `{option.name}` | {_cell(option.help)} | {_cell(option.expected)} | {default} |")
    return _between(
        text, "<!-- daemon's settings -->\n", "<!-- end of daemon's settings -->\n", "\n".join(rows) + "\n"
    )


def _requests_settings(text: str) -> str:
    """What they do, their values, how they are spelled."""
    rows = ["| setting | | values | `acestep generate` | OSC |", "|---|---|---|---|---|"]
    for setting in SETTINGS.values():
        message = MESSAGES.get(setting.osc)
        osc = f"`/acestep/{setting.osc} {message.usage}`" if message else "`/acestep/generate s prompt …`"
        if isinstance(setting.kind, Switch):
            osc = f"`/acestep/{setting.osc} i`, 1 or 0"
        if setting.none is not None:
            says = "off" if setting.default is not None else "left out"
            osc += f", {setting.none:g}: {says}".replace("-", "−")
        option = "the words themselves" if setting.name == "prompt" else f"`--{setting.flag}`"
        cells = (f"`{setting.name}`", _cell(setting.help), setting.kind.expected, option, osc)
        rows.append(f"| {' | '.join(cells)} |")
    return _between(text, "<!-- settings -->\n", "<!-- end of settings -->\n", "\n".join(rows) + "\n")


def bridges_readme(text: str) -> str:
    """What each bridge leaves out, and why."""
    rows = ["| bridge | leaves out | because |", "|---|---|---|"]
    for bridge, title in BRIDGES.items():
        reasons: dict[str, list[str]] = {}
        for setting in SETTINGS.values():
            if bridge in setting.without:
                reasons.setdefault(setting.without[bridge], []).append(f"`{setting.osc}`")
        rows += [f"| {title} | {', '.join(names)} | {why} |" for why, names in reasons.items()]
        if not reasons:
            rows.append(f"| {title} | nothing | |")
    return _between(text, "<!-- left out -->\n", "<!-- end of left out -->\n", "\n".join(rows) + "\n")


def page_words(_: str) -> str:
    """What `acestep words` lists, for the page: it runs beside the daemon, and cannot read nano's recipe."""
    found = learned()
    sounds = [names for kind, names in found.items() if kind.startswith("sounds for ")]
    told = {
        "styles": list(found["styles"]),
        "parts": list(found["parts"]),
        "instruments": list(dict.fromkeys(name for names in sounds for name in names)),
    }
    return json.dumps(told, indent=1) + "\n"


FILES: dict[str, Callable[[str], str]] = {
    "protos/acestep/v1/acestep.proto": proto,
    "protos/table.py": client_table,
    "plugin_bridge/ableton/AceStep/table.py": live_table,
    "plugin_bridge/web/nano_words.json": page_words,
    "server/README.md": server_readme,
    "plugin_bridge/README.md": bridges_readme,
}


def stale_files(root: Path = ROOT) -> dict[Path, str]:
    """The files that differ from what the table gives, with the text they should have."""
    found = {}
    for name, write in FILES.items():
        path = root / name
        old = path.read_text("utf-8") if path.is_file() else ""
        new = write(old)
        if new != old:
            found[path] = new
    return found


def _between(text: str, begin: str, end: str, new: str) -> str:
    """The text with what stands between two lines replaced."""
    if begin not in text or end not in text:
        raise ValueError(f"the lines {begin.strip()!r} and {end.strip()!r} are missing")
    head, rest = text.split(begin, 1)
    return f"{head}{begin}{new}{end}{rest.split(end, 1)[1]}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _formatted(text: str, name: str) -> str:
    """As `ruff format` writes it."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", name, "-"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=True, cwd=ROOT)
    return done.stdout.decode()


def main(argv: list[str] | None = None) -> int:
    """0 when written or fresh, 1 when `--check` finds something out of date."""
    parser = argparse.ArgumentParser(prog="python -m server.tables", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is out of date")
    check = parser.parse_args(argv).check
    stale = stale_files()
    for path, text in stale.items():
        if check:
            print(
                f"{path.relative_to(ROOT)} is out of date: run `make tables` and commit it", file=sys.stderr
            )
        else:
            path.write_text(text, "utf-8", newline="\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
