"""The service's own log: one JSON object a line on standard error, without values of features."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

_LOG = logging.getLogger("slipway.service")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        content: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(content, enc_hook=str).decode()


def configure() -> None:
    """Send the logs of the service to standard error as JSON, once."""
    if not _LOG.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Json())
        _LOG.addHandler(handler)
        _LOG.setLevel(logging.INFO)
        _LOG.propagate = False


def note(message: str, **fields: Any) -> None:
    """Log something that is as it should be."""
    _LOG.info(message, extra={"fields": fields})


def trouble(message: str, **fields: Any) -> None:
    """Log something that somebody should look into."""
    _LOG.error(message, extra={"fields": fields})


def reason(error: BaseException) -> str:
    """An exception in a line of bounded length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
