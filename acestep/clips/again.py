"""Making a clip again: what its sidecar says about how it was made, checked against what is here now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acestep.checkpoints.fingerprint import heard
from acestep.errors import InvalidRequest
from acestep.model.loaded import Loaded
from acestep.model.plan import SongPlan
from acestep.request import GenerateRequest


@dataclass(frozen=True)
class Made:
    """A clip's request, take and plan, and the hashes of the files it was made from, as far as they are
    known.
    """

    request: GenerateRequest
    take: int
    plan: SongPlan | None = None
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    heard: Mapping[str, Any] = field(default_factory=dict)
    idea: Mapping[str, Any] = field(default_factory=dict)  # its place in an idea, if it is a part of one

    @classmethod
    def from_sidecar(cls, content: Mapping[str, Any]) -> Made:
        """Raises InvalidRequest for a sidecar that says too little."""
        try:
            request = GenerateRequest.from_dict(content["request"])
            take = int(content["clip"]["take"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRequest(f"the sidecar does not say how its clip was made: {error}") from error
        if request.seed is None or not 0 <= take < request.takes:
            raise InvalidRequest(f"the sidecar names take {take} of {request.takes} and seed {request.seed}")
        plan = SongPlan.from_dict(content["plan"]) if "plan" in content else None
        parts = {name: content.get(name, {}) for name in ("checkpoint", "heard", "idea")}
        if not all(isinstance(part, Mapping) for part in parts.values()):
            raise InvalidRequest(
                "the sidecar's checkpoint, heard or idea is not as expected: expected objects"
            )
        return cls(request, take, plan, **parts)

    def refuse_changes(self, cascade: Loaded) -> None:
        """Raise InvalidRequest if a file that the clip was made from has changed.

        Only what is known of both times is compared: an adapter that is not loaded yet, for example, is not.
        """
        if self.request.adapters:
            cascade.adapters.require(self.checkpoint.get("adapters") or {}, self.request.adapters)
        changed = self._changes(cascade.origin(self.request.adapters), heard(self.request))
        if changed:
            raise InvalidRequest(
                f"the clip cannot be made again, because {'; '.join(changed)}. To make another clip from the "
                "same request, change something in it, for example the seed"
            )

    def _changes(self, here: Mapping[str, Any], sounds: Mapping[str, str]) -> list[str]:
        was, found = self.checkpoint, []
        if names := _other(was.get("files"), here["files"]):
            found.append(f"checkpoint {here['name']} is another by now ({names})")
        for name, files in dict(was.get("adapters") or {}).items():
            if names := _other(files, here["adapters"].get(name)):
                found.append(f"adapter {name} is another by now ({names})")
        planners = [one.get("planner") or {} for one in (was, here)]
        then, now = (planner.get("name") for planner in planners)
        if was and then != now:
            found.append(f"it was made with {_planner(then)}, and here is {_planner(now)}")
        elif names := _other(planners[0].get("files"), planners[1].get("files")):
            found.append(f"planner {then} is another by now ({names})")
        if names := _other(self.heard, sounds):
            found.append(f"the file of its {names} holds something else by now")
        return found


def _planner(name: str | None) -> str:
    return f"planner {name}" if name else "no planner"


def _other(was: Mapping[str, Any] | None, here: Mapping[str, Any] | None) -> str:
    """The names that have a hash in both, and not the same one."""
    was, here = was or {}, here or {}
    other = [name for name in was if name in here and was[name] != here[name]]
    return ", ".join(other[:5]) + (" …" if len(other) > 5 else "")
