import numpy as np
import polars as pl
import pytest
from examples import churned, diabetes, quick, wine

from slipway import layout
from slipway.encoding import columns_of, predictions_table, target_of
from slipway.params import Export, Slice
from slipway.predictor import Predictor, encode
from slipway.slices import slices_of
from slipway.stages.evaluate import BATCH_ROWS, by_slice, importance, score, timing
from slipway.stages.export import export
from slipway.stages.train import train


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def shipped(table):
    """A predictor for a table, and the table as the stage hands it over."""
    frame, schema = table()
    trained = train(frame, schema, quick())
    names = trained.signature.names
    matrix = encode(trained.signature, columns_of(frame, names))
    export(trained.pipeline, trained.signature, matrix, Export())
    return Predictor(layout.MODEL), frame, schema, matrix, target_of(frame, schema)


@pytest.mark.parametrize(("table", "metric"), [(churned, "roc_auc"), (diabetes, "r2"), (wine, "balanced_accuracy")])
def test_metrics_come_with_intervals_around_them(table, metric):
    predictor, _, _, matrix, truth = shipped(table)
    found = score(predictor.signature, truth, predictor.predict_matrix(matrix), quick().evaluate)
    assert found[metric]["low"] <= found[metric]["value"] <= found[metric]["high"]
    ruined = score(predictor.signature, truth[::-1], predictor.predict_matrix(matrix), quick().evaluate)
    assert ruined[metric]["value"] < found[metric]["low"]


def test_importance_finds_what_the_model_uses_and_nothing_else():
    predictor, frame, schema, matrix, truth = shipped(churned)
    found = importance(predictor, matrix, truth, seed=0)
    assert set(found) == set(schema.features) - {"country"}  # a constant has no column to shuffle
    assert found["age (years)"][0] > 0.05
    assert found["age (years)"][0] == max(mean for mean, _ in found.values())
    deaf = frame.with_columns(pl.lit(50.0).alias("age (years)"))
    names = predictor.signature.names
    blind = importance(predictor, encode(predictor.signature, columns_of(deaf, names)), truth, seed=0)
    assert blind["age (years)"] == (0.0, 0.0)


def test_slices_carry_metrics_and_small_ones_are_named_instead():
    predictor, frame, _, matrix, truth = shipped(churned)
    pieces = (Slice(column="city"), Slice(column="visits", bins=(5, 10)))
    settings = quick().evaluate.model_copy(update={"slices": pieces, "min_slice_rows": 60})
    found = by_slice(frame, truth, predictor.predict_matrix(matrix), predictor.signature, settings)
    scored = {(cut["column"], cut["value"]): cut for cut in found["slices"]}
    assert {("city", "Athens"), ("city", "Lima"), ("city", "Oslo"), ("visits", "< 5")} <= set(scored)
    assert scored["city", "Lima"]["rows"] == (frame["city"] == "Lima").sum()
    assert {(cut["column"], cut["value"]) for cut in found["skipped"]} == {("city", "(missing)"), ("visits", "≥ 10")}
    assert all(cut["rows"] < 60 for cut in found["skipped"])


def test_sensitive_columns_are_slices_without_being_asked_for():
    _, schema = churned()
    assert [piece.column for piece in slices_of(schema, quick())] == ["city"]
    assert slices_of(schema.model_copy(update={"sensitive": ()}), quick()) == ()


def test_predictions_stand_beside_the_truth():
    predictor, frame, _, matrix, _ = shipped(wine)
    table = predictions_table(predictor.predict_matrix(matrix), predictor.signature)
    assert table.columns == ["prediction", *(f"probability class_{number}" for number in range(3))]
    assert (frame[predictor.signature.target] == table["prediction"]).mean() > 0.9
    sums = table.select(pl.sum_horizontal("^probability .*$")).to_series().to_numpy()
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_predicted_numbers_stand_beside_the_truth():
    predictor, _, _, matrix, truth = shipped(diabetes)
    table = predictions_table(predictor.predict_matrix(matrix), predictor.signature)
    assert table.columns == ["prediction"]
    assert np.corrcoef(truth, table["prediction"])[0, 1] > 0.5


def test_timing_tells_one_row_from_many():
    predictor, frame, _, _, _ = shipped(churned)
    found = timing(predictor, frame)
    assert found["batch_rows"] == BATCH_ROWS < frame.height
    assert 0 < found["single_row_ms_median"] <= found["single_row_ms_p95"]
    assert found["single_row_ms_median"] < found["batch_ms"]
