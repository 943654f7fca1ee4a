"""Clips and adapters as tools tell them: what the daemon knows, with a schema that says what it means."""

import dataclasses
from typing import Any

from pydantic import TypeAdapter

from plugin_bridge import words
from plugin_bridge.web.live import clip_fields
from plugin_bridge.web.parts import Parts

CLIP_HELP = {
    "path": "The clip's file on the daemon's machine; other tools take it as reference, context or clip.",
    "bpm": "Quarter notes per minute; 0 for a one-shot.",
    "key": "Empty for what has no pitch, as drums.",
    "tempo_error_pct": "How far the measured tempo is off, in percent; null where it cannot be measured.",
    "downbeat_error_ms": "How late the first beat is; negative is early.",
    "key_match": "Whether the notes are in the key: same key, same notes, other.",
    "lufs": "Integrated loudness.",
    "idea": "What the parts of one idea share, for the argument idea of generate_parts.",
    "part": "Which part of an idea: drums, bass …, or mix.",
    "midi": "Its notes as a MIDI file, where midi_out was asked for.",
    "fit": "How well it lies on its grid: good, poor, untouched, unsure, unmeasured, off, single.",
}
LOCAL_HELP = "A copy of the file on this machine, kept while this server runs: the daemon is on another one."


def _schema(kind: type, helps: dict[str, str], without: tuple[str, ...] = ()) -> dict[str, Any]:
    made = TypeAdapter(kind).json_schema(mode="serialization")
    fields = {name: one for name, one in made["properties"].items() if name not in without}
    return {
        "type": "object",
        "properties": {
            name: {**one, "description": helps[name]} if name in helps else one
            for name, one in fields.items()
        },
        "required": list(fields),
    }


CLIP = _schema(words.Clip, CLIP_HELP, ("sidecar_json",))
CLIP["properties"]["local_path"] = {"type": "string", "description": LOCAL_HELP}
ADAPTER = _schema(words.Adapter, {"trigger_words": "Words that call its sound in a prompt."})


def listed(name: str, items: dict[str, Any]) -> dict[str, Any]:
    """The schema of an answer that is a list."""
    return {
        "type": "object",
        "properties": {name: {"type": "array", "items": items}},
        "required": [name],
    }


async def clip_facts(parts: Parts, clip: words.Clip) -> dict[str, Any]:
    """Everything known of a clip but its sidecar, and where its file can be read here."""
    told = clip_fields(clip)
    if not parts.feed.bridge.target.is_local:
        told["local_path"] = str(await parts.files.path(clip))
    return told


def adapter_facts(adapter: words.Adapter) -> dict[str, Any]:
    """Everything known of an adapter."""
    return dataclasses.asdict(adapter)


def clip_line(clip: words.Clip) -> str:
    """A clip in a line: what it is, how exactly it fits, and where it lies."""
    measured = []
    if clip.tempo_error_pct is not None:
        measured.append(f"tempo off by {clip.tempo_error_pct:.2f} %")
    if clip.downbeat_error_ms is not None:
        measured.append(f"first beat off by {clip.downbeat_error_ms:.1f} ms")
    if clip.key_match:
        measured.append(clip.key_match)
    if clip.lufs is not None:
        measured.append(f"{clip.lufs:.1f} LUFS")
    return "\n  ".join((", ".join((str(clip), *measured)), clip.path))
