"""The parts of a table that are also looked at on their own."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from slipway import layout
from slipway.errors import UserError
from slipway.params import Params, Slice
from slipway.schema import Schema
from slipway.values import as_text

MISSING = "(missing)"
MAX_VALUES = 20  # a column of numbers with more distinct values is not a list of kinds


def slices_of(schema: Schema, params: Params) -> tuple[Slice, ...]:
    """The slices of `params.yaml`, and every sensitive categorical column besides."""
    named = {piece.column for piece in params.evaluate.slices}
    sensitive = (
        Slice(column=name)
        for name in schema.sensitive
        if name not in named and schema.columns[name].type in {"category", "boolean"}
    )
    return (*params.evaluate.slices, *sensitive)


def slice_masks(frame: pl.DataFrame, slices: Sequence[Slice]) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
    """Cut a prepared table by columns: each category, truth value or interval of numbers that has a row, and missing.

    Args:
        frame: The n rows.
        slices: The columns, with the edges of their intervals: the first is below the first edge, the last is from the
            last edge on, and each edge belongs to the interval above it.

    Yields:
        Column, label of the part ("benign", "< 500", "≥ 782"), and which rows it holds, shape (n,).

    Raises:
        UserError: A column is not in the table, or cannot be cut as `params.yaml` says.
    """
    for number, piece in enumerate(slices):
        where = f"{layout.PARAMS}: evaluate.slices.{number}.column: {piece.column!r}"
        if piece.column not in frame.columns:
            raise UserError(f"{where} is not a column of the table; correct the name, or remove the slice")
        values = frame[piece.column]
        if values.dtype.is_float():
            values = values.fill_nan(None)
        parts = _values(values, where) if piece.bins is None else _intervals(values, piece.bins, where)
        for label, part in [*parts, (MISSING, values.is_null())]:
            mask = part.fill_null(value=False).to_numpy()
            if mask.any():
                yield piece.column, label, mask


def _values(values: pl.Series, where: str) -> list[tuple[str, pl.Series]]:
    distinct = values.drop_nulls().unique().sort()
    if values.dtype.is_temporal():
        raise UserError(f"{where} holds dates; slice by a category, a boolean or a number")
    if values.dtype.is_numeric() and len(distinct) > MAX_VALUES:
        raise UserError(f"{where} holds {len(distinct)} different numbers; give `bins` (edges) to cut it by")
    return [(as_text(value), values == value) for value in distinct.to_list()]


def _intervals(values: pl.Series, edges: tuple[float, ...], where: str) -> list[tuple[str, pl.Series]]:
    if not values.dtype.is_numeric():
        raise UserError(f"{where} does not hold numbers; remove its `bins`")
    names = [f"{edge:.12g}" for edge in edges]
    between = [
        (f"{names[i]} \u2013 {names[i + 1]}", (values >= edges[i]) & (values < edges[i + 1]))
        for i in range(len(edges) - 1)
    ]
    return [(f"< {names[0]}", values < edges[0]), *between, (f"≥ {names[-1]}", values >= edges[-1])]
