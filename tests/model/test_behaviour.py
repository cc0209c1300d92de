"""How the exported model file behaves: the least it must do, what must not matter, what must matter which way."""

import numpy as np
import polars as pl
import pytest

import project
from slipway import behaviour, layout
from slipway.encoding import columns_of
from slipway.files import read_report
from slipway.metrics import HIGHER_IS_BETTER, METRICS
from slipway.pipeline_file import load_pipeline
from slipway.predictor import Predictor, encode
from slipway.signature import GOLDEN
from slipway.stages.export import difference, reference

GATES = project.params().gates
SIGNATURE = project.model().signature
INPUTS = {column.name: column for column in SIGNATURE.inputs}
MONOTONIC = {name: column.monotonic for name, column in project.schema().features.items() if column.monotonic}
ROWS = 500


@pytest.fixture
def rows() -> pl.DataFrame:
    """Some rows of the holdout."""
    return behaviour.sample(project.holdout(), seed=0, rows=ROWS)


def values(frame: pl.DataFrame) -> np.ndarray:
    """Probabilities, shape (n, classes), or predicted numbers, shape (n,)."""
    return project.predict(frame).values


# The least it must do


def test_predictions_are_better_than_always_saying_the_average():
    truth = project.truth(project.holdout())
    said = values(project.holdout())
    if SIGNATURE.task == "regression":
        model, guess = np.mean((said - truth) ** 2), np.mean((SIGNATURE.prior[0] - truth) ** 2)
    else:
        model, guess = (
            -np.mean(np.log(np.clip(p, 1e-15, 1)))
            for p in (said[np.arange(len(truth)), truth], np.asarray(SIGNATURE.prior)[truth])
        )
    assert model < guess, f"mean loss {model:.4g}, of a guess {guess:.4g}; improve src/model or the data"


def test_predictions_are_finite_and_probabilities_sum_to_one(rows):
    said = values(rows)
    assert np.isfinite(said).all()
    if SIGNATURE.task != "regression":
        assert said.min() >= 0
        assert np.allclose(said.sum(axis=1), 1, atol=1e-5)


def test_predictions_are_not_all_the_same(rows):
    assert np.ptp(values(rows), axis=0).max() > 0


# What must not matter


def test_the_order_of_rows_does_not_matter(rows):
    assert np.allclose(values(rows.reverse())[::-1], values(rows), atol=1e-6)


def test_a_row_alone_is_predicted_as_among_others(rows):
    few = rows.head(20)
    alone = np.concatenate([values(few[row]) for row in range(few.height)])
    scale = max(1.0, float(np.abs(alone).max(initial=0)))
    assert np.abs(alone - values(few)).max() <= 1e-5 * scale


def test_columns_that_the_model_does_not_know_do_not_matter(rows):
    columns = columns_of(rows, list(INPUTS))
    said = project.model().predict(columns | {"a column of tomorrow": ["?"] * rows.height})
    assert np.array_equal(said.values, project.model().predict(columns).values)


def test_the_order_of_columns_does_not_matter(rows):
    backwards = dict(reversed(columns_of(rows, list(INPUTS)).items()))
    assert np.array_equal(project.model().predict(backwards).values, values(rows))


def test_values_given_as_json_are_read_as_those_of_a_file(rows):
    few = rows.head(50).select(list(INPUTS))
    dates = [name for name, column in INPUTS.items() if column.type == "datetime" and column.format is None]
    said = few.with_columns(pl.col(dates).dt.to_string("iso:strict")).to_dict(as_series=False)
    assert np.allclose(project.model().predict(said).values, values(few), atol=1e-6)


@pytest.mark.parametrize("marker", ["", *project.schema().missing])
def test_a_text_that_means_missing_is_read_as_missing(rows, marker):
    few = rows.head(20).select(list(INPUTS)).to_dict(as_series=False)
    for name, column in INPUTS.items():
        if column.nullable:
            none, text = few | {name: [None] * 20}, few | {name: [marker] * 20}
            told = [
                project.model().predict({k: v[: len(rows)] for k, v in each.items()}).values for each in (none, text)
            ]
            assert np.array_equal(*told), f"column {name!r}: {marker!r} is not read as missing"


