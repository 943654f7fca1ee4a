"""The tools of clips: make them, list them, look into one."""

import json
from typing import Any

from plugin_bridge import words
from plugin_bridge.errors import NotFound
from plugin_bridge.web.endpoints import OF_IDEAS, PARTS, Parameter, Task, generated, parameters
from plugin_bridge.web.live import clip_fields
from plugin_bridge.web.mcp.arguments import schema
from plugin_bridge.web.mcp.facts import CLIP, clip_facts, clip_line, listed
from plugin_bridge.web.mcp.tool import Answer, Call, Tool
from protos.table import SETTINGS

LISTED, MAX_LISTED, MAX_SEARCHED = 20, 100, 500
GENERATE = Task(
    "generate_clip",
    "",
    without=OF_IDEAS,
    required=("prompt",),
    choices=tuple(next(one.words for one in SETTINGS if one.name == "task")),
)
TEMPO = {"type": "number", "minimum": 0, "maximum": 1_000}
FILTERS = (
    Parameter("words", "Words", "Words that are all in the prompt or the name.", {"type": "string"}),
    Parameter("bpm_min", "Tempo from", "The lowest tempo.", TEMPO),
    Parameter("bpm_max", "Tempo to", "The highest tempo.", TEMPO),
    Parameter("key", "Key", "The key, for example A minor.", {"type": "string"}),
    Parameter("adapter", "Adapter", "The name of an adapter it was made with.", {"type": "string"}),
    Parameter("since", "Since", "The earliest day, for example 2026-11-29.", {"type": "string"}),
    Parameter("starred", "Starred", "Only those with a star.", {"type": "boolean"}, False),
    Parameter("trashed", "Trashed", "Those in the trash.", {"type": "boolean"}, False),
    Parameter(
        "limit",
        "How many",
        "How many at most.",
        {"type": "integer", "minimum": 1, "maximum": MAX_LISTED},
        LISTED,
    ),
)
CLIP_NAME = Parameter(
    "clip", "Clip", "Its path or its name, as generate_clip and list_clips tell it.", {"type": "string"},
    required=True,
)  # fmt: skip
LOOKED_INTO = {
    "type": "object",
    "properties": {
        "clip": CLIP,
        "request": {"type": "object", "description": "The settings it was made with."},
        "measured": {
            "type": "object",
            "description": "Everything that was measured, before and after fitting.",
        },
        "notes": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What was done differently than asked for, and why.",
        },
    },
    "required": ["clip", "request", "measured", "notes"],
}


async def _generate(call: Call) -> Answer:
    return await _told(call, await generated(call.parts, GENERATE, call.values, call.tell, call.caller))


async def _generate_parts(call: Call) -> Answer:
    return await _told(call, await generated(call.parts, PARTS, call.values, call.tell, call.caller))


async def _list(call: Call) -> Answer:
    filters = {"limit": LISTED, **call.values}
    clips = await call.parts.feed.bridge.clips(filters.pop("words", ""), **filters)
    call.parts.feed.saw(clips)
    return Answer(
        "\n".join(map(clip_line, clips)) or "No clip matches.", {"clips": [clip_fields(one) for one in clips]}
    )


async def _told(call: Call, clips: list[words.Clip]) -> Answer:
    facts = [await clip_facts(call.parts, clip) for clip in clips]
    return Answer("\n".join(map(clip_line, clips)), {"clips": facts})


async def _inspect(call: Call) -> Answer:
    clip = await _clip(call, call.values["clip"])
    sidecar = _sidecar(clip)
    notes = [str(note) for note in sidecar.get("notes") or ()]
    content = {
        "clip": await clip_facts(call.parts, clip),
        "request": sidecar.get("request") or {},
        "measured": sidecar.get("measured") or {},
        "notes": notes,
    }
    asked = f"prompt: {clip.prompt}, seed {clip.seed}, made by {clip.cascade}"
    return Answer("\n".join((clip_line(clip), asked, *notes)), content)


async def _clip(call: Call, named: str) -> words.Clip:
    """The clip of that path or name, also in the trash. Raises NotFound."""
    name = named.replace("\\", "/").rpartition("/")[2]
    for trashed in (False, True):
        for clip in await call.parts.feed.bridge.clips(name, trashed=trashed, limit=MAX_SEARCHED):
            if named in (clip.path, clip.name):
                return clip
    raise NotFound(f"no clip {named!r:.200} in the daemon's library: expected a path or name of list_clips")


def _sidecar(clip: words.Clip) -> dict[str, Any]:
    try:
        found = json.loads(clip.sidecar_json or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NotFound(f"the sidecar of {clip.name} cannot be read")
    return found


TOOLS = (
    Tool(
        "generate_clip",
        "Generate a clip",
        "Makes music clips from words, of whole bars at an exact tempo, and returns their files and what was "
        "measured in each. With context, a part is made that fits to another clip. It takes seconds to "
        "minutes; cancelling the call ends it.",
        {"prompt": "dusty boom bap drums, vinyl crackle", "bpm": 92.5, "bars": 4, "takes": 2},
        schema(parameters(GENERATE)),
        listed("clips", CLIP),
        _generate,
        changes=True,
        daemon_judges=True,
    ),
    Tool(
        "generate_parts",
        "Generate an idea in parts",
        "Makes one idea as parts, in its words and in one tempo and key: a clip for each of drums, bass, "
        "chords and so on, made to fit those before it, and their mix, the last of the clips. All share an "
        "idea: with it, parts adds others and redo makes some anew, and prompt may be left out. Words for "
        "one part stand behind its colon. It takes seconds to minutes; what was made stays when the call is "
        "cancelled.",
        {"prompt": "boom bap", "parts": "drums: dusty breakbeat; bass: warm sub; chords", "bpm": 92.5},
        schema(parameters(PARTS)),
        listed("clips", CLIP),
        _generate_parts,
        changes=True,
        daemon_judges=True,
    ),
    Tool(
        "list_clips",
        "List clips",
        f"Lists the clips of the library with what was measured in each, newest first, at most {MAX_LISTED}.",
        {"words": "drums", "bpm_min": 90, "bpm_max": 95, "limit": 10},
        schema(FILTERS),
        listed("clips", CLIP),
        _list,
    ),
    Tool(
        "inspect_clip",
        "Inspect a clip",
        "Tells all that is known of one clip of the library: what it was made from, what was measured before "
        "and after fitting it to its grid, and notes.",
        {"clip": "dusty-boom-bap-drums_92.5bpm_4bars_t1.wav"},
        schema((CLIP_NAME,)),
        LOOKED_INTO,
        _inspect,
    ),
)
