"""An idea on disk: the clips that share its id, which of them count, and what they say of the whole.

Of two clips for one part the later one counts. The files are the truth: an idea is whatever of it is there.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep.clips.clip import Clip
from acestep.errors import InvalidRequest, NotFound
from acestep.music.parts import MIX, Part, parts_text, read_parts
from acestep.request import SETTINGS, AudioRange, GenerateRequest

Ideas = Callable[[str], Sequence[Clip]]  # all clips of an idea, those in the trash included
ITS_OWN = ("prompt", "parts", "idea", "redo", "takes", "seed")  # of a request that goes on with an idea
ONE = ("bpm", "signature", "bars", "key", "tempo_map", "swing", "context")  # what an idea has one of


@dataclass(frozen=True)
class Delivery:
    """What an idea in parts needs beside its job: who takes each clip as it is ready, who knows the clips of
    an idea that is gone on with, and when it began (None: now), by which its clips are named."""

    on_clip: Callable[[Clip], None]
    ideas: Ideas
    started_s: float | None = None


ALONE = Delivery(lambda clip: None, lambda idea: ())


@dataclass(frozen=True)
class Idea:
    """The parts of an idea that stay, in their order, and the request for the whole."""

    id: str
    request: GenerateRequest
    parts: tuple[Part, ...]
    members: Mapping[str, Clip]

    @classmethod
    def of(cls, request: GenerateRequest, clips: Iterable[Clip]) -> "Idea":
        """The idea that a request goes on with, without the parts that it makes anew.

        Raises NotFound for one that is not there, or not whole; InvalidRequest for parts that are there
        already, or are to be made anew and never were.
        """
        found = sorted((clip for clip in clips if clip.idea == request.idea), key=_at_s)
        if not found:
            raise NotFound(
                f"no idea {request.idea!r:.90} here: the clips of an idea tell its id (`idea` in their "
                "sidecars)"
            )
        whole = GenerateRequest.from_dict(_told(found[-1]).get("request") or {})
        there = {clip.part: clip for clip in found if not clip.trashed and _is_file(clip)}
        mixes = [clip for clip in found if clip.part == MIX]
        named = list(_told(mixes[-1]).get("parts") or {}) if mixes else []
        met = [name for clip in found for name in _told(clip).get("beside") or {}]  # also without any mix
        known = {*named, *met, *there} - {MIX}
        order = [*(part.name for part in read_parts("parts", whole.parts)), *named, *met, *there]
        names = [name for name in dict.fromkeys(order) if name in known]
        anew = {part.name for part in read_parts("redo", request.redo)}
        trashed = {clip.part for clip in found if clip.trashed}
        cls._refuse_missing(
            request.idea, [one for one in names if one not in there and one not in anew], trashed
        )
        if unknown := sorted(anew - set(names)):
            raise InvalidRequest(
                f"redo names {', '.join(unknown)}, which idea {request.idea} does not have: it has "
                f"{', '.join(names)}; parts adds others"
            )
        if twice := [part.name for part in read_parts("parts", request.parts) if part.name in names]:
            raise InvalidRequest(
                f"idea {request.idea} has {', '.join(twice)} already: redo makes a part anew, parts adds "
                "others"
            )
        words = {
            part.name: part for part in (*read_parts("parts", whole.parts), *request.wanted) if part.words
        }
        parts = tuple(words.get(name, Part(name)) for name in names)
        return cls(request.idea, whole, parts, {name: there[name] for name in names if name not in anew})

    @staticmethod
    def _refuse_missing(idea: str, missing: list[str], trashed: set[str]) -> None:
        if not missing:
            return
        in_trash = [one for one in missing if one in trashed]
        gone = [one for one in missing if one not in trashed]
        what = [f"{', '.join(in_trash)} in the trash: restore it"] if in_trash else []
        what += [f"{', '.join(gone)} moved or deleted: put the file back"] if gone else []
        raise NotFound(f"idea {idea} is not whole, {'; '.join(what)}, or make it anew with redo")

    def adopted(self, request: GenerateRequest) -> GenerateRequest:
        """The request with what the idea has: words, grid, key, sound and model, where it says nothing else.

        Raises InvalidRequest for another tempo, key or length than the idea's.
        """
        values: dict[str, Any] = {} if request.prompt.strip() else {"prompt": self.request.prompt}
        for name, setting in SETTINGS.items():
            asked, has = getattr(request, name), getattr(self.request, name)
            if name in ITS_OWN or asked == has or (name == "task"):
                continue
            if asked == setting.default:
                values[name] = has
            elif name in ONE and not (name == "bpm" and request.tempo_map is not None):
                raise InvalidRequest(
                    f"{setting.osc} {_shown(asked)}: idea {self.id} has {_shown(has)}, and all its parts "
                    f"share it; leave {setting.osc} out, or make another idea"
                )
        task = "text" if self.request.context is None else "complete"
        return dataclasses.replace(request, task=task, **values)

    def whole(self, request: GenerateRequest) -> GenerateRequest:
        """The request for the whole idea, with the words and parts that a request changes or adds."""
        new = {part.name: part for part in request.wanted}
        parts = [new.pop(part.name, part) if _has_words(new.get(part.name)) else part for part in self.parts]
        added = [part for part in request.wanted if part.name not in {one.name for one in parts}]
        return dataclasses.replace(self.request, parts=parts_text([*parts, *added]))


def _has_words(part: Part | None) -> bool:
    return part is not None and bool(part.words)


def _told(clip: Clip) -> Mapping[str, Any]:
    told = clip.sidecar.get("idea")
    return told if isinstance(told, Mapping) else {}


def _at_s(clip: Clip) -> float:
    at = _told(clip).get("at_s")
    return float(at) if isinstance(at, int | float) else 0.0


def _is_file(clip: Clip) -> bool:
    return Path(clip.path).is_file()


def _shown(value: Any) -> str:
    if isinstance(value, AudioRange):
        return ", ".join(Path(one.path).name for one in value.sources)
    return f"{value:g}" if isinstance(value, float) else str(value) if value is not None else "none"
