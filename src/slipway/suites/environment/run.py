"""Runs deepchecks on tables that are handed over as files, in an environment of its own; knows nothing of Slipway.

`python run.py FOLDER ...` reads in each folder `job.json`, `train.parquet`, `holdout.parquet` and, for the data suite,
`whole.parquet` (both together), and writes `results.json` and `report.html`. A check that raises is one that could not
run.
"""

import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

os.environ["DISABLE_LATEST_VERSION_CHECK"] = "1"  # or it asks the network for a newer version when it is imported
warnings.simplefilter("ignore")

import deepchecks  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from deepchecks.core import CheckFailure, ConditionCategory, ConditionResult, SuiteResult  # noqa: E402
from deepchecks.tabular import Dataset, SingleDatasetCheck, Suite, checks  # noqa: E402

# deepchecks only warns of some conditions, such as duplicates; a limit that somebody set is meant. The weakest segment
# is searched for among many, so chance alone makes a weak one.
STATUS = {"PASS": "passed", "FAIL": "failed", "WARN": "failed", "ERROR": "error"}
WARNINGS = {"min_weak_segment"}
IDS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=T_)[0-9a-f]{5}")  # made anew for every report
HARMLESS = str.maketrans("<>&\"'`", "\u2039\u203a\uff06\u201d\u2019\u2019")

Job = dict[str, Any]
Made = tuple[Any, Callable[[Any], Any]]  # a check with its condition, and how a number is read from the check's value


def harmless(text: Any) -> Any:
    """A text without what a page would take for its own: deepchecks writes names and values into HTML as they are."""
    return text.translate(HARMLESS) if isinstance(text, str) else text


def neg_rmse(model: Any, X: Any, y: Any) -> float:
    """Minus the root mean squared error; deepchecks' own asks scikit-learn for an argument that is gone."""
    return -float(np.sqrt(np.mean(_errors(model, X, y) ** 2)))


def systematic_error(model: Any, X: Any, y: Any) -> float:
    """The mean error over its root mean square."""
    error = _errors(model, X, y)
    return float(error.mean() / (np.sqrt(np.mean(error**2)) or 1.0))


def _errors(model: Any, X: Any, y: Any) -> Any:
    return np.asarray(model.predict(X), float) - np.asarray(y, float)


def largest(values: Iterable[Any]) -> float | None:
    """The largest of some numbers, None of none."""
    return max((float(value) for value in values if value is not None and np.isfinite(value)), default=None)


def custom(
    check: Any,
    name: str,
    measure: Callable[[Any], float],
    holds: Callable[[float], bool],
    where: Callable[[Any], str] = lambda _: "",
) -> Made:
    """Give a check a condition of our own: what is measured of its value, whether that is allowed, where it is."""

    def judge(value: Any) -> Any:
        found = measure(value)
        category = ConditionCategory.PASS if holds(found) else ConditionCategory.FAIL
        return ConditionResult(category, f"Found {found:.4g}{where(value)}")

    return check.add_condition(name, judge), measure


class BrierSkill:
    """How much better than always saying the class shares the Brier score of each class is, least of the classes.

    deepchecks' own calibration check takes the wrong probabilities where a class is absent. `best` is what the least of
    the classes may have in truth, by three standard errors: few rows make a fair model look worse than a guess.
    """

    def __init__(self, shares: Mapping[str, float]) -> None:
        self.shares, self.best = shares, float("nan")

    def __call__(self, model: Any, X: Any, y: Any) -> float:
        """The skill of a model on some rows."""
        said, truth = np.asarray(model.predict_proba(X), float), np.asarray(y)
        codes = truth.argmax(axis=1) if truth.ndim > 1 else truth.astype(int)
        skills, best = [], []
        for code in range(said.shape[1]):
            share, happened = self.shares[str(code)], codes == code
            if alone := share * (1 - share):
                gained = ((share - happened) ** 2 - (said[:, code] - happened) ** 2) / alone
                skills.append(float(gained.mean()))
                best.append(skills[-1] + 3 * float(gained.std()) / np.sqrt(len(gained)))
        self.best = min(best)
        return min(skills)


def variants(value: Any) -> int:
    """How many columns have strings that differ in case or punctuation only."""
    return sum(bool(found) for found in value["columns"].values())


def spellings(value: Any) -> str:
    """The columns with variants, and some of these."""
    found = [
        f"{column!r} has {', '.join(repr(entry['variant']) for entry in each)}"
        for column, groups in value["columns"].items()
        for each in [*groups.values()][:1]
    ]
    return ": " + "; ".join(found[:3]) if found else ""


