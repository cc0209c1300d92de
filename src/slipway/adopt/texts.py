"""Understanding columns of text: which words mean "no value", and as which type the others can be read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import polars as pl

from slipway.schema import Column, ColumnType, Schema, Source, Target
from slipway.tables import present, typed
from slipway.values import FALSE, TRUE

VALUE, COUNT = "value", "count"
MARKERS = (
    *("?", "-", "--", ".", "NA", "N/A", "n/a", "na", "#N/A", "<NA>", "NULL", "Null", "null", "(null)", "None", "NaT"),
    *("NaN", "nan", "NAN", "#NULL!", "#DIV/0!", "#VALUE!", "inf", "-inf", "Inf", "-Inf", "Infinity", "-Infinity"),
)
# Among numbers these are no value either, even where another column has them as a category
WORDS = {"unknown", "missing", "unspecified", "undefined", "not available", "n.a.", "none", "nil", "empty", "error"}
MOSTLY = 0.9  # of the values must read as a type for the others to be strays
MAX_STRAYS = 10  # distinct values
FEW = 20  # with as few distinct values, texts among numbers are as likely categories

DAYS = (
    *("%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m/%d/%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y-%m-%d"),
    *("%d/%m/%y", "%d.%m.%y", "%m/%d/%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y"),
)
TIMES = ("", " %H:%M", " %H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
FORMATS = (None, "%Y-%m", *(day + time for time in TIMES for day in DAYS))  # None is ISO 8601
COMPACT = "%Y%m%d"  # also plain integers, so only where the column's name or role says that it is a date
YEARS = (1800, 2200)  # %Y reads "24" as the year 24

CODES = r"^(0\d+|\d{16,})$"  # leading zeros say something, and so many digits are no quantity


@dataclass(frozen=True)
class Reading:
    """As which type a column's values can be read. `strays` are the few that cannot."""

    type: ColumnType
    format: str | None = None
    strays: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class Table:
    """A raw table and what is known of how its cells are read."""

    raw: pl.LazyFrame
    source: Source
    rows: int
    types: pl.Schema
    missing: tuple[str, ...] = ()
    remarks: dict[str, str] = field(default_factory=dict)

    def values(self, name: str) -> pl.DataFrame:
        """The distinct present values of a column with their counts, most frequent first, ties in order of value."""
        dtype = self.types[name]
        value = present(name, dtype, self._contract(name, "text"))
        counts = self.raw.select(value.alias(VALUE)).drop_nulls().group_by(VALUE).agg(pl.len().alias(COUNT))
        return counts.collect(engine="streaming").sort([COUNT, VALUE], descending=[True, False])

    def read(self, values: pl.Series, kind: ColumnType, pattern: str | None = None) -> pl.Series:
        """Read values as a type of the contract, by the code that will read them in `prepare`; null where it cannot."""
        expression = typed(VALUE, values.dtype, self._contract(VALUE, kind, pattern))
        return values.alias(VALUE).to_frame().select(expression).to_series()

    def _contract(self, name: str, kind: ColumnType, pattern: str | None = None) -> Schema:
        target = Target.model_construct(column="", task="regression")
        columns = {name: Column.model_construct(type=kind, format=pattern)}
        return Schema.model_construct(source=self.source, missing=self.missing, target=target, columns=columns)


