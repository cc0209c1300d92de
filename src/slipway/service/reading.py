"""From the bytes of a request to columns that the encoder takes: JSON typed by the signature, held to the contract.

The quick way decodes and checks everything at once. A request that does not pass is read a second time, slowly, to say
of each fault which row, which field, what was got and what is allowed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

import msgspec
import numpy as np

from slipway.predictor import Matrix, Values, encode
from slipway.service.faults import Faults
from slipway.service.fields import Counts, Field
from slipway.service.problems import MOST, Fault, Refused, shown
from slipway.service.table import Table
from slipway.signature import Signature

SLACK = 8  # times the braces and commas that as many rows have: some stand in texts
RECORDS, COLUMNS, LIST, ONE = "records", "columns", "list", "one"
# A field is no list and no object, so a record whose fields are called so is never taken for one of these.
FORMS = {
    LIST: re.compile(rb"\s*\["),
    RECORDS: re.compile(rb'\s*\{\s*"records"\s*:\s*\['),
    COLUMNS: re.compile(rb'\s*\{\s*"columns"\s*:\s*\{'),
}
EXPLAINED = 200_000  # bytes; in a longer body the first fault alone is told, as all would take too long
NOT_JSON = re.compile(rb"[\s:,\[-](?:NaN|Infinity)\b")
UNTYPED = re.compile(r'["\\\x00-\x1f]')  # in the name of a field, where msgspec's structures cannot have it


@dataclass(frozen=True)
class Request:
    """A request that keeps to the contract: n rows.

    Attributes:
        matrix: The rows as the model takes them, shape (n, features).
        table: The rows as they came.
        counts: By field and kind (missing, out_of_range, unknown), how many values were so and yet accepted.
    """

    matrix: Matrix
    table: Table
    counts: Counts = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.matrix)


class Reader:
    """Reads requests for one model.

    Args:
        signature: What the model takes.
        most_rows: Rows that one request may have.
    """

    def __init__(self, signature: Signature, most_rows: int) -> None:
        self.signature, self._most_rows = signature, most_rows
        fields = [Field.of(column, signature.missing) for column in signature.inputs]
        self._fields = {column.input.name: column for column in fields}
        self._names = list(self._fields)
        self._numbers = [place for place, column in enumerate(fields) if column.input.is_number]
        numbers = [fields[place] for place in self._numbers]
        self._kept = [place for place, column in enumerate(numbers) if not column.input.constant]
        self._whole = [place for place, column in enumerate(numbers) if column.input.type == "integer"]
        self._least = np.array([[column.least] for column in numbers])
        self._greatest = np.array([[column.greatest] for column in numbers])
        self._number_fields = numbers
        self._others = [(place, column) for place, column in enumerate(fields) if not column.input.is_number]
        self._folded = {name.casefold(): name for name in self._names}
        self._typed = None if any(UNTYPED.search(name) for name in self._names) else _typed(fields)

    def read(self, body: bytes) -> Request:
        """Read a list of records, one record, `{"records": [...]}` or `{"columns": {...}}`.

        Raises:
            Refused: The body is not JSON, breaks the contract, or has too many rows.
        """
        try:
            self._refuse_flood(body)
            table = self._decoded(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            if NOT_JSON.search(body):
                reason += "; NaN and Infinity are not JSON, send null"
            raise Refused(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {reason}") from None
        rows = len(table)
        if not rows:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "there are no rows; send one record or more")
        if rows > self._most_rows:
            raise self._too_many(f"{rows:,} rows are")
        return self._checked(table)

    def _refuse_flood(self, body: bytes) -> None:
        """Stop before a small body becomes more objects than memory has room for, as a list of `{}` would."""
        most = SLACK * self._most_rows
        lists = most + SLACK * len(self._names)
        values = most * max(len(self._names), 1)
        if body.count(b"{") > most or body.count(b"[") > lists or body.count(b",") > values:
            raise self._too_many("what the body holds is")

    def _too_many(self, what: str) -> Refused:
        return Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"{what} more than one request may have ({self._most_rows:,} rows); send them in parts",
        )

    def _decoded(self, body: bytes) -> Table:
        form = next((form for form, start in FORMS.items() if start.match(body)), ONE)
        if self._typed is None:
            return self._untyped(form, body)
        try:
            return self._decode(self._typed, form, body)
        except msgspec.ValidationError as error:
            if len(body) <= EXPLAINED:
                self._untyped(form, body)
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None

    def _decode(self, typed: "_Typed", form: str, body: bytes) -> Table:
        if form == COLUMNS:
            return self._table_of(list(msgspec.structs.astuple(typed.columns.decode(body).columns)))
        if form == ONE:
            records = [typed.one.decode(body)]
        else:
            records = typed.list.decode(body) if form == LIST else typed.records.decode(body).records
        return Table(self._names, list(map(msgspec.structs.astuple, records)))

    def _untyped(self, form: str, body: bytes) -> Table:
        """Read the rows as plain JSON, and say of each value that is not of the field's type what is wrong with it."""
        found, faults = msgspec.json.decode(body), Faults()
        if form in {COLUMNS, RECORDS}:
            for name in found:
                if name != form:
                    faults.add(Fault, "is not a field of a request", name[:200], None, None, form)
            found = found[form]
        if form == COLUMNS and isinstance(found, dict):
            self._judge_columns(found, faults)
            if not faults.count:
                return self._table_of([found.get(name) for name in self._names])
        else:
            records = found if isinstance(found, list) else [found]
            for row, record in enumerate(records):
                self._judge_record(row, record, faults)
            if not faults.count:
                return Table(self._names, [tuple(record.get(name) for name in self._names) for record in records])
        raise faults.refused()

    def _table_of(self, columns: list[Sequence[Any] | None]) -> Table:
        """Columns of which some may have been left out."""
        rows = max((len(values) for values in columns if values is not None), default=0)
        whole: list[Sequence[Any]] = [[None] * rows if values is None else values for values in columns]
        if any(len(values) != rows for values in whole):
            raise msgspec.ValidationError("the columns are not equally long")
        return Table(self._names, None, whole)

    def _checked(self, table: Table) -> Request:
        """Hold the values against the contract, and encode them."""
        faults, counts = Faults(), Counts()
        numbers = table.numbers(self._numbers)
        if self._numbers and not ((numbers >= self._least) & (numbers <= self._greatest)).all():
            numbers = self._judged(numbers, faults, counts)
        if self._whole:
            whole = numbers[self._whole]
            wrong = (whole != np.trunc(whole)) & ~np.isnan(whole)
            for place in np.flatnonzero(wrong.any(axis=1)):
                column = self._number_fields[self._whole[place]]
                faults.add_rows(column, "is not a whole number", np.flatnonzero(wrong[place]), whole[place])
        others = {one.input.name: one.read(table.columns[place], faults, counts) for place, one in self._others}
        if faults.count:
            raise faults.refused()
        kept = numbers if len(self._kept) == len(self._numbers) else numbers[self._kept]
        if not self._numbers:
            kept = np.empty((0, len(table)))
        return Request(encode(self.signature, others, kept), table, counts)

    def _judged(self, numbers: Values, faults: Faults, counts: Counts) -> Values:
        """Find the numbers that are missing or out of range, and do with them what the contract says."""
        numbers = numbers.copy()
        missing = np.isnan(numbers)
        outside = (numbers < self._least) | (numbers > self._greatest)
        for place in np.flatnonzero((missing | outside).any(axis=1)):
            column = self._number_fields[place]
            name, rows = column.input.name, numbers[place]
            if gone := int(missing[place].sum()):
                counts[name, "missing"] = gone
                if not column.input.nullable:
                    faults.add_rows(column, "is missing", np.flatnonzero(missing[place]), None)
            if out := int(outside[place].sum()):
                counts[name, "out_of_range"] = out
                if column.input.outside == "reject":
                    faults.add_rows(column, "is out of range", np.flatnonzero(outside[place]), rows)
                elif column.input.outside == "clip":
                    numbers[place] = np.clip(rows, column.least, column.greatest)
        return numbers

    def _judge_record(self, row: int, record: Any, faults: Faults) -> None:
        if not isinstance(record, dict):
            faults.add(Fault, "is not a record", None, row, shown(record), "an object of fields")
            return
        for name in record:
            if name not in self._fields:
                faults.add(self._unknown, name, row)
        for name, column in self._fields.items():
            if name not in record and not column.default:
                faults.add(Fault, "is missing", name, row, None, column.allowed)
            elif name in record and not column.takes(record[name]):
                faults.add(column.fault, "is of the wrong type", row, record[name])

    def _judge_columns(self, content: dict[str, Any], faults: Faults) -> None:
        for name in content:
            if name not in self._fields:
                faults.add(self._unknown, name, None)
        lengths = {name: len(values) for name, values in content.items() if isinstance(values, list)}
        longest = max(lengths.values(), default=0)
        for name, column in self._fields.items():
            wanted = f"a list: {column.allowed}"
            if name not in content and not column.default:
                faults.add(Fault, "is missing", name, None, None, wanted)
            elif name in content and name not in lengths:
                got = shown(content[name])
                faults.add(Fault, "is not a list", name, None, got, wanted)
            elif name in content and lengths[name] != longest:
                message = f"has {lengths[name]} rows, others {longest}"
                faults.add(Fault, message, name)
            elif name in content:
                wrong = (row for row, value in enumerate(content[name]) if not column.takes(value))
                if (row := next(wrong, None)) is not None:
                    faults.add(column.fault, "is of the wrong type", row, content[name][row])

    def _unknown(self, name: str, row: int | None) -> Fault:
        allowed = ", ".join(self._names[:MOST]) + (", ..." if len(self._names) > MOST else "")
        alike = get_close_matches(name[:200].casefold(), self._folded, 1)
        hint = f"; is {self._folded[alike[0]]!r} meant?" if alike else ""
        return Fault(f"is not a field of this model{hint}", name[:200], row, None, allowed)


