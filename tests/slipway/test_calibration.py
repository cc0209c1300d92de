import numpy as np
import pytest

from slipway.calibration import CalibrationError
from slipway.predictor import Prediction
from slipway.signature import Signature

BINARY = Signature(task="binary", target="y", classes=("no", "yes"), inputs=(), prior=(0.5, 0.5))
THREE = Signature(task="multiclass", target="y", classes=("a", "b", "c"), inputs=(), prior=(1 / 3,) * 3)
NUMBER = Signature(task="regression", target="y", inputs=(), prior=(0.0,))


def error(signature: Signature, values: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None) -> float:
    labels = None if values.ndim == 1 else values.argmax(axis=1)
    weights = np.ones((1, len(truth))) if weights is None else weights
    return float(CalibrationError(signature, Prediction(values, labels), truth).replicates(weights)["calibration"][0])


def test_it_is_the_mean_gap_over_bins_as_written_out():
    generator = np.random.default_rng(0)
    said = generator.random(1000)
    truth = (generator.random(1000) < said**2).astype(int)
    order = np.argsort(said)
    by_hand = np.mean([abs(truth[rows].mean() - said[rows].mean()) for rows in np.split(order, 10)])
    assert error(BINARY, np.column_stack([1 - said, said]), truth) == pytest.approx(by_hand)


def test_true_probabilities_have_little_and_others_much():
    generator = np.random.default_rng(0)
    said = generator.random(20_000)
    truth = (generator.random(20_000) < said).astype(int)
    assert error(BINARY, np.column_stack([1 - said, said]), truth) < 0.02
    assert error(BINARY, np.column_stack([1 - said**3, said**3]), truth) > 0.2


def test_three_classes_are_judged_one_by_one():
    generator = np.random.default_rng(0)
    said = generator.dirichlet([1, 1, 1], size=20_000)
    truth = np.array([generator.choice(3, p=row) for row in said])
    assert error(THREE, said, truth) < 0.02
    assert error(THREE, said[:, [1, 2, 0]], truth) > 0.2


def test_numbers_are_judged_in_standard_deviations():
    truth = np.random.default_rng(0).normal(size=5000) * 7
    assert error(NUMBER, truth, truth) == pytest.approx(0)
    assert error(NUMBER, truth + 3, truth) == pytest.approx(3 / truth.std())


def test_a_resample_counts_rows_as_often_as_it_holds_them():
    said, truth = np.array([0.1, 0.1, 0.9, 0.9]), np.array([0, 1, 1, 1])
    values = np.column_stack([1 - said, said])
    assert error(BINARY, values, truth, np.array([[2.0, 0, 1, 1]])) == pytest.approx((0.2 + 0.1 + 0.1) / 4)


@pytest.mark.parametrize("rows", [1, 3, 9])
def test_fewer_rows_than_bins_are_no_obstacle(rows):
    assert 0 <= error(BINARY, np.full((rows, 2), 0.5), np.zeros(rows, int)) <= 1


def test_equal_predictions_share_a_bin_whatever_the_order_of_rows():
    truth = np.repeat([0, 1], [700, 300])
    constant = np.full(1000, 0.3)
    assert error(BINARY, np.column_stack([1 - constant, constant]), truth) == pytest.approx(0, abs=1e-12)
    two = np.where(np.arange(1000) % 2, 0.2, 0.8)
    truth = np.concatenate([np.arange(5) < 4, np.arange(5) < 1]).astype(int).repeat(100)
    order = np.argsort(two)[::-1]
    assert error(BINARY, np.column_stack([1 - two[order], two[order]]), truth) == pytest.approx(0, abs=1e-12)
