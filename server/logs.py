"""Structured logs: one JSON object a line in home/logs/daemon.log, readable lines on stderr; never a secret.

log = logs.get("queue"); log.info("job_accepted", job=job.id, client=job.client)
"""

import io
import json
import logging
import logging.handlers
import os
import sys
import time
from pathlib import Path

from acestep.console.command import one_line, plain

MAX_FILE_BYTES = 4 << 20
KEPT_FILES = 3
MAX_VALUE_CHARS = 500
_SECRET_NAMES = ("token", "authorization", "password", "secret")
_secrets: set[str] = set()


def hide(secret: str) -> None:
    """From now on this text appears in no log."""
    if secret:
        _secrets.add(secret)


class Log:
    """Writes events with named values."""

    def __init__(self, part: str):
        self._logger = logging.getLogger(f"acestep.{part}")
        self._part = part

    def debug(self, event: str, **values: object) -> None:
        """For those who look for a fault."""
        self._write(logging.DEBUG, event, values)

    def info(self, event: str, **values: object) -> None:
        """What happened as it should."""
        self._write(logging.INFO, event, values)

    def warning(self, event: str, **values: object) -> None:
        """What somebody did wrong or should know."""
        self._write(logging.WARNING, event, values)

    def error(self, event: str, exc_info: bool = False, **values: object) -> None:
        """What went wrong here."""
        self._write(logging.ERROR, event, values, exc_info)

    def _write(self, level: int, event: str, values: dict[str, object], exc_info: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            extra = {"values": {"part": self._part, **values}}
            self._logger.log(level, event, extra=extra, exc_info=exc_info)


def get(part: str) -> Log:
    """The log of one part of the daemon."""
    return Log(part)


def start(folder: Path | None, level: str) -> None:
    """Writes to stderr, and to `folder` if one is given and can be written."""
    logging.raiseExceptions = False  # a full disk is no reason to print tracebacks
    root = logging.getLogger("acestep")
    root.setLevel(level.upper())
    root.propagate = False
    stop()
    stderr = logging.StreamHandler(sys.stderr)
    stderr.setFormatter(_Readable())
    root.addHandler(stderr)
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _PrivateFile(
            folder / "daemon.log", maxBytes=MAX_FILE_BYTES, backupCount=KEPT_FILES, encoding="utf-8"
        )
    except OSError as error:
        get("logs").warning("no_log_file", folder=str(folder), error=str(error))
        return
    file.setFormatter(_Json())
    root.addHandler(file)


def stop() -> None:
    """Closes what `start` opened."""
    root = logging.getLogger("acestep")
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()


def _clean(text: str) -> str:
    for secret in _secrets:
        text = text.replace(secret, "[hidden]")
    return text


def _values(record: logging.LogRecord) -> dict[str, object]:
    values = {}
    for name, value in getattr(record, "values", {}).items():  # other libraries' records have none
        if any(word in name.lower() for word in _SECRET_NAMES):
            value = "[hidden]"
        if not isinstance(value, bool | int | float | type(None)):
            value = str(value)
            value = value if len(value) <= MAX_VALUE_CHARS else value[:MAX_VALUE_CHARS] + "…"
        values[name] = value
    return values


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """Log files that only their owner may read, also after a new one was begun."""

    def _open(self) -> io.TextIOWrapper:
        os.close(os.open(self.baseFilename, os.O_RDWR | os.O_CREAT, 0o600))
        Path(self.baseFilename).chmod(0o600)
        return super()._open()


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **_values(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return _clean(plain(json.dumps(entry, ensure_ascii=False)))


class _Readable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        values = _values(record)
        values.pop("part", None)
        stamp = time.strftime("%H:%M:%S", time.localtime(record.created))
        shown = {name: one_line(str(value)) for name, value in values.items() if value not in ("", None)}
        parts = [f"{name}={value}" for name, value in shown.items()]
        line = (
            f"{stamp} {record.levelname.lower():7} {record.getMessage().replace('_', ' ')} {' '.join(parts)}"
        )
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return _clean(line.rstrip())
