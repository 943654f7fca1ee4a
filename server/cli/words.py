"""`acestep words`: the words that the embedded model has learned, read from the recipe it was trained by.

Anything may be typed; these are the words whose sound it has heard.
"""

import argparse
import json
import textwrap

from acestep.console.usage import Commands

WIDTH = 100  # characters a line
NAMES = 20  # of them for what stands at the beginning


def add_commands(commands: Commands) -> None:
    """The command with its flags."""
    words = commands.add_parser("words", help="list the styles, parts and instruments that nano understands")
    words.add_argument("--all", action="store_true", help="also the other names of each, and the moods")
    words.add_argument("--json", action="store_true", help="print JSON")
    words.set_defaults(run=_run)


def learned() -> dict[str, dict[str, list[str]]]:
    """What the recipe has words for: styles, parts, instruments of each part, moods → name → its words."""
    from acestep.nano.data.captions import MAJOR_WORDS, MINOR_WORDS, ROLE_WORDS, TEMPO_WORDS
    from acestep.nano.data.compose import kit_word
    from acestep.nano.data.sounds import INSTRUMENTS
    from acestep.nano.data.styles import STYLES

    kits = [f"{kit_word(kit)} drums" for style in STYLES for kit in style.kits]
    instruments: dict[str, dict[str, list[str]]] = {"drums": {kit: [kit] for kit in kits}}
    for instrument in INSTRUMENTS:
        if not instrument.held and not instrument.new:  # these the embedded weights have never heard
            name, *others = instrument.words
            known = instruments.setdefault(instrument.role, {}).setdefault(name, [name])
            known += [word for word in others if word not in known]
    moods = {style.name: list(style.moods) for style in STYLES}
    return {
        "styles": {style.name: list(style.words) for style in STYLES},
        "parts": {role: list(words) for role, words in ROLE_WORDS.items()},
        **{f"sounds for {part}": names for part, names in instruments.items()},
        "moods": {**moods, "minor keys": list(MINOR_WORDS), "major keys": list(MAJOR_WORDS)},
        "tempo": {
            f"below {limit} BPM" if limit < 999 else "above that": list(words) for limit, words in TEMPO_WORDS
        },
    }


def _run(arguments: argparse.Namespace) -> int:
    found = learned()
    if arguments.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return 0
    for line in _lines(found, arguments.all):
        print(line)
    return 0


def _lines(found: dict[str, dict[str, list[str]]], everything: bool) -> list[str]:
    if not everything:
        shown = (kind for kind in found if kind not in ("moods", "tempo"))
        return [line for kind in shown for line in _row(kind, list(found[kind]))]
    lines = []
    for kind, rows in found.items():
        lines.append(kind)
        for name, words in rows.items():
            lines += _row(f"  {name}", words)
    return lines


def _row(name: str, words: list[str]) -> list[str]:
    """A name and its words, in lines that end between words and never within one of several parts."""
    whole = ", ".join(words).replace(" ", "\xa0").replace(",\xa0", ", ")
    first, others = f"{name:{NAMES}}".replace(" ", "\xa0"), " " * NAMES
    lines = textwrap.wrap(
        whole, WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False
    )
    return [line.replace("\xa0", " ") for line in lines]
