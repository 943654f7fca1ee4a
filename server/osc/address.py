"""OSC address patterns (`/acestep/{tempo,bars}`, `/acestep/t*`), and what buttons of fader pages send.

Plain matching.
"""

import re
from collections.abc import Iterable

from acestep.errors import InvalidRequest
from server.osc.packets import Value

PREFIX = "/acestep/"
MAX_PATTERN_CHARS = 200
MAX_STARS = 4  # each may match in many ways, and matching must stay quick


def is_pattern(address: str) -> bool:
    """Whether an address stands for several."""
    return any(sign in address for sign in "*?[{")


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names under /acestep/ that an OSC 1.0 pattern means. Raises InvalidRequest for none."""
    known = list(names)
    found = [name for name in known if re.fullmatch(_expression(pattern), PREFIX + name)]
    if not found:
        settings = ", ".join(known)
        raise InvalidRequest(f"pattern {pattern[:80]!r} matches none of {PREFIX} and {settings}")
    return found


def _expression(pattern: str) -> str:
    pattern = re.sub(r"\*+", "*", pattern)
    if len(pattern) > MAX_PATTERN_CHARS or pattern.count("*") > MAX_STARS:
        limits = f"{MAX_PATTERN_CHARS} characters and {MAX_STARS} stars"
        raise InvalidRequest(f"the address pattern is too long: expected at most {limits}")
    parts = []
    for part in re.findall(r"\{[^{}]*\}|\[[^\[\]]*\]|.", pattern, re.DOTALL):
        if part == "*":
            parts.append("[^/]*")
        elif part == "?":
            parts.append("[^/]")
        elif part.startswith("{") and len(part) > 1:
            parts.append(f"(?:{'|'.join(re.escape(word) for word in part[1:-1].split(','))})")
        elif part.startswith("[") and len(part) > 2:
            body = part[1:-1]
            negated, body = body.startswith("!"), body.removeprefix("!")
            parts.append(_letters(body, negated))
        elif part in "[]{}":
            raise InvalidRequest(f"the address pattern {pattern[:80]!r} has an open bracket")
        else:
            parts.append(re.escape(part))
    return "".join(parts)


def _letters(body: str, negated: bool) -> str:
    """`a-c` and single letters; a range that runs backwards means nothing."""
    try:
        expression = f"[{'^/' if negated else ''}{re.sub(r'[^a-zA-Z0-9_-]', '', body)}]"
        re.compile(expression)
    except re.error:
        raise InvalidRequest(
            f"the letters [{body[:40]}] of an address pattern are not a range or a list of letters"
        ) from None
    return expression


def pressed(values: tuple[Value, ...]) -> bool | None:
    """What a button sent: True when it went down (1, true, impulse), False when up; None: no button."""
    if len(values) != 1 or not isinstance(values[0], bool | int | float):
        return None
    return {0: False, 1: True, float("inf"): True}.get(values[0])
