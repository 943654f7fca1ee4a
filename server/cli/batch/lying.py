"""Clips that lie in a batch's folder and in none of its results: their jobs ended, and nobody heard of it."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from acestep.checkpoints.memory import CHOICES
from acestep.clips.clip import Clip
from acestep.errors import AceStepError
from acestep.request import GenerateRequest
from acestep.sources.sidecar import SIDECAR_ENDING
from server.cli.batch.lines import Line


def lying_in(folder: Path, lines: Iterable[Line], known: set[str]) -> Iterator[tuple[Line, list[Clip]]]:
    """Each request that has all of its clips in the folder, with them. Files that are `known` are others'."""
    by_seed: dict[object, list[Line]] = {}
    for line in lines:
        by_seed.setdefault(line.request.seed, []).append(line)
    for clips in _jobs_in(folder, known):
        made = clips[0].sidecar.get("request")
        if not isinstance(made, dict):
            continue
        alike = by_seed.get(made.get("seed"), [])
        for line in alike:
            if len(clips) == line.request.takes and is_made_by(line.request, made):
                alike.remove(line)
                yield line, sorted(clips, key=lambda clip: clip.take)
                break


def is_made_by(asked: GenerateRequest, made: dict[str, Any]) -> bool:
    """Whether a sidecar's request is this one, with what the context and the machine had to fill in."""
    wanted = {name: value for name, value in asked.to_dict().items() if value not in (None, "", [])}
    if asked.cascade in CHOICES:  # a size: the sidecar names the cascade that had it
        del wanted["cascade"]
    return all(made.get(name) == value for name, value in wanted.items())


def _jobs_in(folder: Path, known: set[str]) -> Iterable[list[Clip]]:
    """The clips of each job in the folder."""
    jobs: dict[str, list[Clip]] = {}
    for file in sorted(folder.glob(f"[!.]*{SIDECAR_ENDING}")):
        if file.name.removesuffix(SIDECAR_ENDING) in known:
            continue
        with contextlib.suppress(AceStepError, OSError):  # not a clip's
            clip = Clip.load(file)
            if Path(clip.path).is_file():
                jobs.setdefault(clip.job, []).append(clip)
    return jobs.values()
