"""The tools of adapters: train one, list them."""

import time
from typing import Any

from plugin_bridge import words
from plugin_bridge.web.endpoints import Parameter
from plugin_bridge.web.mcp.arguments import schema
from plugin_bridge.web.mcp.facts import ADAPTER, adapter_facts, listed
from plugin_bridge.web.mcp.tool import Answer, Call, Tool
from plugin_bridge.web.training import TRAINING, trained

MINUTES, MAX_MINUTES = 10.0, 120.0
TEXT = {"type": "string"}
FOLDER = Parameter(
    "folder",
    "Folder",
    "A folder with some minutes of loops or stems, on the machine of this server.",
    TEXT,
    required=True,
)
NAME = Parameter("name", "Name", "The adapter's name: a few letters or digits.", TEXT, required=True)
RUN = Parameter(
    "minutes",
    "Minutes",
    "What the whole run may take.",
    {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_MINUTES},
    MINUTES,
)
SETTINGS = [
    RUN if one.name == RUN.name else Parameter(one.name, one.title, one.help, one.schema, one.default)
    for one in TRAINING
]
TRAINED = {
    "type": "object",
    "properties": {
        "adapter": {**TEXT, "description": "Its name, for the argument adapters of generate_clip."},
        "folder": {**TEXT, "description": "Where it lies."},
        "files": {
            "type": "array",
            "items": TEXT,
            "description": "Its weights, plots, and clips from before and after.",
        },
        "measured": {
            "type": "object",
            "description": "What training measured: files, seconds, losses, stages.",
        },
    },
    "required": ["adapter", "folder", "files", "measured"],
}


async def _train(call: Call) -> Answer:
    values: dict[str, Any] = {"minutes": MINUTES, **call.values}
    began, limit_s = time.monotonic(), values["minutes"] * 60

    def tell(share: float, what: str) -> None:
        # Each of its parts counts from nothing again; the time it may take does not.
        call.tell(min(0.99, (time.monotonic() - began) / limit_s), f"{what}, {share:.0%}" if share else what)

    files, result = await trained(call.parts.studio, (), values, tell)
    name = str(result.get("name") or values["name"])
    content = {
        "adapter": name,
        "folder": str(result.get("folder") or ""),
        "files": [str(path) for path in files],
        "measured": result.get("summary") or {},
    }
    return Answer(
        f"The adapter {name} is trained. generate_clip uses it with adapters={{{name!r}: 1}}.", content
    )


async def _list(call: Call) -> Answer:
    found = await call.parts.feed.bridge.adapters()
    return Answer(
        "\n".join(map(_line, found)) or "There is no adapter yet: train_adapter makes one.",
        {"adapters": [adapter_facts(one) for one in found]},
    )


def _line(adapter: words.Adapter) -> str:
    called = f", called by {', '.join(adapter.trigger_words)}" if adapter.trigger_words else ""
    return f"{adapter.name}: rank {adapter.rank}, stages {', '.join(adapter.stages)}{called}"


TOOLS = (
    Tool(
        "train_adapter",
        "Train an adapter",
        "Trains an adapter on a folder of audio, so that generate_clip can make clips in that sound. "
        f"It takes minutes, at most {MAX_MINUTES:g}, and one runs at a time. Cancelling the call stops it; "
        "the same name goes on from there.",
        {"folder": "~/Music/my loops", "name": "my-loops", "minutes": 10, "trigger": "myloops"},
        schema((FOLDER, NAME, *SETTINGS)),
        TRAINED,
        _train,
        changes=True,
    ),
    Tool(
        "list_adapters",
        "List adapters",
        "Lists the adapters that generate_clip can use, in its argument adapters: name and strength.",
        {},
        schema(()),
        listed("adapters", ADAPTER),
        _list,
    ),
)
