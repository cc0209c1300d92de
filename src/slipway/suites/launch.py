"""Handing tables to deepchecks in its own environment, and reading what it found."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from slipway import layout
from slipway.errors import UserError
from slipway.files import console, scratch_folder
from slipway.params import Suites
from slipway.schema import Schema
from slipway.suites import Check
from slipway.tools import find_uv

ENVIRONMENT = Path(__file__).parent / "environment"
INSTALLED = Path(".tools/deepchecks")  # where uv installs it, relative to the project's root
NAMES = {
    "min_holdout_rows": "the holdout has enough rows",
    "max_duplicates": "few rows repeat another",
    "max_conflicting_labels": "few rows are alike in all but the target",
    "max_string_variants": "no category is written in two ways",
    "max_predictive_power": "no column alone gives the target away",
    "max_id_power": "neither id nor time gives the target away",
    "max_new_labels": "training saw every class of the holdout",
    "max_new_categories": "training saw nearly every category of the holdout",
    "max_shared_rows": "few rows of the holdout are training rows too",
    "max_shared_ids": "no id is on both sides of the split",
    "max_overlap": "the holdout is later than the training rows",
    "max_drift": "no column is distributed otherwise in the holdout",
    "max_label_drift": "the target is distributed alike in the holdout",
    "max_multivariate_drift": "no classifier tells the holdout from training rows",
    "max_degradation": "the holdout scores about as in cross-validation",
    "min_gain": "the model gains on always saying the same",
    "min_class_auc": "every class is told from the rest",
    "max_prediction_drift": "predictions are distributed alike in the holdout",
    "min_brier_skill": "probabilities are better than the shares of the classes",
    "max_systematic_error": "errors are not all to one side",
    "min_weak_segment": "no segment is much weaker than the rest",
}
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


def run_suite(job: Job, report: Path) -> list[Check]:
    """Run a suite.

    Args:
        job: What it looks at.
        report: Where its HTML report goes.

    Returns:
        One check for each condition that applies.

    Raises:
        UserError: deepchecks' environment cannot be installed, or it broke.
    """
    with scratch_folder(layout.ARTIFACTS) as folder:
        sampled = write_job(job, folder)
        with console().status(f"deepchecks on the {job.suite}"):
            run_deepchecks(folder)
        checks = read_results(job, folder, sampled)
        report.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / "report.html", report)
    return checks


def read_results(job: Job, folder: Path, sampled: str = "") -> list[Check]:
    """What came of a job, in the order of its conditions.

    Raises:
        UserError: There are no results, or a condition is not among them.
    """
    try:
        found = {entry["condition"]: entry for entry in json.loads((folder / "results.json").read_text("utf-8"))}
        wanted = json.loads((folder / "job.json").read_text("utf-8"))["conditions"]
        return [check_of(found[name], job, sampled) for name, limit in wanted.items() if limit is not None]
    except (OSError, ValueError, LookupError) as error:
        raise UserError(f"deepchecks left something out ({error}); run `make repro` again") from None


def check_of(found: Mapping[str, Any], job: Job, sampled: str) -> Check:
    """One outcome as the reports hold it."""
    name = found["condition"]
    return Check(
        name=NAMES[name],
        status=found["status"],
        condition=found["expected"] or f"{name}: {found['limit']:g}",
        value=found["value"],
        message=f"{found['said']}{sampled}"[:600],
        parameter=f"suites.{job.suite}.{name}",
        required=name not in job.settings.may_not_run,
    )


def write_job(job: Job, folder: Path) -> str:
    """Write the tables, sampled, and the job beside them; says what was sampled, for the reports."""
    schema, classes = job.schema, job.schema.target.classes
    roles = {name for name in (schema.target.column, schema.id, schema.time, schema.group) if name is not None}
    kinds = {
        name: "datetime"
        if column.type == "datetime"
        else "category"
        if column.type in {"category", "boolean"}
        else "number"
        for name, column in schema.columns.items()
        if name in schema.features or name in roles
    }
    del kinds[schema.target.column]
    if schema.id is not None:
        kinds[schema.id] = "category"
    predicted = f"{max(schema.columns, key=len)}? "  # begins no column's name
    sides = []
    for number, frame in enumerate((job.train, job.holdout)):
        rows = frame.select(schema.target.column, *kinds)
        if classes:
            codes = {name: code for code, name in enumerate(classes)}
            rows = rows.with_columns(pl.col(schema.target.column).replace_strict(codes, return_dtype=pl.Int64))
        rows = rows.with_columns(_as(kind, name).alias(name) for name, kind in kinds.items())
        if job.predictions is not None:
            said = np.asarray(job.predictions[number], np.float64)
            rows = rows.with_columns(pl.Series(f"{predicted}{i}", said[:, i]) for i in range(said.shape[1]))
        sides.append(rows)
    sample, seed = job.settings.sample, job.settings.seed
    kept = [rows if rows.height <= sample else rows.sample(sample, seed=seed) for rows in sides]
    for name, rows in zip(("train", "holdout"), kept, strict=True):
        rows.write_parquet(folder / f"{name}.parquet")
    if job.suite == "data":
        whole = pl.concat(sides)
        (whole if whole.height <= sample else whole.sample(sample, seed=seed)).write_parquet(folder / "whole.parquet")
    description = {
        "suite": job.suite,
        "title": f"The {job.suite} suite",
        "task": schema.target.task,
        "target": schema.target.column,
        "classes": len(classes),
        "columns": kinds,
        "features": list(schema.features),
        "id": schema.id,
        "time": schema.time,
        "prefix": predicted,
        "sample": sample,
        "seed": seed,
        "conditions": {name: limit for name, limit in job.conditions.items() if applies(name, job)},
        "chance": by_chance(kept[0].height, kept[1].height, len(schema.features), len(classes)),
        "shares": dict(enumerate(job.shares)),
    }
    (folder / "job.json").write_text(json.dumps(description), encoding="utf-8")
    counts = [f"{rows.height:,} of {all_rows.height:,}" for rows, all_rows in zip(kept, sides, strict=True)]
    short = any(rows.height < all_rows.height for rows, all_rows in zip(kept, sides, strict=True))
    return f" (on a sample: {counts[0]} training rows, {counts[1]} held out)" if short else ""


def _as(kind: str, name: str) -> pl.Expr:
    if kind == "category":
        return pl.col(name).cast(pl.String)
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
    (Bonferroni); for the mean error over its root mean square the normal tail.

    Args:
        train: Rows.
        holdout: Rows.
        columns: That are compared, 1 or more.
        classes: Of the target; 0 for regression.
    """
    from scipy.stats import chi2, norm

    effective = train * holdout / max(train + holdout, 1)

    def kolmogorov_smirnov(compared: int) -> float:
        return float(np.sqrt(-np.log(FALSE_ALARMS / compared / 2) / 2 / max(effective, 1)))

    def cramer(compared: int, categories: int) -> float:
        return float(np.sqrt(chi2.isf(FALSE_ALARMS / compared, max(categories - 1, 1)) / max(train + holdout, 1)))

    label = cramer(1, classes) if classes else kolmogorov_smirnov(1)
    return {
        "number": kolmogorov_smirnov(max(columns, 1)),
        "category": cramer(max(columns, 1), 10),
        "label": label,
        "prediction": cramer(1, classes) if classes > 2 else kolmogorov_smirnov(1),
        "mean": float(norm.isf(FALSE_ALARMS / 2) / np.sqrt(max(holdout, 1))),
    }


def run_deepchecks(*folders: Path) -> None:
    """Run the jobs of some folders in deepchecks' environment, which is installed where it is not.

    Raises:
        UserError: It cannot be installed, or it broke.
    """
    own = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}
    environment = {name: value for name, value in os.environ.items() if name not in own}
    environment |= {"UV_PROJECT_ENVIRONMENT": str(INSTALLED.resolve())}
    command = [find_uv(), "run", "--frozen", "--quiet", "--project", str(ENVIRONMENT), "python"]
    command += [str(ENVIRONMENT / "run.py"), *map(str, folders)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise UserError(
            f"deepchecks, in {INSTALLED}, did not run: {said[-1][:300]}; `rm -r {INSTALLED}` has it installed anew"
        )
