"""Base and candidate on the same rows: everything that is measured in one bootstrap, and their paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from slipway.encoding import columns_of
from slipway.errors import UserError
from slipway.metrics import HIGHER_IS_BETTER, Resampled, Scorer, bootstrap
from slipway.predictor import Prediction, Predictor, Values
from slipway.review.verdict import Difference
from slipway.signature import Signature

UNDEFINED = 0.1  # the share of resamples that may leave a metric undefined; an interval of fewer would say too little

Mask = npt.NDArray[np.bool_]


def score(predictor: Predictor, holdout: pl.DataFrame) -> Prediction:
    """Run a model on a prepared table.

    Raises:
        UserError: The table lacks a column that the model needs, or a value that it can read, or what it predicts is
            not finite.
    """
    names = predictor.signature.names
    lacking = [name for name in names if name not in holdout.columns]
    if lacking:
        raise UserError(f"it needs column {lacking[0]!r}, which the data does not have")
    prediction = predictor.predict(columns_of(holdout, names))
    if not np.isfinite(prediction.values).all():
        raise UserError(f"{predictor.file}: predicts values that are not finite")
    return prediction


class OnSlice:
    """Metrics on some of the rows, within the resamples of all of them.

    Args:
        scorer: Of those rows alone.
        mask: Which of all rows they are, shape (n,).
    """

    def __init__(self, scorer: Scorer, mask: Mask) -> None:
        self.rows, self.metrics, self._scorer, self._places = len(mask), scorer.metrics, scorer, np.flatnonzero(mask)

    def replicates(self, weights: npt.NDArray[Any]) -> dict[str, Values]:
        """The metrics of each resample."""
        return self._scorer.replicates(weights.take(self._places, axis=1))


def scorer_of(
    signature: Signature,
    truth: npt.NDArray[Any],
    prediction: Prediction,
    metrics: Sequence[str] | None = None,
    mask: Mask | None = None,
) -> Scorer:
    """The scorer of a model's predictions of all rows, or of those of a mask."""
    if mask is not None:
        labels = None if prediction.labels is None else prediction.labels[mask]
        truth, prediction = truth[mask], Prediction(prediction.values[mask], labels)
    return Scorer(signature.task, truth, prediction, len(signature.classes), metrics)


@dataclass(frozen=True)
class Measured:
    """A quantity on the rows as they are, its percentile interval, and its value in every resample."""

    value: float
    low: float
    high: float
    values: Values = field(repr=False)


def measure(scorers: Sequence[Resampled], resamples: int, confidence: float, seed: int) -> list[dict[str, Measured]]:
    """What each scorer measures, all on the same resamples; what is undefined is left out."""
    drawn = bootstrap(scorers, resamples, seed)
    results = []
    for scorer, replicates in zip(scorers, drawn, strict=True):
        point = scorer.replicates(np.ones((1, scorer.rows)))
        found = {}
        for name, values in replicates.items():
            if np.isfinite(point[name][0]) and np.isnan(values).mean() <= UNDEFINED:
                found[name] = Measured(float(point[name][0]), *percentiles(values, confidence), values)
        results.append(found)
    return results


def percentiles(values: Values, confidence: float) -> tuple[float, float]:
    """The percentile interval of replicates, without those that are undefined."""
    low, high = np.nanquantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def differ(
    metric: str, base: Mapping[str, Measured], candidate: Mapping[str, Measured], confidence: float
) -> Difference:
    """The paired difference of one metric, candidate less base."""
    higher = metric in HIGHER_IS_BETTER
    old, new = base.get(metric), candidate.get(metric)
    found = Difference(
        metric=metric,
        higher_is_better=higher,
        base=None if old is None else old.value,
        candidate=None if new is None else new.value,
    )
    if old is None or new is None:
        return found
    paired = new.values - old.values
    low, high = percentiles(paired, confidence)
    defined = paired[~np.isnan(paired)]
    worse = float(np.mean(defined < 0 if higher else defined > 0))
    return found.model_copy(update={"difference": new.value - old.value, "low": low, "high": high, "worse": worse})
