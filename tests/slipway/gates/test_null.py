"""Two models of the same data are not called different more often than the stated error rate."""

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression, Ridge

from slipway.metrics import Scorer
from slipway.predictor import Prediction
from slipway.review.compare import differ, measure
from slipway.review.gates import not_worse_gates

REPETITIONS, CONFIDENCE = 200, 0.95
TRAIN, HOLDOUT, COLUMNS = 20_000, 300, 5  # so many training rows that the two models truly differ by next to nothing
METRICS = {
    "binary": ("roc_auc", "average_precision", "log_loss", "brier", "f1", "balanced_accuracy"),
    "regression": ("rmse", "mae", "r2", "median_absolute_error"),
}


def differences(task: str, seed: int):
    """Every metric's paired difference of two models, each trained on a resample of the same rows."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(TRAIN + HOLDOUT, COLUMNS))
    signal = X @ (generator.normal(size=COLUMNS) * 0.6)
    if task == "binary":
        y = (generator.random(len(signal)) < 1 / (1 + np.exp(-signal))).astype(int)
    else:
        y = signal + generator.normal(size=len(signal))
    scorers = []
    for _ in range(2):
        rows = generator.integers(TRAIN, size=TRAIN)
        if task == "binary":
            said = LogisticRegression().fit(X[rows], y[rows]).predict_proba(X[TRAIN:])
            prediction = Prediction(said, (said[:, 1] > 0.5).astype(int))
        else:
            prediction = Prediction(Ridge().fit(X[rows], y[rows]).predict(X[TRAIN:]), None)
        scorers.append(Scorer(task, y[TRAIN:], prediction, 2, METRICS[task]))
    base, candidate = measure(scorers, 2000, CONFIDENCE, seed)
    return {name: differ(name, base, candidate, CONFIDENCE) for name in METRICS[task]}


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_two_models_of_the_same_data_are_called_different_no_more_often_than_stated(task):
    called = dict.fromkeys(METRICS[task], 0)
    failed = dict.fromkeys(METRICS[task], 0)
    for seed in range(REPETITIONS):
        found = differences(task, seed)
        for name, difference in found.items():
            called[name] += difference.low > 0 or difference.high < 0
        for gate in not_worse_gates(dict.fromkeys(METRICS[task], 0.0), found):
            failed[gate.name.removeprefix("not_worse.")] += gate.status == "fail"

    # A right procedure exceeds these counts once in a thousand times; one that errs twice as often nearly always.
    assert max(called.values()) <= binom.ppf(0.999, REPETITIONS, 1 - CONFIDENCE), called
    assert max(failed.values()) <= binom.ppf(0.999, REPETITIONS, (1 - CONFIDENCE) / 2), failed


def test_a_model_that_is_truly_worse_is_called_so():
    generator = np.random.default_rng(0)
    truth = generator.integers(2, size=HOLDOUT)
    scores = truth + generator.normal(size=(2, HOLDOUT)) * np.array([[0.7], [1.4]])
    scorers = [
        Scorer("binary", truth, Prediction(np.column_stack([1 - s, s]), (s > 0.5).astype(int)), 2, ["roc_auc"])
        for s in scores
    ]
    found = {"roc_auc": differ("roc_auc", *measure(scorers, 2000, CONFIDENCE, 0), CONFIDENCE)}
    (gate,) = not_worse_gates({"roc_auc": 0.0}, found)
    assert gate.status == "fail"
    assert found["roc_auc"].worse > 0.99
