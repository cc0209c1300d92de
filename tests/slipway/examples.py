"""Tables with everything that real ones have, and the contracts that fit them."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from sklearn.datasets import load_diabetes, load_wine

from slipway.params import Params
from slipway.schema import Schema

CITIES = ("Athens", "Lima", "Oslo")

CHURN: dict[str, Any] = {
    "source": {"files": "*.csv", "format": "csv"},
    "missing": ["?", "NA"],
    "target": {"column": "churned", "task": "binary", "classes": ["no", "yes"]},
    "sensitive": ["city"],
    "columns": {
        "age (years)": {"type": "number", "nullable": True, "min": 0, "max": 120},
        "visits": {"type": "integer", "min": 0},
        "city": {"type": "category", "categories": CITIES, "nullable": True},
        "postcode": {"type": "category"},
        "member": {"type": "boolean", "nullable": True},
        "joined": {"type": "datetime", "nullable": True},
        "note": {"type": "text", "use": False, "nullable": True},
        "country": {"type": "category", "categories": ["XX"]},
        "churned": {"type": "category"},
    },
}


def churn_schema(**changes: Any) -> Schema:
    return Schema.model_validate(CHURN | changes)


def churn(rows: int = 400, seed: int = 0) -> pl.DataFrame:
    """A binary table as `prepare` leaves it: missing values, many categories, a constant, dates and free text."""
    rng = np.random.default_rng(seed)
    age = rng.normal(45, 15, rows).clip(18, 90).round(1)
    visits = rng.poisson(5, rows)
    city = rng.integers(0, 3, rows)
    postcode = rng.integers(0, 60, rows)
    odds = 0.08 * (age - 45) - 0.4 * (visits - 5) + 1.5 * (city == 1) + 0.8 * (postcode % 5 == 0)
    joined = [datetime(2020, 1, 1) + timedelta(hours=int(hours)) for hours in rng.integers(0, 30_000, rows)]
    frame = pl.DataFrame(
        {
            "age (years)": age,
            "visits": visits,
            "city": [CITIES[code] for code in city],
            "postcode": [f"P{code:03d}" for code in postcode],
            "member": rng.random(rows) < 0.5,
            "joined": pl.Series(joined, dtype=pl.Datetime("us")),
            "note": [f"remark number {number}, in words" for number in range(rows)],
            "country": "XX",
            "churned": np.where(odds + rng.logistic(size=rows) > 0, "yes", "no"),
        }
    )
    for name in ("age (years)", "city", "member", "joined", "note"):
        gone = pl.Series(rng.random(rows) < 0.1)
        frame = frame.with_columns(pl.when(~gone).then(pl.col(name)).alias(name))
    return frame


def numeric(frame: pl.DataFrame, target: str, task: str, classes: tuple[str, ...] = ()) -> Schema:
    return Schema.model_validate(
        {
            "source": {"files": "*.parquet", "format": "parquet"},
            "target": {"column": target, "task": task, "classes": classes},
            "columns": {n: {"type": "category" if classes and n == target else "number"} for n in frame.columns},
        }
    )


def diabetes() -> tuple[pl.DataFrame, Schema]:
    """A regression table from scikit-learn."""
    data = load_diabetes()
    frame = pl.DataFrame(data.data, schema=data.feature_names).with_columns(progression=pl.Series(data.target))
    return frame, numeric(frame, "progression", "regression")


def wine() -> tuple[pl.DataFrame, Schema]:
    """A table with three classes from scikit-learn."""
    data = load_wine()
    names = tuple(str(name) for name in data.target_names)
    frame = pl.DataFrame(data.data, schema=data.feature_names).with_columns(
        cultivar=pl.Series([names[code] for code in data.target])
    )
    return frame, numeric(frame, "cultivar", "multiclass", names)


def churned() -> tuple[pl.DataFrame, Schema]:
    return churn(), churn_schema()


def quick(**train: Any) -> Params:
    """Settings under which a test takes little time."""
    small = {
        "folds": 3,
        "hist_gradient_boosting": {"max_iter": 20},
        "random_forest": {"n_estimators": 20},
    }
    return Params.model_validate({"train": small | train, "evaluate": {"resamples": 100}})
