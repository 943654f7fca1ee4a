"""A client that knows of ACE-Step's server only what its API document says, as other programs do.

Addresses, fields and shapes are those of ACE-Step 1.5's docs/en/API.md; nothing of ours is imported.
"""

import json
import time
from pathlib import Path
from typing import Any

POLL_S = 0.05
WAIT_S = 300.0  # only ever reached by a test that fails
QUEUED, DONE, FAILED = 0, 1, 2


class Refused(Exception):
    """The server's `error`, with its `code`."""

    def __init__(self, code: int, error: str) -> None:
        super().__init__(f"{code}: {error}")
        self.code, self.error = code, error


class AceStepClient:
    """`http`: an httpx client with the server's address as its base."""

    def __init__(self, http: Any, key: str = "") -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def ask(self, method: str, path: str, **how: Any) -> Any:
        """The `data` of an answer. Raises Refused."""
        answer = self._http.request(method, path, headers=self._headers, **how)
        told = answer.json()
        assert set(told) == {"data", "code", "error", "timestamp", "extra"}
        if told["code"] != 200:
            raise Refused(told["code"], told["error"])
        assert answer.status_code == 200
        assert abs(told["timestamp"] / 1000 - time.time()) < 3600, "expected milliseconds"
        return told["data"]

    def release(self, files: Any = None, **fields: Any) -> str:
        """Starts a task: as JSON, or with files as a form."""
        how = {"data": fields, "files": files} if files else {"json": fields}
        data = self.ask("POST", "/release_task", **how)
        assert data["status"] == "queued"
        assert data["queue_position"] >= 0
        return str(data["task_id"])

    def query(self, *tasks: str) -> list[dict[str, Any]]:
        """Each task's entry, with its result read."""
        found = self.ask("POST", "/query_result", json={"task_id_list": list(tasks)})
        assert [one["task_id"] for one in found] == list(tasks)
        return [{**one, "result": json.loads(one["result"])} for one in found]

    def wait(self, task: str, until: int = DONE) -> list[dict[str, Any]]:
        """The results once the task has that status."""
        deadline = time.monotonic() + WAIT_S
        while (entry := self.query(task)[0])["status"] == QUEUED:
            assert time.monotonic() < deadline
            time.sleep(POLL_S)
        assert entry["status"] == until, entry
        return list(entry["result"])

    def audio(self, result: dict[str, Any]) -> bytes:
        """The file of a result."""
        answer = self._http.get(result["file"], headers=self._headers)
        assert answer.status_code == 200
        return bytes(answer.content)

    def generate(self, folder: Path, **fields: Any) -> list[Path]:
        """The files of a whole task."""
        files = []
        for number, result in enumerate(self.wait(self.release(**fields))):
            files.append(folder / f"{number}.{fields.get('audio_format', 'mp3')}")
            files[-1].write_bytes(self.audio(result))
        return files
