"""Holding a table against the contract with Pandera, and saying in one line what broke it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl
import pyarrow.parquet as pq
from pandera.errors import SchemaErrors

from slipway import layout
from slipway.errors import UserError
from slipway.schema import Column, Schema
from slipway.tables import typed, unread

BATCH_ROWS = 100_000
SHOWN = 5  # faults, and known categories, in one message


def pandera_schema(schema: Schema, columns: Sequence[str] | None = None) -> pa.DataFrameSchema:
    """The contract, or some columns of it, as Pandera checks; null targets are `prepare`'s to drop or refuse."""
    return pa.DataFrameSchema(
        {
            name: pa.Column(
                schema.polars_type(name),
                _checks(schema, name, schema.columns[name]),
                nullable=schema.columns[name].nullable or name == schema.target.column,
            )
            for name in columns or schema.columns
        }
    )


def _checks(schema: Schema, name: str, column: Column) -> list[pa.Check]:
    if name == schema.target.column and schema.target.classes:
        return [pa.Check.isin(schema.target.classes)]
    checks = []
    if column.min is not None:
        checks.append(pa.Check.ge(column.min))
    if column.max is not None:
        checks.append(pa.Check.le(column.max))
    if column.categories is not None:
        checks.append(pa.Check.isin(column.categories))
    return checks


def _lists(schema: Schema, name: str) -> bool:
    return schema.columns[name].categories is not None or (name == schema.target.column and bool(schema.target.classes))


@dataclass(frozen=True)
class Findings:
    """What a prepared table holds, gathered without reading its rows again where Parquet's own statistics tell.

    Attributes:
        rows: The number of rows.
        nulls: Missing values by column.
        classes: Rows by class of the target, for classification.
        witnesses: By column its least and greatest value, or its distinct ones if the contract lists them, and null if
            one is missing. A check of the contract that holds for these holds for every row.
    """

    rows: int
    nulls: dict[str, int]
    classes: dict[str, int]
    witnesses: dict[str, list[Any]]


def inspect(files: list[Path], schema: Schema) -> Findings:
    """Gather the findings of prepared Parquet files that together are one table."""
    rows, nulls = 0, dict.fromkeys(schema.columns, 0)
    witnesses: dict[str, set[Any]] = {name: set() for name in schema.columns}
    for path in files:
        footer = pq.ParquetFile(path).metadata
        rows += footer.num_rows
        for group in range(footer.num_row_groups):
            for number in range(footer.num_columns):
                column = footer.row_group(group).column(number)
                nulls[column.path_in_schema] += column.statistics.null_count
                if column.statistics.has_min_max and schema.polars_type(column.path_in_schema).is_numeric():
                    witnesses[column.path_in_schema] |= {column.statistics.min, column.statistics.max}
    if not rows:
        return Findings(0, nulls, {}, {})
    table, target = pl.scan_parquet(files), schema.target
    for name in schema.columns:
        if _lists(schema, name):
            known = schema.columns[name].categories or target.classes
            # One more value than there may be already breaks the contract; the rest need not be held in memory.
            unknown = pl.col(name).drop_nulls().unique()
            distinct = table.select(unknown).filter(~pl.col(name).is_in(known)).head(1)
            witnesses[name] = {*known[:1], *distinct.collect(engine="streaming").to_series()}
    label = table.select(pl.col(target.column).alias("class"))
    counts = label.group_by("class").agg(pl.len().alias("rows")).collect(engine="streaming")
    return Findings(
        rows,
        nulls,
        dict(counts.iter_rows()) if target.classes else {},
        {name: [*sorted(found), *[None] * (nulls[name] > 0)] for name, found in witnesses.items()},
    )


def readable_values(raw: pl.LazyFrame, schema: Schema) -> bool:
    """Whether every value of the raw table can be read as the contract's type; reads only columns that may not be."""
    types = raw.collect_schema()
    found = [unread(name, types[name], schema) for name in schema.columns if types[name] != pl.Float64()]
    doubtful = [
        expression.any().alias(str(number)) for number, expression in enumerate(found) if expression is not None
    ]
    return not doubtful or not any(raw.select(doubtful).collect(engine="streaming").row(0))


def holds(findings: Findings, schema: Schema) -> bool:
    """Whether a table with these findings keeps the contract."""
    if any(
        isinstance(value, float) and math.isinf(value) for values in findings.witnesses.values() for value in values
    ):
        return False
    present = {name: values for name, values in findings.witnesses.items() if values}
    if not present:
        return True
    longest = max(map(len, present.values()), default=0)
    table = pl.DataFrame(
        {
            name: pl.Series(values + values[-1:] * (longest - len(values)), dtype=schema.polars_type(name))
            for name, values in present.items()
        }
    )
    try:
        pandera_schema(schema, list(present)).validate(table, lazy=True)
    except SchemaErrors:
        return False
    return True


def explain(raw: pl.LazyFrame, schema: Schema) -> UserError:
    """Read the raw table in order up to the first batch that breaks the contract; say which values, where and why."""
    types, rules, start = raw.collect_schema(), pandera_schema(schema), 0
    columns = [typed(name, types[name], schema).alias(name) for name in schema.columns]
    doubtful = {name: unread(name, types[name], schema) for name in schema.columns}
    flags = [expression.alias(name) for name, expression in doubtful.items() if expression is not None]
    for batch in raw.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
        faults: dict[str, str] = {}  # by column, of each the first
        for flag in batch.select(flags):
            if flag.any():
                row, kind = flag.arg_max() or 0, schema.columns[flag.name].type
                what = f"{batch[flag.name][row]!r:.80} is not of type {kind}"
                faults[flag.name] = _fault(flag.name, start + row, what, int(flag.sum()))
        try:
            rules.validate(batch.select(columns), lazy=True)
        except SchemaErrors as errors:
            cases = errors.failure_cases.sort("index", nulls_last=True)
            for name, check, value, row in cases.select("column", "check", "failure_case", "index").iter_rows():
                if name not in faults:
                    count = cases.filter((pl.col("column") == name) & (pl.col("check") == check)).height
                    faults[name] = _fault(name, start + (row or 0), _what(schema, name, check, value), count)
        if faults:
            more = f"; and {len(faults) - SHOWN} more columns" if len(faults) > SHOWN else ""
            return UserError(
                f"{layout.DATA}: {'; '.join([*faults.values()][:SHOWN])}{more}; "
                f"mend the data, or widen the contract in {layout.SCHEMA}"
            )
        start += batch.height
    return UserError(f"{layout.DATA}: changed while it was read; run again")


def _what(schema: Schema, name: str, check: str, value: object) -> str:
    column = schema.columns[name]
    match check.split("(", 1)[0]:
        case "not_nullable":
            return "a value is missing in a column that is not `nullable`"
        case "greater_than_or_equal_to":
            return f"{value} is below the minimum {column.min}"
        case "less_than_or_equal_to":
            return f"{value} is above the maximum {column.max}"
        case "isin":
            known = (schema.target.classes if name == schema.target.column else None) or column.categories or ()
            listed = ", ".join(repr(item)[:40] for item in known[:SHOWN]) + ", ..." * (len(known) > SHOWN)
            return f"unknown category {value!r:.80} (known: {listed})"
    return f"{value!r:.80} fails {check:.160}"


def _fault(column: str, row: int, what: str, count: int) -> str:
    more = f", and {count - 1} more like it nearby" if count > 1 else ""
    return f"column {column!r}, row {row + 1}: {what}{more}"
