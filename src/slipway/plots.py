"""The data behind `dvc plots`: small CSV files, bounded however long the holdout is, and how `dvc.yaml` declares them.

How they are drawn is in `.dvc/plots/`: Vega-Lite templates that facet by a `class` column, draw a `reference` column
as a dashed line and `low` to `high` as an error bar, and take counted rows; DVC's own templates do none of this.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slipway import layout
from slipway.errors import UserError
from slipway.files import write_text
from slipway.predictor import Prediction, Values
from slipway.schema import Task

CURVE_POINTS = 200
SCATTER_POINTS = 500
SCORE_BINS = 20
MAX_CLASSES = 20  # the most frequent; more would be unreadable
MAX_COLUMNS = 20  # the most important
OTHER = "(other)"

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]
Row = dict[str, Any]


class Plot(NamedTuple):
    """One plot: its file, how it is drawn, and the columns of the file besides x and y."""

    name: str
    title: str
    template: str
    x: str
    y: str
    more: tuple[str, ...]


_TENTHS = ("class", "reference", "rows", "low", "high")
_SCORES = ("class", "actual", "to", "rows")
_CLASSIFICATION = (
    Plot("roc", "ROC curve", "curves", "false_positive_rate", "true_positive_rate", ("class", "reference")),
    Plot("precision_recall", "Precision and recall", "curves", "recall", "precision", ("class", "reference")),
    Plot("confusion", "Confusion matrix", "confusion_counts", "predicted", "actual", ("rows",)),
    Plot("calibration", "Calibration", "calibration", "predicted", "observed", _TENTHS),
    Plot("score_distribution", "Scores by actual class", "histogram", "score", "share", _SCORES),
)
_DECILE = ("from", "to", "rows", "mean_residual")
_REGRESSION = (
    Plot("predicted_actual", "Predicted against actual", "points", "actual", "predicted", ("reference",)),
    Plot("residuals", "Residuals", "points", "predicted", "actual_minus_predicted", ("reference",)),
    Plot("error_by_decile", "Error by decile of predicted", "bars", "mean_absolute_error", "decile", _DECILE),
)
_IMPORTANCE = Plot("importance", "Permutation importance", "bars", "importance", "column", ("low", "high"))
PLOTS: dict[Task, tuple[Plot, ...]] = {
    "binary": (*_CLASSIFICATION, _IMPORTANCE),
    "multiclass": (*_CLASSIFICATION, _IMPORTANCE),
    "regression": (*_REGRESSION, _IMPORTANCE),
}


def with_plots(pipeline: str, task: Task) -> str:
    """The text of `dvc.yaml` with the plots of a task as those that the evaluate stage declares.

    Raises:
        UserError: The text has no evaluate stage that declares plots as a block.
    """
    changed, found = _SECTION.subn(lambda match: match[1] + plots_section(task), pipeline, count=1)
    if not found:
        raise UserError("dvc.yaml: the evaluate stage has no `plots:` block; restore it from the template")
    return changed


_SECTION = re.compile(r"(^  evaluate:\n(?:    .*\n|\n)*?    plots:\n)(?:      .*\n)+", re.MULTILINE)


def plots_section(task: Task) -> str:
    """What stands under `plots:` of the evaluate stage: the files of a task, and how DVC draws them."""
    lines = []
    for plot in PLOTS[task]:
        lines += [
            f"      - {layout.PLOTS.as_posix()}/{plot.name}.csv:",
            "          cache: false",
            f"          title: {plot.title}",
            f"          template: {plot.template}",
            f"          x: {plot.x}",
            f"          y: {plot.y}",
            f"          x_label: {plot.x.replace('_', ' ')}",
            f"          y_label: {plot.y.replace('_', ' ')}",
        ]
    return "\n".join(lines) + "\n"


def write_plots(  # noqa: PLR0917
    folder: Path,
    task: Task,
    classes: Sequence[str],
    truth: npt.NDArray[Any],
    prediction: Prediction,
    importance: Mapping[str, tuple[float, float]],
) -> None:
    """Write the CSV files of a task's plots, and remove those of another task; equal input gives equal bytes.

    Args:
        folder: Where to.
        task: The task.
        classes: The names of the classes, in the order of the probabilities; empty for regression.
        truth: The n true class indices, or numbers.
        prediction: The n predictions.
        importance: Of each column the mean and the standard deviation of its permutation importance.
    """
    if task == "regression":
        rows = _regression(np.asarray(truth, np.float64), prediction.values)
    else:
        rows = _classification(task, classes, np.asarray(truth, np.int64), prediction)
    rows["importance"] = _importance(importance)
    for plot in PLOTS[task]:
        text = io.StringIO()
        writer = csv.DictWriter(text, (*plot.more, plot.x, plot.y), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _text(value) for key, value in row.items()} for row in rows[plot.name])
        write_text(folder / f"{plot.name}.csv", text.getvalue())
    for name in {plot.name for plots in PLOTS.values() for plot in plots} - {plot.name for plot in PLOTS[task]}:
        (folder / f"{name}.csv").unlink(missing_ok=True)


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("<", "\u2039")  # DVC pastes the text into a page's script, where "</script>" would end it
    return f"{value:.6g}" if isinstance(value, float) else value


def _importance(importance: Mapping[str, tuple[float, float]]) -> Iterator[Row]:
    ranked = sorted(importance.items(), key=lambda item: -item[1][0])  # stable: equal ones keep the table's order
    for name, (mean, std) in ranked[:MAX_COLUMNS]:
        yield {"column": name, "importance": mean, "low": mean - std, "high": mean + std}


def _classification(
    task: Task, classes: Sequence[str], truth: Indices, prediction: Prediction
) -> dict[str, Iterable[Row]]:
    assert prediction.labels is not None  # noqa: S101
    frequent = np.sort(np.argsort(-np.bincount(truth, minlength=len(classes)), kind="stable")[:MAX_CLASSES])
    rows: dict[str, list[Row]] = {plot.name: [] for plot in _CLASSIFICATION}
    for index in [1] if task == "binary" else frequent.tolist():
        name, rest = classes[index], classes[0] if task == "binary" else OTHER
        belongs, score = truth == index, prediction.values[:, index]
        for plot, curve in (("roc", _roc), ("precision_recall", _precision_recall), ("calibration", _calibration)):
            rows[plot] += [{"class": name} | row for row in curve(belongs, score)]
        for actual, mask in ((name, belongs), (rest, ~belongs)):
            rows["score_distribution"] += [{"class": name, "actual": actual} | row for row in _histogram(score[mask])]
    return rows | {"confusion": _confusion(classes, frequent, truth, prediction.labels)}


def roc_points(belongs: Mask, score: Values) -> tuple[Values, Values] | None:
    """False and true positive rates at every threshold from the highest; None where rows of one kind are missing."""
    true, false = _cumulated(belongs, score)
    if not (true[-1] and false[-1]):
        return None
    return np.append(0, false / false[-1]), np.append(0, true / true[-1])


def _roc(belongs: Mask, score: Values) -> Iterator[Row]:
    points = roc_points(belongs, score)
    if points is None:
        return
    fallout, recall = points
    for point in _thinned(recall + fallout):
        x = float(fallout[point])
        yield {"false_positive_rate": x, "true_positive_rate": float(recall[point]), "reference": x}


def _precision_recall(belongs: Mask, score: Values) -> Iterator[Row]:
    true, false = _cumulated(belongs, score)
    if not true[-1]:
        return
    recall, precision, chance = true / true[-1], true / (true + false), float(belongs.mean())
    for point in _thinned(recall):
        yield {"recall": float(recall[point]), "precision": float(precision[point]), "reference": chance}


def _cumulated(belongs: Mask, score: Values) -> tuple[Values, Values]:
    """True and false positives at each distinct score as the threshold, falling; shape (thresholds,)."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    true = belongs[order].cumsum()[last]
    return true.astype(np.float64), (last + 1 - true).astype(np.float64)


