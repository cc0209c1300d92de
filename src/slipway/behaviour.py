"""How a model file behaves on inputs that are changed on purpose: noise, missing values, one column moved, other order.

Pure functions of a predictor and a prepared table. The project's model tests and the review both come here.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from slipway.encoding import columns_of
from slipway.metrics import HIGHER_IS_BETTER, METRICS, Scorer
from slipway.predictor import Predictor, Values
from slipway.schema import Task
from slipway.signature import Input, Signature

ROWS = 10_000  # of a table, at most; a sample by seed
MADE_UP_MISSING = 0.1
STEPS = 9  # values that a column is moved through
EPSILON = 1e-6  # differences below are rounding of single precision


def sample(frame: pl.DataFrame, seed: int, rows: int = ROWS) -> pl.DataFrame:
    """As many rows of a table, in order."""
    if frame.height <= rows:
        return frame
    return frame[np.sort(np.random.default_rng(seed).choice(frame.height, rows, replace=False))]


def first_metric(predictor: Predictor, frame: pl.DataFrame, truth: npt.NDArray[Any]) -> float:
    """The task's first metric on the n rows of a prepared table; `truth` as `encoding.target_of` gives it."""
    signature = predictor.signature
    name = METRICS[signature.task][0]
    prediction = predictor.predict(columns_of(frame, signature.names))
    return Scorer(signature.task, truth, prediction, len(signature.classes), [name]).point()[name]


def loss(predictor: Predictor, clean: pl.DataFrame, changed: pl.DataFrame, truth: npt.NDArray[Any]) -> float:
    """By how much the task's first metric is worse on the changed rows: the difference, or for an error its share."""
    return worsening(predictor.signature.task, *(first_metric(predictor, frame, truth) for frame in (clean, changed)))


def worsening(task: Task, before: float, after: float) -> float:
    """By how much the task's first metric is worse after than before: the difference, or for an error its share."""
    if METRICS[task][0] in HIGHER_IS_BETTER:
        return before - after
    return (after - before) / before if before > 0 else float(after > 0)


