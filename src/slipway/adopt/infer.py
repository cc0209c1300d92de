"""What every column of a raw table is: its type and range or categories, and whether a model may be given it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from slipway.adopt.texts import COUNT, VALUE, Reading, Table, is_text, read_texts
from slipway.errors import UserError
from slipway.schema import Column, Task
from slipway.values import as_text

CLOSED = 20  # a category of at most as many values gets a closed list
MARGIN = 0.1  # of the range seen, on either side
TAIL = 0.05  # of the rows lie beyond the bulk of a column
STRETCH = 10  # times the maximum, at most, may the range of a long tail reach: a wrong unit is still found
PLACEHOLDER = re.compile(r"-?9{3,}|-(1|9|99)")  # numbers that often stand for no value; 0 seldom does
PLACED = 3  # rows of one, at least, and distinct other values to tell it from
RARELY = 0.5  # distinct texts per row above which they hardly ever repeat
PROSE = 5  # words on average, from which texts that hardly repeat are free text

LARGEST = 1e18  # of a number; a model computes in single precision, and squares it

ID_NAME = re.compile(r"(?i:(.*[ _.-])?(id|uuid|guid))|.*[a-z](Id|ID)")
KEY_NAME = re.compile(r"(?i:(.*[ _.-])?(id|uuid|guid|key|index|idx|no|nr|rownames?)|unnamed: 0)|.*[a-z](Id|ID)")
ROW_NUMBER = re.compile(r"(?i:unnamed: 0|index|rownames?|row)")
AMOUNT = r"^[-+]?[$€£]?\s*[-+]?\d[\d.,' ]*\s*[%$€£]?$"


ROLES = ("target", "id", "time", "group")


@dataclass(frozen=True)
class Wishes:
    """What the person who adopts a table says about it."""

    target: str
    id: str | None = None
    time: str | None = None
    group: str | None = None
    sensitive: tuple[str, ...] = ()
    positive: str | None = None
    task: Task | None = None
    keep: tuple[str, ...] = ()

    def matched(self, names: list[str]) -> Self:
        """The wishes with names as the table has them: blanks around a name need not be given if one column fits.

        Raises:
            UserError: A name is not there, with the likeliest ones, or was given two roles.
        """

        def real(option: str, name: str) -> str:
            alike = [name] if name in names else [other for other in names if other.strip() == name.strip()]
            if len(alike) == 1:
                return alike[0]
            if not name.strip():
                shown = ", ".join(map(repr, names[:20])) + ", ..." * (len(names) > 20)
                raise UserError(f"{option}: say which column; there is {shown}")
            listed = alike or get_close_matches(name, names, n=3, cutoff=0.4) or names[:8]
            more = ", ..." * (len(names) > len(listed) == 8)
            raise UserError(f"{option}: there is no column {name!r}; there is {', '.join(map(repr, listed))}{more}")

        roles = {role: real(f"--{role}", name) for role in ROLES if (name := getattr(self, role)) is not None}
        several = {
            role: tuple(real(f"--{role}", name) for name in getattr(self, role)) for role in ("sensitive", "keep")
        }
        alone = [name for role, name in roles.items() if role != "group"]
        if len(set(alone)) < len(alone) or roles["target"] in {roles.get("group"), *several["sensitive"]}:
            raise UserError("--target, --id and --time must be different columns; --group, --sensitive not the target")
        return replace(self, **roles, **several)  # type: ignore[arg-type]  # of the fields of these names


@dataclass(frozen=True)
class Finding:
    """What a column was found to be. `classes` are those of a target, with their rows."""

    column: Column
    present: int  # rows with a value
    distinct: int
    remark: str = ""
    doubt: str = ""  # about its values, to warn of
    classes: Mapping[str, int] = field(default_factory=dict)


def find_columns(table: Table, wishes: Wishes) -> tuple[dict[str, Finding], dict[str, str]]:
    """What every column but the target is, and the columns that are left out of the contract, with the reason.

    Raises:
        UserError: A column cannot have the role that was wished for.
    """
    findings: dict[str, Finding] = {}
    left_out: dict[str, str] = {}
    roles = {"--id": wishes.id, "--time": wishes.time, "--group": wishes.group}
    for name in (name for name in table.types if name != wishes.target):
        values = table.values(name)
        if name not in {*roles.values(), *wishes.keep, *wishes.sensitive} and _is_row_number(name, values, table):
            left_out[name] = "numbers the rows, which would make equal rows differ"
            continue
        findings[name] = _find(table, name, values, wishes)
        for option in (option for option, wished in roles.items() if wished == name):
            _refuse_role(option, name, findings[name], values, table.rows)
    return findings, left_out


def find_id(findings: Mapping[str, Finding], rows: int) -> str | None:
    """The first column that calls itself an identifier and is one: no two rows share a value, and none lacks one."""
    unfit = [name for name, finding in findings.items() if not finding.column.use and finding.distinct == rows]
    return next(filter(ID_NAME.fullmatch, unfit), None)


def kind_of(table: Table, name: str, values: pl.DataFrame, compact_dates: bool = False) -> Reading:
    """As which type a column can be read, going by its values alone."""
    dtype = table.types[name]
    if is_text(dtype):
        reading = read_texts(table, values, compact_dates)
        if reading.strays:
            listed = ", ".join(map(repr, reading.strays[:3]))
            return Reading("category", remark=f"almost all are {reading.type}s, but {listed} is a value elsewhere")
        return reading
    if dtype == pl.Boolean or (dtype.is_integer() and values.height == 2 and set(values[VALUE]) == {0, 1}):
        return Reading("boolean")
    if dtype.is_temporal():
        return Reading("datetime")
    whole = dtype.is_integer() and not table.read(values[VALUE], "integer").null_count()
    return Reading("integer" if whole else "number")


def limits(low: float, high: float, bulk: float, whole: bool) -> tuple[float | None, float | None]:
    """The range that a column may have: what was seen, with a margin, rounded outward; 0 stays a bound.

    The margin is a tenth of the span. The maximum of incomes or counts grows with the rows, so where no value is
    negative, the bound is as far beyond the maximum, in ratio, as that is beyond the bulk. For a tail that falls like a
    power this is the maximum to expect of `TAIL` n times as many rows (Weissman, 1978, JASA 73, p. 812), and as many
    rows again exceed it with a probability of 1 / (`TAIL` n).

    Args:
        low: The minimum.
        high: The maximum.
        bulk: The value that no more than a share of `TAIL` of the rows exceeds.
        whole: Whether the bounds are to be whole numbers.
    """
    span = high - low or abs(high) or 1.0
    if not 1e-300 < span < 1e300:
        return None, None
    unit = 10.0 ** (math.floor(math.log10(span)) - 1)  # two digits of the span
    stretched = high * min(high / bulk if bulk > 0 else STRETCH, STRETCH) if low >= 0 else high
    lower = min(low, float(f"{math.floor((low - MARGIN * span) / unit) * unit:.12g}"))
    upper = max(high, float(f"{math.ceil(max(high + MARGIN * span, stretched) / unit) * unit:.12g}"))
    lower, upper = max(lower, 0.0) if low >= 0 else lower, min(upper, 0.0) if high <= 0 else upper
    return (float(math.floor(lower)), float(math.ceil(upper))) if whole else (lower, upper)


def in_order(texts: pl.Series) -> tuple[str, ...]:
    """Texts in the order that a reader expects: numbers by size, then the others by alphabet."""
    numbers = texts.cast(pl.Float64, strict=False)
    return tuple(texts.to_frame(VALUE).sort([numbers, texts], nulls_last=True)[VALUE])


def _find(table: Table, name: str, values: pl.DataFrame, wishes: Wishes) -> Finding:
    present = int(values[COUNT].sum())
    if not present:
        return Finding(Column(type="category", use=False, nullable=True, note="no value in any row"), 0, 0)
    reading = kind_of(table, name, values, compact_dates=name == wishes.time or "date" in name.lower())
    remarks = [table.remarks.get(name, ""), reading.remark]
    names_something = ID_NAME.fullmatch(name) and values.height < table.rows
    if reading.type == "integer" and names_something and name != wishes.id:
        reading = Reading("category")
        remarks.append("whole numbers that name something, by the column's name")
    more: dict[str, Any] = {}
    doubt = ""
    reason = None if name in {wishes.id, wishes.time, wishes.group} else _unfit(name, reading.type, values, table)
    if reason and name not in wishes.keep:
        more = {"use": False, "note": reason} | ({"type": "text"} if reason == "free text" else {})
    elif reason:
        remarks.append(f"kept as asked: {reason}")
    elif reading.type in {"number", "integer"} and name not in {wishes.id, wishes.group}:
        more = range_of(table, values, reading.type)
        doubt = doubt_of(table, values)
    elif reading.type == "category" and values.height <= CLOSED and not names_something:
        listed = in_order(table.read(values[VALUE], "category"))
        more = {"categories": listed} if all(as_text(item) == item for item in listed) else {}
    column = Column(**{"type": reading.type, "nullable": present < table.rows, "format": reading.format} | more)
    return Finding(column, present, values.height, "; ".join(filter(None, [*remarks, doubt])), doubt)


def range_of(table: Table, values: pl.DataFrame, kind: str) -> dict[str, float | None]:
    """The keys `min` and `max` of a column of numbers; placeholders are within, and give no margin beyond."""
    numbers, counts = table.read(values[VALUE], "number").to_numpy(), values[COUNT].to_numpy()
    placed = placeholders(numbers, counts)
    others, rows = numbers[~placed], counts[~placed]
    falling = np.argsort(-others)
    at_least = rows[falling].cumsum()  # rows of this number or a greater one
    bulk = others[falling][np.searchsorted(at_least, TAIL * at_least[-1], side="right")]
    low, high = limits(float(others.min()), float(others.max()), float(bulk), kind == "integer")
    held = [float(number) for number in numbers[placed]]
    low, high = None if low is None else min(low, *held, low), None if high is None else max(high, *held, high)
    return {"min": low, "max": high}


def placeholders(numbers: npt.NDArray[np.float64], counts: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which distinct numbers are likely to stand for no value, as 999 among ages; shape (n,).

    They are of that kind, repeat, and lie further from all others than those lie from each other.

    Args:
        numbers: The n distinct numbers.
        counts: The rows of each.
    """
    texts = [as_text(number) for number in numbers]
    kind = np.array([PLACEHOLDER.fullmatch(text) is not None for text in texts], bool) & (counts >= PLACED)
    for _ in range(2):  # one that is not isolated is a number like others, from which the rest must lie apart as well
        others = numbers[~kind]
        if len(others) < PLACED:
            return np.zeros(len(numbers), bool)
        gap = np.maximum(others.min() - numbers, numbers - others.max())
        kind &= gap > others.max() - others.min()
    return kind


