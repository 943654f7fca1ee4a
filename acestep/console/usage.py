"""How a command line is read: one line of usage with the error last, and "did you mean" for a typo."""

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from acestep.console.command import expanded
from acestep.console.spelling import number

MISSING = "the following arguments are required: "
SURELY_MEANT = 0.8  # chosen by hand: "nope" is no "open" (0.75), "enerate" is "generate" (0.93)
KINDS = {int: "not a whole number", float: "not a number", Path: "not a path"}
# Words that people try, and what they are called here: the first that a program has is suggested.
SYNONYMS = {
    "tempo": "bpm", "speed": "bpm", "length": "bars", "duration": "bars", "seconds": "bars minutes",
    "count": "takes limit", "n": "takes limit", "num": "takes", "number": "takes", "variations": "takes",
    "output": "out", "o": "out", "dir": "out folder", "folder": "out folder", "directory": "out folder",
    "model": "cascade base", "checkpoint": "cascade base", "lora": "adapter", "loras": "adapter",
    "scale": "key", "tonality": "key", "meter": "signature", "time-signature": "signature",
    "lufs": "loudness", "volume": "loudness", "gain": "loudness", "cfg": "guidance",
    "guidance-scale": "guidance", "style": "reference", "audio": "reference context", "instrument": "track",
    "bit-depth": "sample-format", "bits": "sample-format", "lr": "learning-rate", "batch": "batch-size",
    "epochs": "steps minutes", "time": "minutes", "port": "grpc-port osc-port", "yes": "yes",
    "make": "generate", "create": "generate", "gen": "generate", "start": "serve", "run": "serve",
    "daemon": "serve", "quit": "stop", "kill": "stop", "end": "stop", "info": "inspect show",
    "analyse": "inspect prepare", "analyze": "inspect prepare", "show": "open show", "ls": "jobs list",
    "list": "jobs models status", "queue": "jobs", "download": "pull", "delete": "remove uninstall",
    "rm": "remove uninstall", "add": "install import", "ui": "web", "gui": "web", "check": "doctor",
    "watch": "monitor", "listen": "play monitor",
}  # fmt: skip


def spelled_out(argv: Sequence[str]) -> list[str]:
    """`help train` as `train --help`, `version` as `--version`; other words as they are."""
    if argv and argv[0] == "help":
        return [*argv[1:2], "--help"]
    return ["--version"] if list(argv) == ["version"] else list(argv)


# What `add_subparsers` gives: argparse has no public name for it
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


class Parser(argparse.ArgumentParser):
    """argparse's parser with other words for what is wrong. Its subparsers are of the same kind."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._negative_number_matcher = re.compile(r"^[-−]\d*[.,]?\d+$")  # argparse: no decimal comma

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Leaves nothing over: the parser that read an unknown word reports it."""
        self._given = list(sys.argv[1:] if args is None else args)
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(self._too_much(rest[0]))
        return found, rest

    def format_help(self) -> str:
        """The full help, under one line of usage."""
        self.usage = self._line().replace("%", "%%")
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """One line of usage, then what is wrong; exit code 2."""
        if message.startswith(MISSING):
            unknown = next((word for word in self._given if self._is_unknown(word)), None)
            message = message if unknown is None else self._too_much(unknown)
        usage = f"usage: {self._line()}   (--help says more)"
        self.exit(2, f"{usage}\n{self.prog}: {_in_words(message)}\n")

    def _line(self) -> str:
        words = [self.prog]
        options = [action for action in self._actions if action.option_strings]
        if options:
            words.append("[options]")
        words += [f"{action.option_strings[-1]} {_shown(action)}" for action in options if action.required]
        words += [_place(action) for action in self._actions if not action.option_strings]
        return " ".join(words)

    def _is_unknown(self, word: str) -> bool:
        """Whether a word looks like an option that this parser does not have."""
        name = word.partition("=")[0]
        return name.startswith("--") and not any(
            known.startswith(name) for known in self._option_string_actions
        )

    def _too_much(self, word: str) -> str:
        if word.startswith("-") and word not in ("-", "--"):
            name = word.partition("=")[0]
            if name in self._option_string_actions:  # argparse takes all behind `--` for plain words
                return f"{name} stands behind --, where nothing is an option: put it in front of it"
            known = [option for option in self._option_string_actions if option.startswith("--")]
            return f"there is no option {name}{close(name, known)}"
        if not any(not action.option_strings for action in self._actions):
            return f"it takes options only: leave {word!r} out"
        return f"{word!r} is one word too many: put words that belong together into quotes"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        if isinstance(action, argparse._SubParsersAction):
            near = close(value, action.choices) or f": `{self.prog} --help` lists what there is"
            raise argparse.ArgumentError(None, f"there is no command {value!r}{near}")
        listed = ", ".join(map(str, action.choices))
        near = close(value, map(str, action.choices)).replace(":", ";", 1)
        raise argparse.ArgumentError(None, f"{_name(action)} {value!r}: expected one of {listed}{near}")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        may_be_empty = action.type is maybe_empty or isinstance(action, argparse._SubParsersAction)
        if not may_be_empty and not all(text.strip() for text in arg_strings):
            instead = ", or leave it out" if action.option_strings and not action.required else ""
            raise argparse.ArgumentError(None, f"{_name(action)} is empty: give it a value{instead}")
        return super()._get_values(action, arg_strings)

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            if action.type is float:
                return number(arg_string)
            if action.type is Path:
                return expanded(arg_string)
            return super()._get_value(action, arg_string)
        except ValueError:
            raise argparse.ArgumentError(None, f"{_name(action)} {arg_string!r} is {KINDS[float]}") from None
        except argparse.ArgumentError:
            if action.type not in KINDS:
                raise
            raise argparse.ArgumentError(
                None, f"{_name(action)} {arg_string!r} is {KINDS[action.type]}"
            ) from None


