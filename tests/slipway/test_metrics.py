import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn import metrics as sk

from slipway import metrics
from slipway.metrics import Scorer, bootstrap, choose_threshold, intervals, resample_counts
from slipway.params import Threshold
from slipway.predictor import Prediction

seeds = st.integers(0, 2**32 - 1)


def classification(seed: int, rows: int, classes: int, decimals: int = 1) -> tuple[np.ndarray, Prediction]:
    """Random classes, every one present, and probabilities rounded so that many are tied."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.concatenate([np.arange(classes), rng.integers(0, classes, rows - classes)]))
    raw = (rng.random((rows, classes)) + 0.4 * np.eye(classes)[truth]).round(decimals) + 0.01
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    labels = (probabilities[:, 1] >= 0.45).astype(int) if classes == 2 else probabilities.argmax(axis=1)
    return truth, Prediction(probabilities, labels)


def reference_binary(y: np.ndarray, prediction: Prediction, weights: np.ndarray | None = None) -> dict[str, float]:
    p, labels, w = prediction.values[:, 1], prediction.labels, {"sample_weight": weights}
    return {
        "roc_auc": sk.roc_auc_score(y, p, **w),
        "average_precision": sk.average_precision_score(y, p, **w),
        "log_loss": sk.log_loss(y, prediction.values, labels=[0, 1], **w),
        "brier": sk.brier_score_loss(y, p, **w),
        "f1": sk.f1_score(y, labels, **w),
        "precision": sk.precision_score(y, labels, zero_division=0, **w),
        "recall": sk.recall_score(y, labels, **w),
        "balanced_accuracy": sk.balanced_accuracy_score(y, labels, **w),
    }


def reference_multiclass(y: np.ndarray, prediction: Prediction, weights: np.ndarray | None = None) -> dict[str, float]:
    p, labels, w = prediction.values, prediction.labels, {"sample_weight": weights}
    occurring = np.unique(y if weights is None else y[weights > 0])
    macro: dict[str, Any] = {"labels": occurring, "average": "macro", "zero_division": 0, **w}
    return {
        "roc_auc": np.mean([sk.roc_auc_score(y == k, p[:, k], **w) for k in occurring]),
        "average_precision": np.mean([sk.average_precision_score(y == k, p[:, k], **w) for k in occurring]),
        "log_loss": sk.log_loss(y, p, labels=range(p.shape[1]), **w),
        "brier": sk.brier_score_loss(y, p, labels=range(p.shape[1]), **w),
        "f1": sk.f1_score(y, labels, **macro),
        "precision": sk.precision_score(y, labels, **macro),
        "recall": sk.recall_score(y, labels, **macro),
        "balanced_accuracy": sk.recall_score(y, labels, **macro),
    }


def reference_regression(y: np.ndarray, prediction: Prediction, weights: np.ndarray | None = None) -> dict[str, float]:
    p, w = prediction.values, {"sample_weight": weights}
    return {
        "rmse": sk.root_mean_squared_error(y, p, **w),
        "mae": sk.mean_absolute_error(y, p, **w),
        "r2": sk.r2_score(y, p, **w),
        "median_absolute_error": np.median(np.abs(y - p) if weights is None else np.repeat(np.abs(y - p), weights)),
        "mape": sk.mean_absolute_percentage_error(y, p, **w),
    }


def regression(seed: int, rows: int) -> tuple[np.ndarray, Prediction]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(50, 10, rows).round(1)
    truth[truth == 0] = 0.1
    return truth, Prediction((truth + rng.normal(1, 5, rows)).round(1), None)


def case(task: str, seed: int, rows: int, classes: int) -> tuple[np.ndarray, Prediction, Scorer, Callable[..., Any]]:
    if task == "regression":
        truth, prediction = regression(seed, rows)
        return truth, prediction, Scorer("regression", truth, prediction, 0), reference_regression
    truth, prediction = classification(seed, rows, classes)
    reference = reference_binary if task == "binary" else reference_multiclass
    return truth, prediction, Scorer(task, truth, prediction, classes), reference  # type: ignore[arg-type]


def repeated(prediction: Prediction, counts: np.ndarray) -> Prediction:
    labels = None if prediction.labels is None else np.repeat(prediction.labels, counts)
    return Prediction(np.repeat(prediction.values, counts, axis=0), labels)


tasks = pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 4), ("regression", 0)])


@tasks
@settings(max_examples=40, deadline=None)
@given(seed=seeds, rows=st.integers(6, 60))
def test_point_is_what_scikit_learn_says(task: str, classes: int, seed: int, rows: int) -> None:
    truth, prediction, scorer, reference = case(task, seed, rows, classes)

    found = scorer.point()

    assert list(found) == list(metrics.METRICS[task])  # type: ignore[index]
    assert found == pytest.approx(reference(truth, prediction))


def test_multiclass_point_is_scikit_learns_own_macro_average() -> None:
    truth, prediction = classification(3, 50, 3)
    found = Scorer("multiclass", truth, prediction, 3).point()
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(truth, prediction.values, multi_class="ovr"))
    assert found["average_precision"] == pytest.approx(sk.average_precision_score(truth, prediction.values))
    assert found["f1"] == pytest.approx(sk.f1_score(truth, prediction.labels, average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(truth, prediction.labels))


@tasks
@settings(max_examples=15, deadline=None)
@given(seed=seeds, rows=st.integers(8, 40))
def test_replicates_are_what_scikit_learn_says_of_each_resample(task: str, classes: int, seed: int, rows: int) -> None:
    truth, prediction, scorer, reference = case(task, seed, rows, classes)
    counts = resample_counts(rows, range(4), seed)

    found = scorer.replicates(counts)

    for number, count in enumerate(counts):
        drawn = np.repeat(truth, count)
        one = {name: values[number] for name, values in found.items()}
        if len(np.unique(drawn)) == 1:
            assert np.isnan(one["r2" if task == "regression" else "roc_auc"])
            continue
        if task != "multiclass":
            assert one == pytest.approx(reference(truth, prediction, count))  # as sample weights
        assert one == pytest.approx(reference(drawn, repeated(prediction, count)))  # as a table


def test_a_class_absent_from_the_truth_counts_in_no_macro_average() -> None:
    # Given class 2 never occurs, yet is predicted once
    values = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7], [0.3, 0.6, 0.1]])
    prediction = Prediction(values, values.argmax(axis=1))
    truth = np.array([0, 1, 1, 1])

    found = Scorer("multiclass", truth, prediction, 3).point()

    assert found["precision"] == 1.0  # (1 + 1) / 2; with class 2 it would be 2/3
    assert found["recall"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["roc_auc"] == 1.0


@pytest.mark.parametrize("present", [0, 1])
def test_what_one_class_cannot_tell_is_undefined(present: int) -> None:
    values = np.array([[0.9, 0.1], [0.4, 0.6]])
    found = Scorer("binary", [present, present], Prediction(values, np.array([0, 1])), 2).point()
    undefined = {name for name, value in found.items() if np.isnan(value)}
    of_positives = {"average_precision", "f1", "precision", "recall"}
    assert undefined == ({"roc_auc"} if present else {"roc_auc"} | of_positives)
    assert found["balanced_accuracy"] == 0.5


def test_nothing_predicted_positive_is_precision_zero_not_undefined() -> None:
    values = np.array([[0.9, 0.1], [0.8, 0.2]])
    found = Scorer("binary", [0, 1], Prediction(values, np.array([0, 0])), 2).point()
    assert (found["precision"], found["recall"], found["f1"]) == (0, 0, 0)


def test_certain_and_wrong_is_a_large_loss_not_an_infinite_one() -> None:
    values = np.array([[1.0, 0.0], [0.0, 1.0]])
    found = Scorer("binary", [1, 1], Prediction(values, np.array([0, 1])), 2).point()
    assert found["log_loss"] == pytest.approx(sk.log_loss([1, 1], values, labels=[0, 1]))
    assert 15 < found["log_loss"] < 20


@pytest.mark.parametrize(
    ("truth", "undefined"), [([0.3, 0.3, 0.3], {"r2"}), ([0.0, 1.0, 2.0], {"mape"}), ([1.0], {"r2"})]
)
def test_what_the_numbers_cannot_tell_is_undefined(truth: list[float], undefined: set[str]) -> None:
    found = Scorer("regression", truth, Prediction(np.ones(len(truth)), None), 0).point()
    assert {name for name, value in found.items() if np.isnan(value)} == undefined


def test_mape_stays_undefined_in_resamples_that_miss_the_zero() -> None:
    scorer = Scorer("regression", [0.0, 1.0, 2.0], Prediction(np.ones(3), None), 0)
    assert np.isnan(scorer.replicates(np.array([[0, 2, 1]]))["mape"]).all()


def test_undefined_metrics_raise_no_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Scorer("binary", [0], Prediction(np.array([[0.9, 0.1]]), np.array([0])), 2).point()


@tasks
def test_bootstrap_does_not_depend_on_how_it_is_chunked(
    task: str, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, scorer, _ = case(task, 1, 40, classes)
    (whole,) = bootstrap([scorer], 100, 7)
    monkeypatch.setattr(metrics, "CHUNK_CELLS", 130)  # three resamples at a time
    (chunked,) = bootstrap([scorer], 100, 7)
    (other,) = bootstrap([scorer], 100, 8)
    for name, values in whole.items():
        np.testing.assert_allclose(values, chunked[name], rtol=1e-12)
        assert not np.array_equal(values, other[name])


def test_every_resample_has_a_stream_of_its_own() -> None:
    counts = resample_counts(30, range(5), 0)
    np.testing.assert_array_equal(counts[3:], resample_counts(30, range(3, 5), 0))
    assert (counts.sum(axis=1) == 30).all()
    assert len(np.unique(counts, axis=0)) == 5


def test_models_are_scored_on_the_same_resamples() -> None:
    # Given a model and one that is worse by a constant, the paired difference does not vary at all
    truth, prediction = regression(0, 50)
    worse = Prediction(truth - np.abs(truth - prediction.values) - 1, None)
    first, second = bootstrap([Scorer("regression", truth, p, 0) for p in (prediction, worse)], 50, 0)
    np.testing.assert_allclose(second["mae"] - first["mae"], 1)
    assert first["mae"].std() > 0


def test_models_scored_on_other_rows_cannot_be_paired() -> None:
    *_, short, _ = case("regression", 0, 10, 0)
    *_, long, _ = case("regression", 0, 11, 0)
    with pytest.raises(ValueError, match="same rows"):
        bootstrap([short, long], 10, 0)


@tasks
def test_intervals_hold_the_point_and_are_seeded(task: str, classes: int) -> None:
    *_, scorer, _ = case(task, 5, 200, classes)
    found = intervals(scorer, 400, 0.95, 0)
    assert list(found) == list(scorer.metrics)
    for name, interval in found.items():
        assert interval.low < interval.value < interval.high, name
    assert found == intervals(scorer, 400, 0.95, 0)
    assert found != intervals(scorer, 400, 0.95, 1)


def test_a_higher_confidence_is_a_wider_interval() -> None:
    *_, scorer, _ = case("regression", 5, 100, 0)
    narrow, wide = (intervals(scorer, 400, confidence, 0)["mae"] for confidence in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_undefined_metrics_have_no_interval() -> None:
    prediction = Prediction(np.array([[0.9, 0.1], [0.4, 0.6]] * 5), np.array([0, 1] * 5))
    assert "roc_auc" not in intervals(Scorer("binary", np.zeros(10), prediction, 2), 100, 0.95, 0)
    # One positive: about a third of the resamples miss it, and leave no mark on the interval
    truth = np.array([0] * 9 + [1])
    found = intervals(Scorer("binary", truth, prediction, 2), 100, 0.95, 0)["roc_auc"]
    assert np.isfinite([found.low, found.high]).all()


@pytest.mark.no_cover
@pytest.mark.slow
def test_ninety_percent_intervals_hold_the_true_value_nine_times_in_ten() -> None:
    # Given labels that are right with probability 0.8 in both classes, so that the true balanced accuracy is 0.8
    rng, held, trials = np.random.default_rng(0), 0, 400
    for trial in range(trials):
        truth = rng.integers(0, 2, 300)
        labels = np.where(rng.random(300) < 0.8, truth, 1 - truth)
        scorer = Scorer("binary", truth, Prediction(np.eye(2)[labels], labels), 2)
        interval = intervals(scorer, 300, 0.9, trial)["balanced_accuracy"]
        held += interval.low <= 0.8 <= interval.high
    assert 0.86 <= held / trials <= 0.94


def scored(seed: int, rows: int = 25) -> tuple[np.ndarray, np.ndarray]:
    truth, prediction = classification(seed, rows, 2)
    return truth, prediction.values[:, 1]


def divisions(probability: np.ndarray) -> list[np.ndarray]:
    """Every set of rows that some threshold calls positive."""
    return [(probability >= value).astype(int) for value in np.unique(probability)]


@settings(max_examples=25, deadline=None)
@given(seed=seeds, rule=st.sampled_from(["f1", "balanced_accuracy"]))
def test_no_division_of_the_rows_scores_better_than_the_chosen_one(seed: int, rule: Any) -> None:
    truth, probability = scored(seed)
    score = sk.f1_score if rule == "f1" else sk.balanced_accuracy_score
    chosen = choose_threshold(Threshold(rule=rule), truth, probability)
    best = max(score(truth, labels) for labels in divisions(probability))
    assert score(truth, probability >= chosen) == pytest.approx(best)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, value=st.floats(0.05, 0.99))
def test_recall_and_precision_rules_reach_their_value_with_the_best_of_the_other(seed: int, value: float) -> None:
    truth, probability = scored(seed)
    for rule, score, other in (
        ("recall", sk.recall_score, lambda labels: -labels.sum()),
        ("precision", sk.precision_score, lambda labels: labels.sum()),
    ):
        labels = probability >= choose_threshold(Threshold(rule=rule, value=value), truth, probability)  # type: ignore[arg-type]
        reaching = [each for each in divisions(probability) if score(truth, each) >= value]
        if reaching:
            assert score(truth, labels) >= value
            assert other(labels) == max(other(each) for each in reaching)
        else:
            best = max(score(truth, each) for each in divisions(probability))
            assert score(truth, labels) == pytest.approx(best)


def test_an_unreachable_precision_takes_the_most_precise_threshold() -> None:
    truth, probability = np.array([0, 1, 0, 1]), np.array([0.9, 0.8, 0.2, 0.1])
    assert choose_threshold(Threshold(rule="precision", value=0.9), truth, probability) == pytest.approx(0.5)


def test_a_gap_is_cut_in_its_middle_and_a_tie_goes_to_the_threshold_nearest_to_one_half() -> None:
    truth, probability = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.9])
    assert choose_threshold(Threshold(rule="f1"), truth, probability) == pytest.approx(0.4)
    # Given equal balanced accuracy at every threshold
    truth, probability = np.array([0, 1, 0, 1]), np.array([0.2, 0.2, 0.9, 0.9])
    assert choose_threshold(Threshold(rule="balanced_accuracy"), truth, probability) == pytest.approx(0.55)


def test_the_middle_of_neighbouring_floats_still_parts_them() -> None:
    low = 0.3
    high = float(np.nextafter(low, 1))
    chosen = choose_threshold(Threshold(rule="f1"), np.array([0, 1]), np.array([low, high]))
    assert low < chosen <= high


def test_a_fixed_threshold_is_itself_and_must_be_given() -> None:
    assert choose_threshold(Threshold(rule="fixed", value=0.3), np.array([0, 1]), np.array([0.1, 0.9])) == 0.3
    with pytest.raises(ValidationError):
        Threshold(rule="fixed")