def degradation(value: Any) -> float | None:
    """By how much the holdout scores less than the training rows, relative, of the score where it is most."""
    table = value.assign(Class=value["Class"].fillna("") if "Class" in value else "")
    wide = table.pivot_table(index=["Class", "Metric"], columns="Dataset", values="Value", dropna=False)
    return largest((wide["Train"] - wide["Test"]) / wide["Train"].abs())


def gain(value: Any) -> float:
    """Of the way from the simple model's score to perfection how much the model goes, least of classes and scores."""
    gains = []
    for name, scores in value["scores"].items():
        for pair in scores.values() if "Origin" not in scores else [scores]:
            way = value["scorers_perfect"][name] - pair["Simple"]
            gains.append((pair["Origin"] - pair["Simple"]) / way if way else 0.0)
    return min(gains)


def data_checks(job: Job) -> dict[str, Callable[[Any], Made]]:
    """The data suite: by condition, from its limit, the check; drift may be what chance makes of few rows."""
    how, chance = {"n_samples": job["sample"], "random_state": job["seed"]}, job["chance"]
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
        "max_string_variants": lambda x: custom(
            checks.StringMismatch(**how),
            f"Columns with string variants are at most {x}",
            variants,
            lambda v: v <= x,
            spellings,
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
        "max_shared_ids": lambda x: (checks.IndexTrainTestLeakage(**how).add_condition_ratio_less_or_equal(x), float),
        "max_overlap": lambda x: (
            checks.DateTrainTestLeakageOverlap(**how).add_condition_leakage_ratio_less_or_equal(x),
            float,
        ),
        "max_drift": lambda x: (
            checks.FeatureDrift(**how).add_condition_drift_score_less_than(
                max(x, chance["category"]), max(x, chance["number"])
            ),
            lambda v: largest(entry["Drift score"] for entry in v.values()),
        ),
        "max_label_drift": lambda x: (
            checks.LabelDrift(**how).add_condition_drift_score_less_than(max(x, chance["label"])),
            lambda v: v["Drift score"],
        ),
        "max_multivariate_drift": lambda x: (
            checks.MultivariateDrift(**how).add_condition_overall_drift_value_less_than(max(x, chance["together"])),
            lambda v: v["domain_classifier_drift_score"],
        ),
    }


def model_checks(job: Job) -> dict[str, Callable[[Any], Made]]:
    """The model suite: by condition, from its limit, the check."""
    how, chance = {"n_samples": job["sample"], "random_state": job["seed"]}, job["chance"]
    numbers = job["task"] == "regression"
    scorers: Any = {"Neg RMSE": neg_rmse} if numbers else ["roc_auc" if job["task"] == "binary" else "roc_auc_ovr"]

    skill = BrierSkill(job["shares"])

    def bias(limit: float) -> Made:
        allowed = max(limit, chance["mean"])
        check = checks.SingleDatasetPerformance(scorers={"Systematic error": systematic_error}, **how)
        name = f"Mean error is at most {allowed:.3g} of the root mean squared error"
        return custom(check, name, lambda v: float(v["Value"].abs().max()), lambda v: v <= allowed)

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
            lambda v: float(np.min([*v.values()])),  # NaN if one is
        ),
        "max_prediction_drift": lambda x: (
            checks.PredictionDrift(**how).add_condition_drift_score_less_than(max(x, chance["prediction"])),
            lambda v: v["Drift score"],
        ),
        "min_brier_skill": lambda x: custom(
            checks.SingleDatasetPerformance(scorers={"Brier skill": skill}, **how),
            f"Brier skill is greater than {x:g}, within three standard errors",
            lambda v: float(v["Value"].min()),
            lambda _: skill.best > x,
        ),
        "max_systematic_error": bias,
        "min_weak_segment": lambda x: (
            checks.WeakSegmentsPerformance(
                n_top_features=4, alternative_scorer={"Neg RMSE": neg_rmse} if numbers else None, **how
            ).add_condition_segments_relative_performance_greater_than(x),
            lambda v: float(v["weak_segments_list"].iloc[0, 0] / v["avg_score"]),
        ),
    }


def with_harmless_names(job: Job) -> Job:
    """The job with names that HTML may hold; two that become one are told apart by a mark."""
    names: dict[str, str] = {}
    for name in [*job["columns"], job["target"]]:
        safe = harmless(name)
        while safe in names.values():
            safe += "\u2032"
        names[name] = safe
    roles = {role: names.get(job[role]) for role in ("target", "id", "time")}
    columns = {names[name]: kind for name, kind in job["columns"].items()}
    return job | roles | {"names": names, "columns": columns, "features": [names[name] for name in job["features"]]}


