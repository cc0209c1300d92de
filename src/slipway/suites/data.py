"""The data suite: are the two sides of the split alike, apart, and large enough?"""

import numpy as np
import numpy.typing as npt
import polars as pl

from slipway import layout
from slipway.files import read_table
from slipway.params import DataGates, load_params
from slipway.schema import Schema, load_schema
from slipway.split import row_key
from slipway.stages import started
from slipway.suites import Check, Status, write_suite

BINS = 10
PRIOR = 0.5  # rows added to every bin (Jeffreys), so that an empty one neither is infinite nor outweighs the others


def check_data(train: pl.DataFrame, holdout: pl.DataFrame, schema: Schema, gates: DataGates) -> list[Check]:
    """Compare the training rows with the holdout."""
    checks = [
        _check(
            "holdout has enough rows",
            holdout.height,
            f"≥ {gates.min_holdout_rows}",
            holdout.height >= gates.min_holdout_rows,
        ),
        _shared_rows(train, holdout, schema),
        _drift("target", schema.target.column, train, holdout, gates.max_label_drift),
    ]
    for name, column in schema.features.items():
        if column.type in {"number", "integer", "boolean", "category"}:
            checks.append(_drift("column", name, train, holdout, gates.max_drift))
        if column.type == "category":
            checks.append(_new_categories(name, train, holdout, gates.max_new_category_share))
    return checks


def _check(name: str, value: float, condition: str, holds: bool, message: str = "") -> Check:
    status: Status = "passed" if holds else "failed"
    return Check(name, status, condition, float(value), "" if holds else message)


def _shared_rows(train: pl.DataFrame, holdout: pl.DataFrame, schema: Schema) -> Check:
    key = row_key(schema, schema.key)
    shared = holdout.select(key.alias("key").is_in(train.select(key.alias("key"))["key"].implode()).sum()).item()
    return _check(
        "no row is on both sides of the split",
        shared,
        "= 0",
        shared == 0,
        f"{shared} holdout rows are also training rows; a `hash` split keeps equal rows together",
    )


def _drift(kind: str, name: str, train: pl.DataFrame, holdout: pl.DataFrame, limit: float) -> Check:
    label = f"{kind} {name!r} is distributed alike in training rows and holdout"
    index, noise = stability(train[name], holdout[name])
    # On few rows chance alone makes a large index, so what chance explains is taken off first.
    return _check(
        label,
        round(index, 6),
        f"population stability index ≤ {limit:g} + {noise:.3g} (what chance makes of so few rows)",
        index <= limit + noise,
        f"the sides differ by {index:.3f}; look at how the data was collected, or raise gates.data in {layout.PARAMS}",
    )


def stability(train: pl.Series, holdout: pl.Series) -> tuple[float, float]:
    """The population stability index of two samples, and its 99th percentile if they came from one population.

    The index is sum((p - q) ln(p / q)) over bins: deciles of `train` for numbers, values for categories, and missing.
    Under equality it is close to (1/n + 1/m) times a chi-squared variable with (bins - 1) degrees of freedom
    (Yurdakul and Naranjo, "Statistical properties of the population stability index", 2020); its 99th percentile is
    taken from the Wilson-Hilferty approximation.
    """
    p, q = _shares(train, holdout)
    index = float(np.sum((p - q) * np.log(p / q)))
    freedom = max(len(p) - 1, 1)
    wilson_hilferty = freedom * (1 - 2 / (9 * freedom) + 2.326 * np.sqrt(2 / (9 * freedom))) ** 3
    return index, float(wilson_hilferty * (1 / max(len(train), 1) + 1 / max(len(holdout), 1)))


def _shares(train: pl.Series, holdout: pl.Series) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if train.dtype.is_numeric():
        edges = np.unique(train.drop_nulls().cast(pl.Float64).quantile(np.linspace(0, 1, BINS + 1)[1:-1].tolist()))
        counts = [_numeric_counts(series, edges) for series in (train, holdout)]
    else:
        values = pl.concat([train, holdout]).cast(pl.String).unique(maintain_order=True)
        counts = [_value_counts(series, values) for series in (train, holdout)]
    used = counts[0] + counts[1] > 0
    p, q = ((count[used] + PRIOR) / (count.sum() + PRIOR * used.sum()) for count in counts)
    return p, q


def _numeric_counts(series: pl.Series, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    values = series.drop_nulls().cast(pl.Float64).to_numpy()
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return np.append(counts, series.null_count()).astype(np.float64)


def _value_counts(series: pl.Series, values: pl.Series) -> npt.NDArray[np.float64]:
    counts = series.cast(pl.String).alias("value").value_counts(name="rows")
    found = dict(counts.iter_rows())
    return np.array([found.get(value, 0) for value in values], np.float64)


def _new_categories(name: str, train: pl.DataFrame, holdout: pl.DataFrame, limit: float) -> Check:
    known = train[name].drop_nulls().unique()
    given = holdout[name].drop_nulls()
    share = float((~given.is_in(known.implode())).mean() or 0.0)  # type: ignore[arg-type]
    return _check(
        f"column {name!r} has few categories that training never saw",
        round(share, 6),
        f"share of the holdout ≤ {limit:g}",
        share <= limit,
        "group rare categories, or leave the column out with `use: false`",
    )


def main() -> None:
    """Run the stage in the project's root."""
    with started("check-data"):
        schema, params = load_schema(), load_params()
        checks = check_data(read_table(layout.TRAIN), read_table(layout.HOLDOUT), schema, params.gates.data)
        write_suite(layout.SUITES / "data.json", "data", checks)


if __name__ == "__main__":
    main()
