"""The JSON file beside every clip, which says how it was made: read within bounds, and written."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acestep import typed_json
from acestep.errors import InvalidRequest, NotFound

SIDECAR_FORMAT = 1
SIDECAR_ENDING = ".json"  # NAME.wav.json beside NAME.wav
MAX_SIDECAR_BYTES = 2 << 20


def read_sidecar(path: str | Path) -> dict[str, Any]:
    """The sidecar of an audio file, or the sidecar itself. Raises NotFound or InvalidRequest."""
    file = Path(path)
    if not file.name.endswith(SIDECAR_ENDING):
        file = file.with_name(file.name + SIDECAR_ENDING)
    try:
        content = typed_json.read(file, typed_json.Fields, max_bytes=MAX_SIDECAR_BYTES)
    except FileNotFoundError as error:
        raise NotFound(f"there is no sidecar {file}") from error
    if content.get("format") != SIDECAR_FORMAT:
        raise InvalidRequest(f"{file} is not a sidecar of format {SIDECAR_FORMAT}: made by a newer version?")
    return content


def sidecar_text(sidecar: Mapping[str, Any]) -> bytes:
    """A sidecar as it is written; JSON knows no NaN and no infinity, so these become null."""
    text = json.dumps(_finite(sidecar), indent=1, ensure_ascii=False, sort_keys=True, allow_nan=False)
    return text.encode("utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