def is_text(dtype: pl.DataType) -> bool:
    """Whether a raw column holds texts that are still to be understood."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def with_missing(table: Table, target: str) -> Table:
    """Find the texts that mean "no value": the usual markers that occur, and the few texts among numbers or dates.

    Spared are texts that are as likely a class of the target, or that another column has as a proper value.
    """
    markers: dict[str, set[str]] = {}
    spared: set[str] = set()
    strays: dict[str, tuple[str, ...]] = {}
    for name, dtype in table.types.items():
        if not is_text(dtype):
            continue
        values = table.values(name)
        marked = values[VALUE].is_in(MARKERS)
        found, others = set(values[VALUE].filter(marked)), values.filter(~marked)
        reading = read_texts(table, others) if others.height else Reading("category")
        if name == target and reading.type in {"category", "boolean"}:
            spared |= found & {"-", "None"}  # classes as likely as not
        elif others.height == 1:
            found -= {"-"}  # "+" and "-" are two values
        markers[name] = found
        strays[name] = reading.strays
    proper = {text for texts in strays.values() for text in texts if text.lower() not in WORDS}
    for name, own in strays.items():
        if suspects := sorted(proper - set(own)):
            cell = pl.col(name).cast(pl.String).str.strip_chars()
            met = table.raw.select(cell.filter(cell.is_in(suspects)).unique()).collect(engine="streaming")
            spared |= set(met.to_series())
    remarks = {}
    for name, own in strays.items():
        if taken := sorted({*own, *(markers[name] if name == target else ())} - spared):
            remarks[name] = f"{', '.join(map(repr, taken))} taken as missing"
    missing = set().union(*markers.values(), *strays.values()) - spared
    return replace(table, missing=tuple(sorted(missing)), remarks=remarks)


def read_texts(table: Table, values: pl.DataFrame, compact_dates: bool = False) -> Reading:
    """Decide how distinct texts are read: as booleans, integers, numbers, datetimes, or as categories.

    With `compact_dates`, eight digits are a date.
    """
    texts, counts = values[VALUE].cast(pl.String), values[COUNT]
    folded = set(texts.head(2 * len(TRUE)).str.to_lowercase()) if len(texts) <= 2 * len(TRUE) else {""}
    if folded <= {*TRUE, *FALSE} and folded & {*TRUE} and folded & {*FALSE}:
        return Reading("boolean")
    if compact_dates and texts.str.contains(r"^\d{8}$").all() and _plausible(table.read(texts, "datetime", COMPACT)):
        return Reading("datetime", COMPACT)
    if texts.str.contains(r"^\d+$").all() and texts.str.contains(CODES).any():
        return Reading("category", remark="digits with leading zeros, or too many for a quantity, are codes")
    if texts.str.contains(r"^[-+]?\d+$").all() and not table.read(texts, "integer").null_count():
        return Reading("integer")
    for kind, pattern in _candidates(table, texts):
        read = table.read(texts, kind, pattern)
        strays = texts.filter(read.is_null())
        known = int(counts.filter(read.is_not_null()).sum()) / int(counts.sum())
        if not len(strays) or (known >= MOSTLY and len(strays) <= MAX_STRAYS and len(texts) - len(strays) > FEW):
            return Reading(kind, pattern, tuple(strays.sort()), _doubt(table, texts, pattern))
    return Reading("category")


def _candidates(table: Table, texts: pl.Series) -> Iterator[tuple[ColumnType, str | None]]:
    """A number, then the three date formats that read most of a sample."""
    yield "number", None
    sample = texts.head(200)
    if not sample.str.contains(r"\d").any():
        return
    read = {pattern: table.read(sample, "datetime", pattern) for pattern in FORMATS}
    failed = {pattern: moments.null_count() for pattern, moments in read.items() if _plausible(moments)}
    likely = [pattern for pattern, count in failed.items() if count <= (1 - MOSTLY) * len(sample)]
    for pattern in sorted(likely, key=failed.__getitem__)[:3]:
        yield "datetime", pattern


def _plausible(moments: pl.Series) -> bool:
    return len(moments.drop_nulls()) > 0 and bool(moments.drop_nulls().dt.year().is_between(*YEARS).all())


def _doubt(table: Table, texts: pl.Series, pattern: str | None) -> str:
    if pattern is None or "%d" not in pattern or "%m" not in pattern:
        return ""
    swapped = re.sub("%[dm]", lambda part: "%m" if part[0] == "%d" else "%d", pattern)
    if table.read(texts, "datetime", swapped).null_count():
        return ""
    return f"every date would also read as {swapped}; check `format`"
