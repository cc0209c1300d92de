"""The faults of a request: all are counted, the first few are told."""

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slipway.service.problems import MOST, Fault, Refused

if TYPE_CHECKING:
    from slipway.service.fields import Field


class Faults:
    """Collects faults; those beyond the first few are only counted, however many there are."""

    def __init__(self) -> None:
        self.listed: list[Fault] = []
        self.count = 0

    def add(self, describe: Callable[..., Fault], *words: object) -> None:
        """Count a fault; it is described, by that function of these words, only if it will be told."""
        self.count += 1
        if len(self.listed) < MOST:
            self.listed.append(describe(*words))

    def add_rows(
        self, column: "Field", message: str, rows: npt.NDArray[np.int64], values: npt.NDArray[np.float64] | None
    ) -> None:
        """Count the same fault of one field in several rows, with the values that were got there."""
        for row in rows[: MOST - len(self.listed)]:
            self.listed.append(column.fault(message, int(row), None if values is None else float(values[row])))
        self.count += len(rows)

    def refused(self) -> Refused:
        """The refusal that tells them."""
        first = self.listed[0]
        where = "".join(
            [
                f"row {first.row}: " if first.row is not None else "",
                f"{first.field!r} " if first.field is not None else "",
            ]
        )
        got = f" (got {first.got})" if first.got is not None else ""
        more = f", and {self.count - 1} more fault{'s' if self.count > 2 else ''}" if self.count > 1 else ""
        expected = f"; allowed: {first.allowed}" if first.allowed else ""
        detail = f"{where}{first.message}{got}{expected}{more}"
        return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, detail, self.listed, self.count)
