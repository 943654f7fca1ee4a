"""Tasks: started, asked for, cancelled. A task is a job of the daemon, and its id is the job's."""

from typing import Any

from starlette.responses import Response

from plugin_bridge import words
from plugin_bridge.errors import InvalidRequest, NotFound, Unavailable
from plugin_bridge.web.live import Feed
from plugin_bridge.web.rest import release_fields, results
from plugin_bridge.web.rest.adapters import Adapters
from plugin_bridge.web.rest.asked import Asked, text
from plugin_bridge.web.rest.body import parsed
from plugin_bridge.web.rest.envelope import answer, refusal
from plugin_bridge.web.rest.fields import snake
from plugin_bridge.web.rest.models import Models
from plugin_bridge.web.rest.request import wanted
from plugin_bridge.web.rest.sources import Sources

NEWEST, ALL = (
    100,
    1_000,
)  # jobs to look through for a task: the newest first, then as many as the daemon lists
MAX_TASKS = 200  # of one question
PASSED = ("ai_token",)


class Tasks:
    """`/release_task`, `/query_result` and `/cancel_task`."""

    def __init__(self, feed: Feed, models: Models, sources: Sources, adapters: Adapters) -> None:
        self._feed, self._models, self._sources, self._adapters = feed, models, sources, adapters

    async def release(self, asked: Asked) -> Response:
        """Starts a task."""
        known = release_fields.FILES
        foreign = next((name for name in asked.body.files if snake(name) not in known), None)
        if foreign is not None:
            raise InvalidRequest(
                f"there is no file field {foreign!r:.60}: expected one of {', '.join(known)}"
            )
        values = release_fields.read(asked.body.values, PASSED)
        cascade = await self._models.of(values.get("model", ""))
        reference = await self._sources.of(asked.body, values, "reference_audio_path")
        source = await self._sources.of(asked.body, values, "src_audio_path")
        request = wanted(values, cascade, reference, source, self._adapters.used)
        try:
            accepted = await self._send(request.prompt, request.options, f"rest {asked.caller}")
        except NotFound as error:  # a file, a model, an adapter: no address of this server is missing
            return refusal(error, 400)
        return answer(
            {
                "task_id": accepted.job,
                "status": "queued",
                "queue_position": accepted.position,
                "seed": accepted.seed,
                "bpm": request.bpm,
                "bars": request.bars,
                "duration": request.duration_s,
            }
        )

    async def _send(self, prompt: str, options: dict[str, Any], client: str) -> words.Accepted:
        events = await self._feed.bridge.generate(prompt, **options, detached=True, client=client)
        try:
            async for event in events:
                if isinstance(event, words.Accepted):
                    return event
        finally:
            events.cancel()  # the job goes on
        raise Unavailable("the daemon took the task and did not say so: see its log")

    async def query(self, asked: Asked) -> Response:
        """How far tasks are, and what came of them."""
        listed = {snake(name): value for name, value in asked.body.values.items()}.get("task_id_list")
        listed = parsed(listed) if isinstance(listed, str) else listed
        if not isinstance(listed, list) or not all(isinstance(one, str) and one.isascii() for one in listed):
            raise InvalidRequest("task_id_list is no list of task_ids: expected those of /release_task")
        if len(listed) > MAX_TASKS:
            raise InvalidRequest(f"{len(listed)} tasks are asked for at once: expected at most {MAX_TASKS}")
        jobs = await self._jobs(set(listed)) if listed else {}
        return answer([await self._entry(task, jobs.get(task)) for task in listed])

    async def _jobs(self, wanted_ids: set[str]) -> dict[str, words.ListedJob]:
        jobs: dict[str, words.ListedJob] = {}
        for limit in (NEWEST, ALL):
            listed = await self._feed.bridge.jobs(limit)
            jobs = {job.id: job for job in listed}
            if wanted_ids <= set(jobs) or len(listed) < limit:
                break
        return jobs

    async def _entry(self, task: str, job: words.ListedJob | None) -> dict[str, Any]:
        if job is None:
            why = f"the daemon knows no task {task!r:.60}: expected a task_id of /release_task, not too old"
            return results.entry(task, results.FAILED, [results.unfinished(results.FAILED, why, "not_found")])
        clips = await self._clips(job.id) if job.state == "done" else []
        return results.told(job, clips)

    async def _clips(self, job: str) -> list[words.Clip]:
        """The clips of a finished job that are still there, which may be served from now on."""
        clips = await (await self._feed.bridge.watch(job)).clips()
        self._feed.saw(clips)
        return clips

    async def cancel(self, asked: Asked) -> Response:
        """Ends a task; nothing of it is kept."""
        job = await self._feed.bridge.cancel(text(asked.body.values, "task_id", needed=True))
        self._feed.jobs_changed()
        return answer({"task_id": job.id, "status": job.state})
