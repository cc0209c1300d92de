"""The picture of both models in a few numbers."""

import numpy as np
import polars as pl
from sklearn.metrics import roc_curve
from world import people

from slipway.review.curve import POINTS, curve_of


def test_the_roc_curve_of_both_models_is_scikit_learns(sound):
    candidate, opponent = sound.candidate(), sound.opponent()
    found = curve_of(candidate, opponent)
    assert found is not None
    for side, said in ((found.candidate, candidate.prediction), (found.base, opponent.prediction)):
        fallout, recall, _ = roc_curve(candidate.truth, said.values[:, 1], drop_intermediate=False)
        assert np.allclose(side, np.interp(np.linspace(0, 1, POINTS), fallout, recall), atol=1e-3)


def test_the_error_of_numbers_is_its_mean_by_tenth_of_the_truth(numbers):
    candidate = numbers.candidate()
    found = curve_of(candidate, numbers.opponent())
    assert found is not None
    assert found.kind == "error"
    assert found.x == tuple(range(1, 11))
    error = np.abs(candidate.prediction.values - candidate.truth)
    first = candidate.truth < np.quantile(candidate.truth, 0.1)
    assert np.isclose(found.candidate[0], error[first].mean(), rtol=1e-3)
    assert np.isclose(np.mean(found.candidate), error.mean(), rtol=0.02)


def test_rows_that_give_no_curve_have_none(sound, numbers):
    one = sound.but(holdout=sound.holdout.filter(pl.col("y") == "no"))
    assert curve_of(one.candidate(), one.opponent()) is None
    few = numbers.but(holdout=people(5, seed=1, task="regression"))
    assert curve_of(few.candidate(), few.opponent()) is None
