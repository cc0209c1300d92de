"""What a model's predictions are worth: metrics, and their percentile bootstrap intervals, vectorised over resamples.

Every metric is computed from integer row counts, so that a point estimate is the case "each row once" and a resample
costs a few passes over an array. Definitions are scikit-learn's, with one rule of our own: a metric that says nothing
about the rows at hand is undefined (NaN) rather than 0 or 1.

- The macro forms are means over the classes that occur in the truth of the (re)sample. This depends on the truth alone,
  so two models are always averaged over the same classes.
- ROC AUC and average precision are one against the rest; a class has an ROC AUC only if another class occurs too.
- Binary precision, recall, F1 and average precision are of class 1 and undefined where it does not occur; precision
  is 0 where nothing is predicted positive (`zero_division=0`).
- Brier is (p - y)^2 for two classes, the squared distance of the probability vector to the one-hot truth for more.
- R2 is undefined for a constant truth, MAPE wherever the whole truth holds a zero.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from slipway.measures import Decisions, Errors, Losses, Ranking, Values

if TYPE_CHECKING:
    from slipway.params import Threshold
    from slipway.predictor import Prediction
    from slipway.schema import Task

_CLASSIFICATION = (
    "roc_auc", "average_precision", "log_loss", "brier", "f1", "precision", "recall", "balanced_accuracy",
)  # fmt: skip
METRICS: dict["Task", tuple[str, ...]] = {
    "binary": _CLASSIFICATION,
    "multiclass": _CLASSIFICATION,
    "regression": ("rmse", "mae", "r2", "median_absolute_error", "mape"),
}
HIGHER_IS_BETTER = frozenset({*_CLASSIFICATION, "r2"} - {"log_loss", "brier"})

CHUNK_CELLS = 250_000  # resamples x rows that one thread holds at a time: few enough to stay in a core's cache


class Resampled(Protocol):
    """What can be measured on many resamples of n rows at once."""

    @property
    def rows(self) -> int:
        """The number of rows, n."""
        ...

    @property
    def metrics(self) -> Sequence[str]:
        """What is measured."""
        ...

    def replicates(self, weights: npt.NDArray[Any]) -> dict[str, Values]:
        """Every metric of b resamples, each shape (b,), NaN where undefined; `weights` is of shape (b, n)."""
        ...


class Scorer:
    """One model's predictions of n rows, prepared once for fast scoring of many resamples.

    Args:
        task: What kind of prediction it is.
        truth: The n true class indices, or numbers.
        prediction: The n predictions.
        n_classes: The number of classes; ignored for regression.
        metrics: Those to measure; None is all of the task.
    """

    def __init__(
        self,
        task: "Task",
        truth: npt.ArrayLike,
        prediction: "Prediction",
        n_classes: int,
        metrics: Sequence[str] | None = None,
    ) -> None:
        self.task, self.metrics = task, METRICS[task] if metrics is None else tuple(metrics)
        self._parts: list[Ranking | Decisions | Losses | Errors] = []
        if task == "regression":
            numbers = np.asarray(truth, np.float64)
            self.rows, self._parts = len(numbers), [Errors(numbers, prediction.values)]
            return
        assert prediction.labels is not None  # noqa: S101
        classes = np.asarray(truth, np.int64)
        scored = [1] if task == "binary" else list(range(n_classes))
        self.rows, wanted = len(classes), set(self.metrics)
        if wanted & {"roc_auc", "average_precision"}:
            self._parts.append(Ranking([(classes == index, prediction.values[:, index]) for index in scored]))
        if wanted & {"log_loss", "brier"}:
            self._parts.append(Losses(classes, prediction.values))
        if wanted & {"f1", "precision", "recall", "balanced_accuracy"}:
            self._parts.append(Decisions(classes, prediction.labels, n_classes, scored))

    def point(self) -> dict[str, float]:
        """Every metric of the rows as they are; NaN where undefined."""
        return {name: float(values[0]) for name, values in self.replicates(np.ones((1, self.rows))).items()}

    def replicates(self, weights: npt.NDArray[Any]) -> dict[str, Values]:
        """Every metric of b resamples, each shape (b,), NaN where undefined.

        Args:
            weights: How often each resample holds each row, whole numbers, shape (b, n).
        """
        counts = weights if weights.dtype.kind == "u" else weights.astype(np.uint32)
        with np.errstate(divide="ignore", invalid="ignore"):  # 0/0 is how "undefined" arises
            found = {name: values for part in self._parts for name, values in part(counts).items()}
        return {name: found[name] for name in self.metrics}


def resample_counts(rows: int, resamples: range, seed: int) -> npt.NDArray[np.uint8]:
    """How often each of the numbered resamples, drawn with replacement, holds each row; shape (resamples, rows).

    Every resample has a stream of its own, so its draws depend on nothing but the rows, its number and the seed. A byte
    is enough: that a row is drawn more than 255 times has a probability of less than rows / 256!.
    """
    counts = np.empty((len(resamples), rows), np.uint8)
    for row, number in enumerate(resamples):
        stream = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(number,))))
        counts[row] = np.bincount(stream.integers(rows, size=rows), minlength=rows)
    return counts


def bootstrap(scorers: Sequence[Resampled], resamples: int, seed: int) -> list[dict[str, Values]]:
    """Score the same resamples with every scorer, so that differences between them are paired.

    Args:
        scorers: Models scored on the same n rows, in the same order.
        resamples: How many times n rows are drawn with replacement.
        seed: Of the draws; the same seed, n and number give the same resamples on any number of threads.

    Returns:
        For each scorer its replicates of each metric, shape (resamples,), NaN where a resample leaves one undefined.
    """
    if len({scorer.rows for scorer in scorers}) > 1:
        raise ValueError("paired models must be scored on the same rows")
    rows = scorers[0].rows
    size = max(1, CHUNK_CELLS // max(rows, 1))

    def score(start: int) -> list[dict[str, Values]]:
        counts = resample_counts(rows, range(start, min(start + size, resamples)), seed)
        return [scorer.replicates(counts) for scorer in scorers]

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # bounded, since each thread holds a chunk
        chunks = list(pool.map(score, range(0, resamples, size)))
    return [
        {name: np.concatenate([chunk[number][name] for chunk in chunks]) for name in scorer.metrics}
        for number, scorer in enumerate(scorers)
    ]


@dataclass(frozen=True)
class Interval:
    """A metric's value on the rows as they are, and its percentile bootstrap interval."""

    value: float
    low: float
    high: float


