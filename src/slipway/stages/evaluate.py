"""The fourth stage: the exported file, and nothing else, is scored on the holdout."""

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from rich.progress import track

from slipway import behaviour, layout, tracking
from slipway.encoding import columns_of, predictions_table, target_of
from slipway.errors import UserError
from slipway.files import console, read_report, read_table, replaced, write_json
from slipway.metrics import HIGHER_IS_BETTER, METRICS, Interval, Scorer, intervals
from slipway.params import Evaluate, load_params
from slipway.plots import write_plots
from slipway.predictor import Matrix, Prediction, Predictor, encode
from slipway.schema import load_schema
from slipway.signature import Signature
from slipway.slices import slice_masks, slices_of
from slipway.stages import started

REPEATS = 5  # shuffles of a column for its permutation importance
IMPORTANCE_ROWS = 5_000
DIGITS = 10  # significant ones in reports; the last of a double differ between processors
BATCH_ROWS = 200  # that are timed


def score(signature: Signature, truth: npt.NDArray[Any], prediction: Prediction, params: Evaluate) -> dict[str, Any]:
    """Every metric of the task with its bootstrap interval, as the reports hold them."""
    scorer = Scorer(signature.task, truth, prediction, len(signature.classes))
    found = intervals(scorer, params.resamples, params.confidence, params.seed)
    return {name: _interval(interval) for name, interval in found.items()}


def _interval(interval: Interval) -> dict[str, float]:
    parts = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: float(f"{number:.{DIGITS}g}") for name, number in parts.items()}


def by_slice(
    frame: pl.DataFrame, truth: npt.NDArray[Any], prediction: Prediction, signature: Signature, params: Evaluate
) -> dict[str, Any]:
    """The same metrics on every slice of the holdout that has enough rows; the others are named."""
    scored, skipped = [], []
    for column, value, mask in slice_masks(frame, params.slices):
        rows = int(mask.sum())
        entry: dict[str, Any] = {"column": column, "value": value, "rows": rows}
        if rows < params.min_slice_rows:
            skipped.append(entry)
            continue
        labels = None if prediction.labels is None else prediction.labels[mask]
        part = Prediction(prediction.values[mask], labels)
        scored.append(entry | {"metrics": score(signature, truth[mask], part, params)})
    return {"slices": scored, "skipped": skipped}


def importance(
    predictor: Predictor, matrix: Matrix, truth: npt.NDArray[Any], seed: int
) -> dict[str, tuple[float, float]]:
    """Permutation importance of each input (Breiman 2001; Fisher, Rudin and Dominici 2019).

    An input's matrix columns are shuffled together, on a sample of the holdout; the importance is by how much the
    task's first metric gets worse.

    Returns:
        For every input the mean and the standard deviation over the shuffles.
    """
    signature = predictor.signature
    metric = METRICS[signature.task][0]
    sign = 1 if metric in HIGHER_IS_BETTER else -1
    generator = np.random.default_rng(seed)
    if len(matrix) > IMPORTANCE_ROWS:
        chosen = np.sort(generator.choice(len(matrix), IMPORTANCE_ROWS, replace=False))
        matrix, truth = matrix[chosen], truth[chosen]

    def value(of: Matrix) -> float:
        scorer = Scorer(signature.task, truth, predictor.predict_matrix(of), len(signature.classes))
        return sign * scorer.point()[metric]

    whole, found, start = value(matrix), {}, 0
    for column in track(signature.inputs, "importance", console=console(), transient=True):
        stop = start + len(column.features)
        if stop > start:
            drops = []
            for _ in range(REPEATS):
                shuffled = matrix.copy()
                shuffled[:, start:stop] = matrix[generator.permutation(len(matrix)), start:stop]
                drops.append(whole - value(shuffled))
            found[column.name] = (float(np.mean(drops)), float(np.std(drops)))
        start = stop
    return found


def timing(predictor: Predictor, frame: pl.DataFrame) -> dict[str, float]:
    """How long predictions take on this machine, in milliseconds: one row (median, 95th percentile), and a batch."""
    batch = frame.select(predictor.signature.names).head(BATCH_ROWS).to_dict(as_series=False)
    median, upper = behaviour.single_row_ms(predictor, frame)
    start = time.perf_counter()
    predictor.predict(batch)
    elapsed = (time.perf_counter() - start) * 1e3
    rows = min(frame.height, BATCH_ROWS)
    return {"single_row_ms_median": median, "single_row_ms_p95": upper, "batch_rows": rows, "batch_ms": elapsed}


def main() -> None:
    """Run the stage in the project's root."""
    with started("evaluate"):
        schema, params = load_schema(), load_params()
        settings = params.evaluate.model_copy(update={"slices": slices_of(schema, params)})
        predictor = Predictor(layout.MODEL, trusted=params.export.trusted)
        signature = predictor.signature
        frame = read_table(layout.HOLDOUT)
        columns = columns_of(frame, signature.names)
        truth = target_of(frame, schema)
        matrix = encode(signature, columns)
        prediction = predictor.predict_matrix(matrix)
        if not np.isfinite(prediction.values).all():
            raise UserError(f"{predictor.file}: predicts values that are not finite; the model cannot be evaluated")
        holdout = score(signature, truth, prediction, settings)
        weights = importance(predictor, matrix, truth, settings.seed)
        training = read_report(layout.TRAINING_REPORT)
        with replaced(layout.PREDICTIONS) as draft:
            predictions_table(prediction, signature).insert_column(
                0, frame[signature.target].alias("truth")
            ).write_parquet(draft)
        write_json(layout.METRICS, {"holdout": holdout})
        write_json(layout.SLICES, by_slice(frame, truth, prediction, signature, settings))
        # Of this machine rather than of the model, so no output of the stage: it would make every run differ.
        write_json(layout.TIMING, timing(predictor, frame))
        write_plots(layout.PLOTS, signature.task, signature.classes, truth, prediction, weights)
        tracking.record(tracking.training_run(params, training, holdout, layout.MODEL))


if __name__ == "__main__":
    main()
