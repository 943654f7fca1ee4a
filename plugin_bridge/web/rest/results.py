"""A job of the daemon as `/query_result` tells it: a number for its state, and a result for each clip.

Two things are added to what ACE-Step's server tells: `bars`, and `measured`, how exactly the clip fits.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from plugin_bridge import words
from plugin_bridge.web.rest.request import METERS
from plugin_bridge.web.rest.sources import AUDIO

RUNNING, DONE, FAILED = 0, 1, 2
STATES = {"queued": RUNNING, "running": RUNNING, "done": DONE}  # all others have failed
MEASURED = ("tempo_error_pct", "downbeat_error_ms", "key_match", "lufs", "fit")
_METERS = {full: short for short, full in METERS.items()}


def told(job: words.ListedJob, clips: Sequence[words.Clip]) -> dict[str, Any]:
    """One entry of the answer's data."""
    status = STATES.get(job.state, FAILED)
    if status == DONE:
        lyrics = _fields(job.request_json).get("lyrics") or ""
        results = [result(clip, lyrics) for clip in clips]
    else:
        results = [unfinished(status, job.message, job.reason or ("" if status == RUNNING else job.state))]
        results[0]["progress"] = round(job.fraction, 4)
        results[0]["prompt"] = job.prompt
    return entry(job.id, status, results)


def entry(task_id: str, status: int, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An entry: its results are a JSON text, as ACE-Step's server sends them."""
    return {"task_id": task_id, "status": status, "result": json.dumps(results, ensure_ascii=False)}


def unfinished(status: int, message: str, reason: str) -> dict[str, Any]:
    """In place of a clip while there is none, or where there will be none: why, and its stable name."""
    return {"file": "", "wave": "", "status": status, "error": message or None, "reason": reason}


def result(clip: words.Clip, lyrics: str) -> dict[str, Any]:
    """One clip."""
    return {
        "file": f"{AUDIO}?path={quote(clip.path, safe='')}",
        "wave": "",
        "status": DONE,
        "create_time": _epoch_s(clip.created),
        "env": "",
        "prompt": clip.prompt,
        "lyrics": lyrics,
        "metas": {
            "bpm": clip.bpm,
            "duration": clip.duration_s,
            "genres": "",
            "keyscale": clip.key,
            "timesignature": _METERS.get(clip.signature, clip.signature),
        },
        "generation_info": str(clip),
        "seed_value": str(clip.seed),
        "lm_model": "",
        "dit_model": clip.cascade,
        "take": clip.take,
        "bars": clip.bars,
        "measured": {name: getattr(clip, name) for name in MEASURED},
        "notes": _fields(clip.sidecar_json).get("notes") or [],
    }


def _fields(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):  # a sidecar is a file that others can change
        return {}
    return found if isinstance(found, dict) else {}


def _epoch_s(created: str) -> int:
    try:
        return int(datetime.fromisoformat(created).timestamp())
    except (ValueError, OverflowError, OSError):
        return 0
