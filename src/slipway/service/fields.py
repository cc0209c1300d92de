"""What a request may hold in one field, as the data contract has it: types of JSON, range, categories, in words too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from slipway.moments import moment_of
from slipway.service.faults import Faults
from slipway.service.problems import MOST, Fault, shown
from slipway.signature import Input
from slipway.values import as_text, is_missing, number_of, number_text

Counts = dict[tuple[str, str], int]  # by field and kind: missing, out_of_range, unknown


@dataclass(frozen=True)
class Field:
    """What a request may hold in one field."""

    input: Input
    json: Any  # the type that msgspec decodes
    default: tuple[Any, ...]  # of the record, where the field may be left out
    least: float
    greatest: float
    markers: tuple[str, ...]
    allowed: str
    types: tuple[type, ...]

    @classmethod
    def of(cls, column: Input, markers: tuple[str, ...]) -> "Field":
        """Derive it from the signature."""
        types = json_types(column)
        json: Any = types[0]
        for other in types[1:]:
            json |= other
        return cls(
            input=column,
            json=json | None,
            default=(None,) if column.nullable else (),
            least=-inf if column.min is None else column.min,
            greatest=inf if column.max is None else column.max,
            markers=markers,
            allowed=allowed(column),
            types=types,
        )

    def takes(self, value: object) -> bool:
        """Whether a value of JSON has the field's type; null is judged elsewhere."""
        if isinstance(value, bool):
            return bool in self.types
        if isinstance(value, int):
            return float in self.types and abs(value) <= 2**1023
        return value is None or isinstance(value, self.types)

    def fault(self, message: str, row: int, got: object) -> Fault:
        """Say what is wrong with a value."""
        return Fault(message, self.input.name, row, shown(got), self.allowed)

    def read(self, values: Sequence[Any], faults: Faults, counts: Counts) -> Any:
        """Check the categories or moments of n rows, and return what the encoder takes."""
        check: Callable[[Any], Any] = self._moment if self.input.type == "datetime" else self._category
        read: list[Any] = []
        for row, value in enumerate(values):
            if is_missing(value, self.markers):
                self._count(counts, "missing")
                if not self.input.nullable:
                    faults.add(self.fault, "is missing", row, value)
                read.append(None)
                continue
            try:
                read.append(check(value))
            except (TypeError, ValueError, OverflowError):
                faults.add(self.fault, "is not a date and time", row, value)
            except LookupError:
                self._count(counts, "unknown")
                if self.input.closed and self.input.outside == "reject":
                    faults.add(self.fault, "is not a known category", row, value)
                read.append(value)
        if self.input.type == "datetime" and not faults.count:
            return np.array(read, "datetime64[us]")
        return read

    def _count(self, counts: Counts, kind: str) -> None:
        key = (self.input.name, kind)
        counts[key] = counts.get(key, 0) + 1

    def _category(self, value: Any) -> Any:
        if as_text(value) not in self.input.code_of:
            raise LookupError
        return value

    def _moment(self, value: Any) -> Any:
        return moment_of(value, self.input.format)


def json_types(column: Input) -> tuple[type, ...]:
    """The types that a field may have in JSON, besides null.

    A category is a text. Where every listed one reads as a number, or as a truth value, those are taken as well, as
    tables of such types send them.
    """
    if column.is_number:
        return (bool,) if column.type == "boolean" else (float,)
    types: list[type] = [str]
    if column.type == "category" and column.categories:
        if all(np.isfinite(number_of(text)) for text in column.categories):
            types.append(float)
        if set(column.categories) <= {"true", "false"}:
            types.append(bool)
    return tuple(types)


def allowed(column: Input) -> str:
    """What a field may hold, in words."""
    if column.type == "datetime":
        what = "a date and time " + (f"of the form {column.format}" if column.format else "in ISO 8601")
    elif column.type == "category":
        listed = ", ".join(shown(text) for text in column.categories[:MOST])
        more = f" and {len(column.categories) - MOST:,} more" if len(column.categories) > MOST else ""
        what = f"one of {listed}{more}" if column.closed else "a text"
    elif column.type == "boolean":
        what = "true or false"
    else:
        what = "a whole number" if column.type == "integer" else "a number"
        bounds = [
            f"{word} {number_text(bound, 10)}"
            for word, bound in (("at least", column.min), ("at most", column.max))
            if bound is not None
        ]
        what += " of " + " and ".join(bounds) if bounds else ""
    return f"{what}, or null" if column.nullable else what
