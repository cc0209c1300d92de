"""What deepchecks is given: tables of numbers, texts and moments, the conditions that apply, what chance explains."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from slipway.params import Suites
from slipway.schema import Schema

FALSE_ALARMS = 0.001  # that chance alone may cause, over all columns of a table


@dataclass(frozen=True)
class Job:
    """What one suite looks at.

    Attributes:
        suite: `data` or `model`.
        schema: The contract.
        settings: Sampling, and what may not run.
        conditions: By name the limit, None where it is left out.
        train: The training rows.
        holdout: The holdout.
        predictions: Of both sides, where the suite needs them: shape (n, 1) of numbers, or (n, 1 + classes) of the
            class and the probabilities.
        shares: Of the classes in training.
        ordered: Whether the holdout is what came later.
    """

    suite: str
    schema: Schema
    settings: Suites
    conditions: Mapping[str, float | None]
    train: pl.DataFrame
    holdout: pl.DataFrame
    predictions: tuple[Any, Any] | None = None
    shares: Sequence[float] = ()
    ordered: bool = False


def write_job(job: Job, folder: Path) -> str:
    """Write the tables, sampled, and the job beside them; says what was sampled, for the reports."""
    schema, classes = job.schema, job.schema.target.classes
    predicted = f"{max(schema.columns, key=len)}? "  # begins no column's name
    sides, kinds = tables(job, predicted)
    roles = {schema.target.column, schema.id, schema.time, schema.group}
    features = [name for name in kinds if name not in roles and not name.startswith(predicted)]
    sample, seed = job.settings.sample, job.settings.seed

    def some(rows: pl.DataFrame) -> pl.DataFrame:
        return rows if rows.height <= sample else rows.sample(sample, seed=seed)

    kept = [some(rows) for rows in sides]
    written = dict(zip(("train", "holdout"), kept, strict=True))
    for name, rows in (written | ({"whole": some(pl.concat(sides))} if job.suite == "data" else {})).items():
        rows.write_parquet(folder / f"{name}.parquet")
    description = {
        "suite": job.suite,
        "title": f"The {job.suite} suite",
        "task": schema.target.task,
        "target": schema.target.column,
        "classes": len(classes),
        "columns": {name: kind for name, kind in kinds.items() if not name.startswith(predicted)},
        "features": features,
        "id": schema.id,
        "time": schema.time,
        "prefix": predicted,
        "sample": sample,
        "seed": seed,
        "conditions": {name: limit for name, limit in job.conditions.items() if applies(name, job)},
        "chance": by_chance(kept[0].height, kept[1].height, len(features), len(classes)),
        "shares": dict(enumerate(job.shares)),
    }
    (folder / "job.json").write_text(json.dumps(description), encoding="utf-8")
    if all(rows.height == every.height for rows, every in zip(kept, sides, strict=True)):
        return ""
    counts = [f"{rows.height:,} of {every.height:,}" for rows, every in zip(kept, sides, strict=True)]
    return f" (on a sample: {counts[0]} training rows, {counts[1]} held out)"


def tables(job: Job, predicted: str) -> tuple[list[pl.DataFrame], dict[str, str]]:
    """Both sides as deepchecks can take them, and of each column but the target whether it is number, category or time.

    deepchecks passes over what is missing, so that a column of which half is gone has not drifted. In the data suite a
    missing category is one of its own, therefore, and numbers that may be missing get a column beside them.
    """
    schema = job.schema
    kinds = {name: _kind(schema, name) for name in schema.columns if name in schema.features}
    kinds |= {name: _kind(schema, name) for name in (schema.id, schema.time, schema.group) if name is not None}
    codes = {name: code for code, name in enumerate(schema.target.classes)}
    gaps = {
        name: f"{name} is missing"
        for name in schema.features
        if job.suite == "data" and (job.train[name].null_count() or job.holdout[name].null_count())
    }
    beside = {new: name for name, new in gaps.items() if kinds[name] == "number" and new not in schema.columns}
    sides = []
    for number, frame in enumerate((job.train, job.holdout)):
        target = pl.col(schema.target.column)
        columns = [target.replace_strict(codes, return_dtype=pl.Int64) if codes else target]
        columns += [_as(kind, name, fill=name in gaps).alias(name) for name, kind in kinds.items()]
        columns += [pl.col(name).is_null().cast(pl.String).alias(new) for new, name in beside.items()]
        rows = frame.select(columns)
        if job.predictions is not None:
            said = np.asarray(job.predictions[number], np.float64)
            rows = rows.with_columns(pl.Series(f"{predicted}{i}", said[:, i]) for i in range(said.shape[1]))
        sides.append(rows)
    return sides, kinds | dict.fromkeys(beside, "category")


def _kind(schema: Schema, name: str) -> str:
    column = schema.columns[name]
    if name == schema.time:
        return "datetime"
    return "category" if name == schema.id or column.type in {"category", "boolean", "text"} else "number"


def _as(kind: str, name: str, *, fill: bool) -> pl.Expr:
    if kind == "category":
        return pl.col(name).cast(pl.String).fill_null("(missing)") if fill else pl.col(name).cast(pl.String)
    return pl.col(name).cast(pl.Datetime("us") if kind == "datetime" else pl.Float64)


def applies(condition: str, job: Job) -> bool:
    """Whether a condition has anything to say about this table and task."""
    schema, task = job.schema, job.schema.target.task
    categories = any(column.type in {"category", "boolean"} for column in schema.features.values())
    texts = any(column.type == "category" for column in schema.features.values())
    needs = {
        "max_conflicting_labels": task != "regression",
        "max_string_variants": texts,
        "max_id_power": schema.id is not None or schema.time is not None,
        "max_new_labels": task != "regression",
        "max_new_categories": categories,
        "max_shared_ids": schema.id is not None,
        "max_overlap": schema.time is not None and job.ordered,
        "min_class_auc": task != "regression",
        "min_brier_skill": task != "regression",
        "max_systematic_error": task == "regression",
    }
    return needs.get(condition, True)


def by_chance(train: int, holdout: int, columns: int, classes: int) -> dict[str, float]:
    """What two samples of one population differ by no more than, but for one table in a thousand.

    For numbers Kolmogorov and Smirnov's statistic by its asymptotic tail 2 exp(-2 n D^2), for categories Cramer's V by
    the chi-squared statistic with as many degrees of freedom as the ten greatest of them have, each over all columns
    (Bonferroni); for a classifier of both sides twice the distance of its ROC AUC from 0.5, by the variance of
    Wilcoxon's statistic; for the mean error over its root mean square the normal tail.

    Args:
        train: Rows.
        holdout: Rows.
        columns: That are compared, 1 or more.
        classes: Of the target; 0 for regression.
    """
    from scipy.stats import chi2, norm

    tested = max(0.3 * min(train, holdout), 1)  # rows of each side on which the classifier of both is tried
    effective = train * holdout / max(train + holdout, 1)

    def kolmogorov_smirnov(compared: int) -> float:
        return float(np.sqrt(-np.log(FALSE_ALARMS / compared / 2) / 2 / max(effective, 1)))

    def cramer(compared: int, categories: int) -> float:
        return float(np.sqrt(chi2.isf(FALSE_ALARMS / compared, max(categories - 1, 1)) / max(train + holdout, 1)))

    label = cramer(1, classes) if classes else kolmogorov_smirnov(1)
    allowed = {
        "together": float(2 * norm.isf(FALSE_ALARMS) * np.sqrt((2 * tested + 1) / 12) / tested),
        "number": kolmogorov_smirnov(max(columns, 1)),
        "category": cramer(max(columns, 1), 10),
        "label": label,
        "prediction": cramer(1, classes) if classes > 2 else kolmogorov_smirnov(1),
        "mean": float(norm.isf(FALSE_ALARMS / 2) / np.sqrt(max(holdout, 1))),
    }
    return {what: float(f"{most:.3g}") for what, most in allowed.items()}  # the pages show every digit
