"""One style for all that is drawn: colours for pictures, and HTML pages that load nothing from elsewhere."""

import functools
import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

TOKENS = Path(__file__).with_name("tokens.css")
SHEET = Path(__file__).with_name("report.css")
MAX_ROWS = 2000  # of a table: a page with more is slow to open


@functools.cache
def colour(name: str, theme: str = "dark") -> str:
    """The colour `--name` of tokens.css as `#rrggbb`, in the "dark" or the "light" theme."""
    pattern = rf"^\s*--{re.escape(name)}: light-dark\((#[0-9a-f]{{6}}), (#[0-9a-f]{{6}})\)"
    light, dark = re.findall(pattern, TOKENS.read_text("utf-8"), re.MULTILINE)[0]
    return str(light if theme == "light" else dark)


def document(title: str, body: Iterable[str]) -> str:
    """A page, dark or light as the reader's system is; all it needs is inside."""
    style = TOKENS.read_text("utf-8") + SHEET.read_text("utf-8")
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title>",
            f"<style>{style}</style></head>",
            "<body><main>",
            *body,
            "</main></body></html>\n",
        )
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are plain text; a `head` of empty words is left out."""
    header = "".join(f"<th scope=col>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[:MAX_ROWS]
    )
    more = f"<p>… and {len(rows) - MAX_ROWS} more.</p>" if len(rows) > MAX_ROWS else ""
    above = f"<thead><tr>{header}</tr></thead>" if any(head) else ""
    return f'<div class="wide"><table>{above}<tbody>{body}</tbody></table></div>{more}'
