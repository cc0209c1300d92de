"""The second stage: the encoding is learned, the pipeline cross-validated and fitted, the decision threshold chosen."""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from rich.progress import track
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit
from sklearn.pipeline import Pipeline

from model.pipeline import build
from slipway import layout, tracking
from slipway.encoding import QUANTILES, columns_of, fit_inputs, predictions_table, target_of
from slipway.errors import UserError, warn
from slipway.files import console, read_table, replaced, write_json, write_text
from slipway.metrics import Scorer, choose_threshold
from slipway.params import Params, Threshold, load_params
from slipway.pipeline_file import pipeline_bytes
from slipway.predictor import Matrix, Values, encode, interpret
from slipway.schema import Schema, Task, load_schema
from slipway.signature import SIGNATURE, Signature, Spread
from slipway.stages import started

Cut = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]  # rows to fit on, rows to score
COVERAGE = 0.9  # of the interval that a prediction of a number comes with
RARE = 10  # a class with fewer training rows than this is worth a warning


@dataclass(frozen=True)
class Trained:
    """A fitted pipeline, the signature that feeds it, and what is to be told about the training."""

    pipeline: Pipeline
    signature: Signature
    report: dict[str, Any]
    validated: "Validated"


def train(frame: pl.DataFrame, schema: Schema, params: Params) -> Trained:
    """Fit the project's pipeline on the training rows.

    Args:
        frame: The training rows, typed as the contract says, without null targets.
        schema: The contract.
        params: The settings; `train` matters, and `split` for how cross-validation cuts.

    Raises:
        UserError: The rows cannot be learned from: a class is absent or has one row, or every feature is constant.
    """
    y = target_of(frame, schema)
    notes = check_target(y, schema)
    inputs = fit_inputs(schema, frame, params.train.max_categories)
    notes += input_notes(schema, inputs, frame)
    signature = Signature(
        task=schema.target.task,
        target=schema.target.column,
        classes=schema.target.classes,
        missing=schema.missing,
        inputs=inputs,
        prior=_prior(y, schema),
    )
    matrix = encode(signature, columns_of(frame, signature.names))
    if not matrix.shape[1]:
        raise UserError(f"{layout.TRAIN}: every feature is constant; there is nothing to learn from")
    pipeline = build(inputs, schema.target.task, params.train)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "The least populated class")  # `check_target` says it better
        cuts = usable_folds(y, frame, schema, params)
        try:
            validated = cross_validate(pipeline, matrix, y, schema, cuts, rule=params.train.threshold)
            pipeline.fit(matrix, y)
        except ValueError as error:
            if "infinity" not in str(error):
                raise
            raise UserError(
                f"{layout.TRAIN}: a column holds numbers too large to compute with (about 1e38); "
                f"bound it by `min` and `max`, or set `use: false`, in {layout.SCHEMA}"
            ) from None
    notes += sorted({_readable(warning.message) for warning in caught})
    signature = signature.model_copy(update={"threshold": validated.threshold, "spread": _spread(y, validated, schema)})
    report = {
        "task": schema.target.task,
        "model": params.train.model,
        "rows": {"train": len(y)},
        "features": len(signature.features),
        "threshold": signature.threshold,
        "cross_validation": {
            name: {"mean": float(np.mean(values)), "std": float(np.std(values))}
            for name, values in validated.scores.items()
        },
        "folds": len(cuts),
        "warnings": notes,
    }
    return Trained(pipeline, signature, report, validated)


def check_target(y: npt.NDArray[Any], schema: Schema) -> list[str]:
    """Refuse classes that cannot be learned, and note the rare ones."""
    counts = Counter(y.tolist())
    notes = []
    for code, name in enumerate(schema.target.classes):
        if not counts[code]:
            raise UserError(
                f"{layout.TRAIN}: no training row is of class {name!r}; add rows, or take it out of "
                f"target.classes in {layout.SCHEMA}"
            )
        if counts[code] == 1 and schema.target.task == "binary":
            raise UserError(f"{layout.TRAIN}: class {name!r} has one training row; cross-validation needs two or more")
        if counts[code] < RARE:
            notes.append(
                f"class {name!r} has only {counts[code]} training rows; its scores are little more than chance"
            )
    return notes