def dataset(path: Path, job: Job, start: int) -> tuple[Any, Any]:
    """A table as deepchecks takes it, and the predictions in it; rows are numbered from `start`, each side its own."""
    frame = pd.read_parquet(path).rename(columns=job["names"])
    frame.index = range(start, start + len(frame))
    columns = job["columns"]
    for name, kind in columns.items():
        if kind == "category":
            frame[name] = frame[name].astype(object).where(frame[name].notna(), np.nan).map(harmless)
        else:
            frame[name] = frame[name].astype("datetime64[us]" if kind == "datetime" else "float64")
    if job["classes"]:
        frame[job["target"]] = frame[job["target"]].astype("int64")
    said = [name for name in frame if name.startswith(job["prefix"])]
    table = Dataset(
        frame.drop(columns=said),
        label=job["target"],
        cat_features=[name for name in job["features"] if columns[name] == "category"],
        features=job["features"],
        index_name=job["id"],
        datetime_name=job["time"],
        label_type=job["task"],
    )
    return table, frame[said].to_numpy()


def predictions(job: Job, train: Any, holdout: Any) -> dict[str, Any]:
    """What the model says of both sides, as deepchecks takes it."""
    if not job["classes"]:
        return {"y_pred_train": train[:, 0], "y_pred_test": holdout[:, 0]}
    sides = (("train", train), ("test", holdout))
    labels = {f"y_pred_{side}": said[:, 0].astype("int64") for side, said in sides}
    return (
        labels | {f"y_proba_{side}": said[:, 1:] for side, said in sides} | {"model_classes": [*range(job["classes"])]}
    )


def outcome(condition: str, limit: float, result: Any, measure: Callable[[Any], Any]) -> Mapping[str, Any]:
    """What came of one condition."""
    found = {"condition": condition, "limit": limit}
    if isinstance(result, CheckFailure):
        said = " ".join(f"{type(result.exception).__name__}: {result.exception}".split())
        return found | {"status": "error", "expected": "", "value": None, "said": said}
    (judged,) = result.conditions_results
    status = STATUS[judged.category.name]
    try:
        value = measure(result.value)
    except (LookupError, TypeError, ValueError):  # a value that has no number to show, as of no weak segment
        value = None
    if value is not None and np.isnan(value):  # deepchecks passes an AUC of one class
        status = "error"
    return found | {
        "status": "warned" if status == "failed" and condition in WARNINGS else status,
        "expected": judged.name,
        "value": None if value is None or not np.isfinite(value) else float(value),
        "said": " ".join(judged.details.split()),
    }


def main(folder: Path) -> None:
    """Run the job of a folder."""
    job = with_harmless_names(json.loads((folder / "job.json").read_text()))
    limits = {name: limit for name, limit in job["conditions"].items() if limit is not None}
    data = job["suite"] == "data"
    known = data_checks(job) if data else model_checks(job)
    made = {name: known[name](limit) for name, limit in limits.items()}
    train, said_of_train = dataset(folder / "train.parquet", job, 0)
    holdout, said_of_holdout = dataset(folder / "holdout.parquet", job, train.n_samples)
    options: dict[str, Any] = {"with_display": True, "feature_importance_timeout": 0}
    if data:
        whole, _ = dataset(folder / "whole.parquet", job, 0)
        alone = [check for check, _ in made.values() if isinstance(check, SingleDatasetCheck)]
        apart = [check for check, _ in made.values() if not isinstance(check, SingleDatasetCheck)]
        results = Suite("", *alone).run(whole, **options).results if alone else []
        results += Suite("", *apart).run(train, holdout, **options).results if apart else []
    else:
        options |= predictions(job, said_of_train, said_of_holdout) | {"run_single_dataset": "Test"}
        results = Suite("", *(check for check, _ in made.values())).run(train, holdout, **options).results
    names = {id(check): name for name, (check, _) in made.items()}
    found = [outcome(name, limits[name], each, made[name][1]) for each in results for name in [names[id(each.check)]]]
    (folder / "results.json").write_text(json.dumps(found))
    html = folder / "report.html"
    html.unlink(missing_ok=True)
    SuiteResult(job["title"], results).save_as_html(str(html), as_widget=False, unique_id="slipway")
    seen: dict[str, str] = {}
    text = html.read_text(encoding="utf-8").replace("<head>", f"<head>\n<title>{job['title']}</title>", 1)
    html.write_text(IDS.sub(lambda match: seen.setdefault(match[0], f"i{len(seen)}"), text), encoding="utf-8")


if __name__ == "__main__":
    deepchecks.set_verbosity(logging.ERROR)
    logging.disable(logging.WARNING)
    for name in sys.argv[1:]:
        main(Path(name))
