"""What ACE-Step's fields mean here: the prompt and the settings that the daemon is sent.

Seconds become whole bars at the tempo. What the checkpoint cannot do is refused before anything is queued.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugin_bridge import words
from plugin_bridge.errors import InvalidRequest, Unsupported
from plugin_bridge.web.rest.fields import UNKNOWN
from plugin_bridge.web.rest.release_fields import BY_NAME, TASKS
from plugin_bridge.web.rest.sources import Source

BPM, SIGNATURE, BARS, TAKES = 120.0, "4/4", 4.0, 2  # where the request says nothing
METERS = {"2": "2/4", "3": "3/4", "4": "4/4", "6": "6/8"}  # as ACE-Step writes them
NO_LYRICS = ("[instrumental]", "[inst]")
KEEP_LENGTH = ("cover", "repaint", "extract")  # tasks whose clip lasts as long as their source
SAME_LENGTH_S = 1.0  # clients round the lengths of their sources
MAX_S = 600.0
_SAME_NAME = ("prompt", "bpm", "key_scale", "model", "inference_steps", "guidance_scale", "audio_format")


@dataclass(frozen=True)
class Wanted:
    """A request for the daemon, and what its grid will be; None where the source decides."""

    prompt: str
    options: dict[str, Any]
    bpm: float | None
    bars: float | None
    duration_s: float | None


def wanted(
    values: Mapping[str, Any],
    cascade: words.Cascade | None,
    reference: Source | None,
    source: Source | None,
    adapters: Mapping[str, float],
) -> Wanted:
    """The request of fields as `fields.read` gives them. Raises InvalidRequest, Unsupported.

    `cascade` is the checkpoint that will make it, None where the daemon does not tell what it can do;
    `adapters` are used where the request names none.
    """
    if not values.get("prompt") and not values.get("idea"):
        raise InvalidRequest("prompt is empty: expected a few words on what it should sound like")
    task = TASKS[values.get("task_type", "text2music")]
    _check_task(task, cascade, reference, source)
    options: dict[str, Any] = {
        BY_NAME[name].setting: value
        for name, value in values.items()
        if BY_NAME[name].own or name in _SAME_NAME
    }
    prompt = options.pop("prompt", "")
    usual = 1 if options.get("parts") or options.get("redo") else TAKES  # parts make one idea at a time
    options |= {"task": task, "takes": values.get("batch_size", usual)}
    options.setdefault("format", BY_NAME["audio_format"].default)
    if adapters:
        options.setdefault("adapters", dict(adapters))
    for name, found in (("reference", reference), ("context", source)):
        if found is not None:
            options[name] = found.path
    options |= _lyrics(values, cascade) | _seed(values) | _strength(values, task, reference)
    options |= _track(values, task) | _region(values, task, source)
    return _on_grid(prompt, options, values, task, source)


def supported(cascade: words.Cascade | None) -> tuple[str, ...]:
    """The tasks of a checkpoint by ACE-Step's names; all where it does not tell."""
    told = cascade.supports if cascade else ()
    return tuple(name for name, task in TASKS.items() if not told or task in told)


def meter(text: str) -> str:
    """`3` as `3/4`; what is written in full already stays so. Raises InvalidRequest."""
    if not re.fullmatch(r"\d{1,2}\s*/\s*\d{1,2}", METERS.get(text, text)):
        raise InvalidRequest(
            f"time_signature {text!r:.40} is unknown: expected 2, 3, 4, 6, or N/D such as 7/8"
        )
    return METERS.get(text, text)


def quarters_per_bar(signature: str) -> float:
    """How long a bar is, in quarter notes. Raises InvalidRequest."""
    numerator, denominator = (int(part) for part in signature.split("/"))
    if not numerator or not denominator:
        raise InvalidRequest(f"time_signature {signature} is not possible: expected for example 4/4 or 7/8")
    return numerator * 4 / denominator


def whole_bars(duration_s: float, bpm: float, signature: str) -> float:
    """So many seconds in bars: the nearest whole number, at least one, within what a clip may last."""
    bar_s = quarters_per_bar(signature) * 60 / bpm
    return float(max(1, min(round(duration_s / bar_s), int(MAX_S / bar_s))))


def seconds(bars: float, bpm: float, signature: str) -> float:
    """How long so many bars last."""
    return bars * quarters_per_bar(signature) * 60 / bpm


