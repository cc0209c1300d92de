"""The conditions of the suites, each as a deepchecks check, and what deepchecks has no check, or a broken one, for."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from deepchecks.core import ConditionCategory, ConditionResult
from deepchecks.tabular import checks

Job = dict[str, Any]
Made = tuple[Any, Callable[[Any], Any]]  # a check with its condition, and how a number is read from the check's value


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