def maybe_empty(text: str) -> str:
    """For argparse: a text for which "" means something. Every other value must have some."""
    return text


def close(word: str, known: Iterable[str]) -> str:
    """`: did you mean X?` for a word that is nearly one of the known ones, else nothing."""
    candidates = {name.lstrip("-"): name for name in known}  # dashes would make all options alike
    plain = word.lower().lstrip("-").replace("_", "-")
    for meant in SYNONYMS.get(plain, "").split():
        if meant in candidates:
            return f": did you mean {candidates[meant]}?"
    alike = difflib.get_close_matches(plain, candidates, n=3, cutoff=0.6)
    # whoever mistypes mostly has the first letter right; else half of a short word is alike by chance
    found = [name for name in alike if name[:1] == plain[:1] or _alike(plain, name) >= SURELY_MEANT][:1]
    if not found and len(plain) > 1:
        found = [name for name in candidates if name.startswith(plain)][:1]
    return f": did you mean {candidates[found[0]]}?" if found else ""


def _alike(word: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, word).ratio()


def _name(action: argparse.Action) -> str:
    return action.option_strings[-1] if action.option_strings else _shown(action)


def _shown(action: argparse.Action) -> str:
    return str(action.metavar) if isinstance(action.metavar, str) else action.dest.upper()


def _place(action: argparse.Action) -> str:
    """A positional argument as the usage shows it."""
    name = _shown(action)
    if isinstance(action, argparse._SubParsersAction):
        return f"{name} …"
    return {"?": f"[{name}]", "*": f"[{name} …]", "+": f"{name} …"}.get(str(action.nargs), name)


def _in_words(message: str) -> str:
    """argparse's own sentences in plain English; ours pass unchanged."""
    if message.startswith(MISSING):
        names = message.removeprefix(MISSING).split(", ")
        listed = [name if name.startswith("-") else name.upper() for name in names]
        return f"{' and '.join(listed)} {'is' if len(listed) == 1 else 'are'} missing"
    for pattern, words in (
        (r"^argument (?:\S+/)?([^:/]+): expected one argument$", r"\1 needs a value"),
        (r"^argument (?:\S+/)?([^:/]+): expected (\d+) arguments$", r"\1 needs \2 values"),
        (r"^argument (?:\S+/)?([^:/]+): expected at least one argument$", r"\1 needs at least one value"),
        (r"^argument ([^:]+): ", r"\1: "),
    ):
        changed = re.sub(pattern, words, message)
        if changed != message:
            return changed
    return message
