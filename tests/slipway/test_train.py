from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from examples import churn, churn_schema, churned, diabetes, quick, wine
from helpers import schema_of

from slipway.encoding import fit_inputs
from slipway.errors import UserError
from slipway.params import Params, Split
from slipway.pipeline_file import pipeline_bytes
from slipway.stages.train import folds, train


@pytest.mark.parametrize("model", ["linear", "hist_gradient_boosting", "random_forest"])
@pytest.mark.parametrize(
    ("table", "metric", "floor"), [(churned, "roc_auc", 0.7), (diabetes, "r2", 0.2), (wine, "roc_auc", 0.95)]
)
def test_every_model_learns_every_task(table, metric, floor, model):
    frame, schema = table()
    trained = train(frame, schema, quick(model=model, hist_gradient_boosting={"max_iter": 20, "min_samples_leaf": 5}))
    score = trained.report["cross_validation"][metric]
    assert score["mean"] > floor
    assert score["std"] > 0
    assert trained.report["folds"] == 3


def test_shuffled_labels_are_not_learned():
    frame, schema = churned()
    shuffled = frame.with_columns(pl.col("churned").shuffle(seed=1))
    assert train(shuffled, schema, quick()).report["cross_validation"]["roc_auc"]["mean"] < 0.6


def test_the_same_rows_give_the_same_file_and_another_seed_another():
    frame, schema = churned()
    first, second, other = (
        pipeline_bytes(train(frame, schema, quick(model="random_forest", seed=seed)).pipeline) for seed in (0, 0, 1)
    )
    assert first == second
    assert first != other


def test_columns_the_model_does_not_get_are_named():
    frame, schema = churned()
    trained = train(frame, schema, quick(max_categories=10))
    notes = "\n".join(trained.report["warnings"])
    assert "'note' is free text" in notes
    assert "'country' is constant" in notes
    assert "'postcode' has 60 categories; the 10 most frequent are kept" in notes
    assert not any(name.startswith(("note", "country")) for name in trained.signature.features)


def test_a_healthy_table_brings_no_warnings():
    frame, schema = wine()
    assert train(frame, schema, quick()).report["warnings"] == []


def test_missing_values_get_a_marker_only_where_training_saw_some():
    frame, schema = churned()
    features = train(frame, schema, quick()).signature.features
    assert "age (years):missing" in features
    assert "visits:missing" not in features


def test_a_rare_class_is_reported_and_does_not_stop_training():
    frame, schema = wine()
    third = pl.col("cultivar") == "class_2"
    rare = pl.concat([frame.filter(~third), frame.filter(third).head(1)])
    trained = train(rare, schema, quick(model="hist_gradient_boosting"))
    assert any("'class_2' has only 1 training rows" in note for note in trained.report["warnings"])


def test_a_class_without_rows_is_refused():
    frame, schema = wine()
    with pytest.raises(UserError, match="no training row is of class 'class_2'"):
        train(frame.filter(pl.col("cultivar") != "class_2"), schema, quick())


def test_a_binary_class_with_one_row_is_refused():
    frame, schema = churned()
    lonely = pl.concat([frame.filter(pl.col("churned") == "no"), frame.filter(pl.col("churned") == "yes").head(1)])
    with pytest.raises(UserError, match="'yes' has one training row"):
        train(lonely, schema, quick())


@pytest.mark.parametrize(("step", "constant"), [(1.4e-45, True), (1.2e-37, False)])
def test_numbers_too_close_for_the_matrix_are_no_column(step, constant):
    schema = schema_of({"x": "number", "tiny": "number"})
    values = [float(number) for number in range(40)]
    frame = pl.DataFrame({"x": values, "tiny": [step * (number % 2) for number in range(40)]})
    inputs = {column.name: column for column in fit_inputs(schema, frame, 10)}
    assert inputs["tiny"].constant is constant
    assert not inputs["x"].constant


def test_a_table_of_constants_is_refused():
    frame, schema = wine()
    constant = frame.with_columns(pl.lit(1.0).alias(name) for name in frame.columns if name != "cultivar")
    with pytest.raises(UserError, match="every feature is constant"):
        train(constant, schema, quick())


