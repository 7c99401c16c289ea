"""Structured logs: constant text, context as keys, one line an event.

What belongs here: the formatter and the one call that installs it. What must never: personal data. A key
that could hold any is named `pii.*` and its value is replaced before it is written.
"""

import json
import logging
import sys
import time
import traceback
from pathlib import Path
from typing import Any

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, room, text, and the `extra` keys of the call."""

    def format(self, record: logging.LogRecord) -> str:
        # `Any`: the values of `extra` are whatever the caller logged; json renders them or falls back to repr.
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "room": record.name,
            "text": record.getMessage(),
        }
        for key, value in vars(record).items():
            if key not in _STANDARD:
                line[key] = "(withheld)" if key.startswith("pii.") else value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=repr)


def install(*, level: str) -> None:
    """Send the logs of `earwitness` to standard error as JSON lines, from `level` (debug … critical) up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("earwitness")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


def frames_of(error: BaseException) -> list[str]:
    """Where an error came from, `file:line function`, without its message or any value: those may be personal."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
