import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, zero_one_loss

from slipway.fairness import Gaps, by_group
from slipway.predictor import Prediction
from slipway.signature import Signature

BINARY = Signature(task="binary", target="y", classes=("no", "yes"), inputs=(), prior=(0.5, 0.5))
NUMBER = Signature(task="regression", target="y", inputs=(), prior=(0.0,))
FAIRLEARN = {
    "selection_rate": selection_rate,
    "true_positive_rate": true_positive_rate,
    "false_positive_rate": false_positive_rate,
    "error": zero_one_loss,
}


def masks(groups: np.ndarray) -> dict[str, np.ndarray]:
    return {str(name): groups == name for name in np.unique(groups)}


def predicted(labels) -> Prediction:
    labels = np.asarray(labels)
    return Prediction(np.column_stack([1 - labels, labels]).astype(float), labels)


@pytest.mark.no_cover
@settings(max_examples=25)  # fairlearn takes long for each
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_gaps_of_a_resample_are_those_of_fairlearn_on_the_rows_it_holds(seed, count):
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(count), 12)
    truth, labels = generator.integers(2, size=(2, len(groups)))
    truth[::12], truth[1::12] = 0, 1  # so that no rate of a group is 0 / 0
    kept = np.concatenate([np.arange(len(groups)), generator.integers(len(groups), size=30)])
    weights = np.bincount(kept, minlength=len(groups)).astype(float)[None]
    gaps = Gaps(BINARY, predicted(labels), truth, masks(groups)).replicates(weights)
    frame = MetricFrame(metrics=FAIRLEARN, y_true=truth[kept], y_pred=labels[kept], sensitive_features=groups[kept])
    for name, expected in frame.difference().items():
        assert gaps[name][0] == pytest.approx(expected, abs=1e-12)


def test_rates_by_group_are_fairlearns_and_their_spread_is_the_gap():
    generator = np.random.default_rng(1)
    truth, labels = generator.integers(2, size=(2, 300))
    groups = masks(generator.integers(3, size=300))
    rates = by_group(BINARY, predicted(labels), truth, groups)
    gaps = Gaps(BINARY, predicted(labels), truth, groups).replicates(np.ones((1, 300)))
    for name in FAIRLEARN:
        assert gaps[name][0] == pytest.approx(max(rates[name].values()) - min(rates[name].values()))


def test_the_error_of_numbers_is_in_standard_deviations_of_the_truth():
    generator = np.random.default_rng(1)
    truth, groups = generator.normal(size=200) * 10, masks(np.arange(200) % 2)
    said = truth + np.where(groups["1"], 5.0, 1.0)
    rates = by_group(NUMBER, Prediction(said, None), truth, groups)["error"]
    assert rates["1"] == pytest.approx(mean_absolute_error(truth[groups["1"]], said[groups["1"]]) / truth.std())
    gap = Gaps(NUMBER, Prediction(said, None), truth, groups).replicates(np.ones((1, 200)))
    assert gap["error"][0] == pytest.approx(4 / truth.std())


def test_a_group_without_positives_has_no_true_positive_rate():
    truth, labels = np.array([1, 1, 0, 0, 0, 1]), np.array([1, 0, 1, 0, 1, 1])
    groups = {"a": np.array([1, 1, 0, 0, 0, 0], bool), "b": np.array([0, 0, 1, 1, 0, 0], bool)}
    groups["c"] = ~groups["a"] & ~groups["b"]
    assert set(by_group(BINARY, predicted(labels), truth, groups)["true_positive_rate"]) == {"a", "c"}
    gaps = Gaps(BINARY, predicted(labels), truth, groups).replicates(np.ones((1, 6)))
    assert gaps["true_positive_rate"][0] == 0.5
    alone = {"a": groups["a"], "b": groups["b"]}
    assert np.isnan(Gaps(BINARY, predicted(labels), truth, alone).replicates(np.ones((1, 6)))["true_positive_rate"][0])