def test_a_solver_that_stops_early_is_reported():
    frame, schema = churned()
    notes = train(frame, schema, quick(linear={"max_iter": 1})).report["warnings"]
    assert any("did not converge" in note for note in notes)


def test_balancing_moves_probabilities_towards_the_rare_class():
    frame, schema = churned()
    rare = pl.concat([frame.filter(pl.col("churned") == "no"), frame.filter(pl.col("churned") == "yes").head(20)])
    plain, balanced = (train(rare, schema, quick(class_weight=weight)) for weight in (None, "balanced"))
    assert plain.signature.threshold is not None
    assert balanced.signature.threshold is not None
    assert balanced.signature.threshold > plain.signature.threshold  # the same decision, on a scale that is pushed up


def test_numbers_beyond_float_are_refused_in_one_line():
    frame, schema = wine()
    huge = frame.with_columns(pl.when(pl.int_range(pl.len()) == 0).then(1e300).otherwise("alcohol").alias("alcohol"))
    with pytest.raises(UserError, match="numbers too large to compute with"):
        train(huge, schema, quick())


def test_a_table_whose_classes_follow_each_other_in_time_cannot_be_cross_validated():
    frame = churn(100).with_columns(
        joined=pl.datetime_range(datetime(2024, 1, 1), datetime(2024, 4, 9), "1d", eager=True),
        churned=pl.Series(["no"] * 90 + ["yes"] * 10),
    )
    params = quick().model_copy(update={"split": Split(strategy="time", cutoff=datetime(2030, 1, 1))})
    with pytest.raises(UserError, match="every fold would be fitted on one class"):
        train(frame, churn_schema(time="joined"), params)
    mixed = frame.with_columns(churned=pl.Series(["no", "yes"] * 50))
    assert train(mixed, churn_schema(time="joined"), params).report["folds"] == 3


def test_too_few_rows_or_groups_are_refused():
    frame, schema = diabetes()
    with pytest.raises(UserError, match="has 2 rows, too few"):
        train(frame.head(2), schema, quick())
    params = quick().model_copy(update={"split": Split(strategy="group")})
    with pytest.raises(UserError, match="a single group"):
        train(churn().with_columns(postcode=pl.lit("P1")), churn_schema(group="postcode"), params)


def test_the_threshold_follows_its_rule():
    frame, schema = churned()
    strict = train(frame, schema, quick(threshold={"rule": "precision", "value": 0.9})).signature.threshold
    lax = train(frame, schema, quick(threshold={"rule": "recall", "value": 0.95})).signature.threshold
    fixed = train(frame, schema, quick(threshold={"rule": "fixed", "value": 0.3})).signature.threshold
    assert fixed == 0.3
    assert lax < strict


def test_groups_are_never_torn_apart():
    frame = churn()
    schema = churn_schema(group="postcode")
    params = Params.model_validate({"split": {"strategy": "group"}})
    y = np.zeros(frame.height, np.int64)
    group = frame["postcode"].to_numpy()
    cuts = list(folds(y, frame, schema, params))
    assert len(cuts) == 5
    assert all(not set(group[fitted]) & set(group[held]) for fitted, held in cuts)
    plain = list(folds(frame["churned"].to_physical().rank("dense").to_numpy(), frame, schema, Params()))
    assert any(set(group[fitted]) & set(group[held]) for fitted, held in plain)  # the twin: other cuts do tear them


def test_folds_of_a_time_split_look_forward_only():
    rows = 60
    moments = [datetime(2024, 1, 1) + timedelta(days=(7 * day) % rows) for day in range(rows)]
    frame = churn(rows).with_columns(joined=pl.Series(moments, dtype=pl.Datetime("us")))
    params = Params.model_validate({"split": {"strategy": "time", "cutoff": "2030-01-01"}})
    y = np.arange(rows) % 2
    cuts = list(folds(y, frame, churn_schema(time="joined"), params))
    joined = frame["joined"].to_numpy()
    assert cuts
    assert all(joined[fitted].max() <= joined[held].min() for fitted, held in cuts)
