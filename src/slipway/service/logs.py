"""The service's own log: one JSON object a line on standard error, without values of features."""

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


def _write(level: str, message: str, fields: dict[str, Any]) -> None:
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "message": message, **fields}
    try:
        # In one write: lines of threads do not mix, and logging's own machinery takes longer than the model.
        sys.stderr.write(_encode(line).decode() + "\n")
        sys.stderr.flush()
    except OSError:  # whoever read the log has gone; requests are answered all the same
        pass
