"""Tags: a word that a sender may give with a request, and that comes back with the answer to it.

A sender with several requests under way knows by it which of them was accepted or refused. Whoever gives none
gets the answers without one, and so do those who only listen: their messages never change.
"""

from collections.abc import Sequence

from acestep.errors import InvalidRequest
from server.osc.packets import Value

NAME = "tag"
MAX_CHARS = 80


def split_tag(values: Sequence[Value]) -> tuple[str, tuple[Value, ...]]:
    """The tag among the values of `/acestep/generate` ("" for none), and the values without it.

    Raises InvalidRequest for a tag that is no text, or a long one.
    """
    kept: list[Value] = list(values[:1])
    tag: Value = ""
    for at in range(1, len(values), 2):
        pair = values[at : at + 2]
        if pair[0] == NAME and len(pair) == 2:
            tag = pair[1]
        else:
            kept += pair
    if not isinstance(tag, str) or len(tag) > MAX_CHARS:
        what = f"{len(tag)} characters" if isinstance(tag, str) else repr(tag)[:60]
        raise InvalidRequest(
            f"/acestep/generate: {NAME} is {what}: expected a text of at most {MAX_CHARS} characters"
        )
    return tag, tuple(kept)


def tag_of(address: str, values: Sequence[Value]) -> str:
    """The tag of a message that is refused, as far as it has one that can be read."""
    if address != "/acestep/generate":
        return ""
    try:
        return split_tag(values)[0]
    except InvalidRequest:
        return ""
