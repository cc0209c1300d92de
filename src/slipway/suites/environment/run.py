"""Runs deepchecks on tables that are handed over as files, in an environment of its own; knows nothing of Slipway.

`python run.py FOLDER` reads `job.json`, `train.parquet`, `holdout.parquet` and, for the data suite, `whole.parquet` (both
together) there, and writes `results.json` and `report.html`. A check that raises is reported as one that could not run.
"""

import json
import logging
import os
import re
import sys
import warnings
from pathlib import Path

os.environ["DISABLE_LATEST_VERSION_CHECK"] = "1"  # it would ask the network for a newer version
warnings.simplefilter("ignore")

import deepchecks
import numpy as np
import pandas as pd
from deepchecks.core import CheckFailure, ConditionCategory, ConditionResult, SuiteResult
from deepchecks.tabular import Dataset, SingleDatasetCheck, Suite, checks

deepchecks.set_verbosity(logging.ERROR)
logging.disable(logging.WARNING)
STATUS = {"PASS": "passed", "FAIL": "failed", "WARN": "warned", "ERROR": "error"}
IDS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=T_)[0-9a-f]{5}")


def neg_rmse(model, X, y):
    """Minus the root mean squared error; deepchecks' own asks scikit-learn for an argument that is gone."""
    return -float(np.sqrt(np.mean((np.asarray(y, float) - np.asarray(model.predict(X), float)) ** 2)))


def largest(values):
    """The largest of some numbers, None of none."""
    found = [float(value) for value in values if value is not None and np.isfinite(value)]
    return max(found, default=None)


def custom(check, name, measure, holds):
    """Give a check a condition of our own: what is measured of its value, and whether that is allowed."""

    def judge(value):
        found = measure(value)
        category = ConditionCategory.PASS if holds(found) else ConditionCategory.FAIL
        return ConditionResult(category, f"Found {found:.4g}")

    return check.add_condition(name, judge)


def drift_scores(value, method=None):
    """The drift score of each column, or of those measured by one method."""
    return [entry["Drift score"] for entry in value.values() if method in (None, entry["Method"])]


def degradation(value):
    """By how much the holdout scores less than the training rows, relative, of the score where it is most."""
    table = value.assign(Class=value["Class"].fillna("") if "Class" in value else "")
    wide = table.pivot_table(index=["Class", "Metric"], columns="Dataset", values="Value", dropna=False)
    return largest((wide["Train"] - wide["Test"]) / wide["Train"].abs())


def gain(value):
    """Of the way from the simple model's score to perfection, how much the model goes, least of classes and scores."""
    gains = []
    for name, scores in value["scores"].items():
        perfect = value["scorers_perfect"][name]
        for pair in scores.values() if "Origin" not in scores else [scores]:
            way = perfect - pair["Simple"]
            gains.append((pair["Origin"] - pair["Simple"]) / way if way else 0.0)
    return min(gains)


def brier_skill(shares):
    """How much better than always saying the class shares the Brier score of each class is, least of the classes."""

    def measure(value):
        return min(1 - score / (shares[label] * (1 - shares[label])) for label, score in value.items())

    return measure