def test_the_same_file_says_the_same_again_on_any_number_of_threads(rows):
    matrix = encode(SIGNATURE, columns_of(rows, list(INPUTS)))
    trusted = project.params().export.trusted
    told = [Predictor(layout.MODEL, threads, trusted).predict_matrix(matrix).values for threads in (1, 1, 2)]
    assert np.array_equal(told[0], told[1])
    assert np.allclose(told[0], told[2], atol=1e-6)


# What must matter, and which way


@pytest.mark.parametrize("column", MONOTONIC)
def test_prediction_follows_a_monotonic_column(rows, column):
    direction = MONOTONIC[column]
    against = behaviour.against_direction(project.model(), rows, INPUTS[column], direction)
    assert against.count == 0, (
        f"{against.count} of {against.rows} rows go the other way as {column!r} grows, by up to {against.most:.3g}; "
        f"columns.{column}.monotonic in {layout.SCHEMA} says {direction}"
    )


# What must be borne


@pytest.mark.parametrize("change", ["noise", "missing"])
def test_little_is_lost_by(change):
    settings, frame = GATES.robustness, behaviour.sample(project.holdout(), GATES.robustness.seed)
    alter = behaviour.with_noise if change == "noise" else behaviour.with_missing
    altered = alter(frame, SIGNATURE.inputs, getattr(settings, change), settings.seed)
    lost = behaviour.loss(project.model(), frame, altered, project.truth(frame))
    name = METRICS[SIGNATURE.task][0]
    what = f"{name} loses {lost:.4g}" if name in HIGHER_IS_BETTER else f"{name} grows by a share of {lost:.4g}"
    assert lost <= settings.max_drop, (
        f"{what} by {change} of {getattr(settings, change):g}, allowed "
        f"{settings.max_drop:g} (gates.robustness in params.yaml)"
    )


@pytest.mark.parametrize("column", [name for name, column in INPUTS.items() if column.nullable])
def test_a_missing_value_is_answered(rows, column):
    assert np.isfinite(values(rows.with_columns(pl.lit(None, rows[column].dtype).alias(column)))).all()


# What ships is what was tested


def test_the_exported_file_agrees_with_the_fitted_pipeline():
    frame = behaviour.sample(project.train(), seed=0)
    matrix = encode(SIGNATURE, columns_of(frame, list(INPUTS)))
    pipeline = load_pipeline((layout.TRAINED / "pipeline.skops").read_bytes(), project.params().export.trusted)
    fitted = reference(pipeline, matrix, SIGNATURE.task)
    gap = difference(SIGNATURE.task, project.model().predict_matrix(matrix).values, fitted)
    limit = project.params().export.tolerance
    assert gap <= limit, f"they differ by {gap:.3g}, allowed {limit:g} (export.tolerance in params.yaml)"


def test_the_golden_rows_are_answered_as_the_fitted_pipeline_did():
    golden = read_report(layout.MODEL / GOLDEN)
    answers = np.asarray(golden["answers"])
    told = project.model().predict(golden["rows"]).values
    scale = max(1.0, float(np.abs(answers).max()))
    assert np.abs(told - answers.reshape(told.shape)).max() <= project.params().export.tolerance * scale


# What it costs


def test_a_single_row_is_answered_in_time(rows):
    median, upper = behaviour.single_row_ms(project.model(), rows)
    limit = GATES.budget.single_row_ms
    assert median <= limit, (
        f"the median is {median:.2f} ms (95 % within {upper:.2f} ms), allowed {limit:g} "
        "(gates.budget.single_row_ms in params.yaml)"
    )


def test_the_file_is_small_enough():
    size = project.model().file.stat().st_size / 1e6
    limit = GATES.budget.file_mb
    assert size <= limit, f"it has {size:.2f} MB, allowed {limit:g} (gates.budget.file_mb in params.yaml)"
