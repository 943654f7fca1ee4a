"""What the REST API can be asked: addresses, methods, fields and examples of answers, told once.

The routes, the guard's list, the OpenAPI document and the page of it follow from this table.
"""

from dataclasses import dataclass
from typing import Any

from plugin_bridge.web.rest.fields import Field
from plugin_bridge.web.rest.release_fields import FIELDS, FILES, METAS
from plugin_bridge.web.rest.sources import AUDIO

NAMED = Field("adapter_name", "text", "Which adapter; left out: all of them.")
MODEL = Field("model", "text", "A name of /v1/models; left out: the daemon's.")
TASK = "20260101-120000-1a2b"
CLIP = f"{AUDIO}?path=%2Fmusic%2Fdusty-breakbeat_92.5bpm_Am_4bars_t1.mp3"
RESULT = (
    f'[{{"file": "{CLIP}", "status": 1, "prompt": "dusty breakbeat", "lyrics": "", "metas": {{"bpm": 92.5, '
    '"duration": 10.38, "genres": "", "keyscale": "A minor", "timesignature": "4"}, "seed_value": "7", '
    '"dit_model": "nano", "bars": 4.0, "measured": {"tempo_error_pct": 0.01, "downbeat_error_ms": 0.4, '
    '"key_match": "same key", "lufs": -14.0, "fit": "good"}, "notes": []}]'
)
MODELS = {
    "models": [
        {
            "name": "nano",
            "is_default": True,
            "is_loaded": True,
            "supported_task_types": ["text2music", "repaint"],
        }
    ],
    "default_model": "nano",
    "lm_models": [],
    "loaded_lm_model": None,
    "llm_initialized": False,
}
LORA = {
    "lora_loaded": True,
    "use_lora": True,
    "lora_scale": 0.8,
    "adapters": [{"name": "my-sound", "scale": 0.8}],
}


@dataclass(frozen=True)
class Operation:
    """One address: its method, what it does, what it takes, an example of the answer's `data`."""

    path: str
    method: str
    help: str
    takes: tuple[Field, ...] = ()
    gives: Any = None  # None: a file
    files: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    is_open: bool = False  # needs no token


OPERATIONS = (
    Operation(
        "/release_task",
        "POST",
        "Starts a task: one or more takes of a clip.",
        FIELDS,
        {
            "task_id": TASK,
            "status": "queued",
            "queue_position": 0,
            "seed": 7,
            "bpm": 92.5,
            "bars": 4.0,
            "duration": 10.378378378378379,
        },
        tuple(FILES),
        METAS,
    ),
    Operation(
        "/query_result",
        "POST",
        "How far tasks are (status 0: queued or running, 1: done, 2: failed), and their clips as JSON text.",
        (Field("task_id_list", "list", "The task_ids of /release_task, as a list or as JSON text."),),
        [{"task_id": TASK, "status": 1, "result": RESULT}],
    ),
    Operation(
        "/cancel_task",
        "POST",
        "Ends a task; nothing of it is kept. (ACE-Step's server has no such address.)",
        (Field("task_id", "text", "The task_id of /release_task."),),
        {"task_id": TASK, "status": "cancelled"},
    ),
    Operation(AUDIO, "GET", "The file of a result.", (Field("path", "text", "As a result's file has it."),)),
    Operation("/v1/models", "GET", "The checkpoints, and what each can do.", (), MODELS),
    Operation("/v1/model_inventory", "GET", "The same as /v1/models.", (), MODELS),
    Operation(
        "/v1/init",
        "POST",
        "Loads a checkpoint; answers when it is ready.",
        (MODEL,),
        {"message": "nano is loaded", "loaded_model": "nano", **MODELS},
    ),
    Operation(
        "/v1/reinitialize",
        "POST",
        "The same as /v1/init.",
        (MODEL,),
        {"message": "nano is loaded", "loaded_model": "nano", **MODELS},
    ),
    Operation(
        "/v1/stats",
        "GET",
        "The queue, and how long jobs took.",
        (),
        {
            "jobs": {"total": 12, "queued": 1, "running": 1, "succeeded": 10, "failed": 0},
            "queue_size": 1,
            "avg_job_seconds": 3.2,
        },
    ),
    Operation(
        "/health",
        "GET",
        "Whether the daemon is there; 503 where it is not. Quick, and needs no token.",
        (),
        {"status": "ok", "service": "ACE-Step bridge", "version": "0.2.0"},
        is_open=True,
    ),
    Operation(
        "/v1/lora/load",
        "POST",
        "Loads an adapter, which all later tasks of this door use.",
        (Field("lora_path", "text", "An adapter of the daemon's home, by name or path.", ("adapter_name",)),),
        LORA,
    ),
    Operation("/v1/lora/unload", "POST", "Uses an adapter no longer.", (NAMED,), {**LORA, "adapters": []}),
    Operation(
        "/v1/lora/toggle",
        "POST",
        "Switches all adapters off or on.",
        (Field("use_lora", "switch", "Whether later tasks use them."),),
        LORA,
    ),
    Operation(
        "/v1/lora/scale",
        "POST",
        "How strongly an adapter is used.",
        (Field("scale", "number", "1 is fully.", default=1), NAMED),
        LORA,
    ),
    Operation(
        "/v1/lora/status",
        "GET",
        "The adapters in use, and those there are.",
        (),
        {**LORA, "available": ["my-sound", "theirs"]},
    ),
    Operation(
        "/format_input",
        "POST",
        "Tempo, key, meter and length as the prompt says them, as fields. Nothing is rewritten.",
        (
            Field("prompt", "text", "A description.", ("caption",)),
            Field("lyrics", "text", "Words to sing."),
            Field(
                "param_obj", "text", "Fields of /release_task as JSON text; they count more than the prompt."
            ),
        ),
        {
            "caption": "dusty breakbeat, 92.5 bpm, A minor",
            "bpm": 92.5,
            "key_scale": "A minor",
            "time_signature": "4",
            "duration": None,
            "bars": None,
            "lyrics": "[Instrumental]",
            "vocal_language": "unknown",
            "notes": [],
        },
    ),
    Operation(
        "/create_random_sample",
        "POST",
        "An example request, of words that the embedded model was trained on.",
        (Field("sample_type", "text", "Any: an example always has all fields."),),
        {
            "caption": "boom bap, upright bass",
            "prompt": "boom bap, upright bass",
            "lyrics": "[Instrumental]",
            "bpm": 90,
            "key_scale": "A minor",
            "time_signature": "4",
            "duration": 10.666666666666666,
            "bars": 4,
            "vocal_language": "unknown",
        },
    ),
)
PATHS = frozenset(one.path for one in OPERATIONS)
LACKING = "/v1/"  # below it ACE-Step's server has more addresses than these
PAGES = frozenset(("/docs", "/docs/style.css", "/openapi.json"))  # read in the page's own browser