def _check_task(
    task: str, cascade: words.Cascade | None, reference: Source | None, source: Source | None
) -> None:
    told = cascade.supports if cascade else ()
    name = next(name for name, here in TASKS.items() if here == task)
    if told and task not in told:
        able = ", ".join(supported(cascade))
        raise Unsupported(f"checkpoint {cascade.name if cascade else ''} cannot do {name}: it can do {able}")
    if told and reference is not None and "reference" not in told:
        raise Unsupported(f"checkpoint {cascade.name if cascade else ''} takes no reference: leave it out")
    if task == "text" and source is not None:
        others = (
            ", ".join(one for one in supported(cascade) if one != name) or "none that this checkpoint can do"
        )
        raise InvalidRequest(
            f"text2music works on no source: leave src_audio out, or name a task_type: {others}"
        )
    if task != "text" and source is None:
        raise InvalidRequest(f"{name} works on a source: send the file as src_audio, or its src_audio_path")


def _lyrics(values: Mapping[str, Any], cascade: words.Cascade | None) -> dict[str, Any]:
    lyrics, language = values.get("lyrics", ""), values.get("vocal_language", "en").lower()
    if not lyrics or lyrics.lower() in NO_LYRICS:
        return {}
    if cascade is not None and cascade.supports and "lyrics" not in cascade.supports:
        raise Unsupported(f"checkpoint {cascade.name} cannot sing: leave the lyrics out, or load another")
    if language not in ("en", *UNKNOWN):
        raise Unsupported(
            f"vocal_language {language!r:.40} cannot be asked for here: lyrics are sung as English"
        )
    return {"lyrics": lyrics}


def _seed(values: Mapping[str, Any]) -> dict[str, Any]:
    seed = values.get("seed", -1)
    if values.get("use_random_seed", seed < 0):
        return {}
    return {"seed": seed} if seed >= 0 else {}


def _strength(values: Mapping[str, Any], task: str, reference: Source | None) -> dict[str, Any]:
    strength = values.get("audio_cover_strength", 1.0)
    if strength == 1:
        return {}
    if task != "cover" and not (task == "text" and reference is not None):
        raise InvalidRequest(
            "audio_cover_strength means something for cover, and for a reference in text2music: leave it out"
        )
    return {"strength": strength}


def _track(values: Mapping[str, Any], task: str) -> dict[str, Any]:
    named = [*values.get("track_classes", ()), *([values["track_name"]] if values.get("track_name") else [])]
    if named and task not in ("lego", "extract", "complete"):
        raise InvalidRequest(
            "track_name and track_classes are for lego, extract and complete: leave them out"
        )
    return {"track": "|".join(dict.fromkeys(named))} if named else {}


def _region(values: Mapping[str, Any], task: str, source: Source | None) -> dict[str, Any]:
    start_s: float = values.get("repainting_start", 0.0)
    end_s: float = values.get("repainting_end", -1.0)
    if task != "repaint":
        if start_s > 0 or end_s > 0:
            raise InvalidRequest(
                "repainting_start and repainting_end are for task_type repaint: leave them out"
            )
        return {}
    if end_s < 0:
        if source is None or source.duration_s is None:
            raise InvalidRequest(
                "repainting_end is not given, and how long the source is is not known here: say it in seconds"
            )
        end_s = source.duration_s
    return {"repaint_s": (start_s, end_s)}


def _on_grid(
    prompt: str, options: dict[str, Any], values: Mapping[str, Any], task: str, source: Source | None
) -> Wanted:
    """With tempo, signature and length: those of the request, else the source's or the idea's, else the usual
    ones."""
    known = source is not None or bool(options.get("idea"))
    duration_s: float = values.get("audio_duration", -1.0)
    if "time_signature" in values:
        options["signature"] = meter(values["time_signature"])
    if not known:
        options.setdefault("signature", SIGNATURE)
        if "tempo_map" not in options:
            options.setdefault("bpm", BPM)
    elif source is not None and task in KEEP_LENGTH and source.duration_s is not None and duration_s > 0:
        if abs(duration_s - source.duration_s) > SAME_LENGTH_S:
            raise InvalidRequest(
                f"audio_duration {duration_s:g} is not possible: the clip lasts as long as its source, "
                f"{source.duration_s:.2f} s; leave it out"
            )
        duration_s = -1.0
    if duration_s > 0:
        options.setdefault("signature", SIGNATURE)
        if options.setdefault("bars", bars := _bars(duration_s, options)) != bars:
            raise InvalidRequest(
                f"bars {options['bars']:g} and audio_duration {duration_s:g} contradict each other: send one"
            )
    elif not known:
        options.setdefault("bars", BARS)
    bpm, length = options.get("bpm"), options.get("bars")
    lasts_s = seconds(length, bpm, options.get("signature", SIGNATURE)) if length and bpm else None
    return Wanted(prompt, options, bpm, length, lasts_s)


def _bars(duration_s: float, options: Mapping[str, Any]) -> float:
    if "bpm" not in options:
        open_tempo = "a tempo map: say bars" if "tempo_map" in options else "the tempo open: say bpm"
        raise InvalidRequest(f"audio_duration cannot become bars with {open_tempo}, or leave the length out")
    return whole_bars(duration_s, options["bpm"], options["signature"])