@dataclass(frozen=True)
class _Typed:
    """Decoders that check names and types while they read, one for each form of a request."""

    one: msgspec.json.Decoder[Any]
    list: msgspec.json.Decoder[Any]
    records: msgspec.json.Decoder[Any]
    columns: msgspec.json.Decoder[Any]


def _typed(fields: Sequence[Field]) -> _Typed:
    keys = {f"f{place}": column.input.name for place, column in enumerate(fields)}
    options: dict[str, Any] = {"forbid_unknown_fields": True, "gc": False, "kw_only": True}
    single: list[Any] = [(key, one.json, *one.default) for key, one in zip(keys, fields, strict=True)]
    lists: list[Any] = [(key, list.__class_getitem__(kind), *rest) for key, kind, *rest in single]
    record = msgspec.defstruct("Record", single, rename=keys, **options)
    columns = msgspec.defstruct("Columns", lists, rename=keys, **options)
    records = list.__class_getitem__(record)
    return _Typed(
        msgspec.json.Decoder(record),
        msgspec.json.Decoder(records),
        msgspec.json.Decoder(msgspec.defstruct("Records", [(RECORDS, records)], **options)),
        msgspec.json.Decoder(msgspec.defstruct("Batch", [(COLUMNS, columns)], **options)),
    )