def doubt_of(table: Table, values: pl.DataFrame) -> str:
    """What is to be said about the placeholders in a column of numbers; empty if there is none."""
    numbers, counts = table.read(values[VALUE], "number").to_numpy(), values[COUNT].to_numpy()
    placed = placeholders(numbers, counts)
    others, said = numbers[~placed], []
    for number, rows in zip(numbers[placed], counts[placed], strict=True):
        nearest = as_text(others[np.abs(others - number).argmin()])
        said.append(f"{as_text(number)} in {rows:,} rows, far from every other value (the nearest is {nearest})")
    return f"holds {' and '.join(said)}" if said else ""


def _unfit(name: str, kind: str, values: pl.DataFrame, table: Table) -> str | None:
    """Why a column is no input for a model; None if it may be one."""
    present = int(values[COUNT].sum())
    unique, many = values.height == present, values.height > CLOSED
    if values.height == 1 and present == table.rows:
        return f"constant: always {as_text(values[VALUE][0])[:40]!r}"
    if kind in {"integer", "number"}:
        numbers = table.read(values[VALUE], "number").to_numpy()
        if np.abs(numbers).max() > LARGEST:
            return f"holds numbers beyond {LARGEST:g}, too large for a model"
        own = kind == "integer" and unique and many
        named = KEY_NAME.fullmatch(name) or numbers.max() - numbers.min() < 2 * present
        return "looks like an identifier: every row has its own whole number" if own and named else None
    if kind != "category" or not many:
        return None
    return _unfit_text(table.read(values[VALUE], "category"), values[COUNT])