def data_checks(job, limits):
    """The checks of the data suite: by condition the check with it, and how its value is read."""
    seed, rows = job["seed"], {"n_samples": job["sample"]}
    how = rows | {"random_state": seed}
    few = job["chance"]
    numeric, categorical = (max(limits.get("max_drift") or 0, few[kind]) for kind in ("number", "category"))
    label = max(limits.get("max_label_drift") or 0, few["label"])
    return {
        "min_holdout_rows": lambda x: (
            checks.DatasetsSizeComparison().add_condition_test_size_greater_or_equal(x),
            lambda v: v["Test"],
        ),
        "max_duplicates": lambda x: (checks.DataDuplicates(**how).add_condition_ratio_less_or_equal(x), float),
        "max_conflicting_labels": lambda x: (
            checks.ConflictingLabels(**how).add_condition_ratio_of_conflicting_labels_less_or_equal(x),
            lambda v: v["percent_of_conflicting_samples"],
        ),
        "max_string_variants": lambda x: (
            custom(
                checks.StringMismatch(**how),
                f"Columns with variants of one string are at most {x}",
                lambda v: sum(bool(found) for found in v["columns"].values()),
                lambda found: found <= x,
            ),
            lambda v: sum(bool(found) for found in v["columns"].values()),
        ),
        "max_predictive_power": lambda x: (
            checks.FeatureLabelCorrelation(**how).add_condition_feature_pps_less_than(x),
            lambda v: largest(v.values()),
        ),
        "max_id_power": lambda x: (
            checks.IdentifierLabelCorrelation(**how).add_condition_pps_less_or_equal(x),
            lambda v: largest(v.values()),
        ),
        "max_new_labels": lambda x: (
            checks.NewLabelTrainTest(**how).add_condition_new_labels_number_less_or_equal(x),
            lambda v: len(v["new_labels"]),
        ),
        "max_new_categories": lambda x: (
            checks.NewCategoryTrainTest(**how).add_condition_new_category_ratio_less_or_equal(x),
            lambda v: largest(v["Ratio of New Categories"]),
        ),
        "max_shared_rows": lambda x: (
            checks.TrainTestSamplesMix(**how).add_condition_duplicates_ratio_less_or_equal(x),
            lambda v: v["ratio"],
        ),
        "max_shared_ids": lambda x: (
            checks.IndexTrainTestLeakage(**how).add_condition_ratio_less_or_equal(x),
            lambda v: v.get("ratio", v),
        ),
        "max_overlap": lambda x: (
            checks.DateTrainTestLeakageOverlap(**how).add_condition_leakage_ratio_less_or_equal(x),
            float,
        ),
        "max_drift": lambda x: (
            checks.FeatureDrift(**how).add_condition_drift_score_less_than(categorical, numeric),
            lambda v: largest(drift_scores(v)),
        ),
        "max_label_drift": lambda x: (
            checks.LabelDrift(**how).add_condition_drift_score_less_than(label),
            lambda v: v["Drift score"],
        ),
        "max_multivariate_drift": lambda x: (
            checks.MultivariateDrift(**how).add_condition_overall_drift_value_less_than(x),
            lambda v: v["domain_classifier_drift_score"],
        ),
    }


def model_checks(job, limits):
    """The checks of the model suite."""
    how = {"n_samples": job["sample"], "random_state": job["seed"]}
    numbers = job["task"] == "regression"
    scorers = {"Neg RMSE": neg_rmse} if numbers else ["roc_auc" if job["task"] == "binary" else "roc_auc_ovr"]
    prediction = max(limits.get("max_prediction_drift") or 0, job["chance"]["prediction"])
    bias = max(limits.get("max_systematic_error") or 0, job["chance"]["mean"])
    skill = brier_skill({int(code): share for code, share in job["shares"].items()})
    return {
        "max_degradation": lambda x: (
            checks.TrainTestPerformance(scorers=scorers, **how).add_condition_train_test_relative_degradation_less_than(
                x
            ),
            degradation,
        ),
        "min_gain": lambda x: (
            checks.SimpleModelComparison(
                scorers=scorers, strategy="most_frequent", **how
            ).add_condition_gain_greater_than(x),
            gain,
        ),
        "min_class_auc": lambda x: (
            checks.RocReport(**how).add_condition_auc_greater_than(x),
            lambda v: min(v.values()),
        ),
        "max_prediction_drift": lambda x: (
            checks.PredictionDrift(**how).add_condition_drift_score_less_than(prediction),
            lambda v: v["Drift score"],
        ),
        "min_brier_skill": lambda x: (
            custom(
                checks.CalibrationScore(**how), f"Brier skill is greater than {x:g}", skill, lambda found: found > x
            ),
            skill,
        ),
        "max_systematic_error": lambda x: (
            checks.RegressionErrorDistribution(**how).add_condition_systematic_error_ratio_to_rmse_less_than(bias),
            lambda v: None,
        ),
        "min_weak_segment": lambda x: (
            checks.WeakSegmentsPerformance(
                n_top_features=4, alternative_scorer={"Neg RMSE": neg_rmse} if numbers else None, **how
            ).add_condition_segments_relative_performance_greater_than(x),
            lambda v: None,
        ),
    }


