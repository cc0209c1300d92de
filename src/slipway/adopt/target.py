"""What is to be predicted: classes and their order, or a number."""

import polars as pl

from slipway.adopt.infer import Finding, Wishes, doubt_of, in_order, kind_of, range_of
from slipway.adopt.texts import COUNT, VALUE, Table
from slipway.errors import UserError
from slipway.schema import Column, ColumnType, Target, Task
from slipway.values import FALSE, TRUE

INTEGER_CLASSES = 10  # distinct whole numbers up to which a target is taken for classes
RECURRING = 5  # times that each of them must recur, on average
MAX_CLASSES = 100
AFFIRMATIVE, NEGATIVE = {*TRUE, "+", "pos", "positive"}, {*FALSE, "-", "neg", "negative"}


def find_target(table: Table, wishes: Wishes) -> tuple[Target, Finding]:
    """Decide what kind of prediction the target asks for.

    Raises:
        UserError: The target has no values, or one only, or cannot be what was wished for.
    """
    name = wishes.target
    values = table.values(name)
    if not values.height:
        raise UserError(f"--target: column {name!r} has no value in any row; is it the right column?")
    reading = kind_of(table, name, values)
    numbers = table.read(values[VALUE], "number")
    numeric = not numbers.null_count() and table.types[name] != pl.Boolean and reading.type != "category"
    task = wishes.task or _task(numbers if numeric else None, values.height, table.rows)
    texts = values.with_columns(table.read(values[VALUE], "category").alias(VALUE))
    _refuse(task, reading.type, numeric, texts, wishes)
    classes: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    doubt = ""
    if task == "regression":
        kind: ColumnType = "integer" if reading.type == "boolean" else reading.type
        limits, doubt = range_of(table, values, kind), doubt_of(table, values)
    else:
        classes, counts = in_order(texts[VALUE]), dict(texts.iter_rows())
        whole = texts[VALUE].str.contains(r"^-?(0|[1-9]\d*)$").all()
        kind = "boolean" if table.types[name] == pl.Boolean else "integer" if whole else "category"
        limits = {}
    if task == "binary":
        positive = _positive(name, classes, counts, wishes.positive)
        classes = (*(item for item in classes if item != positive), positive)
    present = int(values[COUNT].sum())
    column = Column(type=kind, nullable=present < table.rows, **limits)
    remark = "; ".join(filter(None, [table.remarks.get(name), reading.remark, doubt]))
    return Target(column=name, task=task, classes=classes), Finding(
        column, present, values.height, remark, doubt, counts
    )


def _task(numbers: pl.Series | None, distinct: int, rows: int) -> Task:
    whole = numbers is None or bool((numbers == numbers.floor()).all())
    if distinct == 2:
        return "binary"
    few = whole and distinct <= INTEGER_CLASSES and rows >= RECURRING * distinct
    return "multiclass" if numbers is None or few else "regression"


def _refuse(task: Task, kind: ColumnType, numeric: bool, texts: pl.DataFrame, wishes: Wishes) -> None:
    column, count, classes = f"column {wishes.target!r}", texts.height, task != "regression"
    listed = ", ".join(map(repr, texts[VALUE].head(5))) + ", ..." * (count > 5)
    other = "multiclass" if task == "binary" else "binary"
    for is_so, message in (
        (kind == "datetime", f"--target: {column} holds dates; a target is classes or a number"),
        (count == 1, f"--target: {column} holds one value only, {listed:.60}; a model needs rows of two or more"),
        (not classes and not numeric, f"--task regression: {column} holds {listed:.60}, not numbers"),
        (not classes and wishes.positive, f"--positive: {column} is a number to be predicted, it has no classes"),
        (
            classes and count > MAX_CLASSES,
            f"--target: {column} has {count} different values ({listed:.120}), too many for classes; "
            "choose another column, or group the values",
        ),
        (
            classes and (task == "binary") != (count == 2),
            f"--task {task}: {column} has {count} classes ({listed:.120}); use --task {other}",
        ),
        (count > 2 and wishes.positive, f"--positive: {column} has {count} classes ({listed:.120}), not two"),
    ):
        if is_so:
            raise UserError(message)


def _positive(name: str, classes: tuple[str, ...], counts: dict[str, int], wished: str | None) -> str:
    """The class that a binary model is about: as wished, else the affirmative one, else the rarer one."""
    if wished is not None:
        for item in classes:
            if item == wished.strip() or _same_number(item, wished):
                return item
        raise UserError(
            f"--positive: column {name!r} has no value {wished!r}; it has {' and '.join(map(repr, classes))}"
        )
    negative, affirmative = sorted(classes, key=lambda item: item.lower() in AFFIRMATIVE)
    if affirmative.lower() in AFFIRMATIVE and negative.lower() in NEGATIVE:
        return affirmative
    return min(reversed(classes), key=counts.__getitem__)


def _same_number(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return False
