"""What a tool is, and what it answers."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from plugin_bridge.web.endpoints import Tell
from plugin_bridge.web.parts import Parts


@dataclass(frozen=True)
class Call:
    """One call of a tool: its arguments, who calls, and where to tell how far it is."""

    parts: Parts
    values: Mapping[str, Any]
    caller: str
    tell: Tell


@dataclass(frozen=True)
class Answer:
    """What came of it: for people, and for programs."""

    text: str
    content: dict[str, Any]


@dataclass(frozen=True)
class Tool:
    """One tool: what it does, takes and gives."""

    name: str
    title: str
    help: str
    example: Mapping[str, Any]
    takes: dict[str, Any]  # JSON schema
    gives: dict[str, Any]  # JSON schema
    run: Callable[[Call], Awaitable[Answer]]
    changes: bool = False  # files come of it
    daemon_judges: bool = False  # how high a value may be, and which words there are

    @property
    def description(self) -> str:
        """For the assistant."""
        return f"{self.help}\n\nExample: {json.dumps(self.example, ensure_ascii=False)}"
