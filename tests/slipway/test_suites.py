import json

import numpy as np
import polars as pl
import pytest
from examples import churn, churn_schema, wine

from slipway.errors import UserError
from slipway.files import read_report
from slipway.params import DataGates, Gates
from slipway.suites import Check, write_suite
from slipway.suites.data import check_data, stability
from slipway.suites.model import check_model


def outcome(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.status for check in checks}


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if check.status != "passed"]


def sides() -> tuple[pl.DataFrame, pl.DataFrame]:
    frame = churn(600)
    return frame.head(450), frame.tail(150)


def test_alike_sides_pass_every_check():
    assert failed(check_data(*sides(), churn_schema(), DataGates())) == []


def test_a_shifted_column_fails_by_name_and_alone():
    train, holdout = sides()
    shifted = holdout.with_columns(pl.col("visits") + 4)
    assert failed(check_data(train, shifted, churn_schema(), DataGates())) == [
        "column 'visits' is distributed alike in training rows and holdout"
    ]


def test_a_column_that_went_missing_fails():
    train, holdout = sides()
    emptied = holdout.with_columns(pl.lit(None, pl.Float64).alias("age (years)"))
    assert failed(check_data(train, emptied, churn_schema(), DataGates())) == [
        "column 'age (years)' is distributed alike in training rows and holdout"
    ]


def test_a_holdout_of_one_label_fails_on_the_target():
    train, holdout = sides()
    flipped = holdout.with_columns(churned=pl.lit("yes"))
    assert failed(check_data(train, flipped, churn_schema(), DataGates())) == [
        "target 'churned' is distributed alike in training rows and holdout"
    ]


def test_new_categories_fail():
    train, holdout = sides()
    renamed = holdout.with_columns(city=pl.lit("Quito"))
    found = outcome(check_data(train, renamed, churn_schema(), DataGates()))
    assert found["column 'city' has few categories that training never saw"] == "failed"


def test_training_rows_in_the_holdout_fail():
    train, holdout = sides()
    leaked = pl.concat([holdout, train.head(3)])
    (check,) = [c for c in check_data(train, leaked, churn_schema(), DataGates()) if "both sides" in c.name]
    assert check.status == "failed"
    assert check.value == 3


def test_a_small_holdout_fails():
    train, holdout = sides()
    found = outcome(check_data(train, holdout.head(20), churn_schema(), DataGates()))
    assert found["holdout has enough rows"] == "failed"


def test_chance_alone_seldom_fails_a_small_holdout():
    rng = np.random.default_rng(0)
    beyond = 0
    for _ in range(400):
        index, noise = stability(pl.Series(rng.normal(size=400)), pl.Series(rng.normal(size=100)))
        beyond += index > noise
    assert beyond / 400 < 0.05  # stated: 1 %, by an approximation


def report(value: float) -> dict[str, dict[str, float]]:
    return {"roc_auc": {"value": value, "low": value, "high": value}}


CUTS = {
    "slices": [
        {"column": "city", "value": "Lima", "rows": 40, "metrics": report(0.9)},
        {"column": "city", "value": "Oslo", "rows": 40, "metrics": report(0.6)},
    ],
    "skipped": [],
}
EXPORT = {"parity": {"difference": 1e-7, "tolerance": 1e-4}}
GATES = {"metrics": {"roc_auc": {"min": 0.8}}, "worst_slice": {"roc_auc": {"min": 0.5}}}


def judged(gates: dict[str, object], value: float = 0.85, export: dict[str, object] | None = None) -> list[Check]:
    return check_model("binary", {"holdout": report(value)}, CUTS, export or EXPORT, Gates.model_validate(gates))


def test_a_good_model_passes():
    assert failed(judged(GATES)) == []


def test_a_metric_below_its_threshold_fails_alone():
    assert failed(judged(GATES, 0.79)) == ["roc_auc on the holdout"]


def test_the_worst_slice_is_found_and_judged():
    gates = GATES | {"worst_slice": {"roc_auc": {"min": 0.7}}}
    assert failed(judged(gates)) == ["roc_auc on the worst slice (city Oslo)"]


def test_a_broken_parity_fails():
    export = {"parity": {"difference": 0.2, "tolerance": 1e-4}}
    assert failed(judged(GATES, export=export)) == ["the exported file agrees with the fitted pipeline"]


def test_a_check_that_cannot_run_is_never_passed():
    (check,) = [c for c in judged({"metrics": {"f1": {"min": 0.1}}}) if c.name.startswith("f1")]
    assert check.status == "error"
    nothing = check_model("binary", {"holdout": report(0.9)}, {"slices": []}, EXPORT, Gates.model_validate(GATES))
    assert failed(nothing) == ["roc_auc on the worst slice"]


def test_reports_are_read_back_or_named(tmp_path):
    path = tmp_path / "suite.json"
    write_suite(path, "model", [Check("a", "error", "≥ 1", float("nan"), "why")])
    assert read_report(path)["checks"][0] == {
        "name": "a", "status": "error", "condition": "≥ 1", "value": None, "message": "why",
    }  # fmt: skip
    path.write_text(json.dumps({})[:-1], encoding="utf-8")
    with pytest.raises(UserError, match="not valid JSON"):
        read_report(path)
    with pytest.raises(UserError, match="run `make repro`"):
        read_report(tmp_path / "none.json")


def test_three_classes_are_checked_too():
    frame, schema = wine()
    mixed = frame.sample(fraction=1, shuffle=True, seed=3)
    checks = check_data(mixed.head(130), mixed.tail(48), schema, DataGates(min_holdout_rows=40))
    assert failed(checks) == []
    one_sided = check_data(frame.head(130), frame.tail(48), schema, DataGates(min_holdout_rows=40))
    assert "target 'cultivar' is distributed alike in training rows and holdout" in failed(one_sided)