def input_notes(schema: Schema, inputs: tuple[Any, ...], frame: pl.DataFrame) -> list[str]:
    """Say which columns the model does not get, and why."""
    notes = [
        f"column {name!r} is free text and is not given to the model"
        for name, column in schema.columns.items()
        if column.type == "text" and name not in {schema.id, schema.group, schema.target.column}
    ]
    for column in inputs:
        if column.constant:
            notes.append(f"column {column.name!r} is constant in the training rows and is not given to the model")
        elif column.type == "category" and not column.closed:
            distinct = frame[column.name].drop_nulls().n_unique()
            if distinct > len(column.categories):
                notes.append(
                    f"column {column.name!r} has {distinct} categories; "
                    f"the {len(column.categories)} most frequent are kept (train.max_categories)"
                )
    return notes


@dataclass(frozen=True)
class Validated:
    """What cross-validation found.

    Attributes:
        scores: For every metric its value by fold; folds where it is undefined are left out.
        threshold: The decision threshold that the rule prefers on all folds together; None unless the task is binary.
        rows: The numbers of the rows that were predicted, shape (m,).
        truth: Their targets, shape (m,).
        predicted: Their out-of-fold predictions, shape (m, classes) or (m,).
    """

    scores: dict[str, list[float]]
    threshold: float | None
    rows: npt.NDArray[np.int64]
    truth: npt.NDArray[Any]
    predicted: Values


def cross_validate(
    pipeline: Pipeline,
    matrix: Matrix,
    y: npt.NDArray[Any],
    schema: Schema,
    cuts: Sequence[Cut],
    *,
    rule: Threshold,
) -> Validated:
    """Score the pipeline on folds of the training rows, decisions by the threshold that will ship."""
    task, classes = schema.target.task, len(schema.target.classes)
    predictions = []
    for fitted, held in track(cuts, "cross-validation", console=console(), transient=True):
        fold = clone(pipeline).fit(matrix[fitted], y[fitted])
        predictions.append(predict_fold(fold, matrix[held], task, classes))
    rows, whole = np.concatenate([held for _, held in cuts]), np.concatenate(predictions)
    truth = y[rows]
    threshold = choose_threshold(rule, truth, whole[:, 1]) if task == "binary" else None
    signature = Signature(task=task, target="", classes=schema.target.classes, threshold=threshold, inputs=(), prior=())
    scores: dict[str, list[float]] = {}
    for (_, held), predicted in zip(cuts, predictions, strict=True):
        for name, value in Scorer(task, y[held], interpret(signature, predicted), classes).point().items():
            if np.isfinite(value):
                scores.setdefault(name, []).append(value)
    return Validated(scores, threshold, rows, truth, whole)


def predict_fold(fold: Pipeline, matrix: Matrix, task: Task, classes: int) -> npt.NDArray[np.float64]:
    """What a pipeline that was fitted on a fold says of n rows, shape (n,) or (n, classes).

    A fold may lack a rare class; its probability is then 0.
    """
    if task == "regression":
        return np.asarray(fold.predict(matrix), np.float64)
    predicted = np.zeros((len(matrix), classes))
    predicted[:, fold.classes_] = fold.predict_proba(matrix)
    return predicted


