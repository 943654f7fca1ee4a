"""`/format_input` and `/create_random_sample`, without a language model.

The first reads what a prompt itself says of tempo, key, meter and length, and writes it down as fields; it
rewrites nothing. The second puts words together that the embedded model was trained on.
"""

import json
import random
import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from plugin_bridge.errors import InvalidRequest
from plugin_bridge.web.form import NANO_WORDS
from plugin_bridge.web.rest import release_fields
from plugin_bridge.web.rest.asked import Asked, text
from plugin_bridge.web.rest.body import table
from plugin_bridge.web.rest.envelope import answer
from plugin_bridge.web.rest.models import Models
from plugin_bridge.web.rest.request import (
    BPM,
    METERS,
    NO_LYRICS,
    SIGNATURE,
    meter,
    quarters_per_bar,
    seconds,
    whole_bars,
)

NO_WORDS = "[Instrumental]"
TONICS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
SLOWEST, FASTEST = 70, 170  # of an example
LENGTHS = (4, 8)  # of an example, in bars
_BPM = re.compile(r"(?<![\d.,])(\d{2,3}(?:[.,]\d{1,3})?)[ -]?bpm\b", re.IGNORECASE)
_METER = re.compile(r"(?<![\d/])(\d{1,2}/(?:2|4|8|16))(?![\d/])")
_BARS = re.compile(r"(?<![\d.,])(\d{1,3})[ -]bars?\b", re.IGNORECASE)
_SECONDS = re.compile(r"(?<![\d.,])(\d{1,3}(?:[.,]\d+)?)[ -]?(?:s|sec|secs|seconds?)\b", re.IGNORECASE)
_TONIC = r"([A-G])[ -]?(#|b|♯|♭|sharp|flat)?"
_KEY = re.compile(rf"\b{_TONIC}[ -]?(major|minor|maj|min)\b")  # a capital: "a minor change" is no key
_KEY_ALONE = re.compile(rf"{_TONIC}[ -]?(major|minor|maj|min|m)?", re.IGNORECASE)
_STEPS = {"♯": "#", "♭": "b", "sharp": "#", "flat": "b"}


class Phrases:
    """What is written about music, as fields and back."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._random = random.Random()

    async def format(self, asked: Asked) -> Response:
        """The prompt's own tempo, key, meter and length; `param_obj` has precedence."""
        sent = asked.body.values
        prompt = " ".join(text(sent, "prompt", "caption").split())
        lyrics = text(sent, "lyrics")
        told = next((found for _, found in table(sent, "param_obj", "paramObj")), {})
        notes = await self._cannot(lyrics)
        return answer(
            {
                "caption": prompt,
                **_facts(prompt, release_fields.read(told)),
                "lyrics": lyrics or NO_WORDS,
                "vocal_language": "en" if lyrics else "unknown",
                "notes": notes,
            }
        )

    async def _cannot(self, lyrics: str) -> list[str]:
        cascade = await self._models.of("") if lyrics and lyrics.lower() not in NO_LYRICS else None
        if cascade is None or not cascade.supports or "lyrics" in cascade.supports:
            return []
        return [f"checkpoint {cascade.name} cannot sing: /release_task refuses these lyrics"]

    async def sample(self, asked: Asked) -> Response:
        """An example request. Every `sample_type` gives all of its fields."""
        text(asked.body.values, "sample_type")  # what is no text is refused
        known = json.loads(NANO_WORDS.read_text("utf-8"))
        draw = self._random
        sounds = draw.sample(known["instruments"], draw.choice((1, 2)))
        bpm, bars = draw.randint(SLOWEST, FASTEST), draw.choice(LENGTHS)
        caption = ", ".join((draw.choice(known["styles"]), *sounds))
        return answer(
            {
                "caption": caption,
                "prompt": caption,
                "lyrics": NO_WORDS,
                "bpm": bpm,
                "key_scale": f"{draw.choice(TONICS)} {draw.choice(('major', 'minor'))}",
                "time_signature": "4",
                "duration": seconds(bars, bpm, SIGNATURE),
                "bars": bars,
                "vocal_language": "unknown",
            }
        )


def _facts(prompt: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Tempo, key, meter and length, as they are written everywhere; None or "" where nobody says them."""
    bpm = told.get("bpm") or _number(_BPM.search(prompt))
    signature = _found(_METER.search(prompt))
    signature = meter(told["time_signature"]) if "time_signature" in told else signature
    key = key_name(told["key_scale"]) if "key_scale" in told else _key(_KEY.search(prompt))
    bars = told.get("bars") or _number(_BARS.search(prompt))
    duration_s = told.get("audio_duration") or _number(_SECONDS.search(prompt))
    grid = bpm or BPM, signature or SIGNATURE
    quarters_per_bar(grid[1])  # refuses 0/4
    if bars is None and duration_s is not None and duration_s > 0 and bpm is not None:
        bars = whole_bars(duration_s, *grid)
    if bars is not None:
        duration_s = seconds(bars, *grid)
    return {
        "bpm": bpm,
        "key_scale": key,
        "time_signature": next((short for short, full in METERS.items() if full == signature), signature),
        "duration": duration_s,
        "bars": bars,
    }


def key_name(written: str) -> str:
    """`Am`, `a minor`, `Bb maj` as `A minor`, `Bb major`. Raises InvalidRequest."""
    match = _KEY_ALONE.fullmatch(written.strip())
    if match is None:
        raise InvalidRequest(
            f"key_scale {written!r:.40} is not understood: expected for example C Major or F#m"
        )
    return _key(match)


def _key(match: re.Match[str] | None) -> str:
    if match is None:
        return ""
    step = (match[2] or "").lower()
    mode = match[3] or ""
    minor = mode == "m" or mode.lower().startswith("min")
    return f"{match[1].upper()}{_STEPS.get(step, step)} {'minor' if minor else 'major'}"


def _found(match: re.Match[str] | None) -> str:
    return match[1] if match else ""


def _number(match: re.Match[str] | None) -> float | None:
    return float(match[1].replace(",", ".")) if match else None