def _thinned(rising: Values) -> Indices:
    """Positions of at most `CURVE_POINTS` points, the first and last among them, spread evenly over rising values."""
    if len(rising) <= CURVE_POINTS:
        return np.arange(len(rising))
    wanted = np.linspace(rising[0], rising[-1], CURVE_POINTS - 1)
    return np.unique(np.append(np.searchsorted(rising, wanted), len(rising) - 1))


def _calibration(belongs: Mask, score: Values) -> Iterator[Row]:
    for inside in _tenths(score):
        predicted, observed, rows = float(score[inside].mean()), float(belongs[inside].mean()), int(inside.sum())
        # The 95 % score interval of a share (Wilson, "Probable inference", 1927)
        z = 1.96**2 / rows
        middle = (observed + z / 2) / (1 + z)
        reach = (z * observed * (1 - observed) + z**2 / 4) ** 0.5 / (1 + z)
        yield {
            "predicted": predicted,
            "observed": observed,
            "reference": predicted,
            "rows": rows,
            "low": middle - reach,
            "high": middle + reach,
        }


def _histogram(score: Values) -> Iterator[Row]:
    counts, edges = np.histogram(score, SCORE_BINS, (0, 1))
    for count, low, high in zip(counts.tolist(), edges.tolist(), edges[1:].tolist(), strict=False):
        yield {"score": low, "to": high, "rows": count, "share": count / max(len(score), 1)}


def _confusion(classes: Sequence[str], shown: Indices, truth: Indices, labels: Indices) -> Iterator[Row]:
    names = [classes[index] for index in shown] + ([OTHER] if len(shown) < len(classes) else [])
    place = np.full(len(classes), len(names) - 1)
    place[shown] = np.arange(len(shown))
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (place[truth], place[labels]), 1)
    for actual, row in zip(names, counts.tolist(), strict=True):
        for predicted, count in zip(names, row, strict=True):
            yield {"actual": actual, "predicted": predicted, "rows": count}


def _regression(truth: Values, predicted: Values) -> dict[str, Iterable[Row]]:
    order = np.argsort(predicted, kind="stable")
    # A sample spread evenly over the predictions: the same rows whenever the predictions are the same
    shown = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), SCATTER_POINTS)).astype(np.int64))]
    pairs = [(float(truth[row]), float(predicted[row])) for row in shown]
    return {
        "predicted_actual": [{"actual": y, "predicted": p, "reference": y} for y, p in pairs],
        "residuals": [{"predicted": p, "actual_minus_predicted": y - p, "reference": 0} for y, p in pairs],
        "error_by_decile": _deciles(truth, predicted),
    }


def _deciles(truth: Values, predicted: Values) -> Iterator[Row]:
    for number, inside in enumerate(_tenths(predicted), start=1):
        residual = truth[inside] - predicted[inside]
        yield {
            "decile": number,
            "from": float(predicted[inside].min()),
            "to": float(predicted[inside].max()),
            "rows": int(inside.sum()),
            "mean_absolute_error": float(np.abs(residual).mean()),
            "mean_residual": float(residual.mean()),
        }


def _tenths(values: Values) -> Iterator[Mask]:
    """Masks that part the rows into ten groups of rising value and about equal size, fewer if values are equal."""
    edges = np.unique(np.quantile(values, np.arange(1, 10) / 10))
    group = np.searchsorted(edges, values, "right")
    return (group == number for number in np.unique(group))
