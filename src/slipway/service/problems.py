"""What is said to a client whose request is refused: RFC 9457 problem details, with row and field."""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec

MOST = 20  # faults that one answer lists
LONGEST = 80  # characters of a value that was got


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong with a request. Rows count from 0, as JSON's lists do."""

    message: str
    field: str | None = None
    row: int | None = None
    got: str | None = None
    allowed: str | None = None


@dataclass
class Refused(Exception):  # noqa: N818  # it is an answer, not an error of ours
    """A request that is not answered with a prediction."""

    status: HTTPStatus
    detail: str
    faults: list[Fault] = field(default_factory=list)
    count: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def body(self, request_id: str) -> bytes:
        """The answer's body."""
        content: dict[str, Any] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.faults:
            content |= {"faults": self.faults[:MOST], "faults_in_all": max(self.count, len(self.faults))}
        return msgspec.json.encode(content)


def shown(value: object) -> str:
    """A value of a request as JSON, cut to a bounded length."""
    try:
        text = msgspec.json.encode(value).decode(errors="replace")
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        text = f"<{type(value).__name__}>"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
