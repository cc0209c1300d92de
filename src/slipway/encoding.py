"""Learning the encoding from the training rows: which categories are kept, which date parts say something."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from slipway.predictor import Coded, ColumnValues, Prediction, encode
from slipway.schema import Column, Schema
from slipway.signature import DatePart, Input, Signature, Statistics

TINY = float(np.finfo(np.float32).tiny)
QUANTILES = np.linspace(0, 1, 21).tolist()


def columns_of(frame: pl.DataFrame, names: Sequence[str]) -> dict[str, ColumnValues]:
    """Hand columns of a prepared table to `encode`: numbers as arrays, texts once per distinct value."""
    return {name: _column(frame[name]) for name in names}


def _column(series: pl.Series) -> ColumnValues:
    if series.dtype == pl.String:
        values = series.unique(maintain_order=True)
        index = pl.DataFrame({"value": values, "code": np.arange(len(values))})
        codes = pl.DataFrame({"value": series}).join(index, "value", "left", nulls_equal=True, maintain_order="left")
        return Coded(codes["code"].to_numpy(), values.to_list())
    if series.dtype == pl.Datetime:
        return series.to_numpy().astype("datetime64[us]")
    return series.cast(pl.Float64).to_numpy()  # a null becomes NaN


def fit_inputs(schema: Schema, frame: pl.DataFrame, max_categories: int) -> tuple[Input, ...]:
    """Learn how each feature of the contract is encoded.

    Args:
        schema: The contract.
        frame: The training rows, typed as the contract says.
        max_categories: How many values are kept of a category whose values the contract does not list.
    """
    return tuple(_fit(name, column, frame[name], max_categories) for name, column in schema.features.items())


def _fit(name: str, column: Column, series: pl.Series, max_categories: int) -> Input:
    common: dict[str, Any] = {
        "name": name,
        "type": column.type,
        "nullable": column.nullable,
        "min": column.min,
        "max": column.max,
        "outside": column.outside,
        "constant": series.n_unique() <= 1,
    }
    missing = series.null_count() / max(len(series), 1)
    if column.type == "category":
        counts = series.drop_nulls().alias("value").value_counts(name="rows")
        counts = counts.sort(["rows", "value"], descending=[True, False])
        kept = column.categories or tuple(counts["value"].head(max_categories))
        found = dict(counts.iter_rows())
        shares = {value: found.get(value, 0) / max(len(series), 1) for value in kept}
        statistics = Statistics(missing=missing, shares=shares)
        return Input(**common, categories=kept, closed=column.categories is not None, statistics=statistics)
    if column.type == "datetime":
        common |= {"constant": False, "format": column.format}
        whole = Input(**common, parts=get_args(DatePart))
        signature = Signature(task="regression", target="", inputs=(whole,), prior=())
        block = encode(signature, {name: _column(series)})
        parts = tuple(p for p, values in zip(whole.parts, block.T, strict=True) if np.unique(values).size > 1)
        return Input(**common | {"constant": not parts}, parts=parts, statistics=Statistics(missing=missing))
    quantiles = series.cast(pl.Float64).quantile(QUANTILES)  # all at once: each alone would sort the column again
    known = tuple(q for q in quantiles if q is not None)
    ordered = series.drop_nulls().cast(pl.Float64).sort().to_numpy()
    # Numbers that differ by less than the matrix can tell apart would be scaled to infinity.
    common["constant"] |= bool(len(ordered) and 0 < ordered[-1] - ordered[0] < TINY)
    upto, under = (
        tuple(
            float(f"{place / max(len(ordered), 1):.10g}") for place in np.searchsorted(ordered, np.array(known), side)
        )
        for side in ("right", "left")
    )
    statistics = Statistics(missing=missing, quantiles=known, upto=upto, under=under)
    marker = series.null_count() > 0 and not common["constant"]
    return Input(**common, marker=marker, statistics=statistics)


def target_of(frame: pl.DataFrame, schema: Schema) -> npt.NDArray[Any]:
    """The target as the estimators and metrics take it, shape (n,): class indices (int64), or numbers (float64)."""
    series = frame[schema.target.column]
    if schema.target.task == "regression":
        return series.to_numpy()
    codes: Mapping[str, int] = {name: code for code, name in enumerate(schema.target.classes)}
    return series.replace_strict(codes, return_dtype=pl.Int64).to_numpy()


def predictions_table(prediction: Prediction, signature: Signature) -> pl.DataFrame:
    """Predictions as a table, row by row: the label and the probability of each class, or the value."""
    if prediction.labels is None:
        return pl.DataFrame([pl.Series("prediction", prediction.values)])
    labels = pl.Series("prediction", np.asarray(signature.classes)[prediction.labels].tolist(), pl.String())
    probabilities = [
        pl.Series(f"probability {name}", prediction.values[:, code]) for code, name in enumerate(signature.classes)
    ]
    return pl.DataFrame([labels, *probabilities])
