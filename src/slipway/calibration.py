"""Whether what a model says comes about as often, or as high, as it says."""

from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.predictor import Prediction, Values
from slipway.signature import Signature

BINS = 10


class CalibrationError:
    """The expected calibration error over bins of equally many rows, by rising prediction.

    For two classes: the mean over the bins of |share of positives - mean probability|, weighted by rows (Naeini, Cooper
    and Hauskrecht, 2015; bins of equal mass as in Nguyen and O'Connor, 2015). For more: its mean over the classes, each
    against the rest (Kull et al., 2019). For numbers: |mean truth - mean prediction| likewise, over the standard
    deviation of the truth.

    Args:
        signature: Of the model; says what the task is.
        prediction: The n predictions.
        truth: The n true class indices, or numbers.
    """

    metrics = ("calibration",)

    def __init__(self, signature: Signature, prediction: Prediction, truth: npt.NDArray[Any]) -> None:
        self.rows, self._scale = len(truth), 1.0
        if signature.task == "regression":
            self._scale = float(np.std(truth)) or 1.0
            outputs = [(truth.astype(np.float64), prediction.values)]
        else:
            scored = [1] if signature.task == "binary" else range(len(signature.classes))
            outputs = [((truth == code).astype(np.float64), prediction.values[:, code]) for code in scored]
        self._outputs = []
        starts = np.unique(np.linspace(0, self.rows, min(BINS, max(self.rows, 1)) + 1).astype(int)[:-1])
        for actual, said in outputs:
            order = np.argsort(said, kind="stable")
            first = np.searchsorted(said[order], said[order][starts], side="left")  # equal predictions share a bin
            self._outputs.append((order, (actual - said)[order], np.unique(first)))

    def replicates(self, weights: npt.NDArray[Any]) -> dict[str, Values]:
        """The error of each resample."""
        total = weights.sum(axis=1)
        errors = [
            np.abs(np.add.reduceat(weights.take(order, axis=1) * residual, starts, axis=1)).sum(axis=1) / total
            for order, residual, starts in self._outputs
        ]
        return {"calibration": np.mean(errors, axis=0) / self._scale}