def with_noise(frame: pl.DataFrame, inputs: tuple[Input, ...], share: float, seed: int) -> pl.DataFrame:
    """Normal noise on every number, by a share of the interquartile range that its column had in training.

    Whole numbers stay whole, and nothing leaves the range that the contract allows.
    """
    generator = np.random.default_rng(seed)
    changed = []
    for column in inputs:
        if column.type not in {"number", "integer"} or column.statistics is None or not column.statistics.quantiles:
            continue
        quantiles = column.statistics.quantiles
        spread = quantiles[len(quantiles) * 3 // 4] - quantiles[len(quantiles) // 4]
        noise = pl.Series(generator.normal(0, share * spread, frame.height) if spread > 0 else np.zeros(frame.height))
        values = frame[column.name].cast(pl.Float64) + noise
        values = (values.round() if column.type == "integer" else values).clip(column.min, column.max)
        changed.append(values.cast(frame[column.name].dtype).alias(column.name))
    return frame.with_columns(changed)


def with_missing(frame: pl.DataFrame, inputs: tuple[Input, ...], share: float, seed: int) -> pl.DataFrame:
    """A share of the values taken away from every column that may be missing."""
    generator = np.random.default_rng(seed)
    taken = {column.name: pl.Series(generator.random(frame.height) < share) for column in inputs if column.nullable}
    return frame.with_columns(
        pl.when(mask).then(None).otherwise(frame[name]).alias(name) for name, mask in taken.items()
    )


def expectation(predictor: Predictor, frame: pl.DataFrame) -> Values:
    """The number that a model is about, shape (n,): of the positive class its probability, or the value predicted.

    For three classes and more it is the probability of the last.
    """
    values = predictor.predict(columns_of(frame, predictor.signature.names)).values
    return values if values.ndim == 1 else values[:, -1]


@dataclass(frozen=True)
class Violation:
    """Where moving one column moved the prediction the wrong way: of `rows` rows `count`, the worst by `most`."""

    rows: int
    count: int
    most: float


def against_direction(
    predictor: Predictor, frame: pl.DataFrame, column: Input, direction: Literal["increasing", "decreasing"]
) -> Violation:
    """Move one column through the values it had in training, all else equal, and count rows that answer the wrong way.

    Args:
        predictor: The model.
        frame: Prepared rows.
        column: The input that is moved, a number with statistics.
        direction: Where the prediction must go, or stay, as the column grows.
    """
    quantiles = column.statistics.quantiles if column.statistics else ()
    steps = np.unique(np.quantile(quantiles, np.linspace(0.025, 0.975, STEPS))) if quantiles else np.empty(0)
    if column.type == "integer":
        steps = np.unique(np.round(steps))
    dtype = frame[column.name].dtype
    told = np.array(
        [expectation(predictor, frame.with_columns(pl.lit(step).cast(dtype).alias(column.name))) for step in steps]
    ).reshape(len(steps), frame.height)
    wrong = -np.diff(told, axis=0) if direction == "increasing" else np.diff(told, axis=0)
    most = wrong.max(axis=0, initial=0.0)
    scale = max(float(np.abs(told).max(initial=0.0)), 1.0)
    return Violation(frame.height, int((most > EPSILON * scale).sum()), float(most.max(initial=0.0)))


def made_up_rows(signature: Signature, rows: int = 64) -> dict[str, list[Any]]:
    """Rows that nobody owns, to hold a model file against what it must answer.

    Their values are quantiles and categories of the training rows. The first half keeps to the data contract, as what a
    service accepts; in the others any value may be missing, and categories may be unheard of.

    Args:
        signature: Says what each column may be.
        rows: How many.

    Returns:
        Columns of values that JSON can hold; the same for the same signature.
    """
    generator = np.random.default_rng(0)
    return {
        column.name: [_made_up(column, generator, tame=row < rows // 2) for row in range(rows)]
        for column in signature.inputs
    }


def _made_up(column: Input, generator: np.random.Generator, *, tame: bool) -> Any:
    if generator.random() < MADE_UP_MISSING and (column.nullable or not tame):
        return None
    if column.type == "category":
        strange = not (tame or column.closed)
        known = (*column.categories, "\u00e9 unheard of") if strange else column.categories
        return known[int(generator.integers(len(known)))] if known else None
    if column.type == "datetime":
        year, month, day = (int(generator.integers(*span)) for span in ((1990, 2050), (1, 13), (1, 29)))
        return datetime(year, month, day, tzinfo=UTC).strftime(column.format or "%Y-%m-%d")
    quantiles = column.statistics.quantiles if column.statistics else ()
    value = float(generator.choice(quantiles)) if quantiles else 0.0
    if column.type == "boolean":
        return bool(value)
    return int(value) if column.type == "integer" else value


def largest_difference(predictor: Predictor, one: pl.DataFrame, other: pl.DataFrame) -> float:
    """The greatest difference between the predictions for two tables of the same n rows."""
    told = [predictor.predict(columns_of(frame, predictor.signature.names)).values for frame in (one, other)]
    return float(np.abs(told[0] - told[1]).max(initial=0.0))


def single_row_ms(predictor: Predictor, frame: pl.DataFrame, repeats: int = 200) -> tuple[float, float]:
    """How long one row takes, in milliseconds: median and 95th percentile over the first rows of a table, warm."""
    frame = frame.select(predictor.signature.names)
    rows = [frame[row % frame.height].to_dict(as_series=False) for row in range(repeats)]
    elapsed = []
    for row in [rows[0], *rows]:
        start = time.perf_counter()
        predictor.predict(row)
        elapsed.append((time.perf_counter() - start) * 1e3)
    return float(np.median(elapsed[1:])), float(np.quantile(elapsed[1:], 0.95))
