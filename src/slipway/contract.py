"""Holding a table against the contract with Pandera, batch by batch, and saying in one line what broke it."""

from collections import Counter
from threading import Lock

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors

from slipway import layout
from slipway.errors import UserError
from slipway.schema import Column, Schema
from slipway.tables import present, typed

BATCH_ROWS = 100_000


def pandera_schema(schema: Schema) -> pa.DataFrameSchema:
    """The contract as Pandera checks over the prepared table; null targets are `prepare`'s to drop or refuse."""
    return pa.DataFrameSchema(
        {
            name: pa.Column(
                schema.polars_type(name),
                _checks(schema, name, column),
                nullable=column.nullable or name == schema.target.column,
            )
            for name, column in schema.columns.items()
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


class Intake:
    """Types and checks batches of the raw table, and counts as it goes; safe to call from several threads.

    Attributes:
        rows: Rows seen.
        nulls: Missing values by column.
        classes: Rows by class of the target, for classification.
        broken: Whether a value broke the contract; `explain` says which.
    """

    def __init__(self, schema: Schema, raw: pl.Schema) -> None:
        self._schema, self._raw, self._pandera = schema, raw, pandera_schema(schema)
        self._typed = [typed(name, raw[name], schema).alias(name) for name in schema.columns]
        self._unread = [
            (present(name, raw[name], schema).is_not_null() & typed(name, raw[name], schema).is_null()).alias(name)
            for name in schema.columns
            if raw[name] != schema.polars_type(name) or raw[name].is_float()
        ]
        self._lock = Lock()
        self.rows = 0
        self.nulls: Counter[str] = Counter()
        self.classes: Counter[str] = Counter()
        self.broken = False

    def __call__(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Type one batch; a broken one is returned all the same, and remembered."""
        table = batch.select(self._typed)
        nulls = table.null_count().row(0, named=True)
        target = self._schema.target
        classes = Counter(dict(table[target.column].value_counts().iter_rows())) if target.classes else Counter[str]()
        sound = not any(batch.select(expression.any() for expression in self._unread).row(0)) and self._valid(table)
        with self._lock:
            self.rows += table.height
            self.nulls.update(nulls)
            self.classes.update({name: count for name, count in classes.items() if name is not None})
            self.broken |= not sound
        return table

    def _valid(self, table: pl.DataFrame) -> bool:
        try:
            self._pandera.validate(table, lazy=True)
        except SchemaErrors:
            return False
        return True

    def explain(self, raw: pl.LazyFrame) -> UserError:
        """Read the table again, in order, up to the first batch that breaks the contract; say what and where."""
        start = 0
        for batch in raw.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
            unread = batch.select(self._unread)
            for name in unread.columns:
                if unread[name].any():
                    row = unread[name].arg_max() or 0
                    kind = self._schema.columns[name].type
                    return _broken(
                        start + row, name, f"{batch[name][row]!r:.80} is not a {kind}", int(unread[name].sum())
                    )
            try:
                self._pandera.validate(batch.select(self._typed), lazy=True)
            except SchemaErrors as errors:
                cases = errors.failure_cases.sort("index", nulls_last=True)
                first = cases.row(0, named=True)
                same = cases.filter((pl.col("column") == first["column"]) & (pl.col("check") == first["check"]))
                what = _what(first["check"], first["failure_case"])
                return _broken(start + (first["index"] or 0), first["column"], what, same.height)
            start += batch.height
        return UserError(f"{layout.DATA}: changed while it was read; run again")


def _what(check: str, value: object) -> str:
    if check == "not_nullable":
        return "a value is missing in a column that is not `nullable`"
    rule = check.split("(", 1)
    limit = rule[1].rstrip(")") if len(rule) == 2 else ""
    match rule[0]:
        case "greater_than_or_equal_to":
            return f"{value} is below the minimum {limit}"
        case "less_than_or_equal_to":
            return f"{value} is above the maximum {limit}"
        case "isin":
            return f"unknown category {value!r:.80} (known: {limit:.160})"
    return f"{value!r:.80} fails {check:.160}"


def _broken(row: int, column: str, what: str, count: int) -> UserError:
    more = f", and {count - 1} more like it nearby" if count > 1 else ""
    return UserError(
        f"{layout.DATA}: column {column!r}, row {row + 1}: {what}{more}; "
        f"mend the data, or widen the contract in {layout.SCHEMA}"
    )
