"""The service's own log: one JSON object a line on standard error, without values of features."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(enc_hook=str).encode


def note(message: str, **fields: Any) -> None:
    """Log something that is as it should be."""
    _write("info", message, fields)


def trouble(message: str, **fields: Any) -> None:
    """Log something that somebody should look into."""
    _write("error", message, fields)


def reason(error: BaseException) -> str:
    """An exception in a line of bounded length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


class _Handler(logging.Handler):
    """What BentoML, uvicorn and Python's warnings say, in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"logger": record.name}
        if record.exc_info:
            fields["traceback"] = logging.Formatter().formatException(record.exc_info)
        _write(record.levelname.lower(), record.getMessage(), fields)


def take_over() -> None:
    """Have everybody in this process log as the service does."""
    for name in ("bentoml", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "circus"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    logging.getLogger().handlers = [_Handler()]
    logging.captureWarnings(capture=True)


def _write(level: str, message: str, fields: dict[str, Any]) -> None:
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "message": message, **fields}
    try:
        # In one write: lines of threads do not mix, and logging's own machinery takes longer than the model.
        sys.stderr.write(_encode(line).decode() + "\n")
        sys.stderr.flush()
    except OSError:  # whoever read the log has gone; requests are answered all the same
        pass