def dataset(path, job, start):
    """A table as deepchecks takes it; rows of the two sides have different numbers."""
    frame = pd.read_parquet(path)
    frame.index = range(start, start + len(frame))
    columns = job["columns"]
    for name, kind in columns.items():
        if kind == "category":
            frame[name] = frame[name].astype(object).where(frame[name].notna(), np.nan)
        elif kind == "datetime":
            frame[name] = frame[name].astype("datetime64[us]")
        else:
            frame[name] = frame[name].astype("float64")
    if job["task"] != "regression":
        frame[job["target"]] = frame[job["target"]].astype("int64")
    predictions = frame[[name for name in frame if name.startswith(job["prefix"])]]
    return Dataset(
        frame.drop(columns=predictions.columns),
        label=job["target"],
        cat_features=[name for name in job["features"] if columns[name] == "category"],
        features=job["features"],
        index_name=job["id"],
        datetime_name=job["time"],
        label_type=job["task"],
    ), predictions.to_numpy()


def outcome(condition, limit, result, measure):
    """What came of one condition."""
    if isinstance(result, CheckFailure):
        said = " ".join(f"{type(result.exception).__name__}: {result.exception}".split())
        return {"condition": condition, "limit": limit, "status": "error", "expected": "", "value": None, "said": said}
    (judged,) = result.conditions_results
    try:
        value = measure(result.value)
    except (LookupError, TypeError, ValueError):
        value = None
    return {
        "condition": condition,
        "limit": limit,
        "status": STATUS[judged.category.name],
        "expected": judged.name,
        "value": None if value is None or not np.isfinite(value) else float(value),
        "said": " ".join(judged.details.split()),
    }


def main(folder):
    """Run the job of a folder."""
    job = json.loads((folder / "job.json").read_text())
    limits = {name: limit for name, limit in job["conditions"].items() if limit is not None}
    train, said_of_train = dataset(folder / "train.parquet", job, 0)
    holdout, said_of_holdout = dataset(folder / "holdout.parquet", job, train.n_samples)
    kinds = (data_checks if job["suite"] == "data" else model_checks)(job, limits)
    made = {name: kinds[name](limit) for name, limit in limits.items()}
    given = {"model_classes": list(range(len(job["classes"])))} if job["classes"] else {}
    if job["suite"] == "model":
        for side, said in (("train", said_of_train), ("test", said_of_holdout)):
            if job["classes"]:
                given[f"y_proba_{side}"], given[f"y_pred_{side}"] = said[:, 1:], said[:, 0].astype("int64")
            else:
                given[f"y_pred_{side}"] = said[:, 0]
    of_one = [check for check, _ in made.values() if isinstance(check, SingleDatasetCheck)]
    of_two = [check for check, _ in made.values() if not isinstance(check, SingleDatasetCheck)]
    options = {"with_display": True, "feature_importance_timeout": 0}
    if job["suite"] == "data":
        whole, _ = dataset(folder / "whole.parquet", job, 0)
        results = (
            Suite("", *of_one).run(whole, **options).results + Suite("", *of_two).run(train, holdout, **options).results
        )
    else:
        results = Suite("", *of_one, *of_two).run(train, holdout, run_single_dataset="Test", **options, **given).results
    result = SuiteResult(job["title"], results)
    by_check = {id(check): name for name, (check, _) in made.items()}
    found = [
        outcome(name, limits[name], each, made[name][1])
        for each in result.results
        for name in [by_check[id(each.check)]]
    ]
    (folder / "results.json").write_text(json.dumps(found))
    html = folder / "report.html"
    html.unlink(missing_ok=True)
    result.save_as_html(str(html), as_widget=False, unique_id="slipway")
    seen = {}
    text = html.read_text(encoding="utf-8")
    html.write_text(IDS.sub(lambda match: seen.setdefault(match[0], f"i{len(seen)}"), text), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
