"""Starts a daemon beside the page when none runs, and ends it with the page.

The daemon runs as a command in a process of its own: the page imports none of its code.
"""

import collections
import contextlib
import subprocess
import threading
from collections.abc import Sequence

from plugin_bridge.programs import program

LINES_KEPT = 60
STOP_S = 8.0


class OwnDaemon:
    """A daemon this page may start. At most one at a time."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = tuple(arguments)
        self._process: subprocess.Popen[str] | None = None
        self._lines: collections.deque[str] = collections.deque(maxlen=LINES_KEPT)
        self._lock = threading.Lock()

    @property
    def command(self) -> list[str]:
        """What is run."""
        return [program("acestep"), "serve", *self.arguments]

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it; does nothing while one runs."""
        with self._lock:
            if self.running:
                return
            self._lines.clear()
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError), process.stdout as lines:
            for line in lines:
                self._lines.append(line.rstrip())

    def state(self) -> dict[str, object]:
        """For the set-up page: whether it runs, how it ended, its last words."""
        process = self._process
        return {
            "started": process is not None,
            "running": self.running,
            "code": process.poll() if process else None,
            "lines": list(self._lines)[-12:],
            "command": " ".join(["acestep", "serve", *self.arguments]),
        }

    @property
    def last_words(self) -> str:
        """The last line it printed."""
        return self._lines[-1] if self._lines else "it said nothing"

    def stop(self) -> None:
        """Ends it: asks first, then insists."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
