"""How differently a model treats the groups of a sensitive column: rates by group, and their gaps with intervals.

The rates are fairlearn's. Its own bootstrap goes through pandas a resample at a time, so the intervals come from
weighted sums, which a test holds equal to fairlearn's differences.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from slipway.errors import UserError
from slipway.params import Params, Slice
from slipway.predictor import Prediction, Values
from slipway.schema import Schema
from slipway.signature import Signature
from slipway.slices import slice_masks

RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")  # of a binary model's positive class
Groups = Mapping[str, npt.NDArray[np.bool_]]  # the rows of each group, each shape (n,)


@dataclass(frozen=True)
class Grouping:
    """The groups of a sensitive column that have enough rows, and who has too few; `why` there are not two of them."""

    groups: Groups
    small: tuple[str, ...] = ()
    why: str = ""


def sensitive_groups(frame: pl.DataFrame, schema: Schema, params: Params) -> dict[str, Grouping]:
    """The groups of each sensitive column."""
    found = {}
    pieces, least = {piece.column: piece for piece in params.evaluate.slices}, params.gates.fairness.min_rows
    for column in schema.sensitive:
        try:
            cut = list(slice_masks(frame, [pieces.get(column, Slice(column=column))]))
        except UserError:
            why = f"{column!r} must be cut into groups: name it in evaluate.slices with `bins`"
            found[column] = Grouping({}, why=why)
            continue
        groups = {value: mask for _, value, mask in cut if mask.sum() >= least}
        few = f"{column!r} has fewer than two groups of {least} rows or more in the holdout"
        small = tuple(value for _, value, mask in cut if mask.sum() < least)
        found[column] = Grouping(groups, small, few if len(groups) < 2 else "")
    return found


def by_group(
    signature: Signature, prediction: Prediction, truth: npt.NDArray[Any], groups: Groups
) -> dict[str, dict[str, float]]:
    """Each rate of each group that has rows for it to count, as a true positive rate needs positive ones.

    Args:
        signature: Of the model; says what the task is.
        prediction: The n predictions.
        truth: The n true class indices, or numbers.
        groups: The groups.

    Returns:
        By rate and group. `error` is the share of wrong labels, or the mean absolute error over the standard deviation
        of the truth.
    """
    from fairlearn.metrics import false_positive_rate, selection_rate, true_positive_rate

    labels = prediction.labels
    if labels is None:
        error = np.abs(prediction.values - truth) / (float(np.std(truth)) or 1.0)
        return {"error": {name: float(error[mask].mean()) for name, mask in groups.items()}}
    found = {"error": {name: float((labels[mask] != truth[mask]).mean()) for name, mask in groups.items()}}
    if signature.task == "binary":
        rates = (("selection_rate", selection_rate, None), ("true_positive_rate", true_positive_rate, 1))
        for rate, measure, needed in (*rates, ("false_positive_rate", false_positive_rate, 0)):
            counted = {name: mask for name, mask in groups.items() if needed is None or (truth[mask] == needed).any()}
            found[rate] = {
                name: float(measure(truth[mask], labels[mask], pos_label=1)) for name, mask in counted.items()
            }
    return found


class Gaps:
    """The greatest gap between the groups of one column, in several rates at once.

    Args:
        signature: Of the model; says what the task is.
        prediction: The n predictions.
        truth: The n true class indices, or numbers.
        groups: The groups, two or more.
    """

    def __init__(
        self,
        signature: Signature,
        prediction: Prediction,
        truth: npt.NDArray[Any],
        groups: Groups,
    ) -> None:
        self.rows = len(truth)
        self.metrics = (*(RATES if signature.task == "binary" else ()), "error")
        self._places = [np.flatnonzero(mask) for mask in groups.values()]
        if prediction.labels is None:
            spread = float(np.std(truth)) or 1.0
            self._terms = {"error": (np.abs(prediction.values - truth) / spread, np.ones(self.rows))}
            return
        wrong, chosen = (prediction.labels != truth).astype(np.float64), prediction.labels.astype(np.float64)
        every, positive = np.ones(self.rows), (truth == 1).astype(np.float64)
        self._terms = {"error": (wrong, every)}
        if signature.task == "binary":
            self._terms |= {
                "selection_rate": (chosen, every),
                "true_positive_rate": (chosen * positive, positive),
                "false_positive_rate": (chosen * (1 - positive), 1 - positive),
            }

    def replicates(self, weights: npt.NDArray[Any]) -> dict[str, Values]:
        """Every gap of each resample; a group without a row that counts, as no positive one, is left out."""
        rates: dict[str, list[Values]] = {name: [] for name in self.metrics}
        for places in self._places:
            counts = weights.take(places, axis=1).astype(np.float64)
            for name in self.metrics:
                part, whole = (term[places] for term in self._terms[name])
                with np.errstate(invalid="ignore"):
                    rates[name].append(np.einsum("bn,n->b", counts, part) / np.einsum("bn,n->b", counts, whole))
        return {name: _gap(np.stack(found)) for name, found in rates.items()}


def _gap(rates: Values) -> Values:
    """Greatest less least over the groups, the first axis; NaN where fewer than two groups have a rate."""
    defined = ~np.isnan(rates)
    gap = np.where(defined, rates, -np.inf).max(axis=0) - np.where(defined, rates, np.inf).min(axis=0)
    return np.asarray(np.where(defined.sum(axis=0) > 1, gap, np.nan))