def intervals(scorer: Scorer, resamples: int, confidence: float, seed: int) -> dict[str, Interval]:
    """Percentile bootstrap intervals (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).

    Resamples in which a metric is undefined are left out of its interval. A metric that is undefined on the rows
    themselves, or in every resample, is left out altogether: the result holds no NaN.

    Args:
        scorer: The predictions.
        resamples: The number of resamples.
        confidence: The share of the replicates between low and high, as 0.95.
        seed: Of the resamples.
    """
    found = {}
    (replicates,) = bootstrap([scorer], resamples, seed)
    for name, value in scorer.point().items():
        defined = replicates[name][~np.isnan(replicates[name])]
        if not np.isnan(value) and len(defined):
            low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
            found[name] = Interval(value, float(low), float(high))
    return found


def choose_threshold(rule: "Threshold", truth: npt.ArrayLike, positive_probability: Values) -> float:
    """The decision threshold that a rule prefers; a row is positive where its probability is at least the threshold.

    The candidates are 0 and the midpoints between neighbouring distinct probabilities, so every division of the rows is
    tried but "none is positive". Of equally good candidates the one nearest to 0.5 is taken, then the lower.

    Args:
        rule: `f1` and `balanced_accuracy` take the best; `recall` the highest threshold that reaches the rule's value;
            `precision` the lowest that reaches it, or the most precise one if none does; `fixed` the value itself.
        truth: The true class indices, 0 or 1, shape (n,).
        positive_probability: Out-of-fold probabilities of class 1, shape (n,).
    """
    if rule.rule == "fixed":
        assert rule.value is not None  # noqa: S101  # the rule's own validation
        return rule.value
    scores, group = np.unique(positive_probability, return_inverse=True)
    middle = scores[:-1] + np.diff(scores) / 2
    candidates = np.concatenate([[0.0], np.where(middle > scores[:-1], middle, scores[1:])])
    positives = np.bincount(group, np.asarray(truth, np.float64), len(scores))
    counts = np.bincount(group, minlength=len(scores))
    true = positives[::-1].cumsum()[::-1]  # positives at or above each candidate, rising order
    predicted = counts[::-1].cumsum()[::-1]
    total, negatives = max(true[0], 1), max(predicted[0] - true[0], 1)
    recall, precision = true / total, true / predicted
    match rule.rule:
        case "f1":
            score = 2 * true / (true[0] + predicted)
        case "balanced_accuracy":
            score = recall - (predicted - true) / negatives
        case "recall":
            return float(candidates[recall >= rule.value][-1])
        case _:
            reached = precision >= rule.value
            if reached.any():
                return float(candidates[reached][0])
            score = precision
    best = candidates[score == score.max()]
    return float(best[np.argmin(np.abs(best - 0.5))])
