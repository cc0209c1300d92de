"""The arithmetic behind the metrics: each class turns predictions into something that scores many resamples at once.

Called with the row counts of b resamples, whole numbers of shape (b, n), an instance returns its metrics, each of shape
(b,). Divisions of 0 by 0 yield NaN, "undefined"; the caller silences NumPy's warnings about them.

Counts of a bootstrap come as single bytes and are added up as 32-bit integers: a million of them stay in a core's
cache, where gathering them in the order of a score costs a fraction of what it does in main memory.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Counts = npt.NDArray[Any]  # whole numbers, whatever their type


class _Order(NamedTuple):
    """One class against the rest: its positive and negative rows by falling score, and how they interleave.

    The last three hold a number for each positive: how many negatives are scored at least as high, and, None where
    there are no ties, how many are scored higher, and how many positives are scored at least as high.
    """

    positive: Indices
    negative: Indices
    reached: Indices
    passed: Indices | None
    through: Indices | None


class Ranking:
    """ROC AUC and average precision."""

    def __init__(self, problems: Sequence[tuple[npt.NDArray[np.bool_], Values]]) -> None:
        self._orders = [self._order(belongs, score) for belongs, score in problems]

    @staticmethod
    def _order(belongs: npt.NDArray[np.bool_], score: Values) -> _Order:
        order = np.argsort(-score, kind="stable")
        positive, negative = order[belongs[order]], order[~belongs[order]]
        of_positive, of_negative = -score[positive], -score[negative]
        reached = np.searchsorted(of_negative, of_positive, "right")
        passed = np.searchsorted(of_negative, of_positive, "left")
        through = np.searchsorted(of_positive, of_positive, "right")
        alone = np.array_equal(through, np.arange(1, len(through) + 1))
        tied = not np.array_equal(reached, passed)
        return _Order(positive, negative, reached, passed if tied else None, None if alone else through)

    def __call__(self, weights: Counts) -> dict[str, Values]:
        """ROC AUC and average precision of each resample."""
        scores = [self._score(weights, order) for order in self._orders]
        return {
            "roc_auc": _mean_of_defined(np.stack([auc for auc, _ in scores])),
            "average_precision": _mean_of_defined(np.stack([precision for _, precision in scores])),
        }

    @staticmethod
    def _score(weights: Counts, order: _Order) -> tuple[Values, Values]:
        picked = weights.take(order.positive, axis=1)
        true, false = _cumulated(picked), _cumulated(weights.take(order.negative, axis=1))
        counts = picked.astype(np.float64)
        true_positives = true[:, 1:] if order.through is None else true.take(order.through, axis=1)
        false_positives = false.take(order.reached, axis=1)
        # The pairs of a positive and a negative in the wrong order; a tie counts half (Mann and Whitney, 1947)
        wrong = _row_sums(counts, false_positives.astype(np.float64))
        if order.passed is not None:
            wrong = (wrong + _row_sums(counts, false.take(order.passed, axis=1).astype(np.float64))) / 2
        # Where nothing is predicted positive the row itself is not in the resample, so its term is 0 anyway
        precision = true_positives / np.maximum(true_positives + false_positives, 1)
        total, others = (sums[:, -1].astype(np.float64) for sums in (true, false))
        return 1 - wrong / (total * others), _row_sums(counts, precision) / total


class Losses:
    """Log loss and Brier score: means of a loss of each row."""

    def __init__(self, truth: Indices, probabilities: Values) -> None:
        rows, classes = np.arange(len(truth)), probabilities.shape[1]
        eps = np.finfo(np.float64).eps
        surprise = -np.log(np.clip(probabilities[rows, truth], eps, 1 - eps))
        if classes == 2:
            distance = (probabilities[:, 1] - truth) ** 2
        else:
            distance = (probabilities**2).sum(axis=1) + 1 - 2 * probabilities[rows, truth]
        self._losses = (surprise, distance, np.ones(len(truth)))

    def __call__(self, weights: Counts) -> dict[str, Values]:
        """Both means of each resample."""
        weights = weights.astype(np.float64, copy=False)
        surprise, distance, total = (_row_sums(weights, loss) for loss in self._losses)
        return {"log_loss": surprise / total, "brier": distance / total}


class Decisions:
    """The metrics of predicted labels, from the cells of the confusion matrix that occur."""

    def __init__(self, truth: Indices, labels: Indices, n_classes: int, scored: list[int]) -> None:
        cell = truth * n_classes + labels
        self._order = np.argsort(cell, kind="stable")
        cells, self._starts = np.unique(cell[self._order], return_index=True)
        self._scored, each = scored, np.arange(n_classes)
        self._actual = (cells[:, None] // n_classes == each).astype(np.float64)  # (cells, classes)
        self._predicted = (cells[:, None] % n_classes == each).astype(np.float64)

    def __call__(self, weights: Counts) -> dict[str, Values]:
        """Every metric of labels of each resample."""
        sorted_counts = weights.take(self._order, axis=1)
        counts = np.add.reduceat(sorted_counts, self._starts, axis=1, dtype=np.uint32).astype(np.float64)
        actual, predicted = counts @ self._actual, counts @ self._predicted
        hits = counts @ (self._actual * self._predicted)
        occurs = np.where(actual > 0, 1.0, np.nan)
        per_class = {
            "f1": occurs * 2 * hits / (actual + predicted),
            "precision": occurs * hits / np.maximum(predicted, 1),
            "recall": hits / actual,
        }
        scores = {name: _mean_of_defined(values[:, self._scored].T) for name, values in per_class.items()}
        return scores | {"balanced_accuracy": _mean_of_defined(per_class["recall"].T)}


class Errors:
    """The metrics of predicted numbers."""

    def __init__(self, truth: Values, predicted: Values) -> None:
        error = np.abs(predicted - truth)
        self._order = np.argsort(error, kind="stable")
        self._sorted = error[self._order]
        centred = truth - np.median(truth)  # not the mean: one outlier would leave the others nothing but rounding
        relative = np.full(len(truth), np.nan) if (truth == 0).any() else error / np.abs(truth)
        self._terms = (np.ones(len(truth)), error**2, error, centred, centred**2, relative)

    def __call__(self, weights: Counts) -> dict[str, Values]:
        """Every metric of numbers of each resample."""
        floats = weights.astype(np.float64, copy=False)
        total, squared, absolute, first, second, relative = (_row_sums(floats, term) for term in self._terms)
        spread = second - first**2 / total
        spread[spread <= 1e-12 * second] = np.nan  # nothing but rounding is left: the resampled truth is constant
        return {
            "rmse": np.sqrt(squared / total),
            "mae": absolute / total,
            "r2": 1 - squared / spread,
            "median_absolute_error": self._median(weights, total),
            "mape": relative / total,
        }

    def _median(self, weights: Counts, total: Values) -> Values:
        upto = _cumulated(weights.take(self._order, axis=1))[:, 1:]
        # The rows at the places (t - 1) // 2 and t // 2 of the t sorted errors of the resample
        lower, upper = (
            np.minimum(np.count_nonzero(upto <= place[:, None], axis=1), len(self._sorted) - 1)
            for place in ((total - 1) // 2, total // 2)
        )
        return np.where(total > 0, (self._sorted[lower] + self._sorted[upper]) / 2, np.nan)


def _row_sums(weights: Values, terms: Values) -> Values:
    """Weighted sums of each row, shape (b,), of terms of shape (n,) or (b, n).

    Not a matrix product: BLAS would start threads of its own beside those of the resamples, and the two sets wait for
    each other several times longer than they work.
    """
    return np.asarray(np.einsum("bn,n->b" if terms.ndim == 1 else "bn,bn->b", weights, terms))


def _cumulated(counts: Counts) -> npt.NDArray[np.uint32]:
    """Sums of the first 0, 1, ..., m columns, shape (b, m + 1)."""
    sums = np.zeros((len(counts), counts.shape[1] + 1), np.uint32)
    np.cumsum(counts, axis=1, out=sums[:, 1:])
    return sums


def _mean_of_defined(scores: Values) -> Values:
    """The mean over the classes, the first axis, that leaves out NaN; NaN where nothing is left."""
    defined = ~np.isnan(scores)
    return np.asarray(np.where(defined, scores, 0).sum(axis=0) / defined.sum(axis=0))