def _unfit_text(texts: pl.Series, counts: pl.Series) -> str | None:
    present = int(counts.sum())
    words = (texts.str.count_matches(r"\S+") * counts).sum() / present
    rarely = len(texts) > RARELY * present
    if rarely and words >= PROSE:
        return "free text"
    if texts.str.contains(AMOUNT).all() and not texts.str.contains(r"^\d+$").all():
        return "numbers written with symbols or thousands separators: clean them in the file to use them"
    rare = f"hardly ever repeats: {len(texts)} different texts in {present} rows" if rarely else None
    return "looks like an identifier: every row has its own text" if len(texts) == present else rare


def _is_row_number(name: str, values: pl.DataFrame, table: Table) -> bool:
    if not ROW_NUMBER.fullmatch(name.strip()) or values.height < table.rows:
        return False
    numbers = table.read(values[VALUE], "integer").sort()
    return not numbers.null_count() and bool((numbers.diff().drop_nulls() == 1).all())


def _refuse_role(option: str, name: str, finding: Finding, values: pl.DataFrame, rows: int) -> None:
    if option == "--time" and finding.column.type != "datetime":
        shown = ", ".join(repr(value) for value in values[VALUE].head(3))
        raise UserError(f"--time: column {name!r} cannot be read as dates ({shown}); write them as 2024-12-31 23:59")
    if nulls := rows - finding.present:
        raise UserError(f"{option}: column {name!r} has no value in {nulls} rows; fill them, or do without {option}")
    if option == "--id" and finding.distinct < rows:
        value, count = values.row(0)
        repeated = int((values[COUNT] > 1).sum())
        raise UserError(
            f"--id: column {name!r} repeats {repeated} values, such as {value!r} in {count} rows; "
            f"remove the duplicates, or use --group"
        )
