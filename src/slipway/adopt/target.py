"""What is to be predicted: classes and their order, or a number."""

import polars as pl

from slipway.adopt.infer import Finding, Wishes, in_order, kind_of, range_of
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

    Returns:
        The target, and its finding.

    Raises:
        UserError: The target has no values, or one only, or cannot be what was wished for.
    """
    name = wishes.target
    values = table.values(name)
    if not values.height:
        raise UserError(f"--target: column {name!r} has no value in any row; is it the right column?")
    reading = kind_of(table, name, values)
    present = int(values[COUNT].sum())
    nullable = present < table.rows
    remark = "; ".join(filter(None, [table.remarks.get(name), reading.remark]))
    numbers = table.read(values[VALUE], "number")
    numeric = not numbers.null_count() and table.types[name] != pl.Boolean and reading.type != "category"
    if reading.type == "datetime":
        raise UserError(f"--target: column {name!r} holds dates; a target is classes or a number")
    if values.height == 1:
        raise UserError(
            f"--target: column {name!r} holds one value only, {str(values[VALUE][0])!r:.60}; "
            "a model needs rows of two or more"
        )
    task = wishes.task or _task(numbers if numeric else None, values.height, table.rows)
    if task == "regression":
        if not numeric:
            raise UserError(f"--task regression: column {name!r} holds {str(values[VALUE][0])!r:.60}, not numbers")
        if wishes.positive is not None:
            raise UserError(f"--positive: column {name!r} is a number to be predicted, it has no classes")
        kind = "integer" if reading.type == "boolean" else reading.type
        column = Column(type=kind, nullable=nullable, format=reading.format)
        column = column.model_copy(update=range_of(table, values, kind))
        return Target(column=name, task=task), Finding(column, present, values.height, remark)
    texts = values.with_columns(table.read(values[VALUE], "category").alias(VALUE))
    _refuse_classes(name, task, texts, wishes)
    classes, counts = in_order(texts[VALUE]), dict(texts.iter_rows())
    if task == "binary":
        positive = _positive(name, classes, counts, wishes.positive)
        classes = (*(item for item in classes if item != positive), positive)
    whole = texts[VALUE].str.contains(r"^-?(0|[1-9]\d*)$").all()
    held: ColumnType = "boolean" if table.types[name] == pl.Boolean else "integer" if whole else "category"
    column = Column(type=held, nullable=nullable)
    return Target(column=name, task=task, classes=classes), Finding(column, present, len(classes), remark, counts)


def _task(numbers: pl.Series | None, distinct: int, rows: int) -> Task:
    whole = numbers is None or bool((numbers == numbers.floor()).all())
    if distinct == 2:
        return "binary"
    few = whole and distinct <= INTEGER_CLASSES and rows >= RECURRING * distinct
    return "multiclass" if numbers is None or few else "regression"


def _refuse_classes(name: str, task: Task, texts: pl.DataFrame, wishes: Wishes) -> None:
    listed = ", ".join(map(repr, texts[VALUE].head(5))) + (", ..." if texts.height > 5 else "")
    if texts.height > MAX_CLASSES:
        raise UserError(
            f"--target: column {name!r} has {texts.height} different values ({listed:.120}), too many for classes; "
            "choose another column, or group the values"
        )
    if (task == "binary") != (texts.height == 2):
        other = "multiclass" if task == "binary" else "binary"
        raise UserError(
            f"--task {task}: column {name!r} has {texts.height} classes ({listed:.120}); use --task {other}"
        )
    if task != "binary" and wishes.positive is not None:
        raise UserError(f"--positive: column {name!r} has {texts.height} classes ({listed:.120}), not two")


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