def usable_folds(y: npt.NDArray[Any], frame: pl.DataFrame, schema: Schema, params: Params) -> list[Cut]:
    """The folds that a model can be fitted on.

    Raises:
        UserError: There is none.
    """
    groups = frame[schema.group].n_unique() if params.split.strategy == "group" and schema.group else 2
    if len(y) < 3 or groups < 2:
        what = f"{len(y)} rows" if len(y) < 3 else "a single group"
        raise UserError(f"{layout.TRAIN}: has {what}, too few to cross-validate; add rows, or change `split`")
    cuts = list(folds(y, frame, schema, params))
    if schema.target.task != "regression":
        cuts = [cut for cut in cuts if np.unique(y[cut[0]]).size > 1]
    if not cuts:
        raise UserError(
            f"{layout.TRAIN}: every fold would be fitted on one class, since classes follow {params.split.strategy}; "
            f"choose another split.strategy in {layout.PARAMS}"
        )
    return cuts


def folds(y: npt.NDArray[Any], frame: pl.DataFrame, schema: Schema, params: Params) -> Iterator[Cut]:
    """Cut the training rows the way the holdout was cut: later rows after earlier ones, groups whole, classes alike."""
    count = min(params.train.folds, len(y))
    if params.split.strategy == "time" and schema.time:
        order = frame[schema.time].arg_sort().to_numpy().astype(np.int64)
        for fitted, held in TimeSeriesSplit(min(count, len(y) - 1)).split(order):
            yield order[fitted], order[held]
    elif params.split.strategy == "group" and schema.group:
        groups = frame[schema.group].rank("dense").to_numpy()
        yield from GroupKFold(min(count, len(np.unique(groups)))).split(y, y, groups)
    elif schema.target.task == "regression":
        yield from KFold(count, shuffle=True, random_state=params.train.seed).split(y)
    else:
        rarest = min(Counter(y.tolist()).values())
        stratified = StratifiedKFold(max(2, min(count, rarest)), shuffle=True, random_state=params.train.seed)
        yield from stratified.split(y, y)


def _prior(y: npt.NDArray[Any], schema: Schema) -> tuple[float, ...]:
    if schema.target.task == "regression":
        return (float(y.mean()),)
    return tuple((np.bincount(y, minlength=len(schema.target.classes)) / len(y)).tolist())


def _spread(y: npt.NDArray[Any], validated: Validated, schema: Schema) -> Spread | None:
    """Where the target's numbers lie, and how far out-of-fold predictions miss them; None for classes."""
    if schema.target.task != "regression":
        return None
    residuals = np.sort(validated.truth - validated.predicted)
    rank = int(np.ceil((len(residuals) + 1) * (1 + COVERAGE) / 2))  # of the m + 1 places that a new residual may take
    return Spread(
        quantiles=tuple(np.quantile(y, QUANTILES).tolist()),
        coverage=COVERAGE,
        residuals=(float(residuals[-rank]), float(residuals[rank - 1])) if rank <= len(residuals) else None,
    )


def _readable(message: Warning | str) -> str:
    if isinstance(message, ConvergenceWarning):
        return "the solver did not converge; raise train.linear.max_iter or train.linear.strength"
    return " ".join(str(message).split())[:200]


def main() -> None:
    """Run the stage in the project's root."""
    with started("train"):
        schema, params = load_schema(), load_params()
        trained = train(read_table(layout.TRAIN), schema, params)
        for note in trained.report["warnings"]:
            warn("train", note)
        content = pipeline_bytes(trained.pipeline)
        validated, signature = trained.validated, trained.signature
        said = predictions_table(interpret(signature, validated.predicted), signature)
        with replaced(layout.OUT_OF_FOLD) as draft:
            said.insert_column(0, pl.Series("row", validated.rows)).write_parquet(draft)
        with replaced(layout.TRAINED / "pipeline.skops") as draft:
            draft.write_bytes(content)
        write_text(
            layout.TRAINED / SIGNATURE, trained.signature.model_dump_json(indent=1, exclude_defaults=True) + "\n"
        )
        write_json(layout.TRAINING_REPORT, trained.report)
        tracking.record(tracking.training_run(params, trained.report), new=True)


if __name__ == "__main__":
    main()
