"""Checkpoints and the state of the server: `/v1/models`, `/v1/init`, `/v1/stats`, `/health`."""

import json
from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from plugin_bridge import words
from plugin_bridge.errors import Unavailable, Unsupported
from plugin_bridge.web.live import Feed
from plugin_bridge.web.rest.asked import Asked, switch, text
from plugin_bridge.web.rest.envelope import answer
from plugin_bridge.web.rest.request import supported
from plugin_bridge.web.setup import version

COUNTED = 100  # jobs and clips that the times and numbers are of


class Models:
    """What can make clips, and how it goes."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def of(self, name: str) -> words.Cascade | None:
        """The checkpoint of that name, "": the daemon's. None where the daemon does not list it."""
        name = name or (await self._feed.bridge.status()).cascade
        return next(
            (one for one in await self._feed.bridge.cascades() if name in (one.name, one.folder)), None
        )

    async def listed(self, _: Asked) -> Response:
        """The checkpoints."""
        return answer(await self._models())

    async def _models(self) -> dict[str, Any]:
        default = (await self._feed.bridge.status()).cascade
        cascades = await self._feed.bridge.cascades()
        return {
            "models": [
                {
                    "name": one.name,
                    "is_default": one.name == default,
                    "is_loaded": one.loaded,
                    "supported_task_types": list(supported(one)),
                }
                for one in cascades
            ],
            "default_model": default,
            "lm_models": [],
            "loaded_lm_model": None,
            "llm_initialized": False,
        }

    async def load(self, asked: Asked) -> Response:
        """Loads a checkpoint by its name, or the daemon's; answers when it is ready."""
        if switch(asked.body.values, "init_llm") or text(asked.body.values, "lm_model_path"):
            raise Unsupported("this server runs no language model: leave init_llm and lm_model_path out")
        name = text(asked.body.values, "model") or (await self._feed.bridge.status()).cascade
        loaded = await self._feed.bridge.load_cascade(name)
        self._feed.tell({"kind": "models"})
        return answer(
            {"message": f"{loaded.name} is loaded", "loaded_model": loaded.name, **await self._models()}
        )

    async def stats(self, _: Asked) -> Response:
        """The queue, and how long jobs took."""
        bridge = self._feed.bridge
        status, jobs = await bridge.status(), await bridge.jobs(COUNTED)
        states = [job.state for job in jobs]
        return answer(
            {
                "jobs": {
                    "total": len(jobs),
                    "queued": status.queued,
                    "running": int(bool(status.running_job)),
                    "succeeded": states.count("done"),
                    "failed": len([one for one in states if one not in ("queued", "running", "done")]),
                },
                "queue_size": status.queued,
                "avg_job_seconds": _average_s(await bridge.clips(limit=COUNTED)),
            }
        )

    async def health(self, _: Asked) -> Response:
        """Whether the daemon is there, as last seen: asks nobody, so it is quick."""
        status = self._feed.status
        if status is None:
            raise Unavailable(self._feed.trouble)
        return answer({"status": "ok", "service": "ACE-Step bridge", "version": version()})


def _average_s(clips: Sequence[words.Clip]) -> float | None:
    """How long the jobs of these clips took on average, as their sidecars tell; None without any."""
    took: dict[str, float] = {}
    for clip in clips:
        try:
            parts = json.loads(clip.sidecar_json or "{}").get("seconds") or {}
            took[clip.job] = float(sum(parts.values()))
        except (ValueError, TypeError, AttributeError, RecursionError):  # a file that others can change
            continue
    known = [seconds for seconds in took.values() if seconds > 0]
    return round(sum(known) / len(known), 3) if known else None
