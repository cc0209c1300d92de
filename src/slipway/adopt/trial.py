"""Trying the table out before anything is written: which column gives the target away, what a model is worth."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.base import clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from model.pipeline import build
from slipway import behaviour
from slipway.encoding import columns_of, fit_inputs, target_of
from slipway.errors import UserError
from slipway.metrics import METRICS, Scorer
from slipway.params import Params, Threshold
from slipway.predictor import Matrix, Prediction, encode, interpret
from slipway.schema import Schema
from slipway.signature import Input, Signature
from slipway.stages.train import Cut, cross_validate, predict_fold, usable_folds

SAMPLE_ROWS = 20_000
LEAK_ROWS = 5_000  # also the rows up to which five folds take no more than seconds
LEAK_CATEGORIES = 1_000
ALTERED_FOLDS, ALTERED_TIMES = 3, 5
LEAK = {"classes": 0.99, "number": 0.995}  # balanced accuracy, R2 of the ranks: one column alone tells the target


@dataclass(frozen=True)
class Trial:
    """How the project's model and a guess did in cross-validation: (mean, standard deviation) by metric.

    `lost` is what the first metric lost as inputs were altered, by what was done to them, once for each fold and seed.
    """

    model: Mapping[str, tuple[float, float]]
    guess: Mapping[str, tuple[float, float]]
    lost: Mapping[str, list[float]]
    folds: int
    held: npt.NDArray[np.int64]  # the rows that were predicted
    truth: npt.NDArray[np.float64]
    prediction: Prediction


def sample_rows(rows: int, size: int = SAMPLE_ROWS) -> npt.NDArray[np.int64]:
    """The numbers of the rows of a sample, in order, the same whenever the table is as long."""
    if rows <= size:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, size, replace=False))


def encoded(schema: Schema, frame: pl.DataFrame, max_categories: int) -> tuple[tuple[Input, ...], Matrix]:
    """The inputs as training would learn them, and the matrix of the rows."""
    inputs = fit_inputs(schema, frame, max_categories)
    signature = Signature(task=schema.target.task, target="", missing=schema.missing, inputs=inputs, prior=())
    return inputs, encode(signature, columns_of(frame, signature.names))


def single_scores(schema: Schema, frame: pl.DataFrame) -> dict[str, float]:
    """How well each feature alone tells the target of some thousand rows, out of fold, by a decision tree.

    Returns:
        By feature the balanced accuracy, over classes of five rows and more, or the R2 of the target's ranks, on which
        no outlier weighs. Empty if there are fewer than 30 such rows, where a column may tell the target by chance.
    """
    y = target_of(frame, schema)
    regression = schema.target.task == "regression"
    if regression:
        y = pl.Series(y).rank().to_numpy()
    else:
        common = np.isin(y, np.flatnonzero(np.bincount(y) >= 5))
        frame, y = frame.filter(common), y[common]
    if len(y) < 30 or len(np.unique(y)) < 2:
        return {}
    inputs, matrix = encoded(schema, frame, LEAK_CATEGORIES)
    cut = KFold(3, shuffle=True, random_state=0) if regression else StratifiedKFold(3, shuffle=True, random_state=0)
    tree = (DecisionTreeRegressor if regression else DecisionTreeClassifier)(random_state=0)
    scoring, scores, start = "r2" if regression else "balanced_accuracy", {}, 0
    for column in inputs:
        stop = start + len(column.features)
        if stop > start:
            folds = cross_val_score(tree, matrix[:, start:stop], y, cv=cut, scoring=scoring)
            scores[column.name] = float(np.mean(folds))
        start = stop
    return scores


def leaking(schema: Schema, scores: Mapping[str, float]) -> dict[str, str]:
    """The columns that all but give away the target, with what is to be said about each."""
    kind, what = ("number", "R² of ranks") if schema.target.task == "regression" else ("classes", "balanced accuracy")
    return {
        name: f"may leak: alone it all but tells {schema.target.column!r} ({what} {score:.3f})"
        for name, score in scores.items()
        if score >= LEAK[kind]
    }


def run_trial(schema: Schema, frame: pl.DataFrame, params: Params) -> Trial:
    """Cross-validate the project's pipeline and a guess that looks at no feature on the same folds of typed rows.

    Raises:
        UserError: In order of time no earlier rows hold two classes.
    """
    task, y = schema.target.task, target_of(frame, schema)
    inputs, matrix = encoded(schema, frame, params.train.max_categories)
    fewer = params.train.model_copy(update={"folds": min(params.train.folds, 5 if len(y) <= LEAK_ROWS else 3)})
    params = params.model_copy(update={"train": fewer})
    dummy = DummyRegressor() if task == "regression" else DummyClassifier(strategy="prior")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # training will say it again
        try:
            cuts = usable_folds(y, frame, schema, params)
        except UserError:
            if schema.time is None:
                raise
            raise UserError(f"--time: {schema.time!r} orders the rows class after class; leave --time away") from None
        rule = params.train.threshold
        fitted = cross_validate(build(inputs, task, params.train), matrix, y, schema, cuts, rule=rule)
        guess = cross_validate(
            Pipeline([("guess", dummy)]), matrix, y, schema, cuts, rule=Threshold(rule="fixed", value=0.5)
        )
    held = np.concatenate([held for _, held in cuts])
    signature = Signature(
        task=task, target="", classes=schema.target.classes, threshold=fitted.threshold, inputs=(), prior=()
    )
    predicted = interpret(signature, fitted.predicted)
    lost = _altered(schema, frame, params, cuts, inputs=inputs, matrix=matrix)
    return Trial(_summary(fitted.scores), _summary(guess.scores), lost, len(cuts), held, fitted.truth, predicted)


def _altered(
    schema: Schema,
    frame: pl.DataFrame,
    params: Params,
    cuts: Sequence[Cut],
    *,
    inputs: tuple[Input, ...],
    matrix: Matrix,
) -> dict[str, list[float]]:
    """What some folds lose of the first metric by what `gates.robustness` does to the rows that they hold out."""
    task, y, settings = schema.target.task, target_of(frame, schema), params.gates.robustness
    signature = Signature(
        task=task, target="", classes=schema.target.classes, missing=schema.missing, inputs=inputs, prior=()
    )
    ways = {"noise": behaviour.with_noise, "missing": behaviour.with_missing}
    lost: dict[str, list[float]] = {}
    for rows, held in cuts[:ALTERED_FOLDS]:
        fold = clone(build(inputs, task, params.train)).fit(matrix[rows], y[rows])
        clean, truth = frame[held], y[held]

        def score(values: Matrix, fold: Pipeline = fold, truth: npt.NDArray[Any] = truth) -> float:
            said = interpret(signature, predict_fold(fold, values, task, len(signature.classes)))
            name = METRICS[task][0]
            return Scorer(task, truth, said, len(signature.classes), [name]).point()[name]

        before = score(matrix[held])
        for way, change in ways.items():
            for seed in range(ALTERED_TIMES):
                changed = change(clean, inputs, getattr(settings, way), seed)
                after = score(encode(signature, columns_of(changed, signature.names)))
                lost.setdefault(way, []).append(behaviour.worsening(task, before, after))
    return {way: [value for value in values if np.isfinite(value)] for way, values in lost.items()}


def _summary(scores: Mapping[str, list[float]]) -> dict[str, tuple[float, float]]:
    return {name: (float(np.mean(values)), float(np.std(values))) for name, values in scores.items()}
