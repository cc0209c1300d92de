"""The rows of a request as they came."""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from slipway.predictor import Values


class Table:
    """The n rows of a request, row by row or column by column, and either way round when asked for.

    Args:
        names: The fields.
        rows: The values of each row, in the order of the fields.
        columns: The values of each field; one of the two is given.
    """

    def __init__(
        self, names: list[str], rows: list[tuple[Any, ...]] | None, columns: list[Sequence[Any]] | None = None
    ) -> None:
        self.names, self._rows, self._columns = names, rows, columns
        self.columnar = rows is None

    def __len__(self) -> int:
        if self._rows is not None:
            return len(self._rows)
        return len(self.columns[0]) if self.columns else 0

    @property
    def columns(self) -> list[Sequence[Any]]:
        """The values of each field."""
        if self._columns is None:
            self._columns = list(zip(*(self._rows or ()), strict=True))
        return self._columns

    def by_name(self) -> dict[str, Sequence[Any]]:
        """The values of each field by its name."""
        return dict(zip(self.names, self.columns, strict=True))

    def numbers(self, places: list[int]) -> Values:
        """The values of k fields that are numbers, shape (k, n), NaN where one is null."""
        if self._rows is not None and len(places) == len(self.names):
            return _packed(self._rows, len(places)).T
        return _packed([self.columns[place] for place in places], len(self))


def _packed(lists: Sequence[Sequence[Any]], width: int) -> Values:
    """Equally long lists of numbers as a matrix, a null becoming NaN.

    `struct` takes a third of NumPy's time, and is not able to take a null.
    """
    whole, pack = bytearray(8 * width * len(lists)), struct.Struct(f"{width}d").pack_into
    try:
        for place, values in enumerate(lists):
            pack(whole, 8 * width * place, *values)
    except struct.error:
        return np.array(lists, np.float64)
    return np.frombuffer(whole).reshape(len(lists), width)
