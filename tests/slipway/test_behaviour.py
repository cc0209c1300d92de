from datetime import datetime

import numpy as np
import polars as pl
import pytest
from examples import churned, diabetes, quick, wine

from slipway import behaviour, layout
from slipway.encoding import columns_of, target_of
from slipway.params import Export
from slipway.predictor import Predictor, encode
from slipway.stages.export import export
from slipway.stages.train import train


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def model_of(table, **settings) -> tuple[Predictor, pl.DataFrame, np.ndarray]:
    frame, schema = table()
    trained = train(frame, schema, quick(**settings))
    names = trained.signature.names
    export(trained.pipeline, trained.signature, encode(trained.signature, columns_of(frame, names)), Export())
    return Predictor(layout.MODEL), frame, target_of(frame, schema)


def test_noise_touches_numbers_only_keeps_their_kind_and_their_range():
    predictor, frame, _ = model_of(churned)
    inputs = predictor.signature.inputs
    noisy = behaviour.with_noise(frame, inputs, 0.5, seed=0)
    for column in inputs:
        before, after = frame[column.name], noisy[column.name]
        assert after.dtype == before.dtype
        assert after.is_null().equals(before.is_null())
        if column.type in {"number", "integer"} and not column.constant:
            assert not after.equals(before)
            assert column.min is None or after.min() >= column.min
            assert column.max is None or after.max() <= column.max
        elif column.type not in {"number", "integer"}:
            assert after.equals(before)
    assert noisy.equals(behaviour.with_noise(frame, inputs, 0.5, seed=0))
    assert not noisy.equals(behaviour.with_noise(frame, inputs, 0.5, seed=1))


def test_values_are_taken_away_only_where_they_may_be_missing():
    predictor, frame, _ = model_of(churned)
    thinned = behaviour.with_missing(frame, predictor.signature.inputs, 0.5, seed=0)
    for column in predictor.signature.inputs:
        more = thinned[column.name].null_count() - frame[column.name].null_count()
        assert (more > frame.height / 5) == column.nullable, column.name


@pytest.mark.parametrize("table", [churned, wine, diabetes])
def test_a_model_loses_nothing_on_what_did_not_change_and_much_on_shuffled_rows(table):
    predictor, frame, truth = model_of(table)
    assert behaviour.loss(predictor, frame, frame, truth) == 0
    assert behaviour.loss(predictor, frame, frame.sample(fraction=1, shuffle=True, seed=1), truth) > 0.1


def test_the_direction_of_a_column_is_found_and_its_opposite_refuted():
    predictor, frame, _ = model_of(diabetes)
    bmi = next(column for column in predictor.signature.inputs if column.name == "bmi")
    assert behaviour.against_direction(predictor, frame, bmi, "increasing").count == 0
    against = behaviour.against_direction(predictor, frame, bmi, "decreasing")
    assert against.count == against.rows == frame.height
    assert against.most > 1


def test_made_up_rows_are_ones_that_the_model_can_answer_and_always_the_same():
    for table in (churned, wine, diabetes):
        predictor, frame, _ = model_of(table)
        rows = behaviour.made_up_rows(predictor.signature)
        assert rows == behaviour.made_up_rows(predictor.signature)
        assert np.isfinite(predictor.predict(rows).values).all()
        assert any(value is None for values in rows.values() for value in values)
        assert np.ptp(predictor.predict(rows).values) > 0.01
        assert set(rows) == {column.name for column in predictor.signature.inputs}
        assert not any(isinstance(value, datetime) for values in rows.values() for value in values)
        assert frame.height  # the rows are made up from the signature alone


def test_single_rows_are_timed_and_a_table_is_sampled_in_order():
    predictor, frame, _ = model_of(wine)
    median, upper = behaviour.single_row_ms(predictor, frame, repeats=20)
    assert 0 < median <= upper
    rows = frame.with_row_index("row")
    chosen = behaviour.sample(rows, seed=1, rows=50)
    assert chosen.height == 50
    assert chosen["row"].is_sorted()
    assert behaviour.sample(rows, seed=1, rows=1000) is rows
