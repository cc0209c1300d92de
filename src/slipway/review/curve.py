"""One picture of both models in a few numbers, for where no image can be shown."""

import numpy as np
import numpy.typing as npt

from slipway.plots import roc_points
from slipway.predictor import Prediction
from slipway.review.candidate import Candidate
from slipway.review.judge import Opponent
from slipway.review.verdict import Curve

POINTS = 21
TENTHS = 10

Numbers = npt.NDArray[np.float64]


def curve_of(candidate: Candidate, opponent: Opponent) -> Curve | None:
    """The curve of the candidate, and of the base where it can be compared; None if the rows do not give one."""
    sides = [candidate.prediction] + ([opponent.prediction] if opponent.prediction is not None else [])
    if candidate.schema.target.task == "regression":
        edges = np.quantile(candidate.truth, np.linspace(0, 1, TENTHS + 1)[1:-1])
        place = np.searchsorted(edges, candidate.truth, side="right")
        if len(np.unique(place)) < TENTHS:
            return None
        x = np.arange(1.0, TENTHS + 1)
        lines = [_error(place, np.abs(side.values - candidate.truth)) for side in sides]
        return Curve(kind="error", x=_rounded(x), candidate=_rounded(lines[0]), base=_rounded(*lines[1:]))
    x = np.linspace(0, 1, POINTS)
    roc = [_roc(candidate.truth, side, x) for side in sides]
    if any(line is None for line in roc):
        return None
    found = [line for line in roc if line is not None]
    return Curve(kind="roc", x=_rounded(x), candidate=_rounded(found[0]), base=_rounded(*found[1:]))


def _error(place: npt.NDArray[np.intp], error: Numbers) -> Numbers:
    return np.asarray(np.bincount(place, error, TENTHS) / np.bincount(place, minlength=TENTHS))


def _roc(truth: npt.NDArray[np.int64], prediction: Prediction, x: Numbers) -> Numbers | None:
    """True positive rates at false positive rates, the mean over the classes that some rows have and some have not."""
    classes = [1] if prediction.values.shape[1] == 2 else range(prediction.values.shape[1])
    lines = []
    for code in classes:
        points = roc_points(truth == code, prediction.values[:, code])
        if points is not None:
            lines.append(np.interp(x, *points))
    return np.asarray(np.mean(lines, axis=0)) if lines else None


def _rounded(*values: Numbers) -> tuple[float, ...]:
    return tuple(float(f"{value:.4g}") for value in values[0]) if values else ()
