"""For every gate a fault that it, by name, must find; the other gates say what they are expected to say."""

import json
from contextlib import chdir
from copy import deepcopy
from hashlib import sha256
from typing import Any

import numpy as np
import polars as pl
import pytest
from helpers import write
from world import SETTINGS, judged, people, statuses

from slipway import layout
from slipway.review.judge import Opponent
from slipway.review.verdict import Side
from slipway.schema import Schema
from slipway.signature import SIGNATURE
from slipway.suites import Check, write_suite


def but(*path_and_value: Any, settings: dict[str, Any] = SETTINGS) -> dict[str, Any]:
    """The settings with one value changed, given as its path and itself."""
    *path, last, value = path_and_value
    changed = deepcopy(settings)
    at = changed
    for step in path:
        at = at.setdefault(step, {})
    at[last] = value
    return changed


def with_columns(schema: Schema, **changes: dict[str, Any]) -> Schema:
    """The contract with some keys of some columns changed; made anew, since a copy keeps what it has derived."""
    content = schema.model_dump()
    for name, keys in changes.items():
        content["columns"][name] |= keys
    return Schema.model_validate(content)


def others(found, *expected: str) -> dict[str, str]:
    """The gates that do not pass, besides the expected ones."""
    return {name: gate.reason for name, gate in found.items() if gate.status != "pass" and name not in expected}


def test_a_sound_candidate_passes_every_gate(sound):
    found = judged(sound.candidate(), sound.opponent())
    assert set(statuses(found).values()) == {"pass"}, others(found)
    assert len(found) == 19


def test_a_sound_candidate_of_a_regression_passes_every_gate(numbers):
    found = judged(numbers.candidate(), numbers.opponent())
    assert set(statuses(found).values()) == {"pass"}, others(found)


def test_shuffled_labels_fail_the_metrics_and_the_comparison(sound):
    shuffled = sound.train.with_columns(pl.col("y").shuffle(seed=1))
    world = sound.but(settings=but("train", {"folds": 2, "model": "hist_gradient_boosting"}))
    found = judged(world.but(train=shuffled).candidate(), sound.opponent())
    fallen = ("metrics.roc_auc", "metrics.log_loss", "not_worse.roc_auc", "not_worse.log_loss")
    assert [found[name].status for name in fallen] == ["fail"] * 4
    assert found["worst_slice.balanced_accuracy"].status == "fail"
    assert not others(found, *fallen, "worst_slice.balanced_accuracy", "calibration"), others(found)


def test_shuffled_numbers_fail_the_metrics_and_the_comparison(numbers):
    shuffled = numbers.train.with_columns(pl.col("y").shuffle(seed=1))
    found = judged(numbers.but(train=shuffled).candidate(), numbers.opponent())
    fallen = ("metrics.r2", "metrics.mae", "not_worse.r2", "not_worse.mae", "worst_slice.mae")
    assert [found[name].status for name in fallen] == ["fail"] * 5


def test_a_weaker_model_fails_the_comparison_alone(sound):
    settings = but("gates", "metrics", {"roc_auc": {"min": 0.5}}, settings=but("gates", "worst_slice", {}))
    weaker = sound.train.with_columns(dose=pl.col("dose").shuffle(seed=1))
    world = sound.but(settings=settings)
    found = judged(world.but(train=weaker).candidate(), world.opponent())
    assert found["not_worse.roc_auc"].status == "fail"
    assert "worse by more than 0.03" in found["not_worse.roc_auc"].reason
    assert not others(found, "not_worse.roc_auc", "not_worse.log_loss", "calibration")


def test_a_better_model_passes_the_comparison(sound):
    weaker = sound.train.with_columns(dose=pl.col("dose").shuffle(seed=1))
    base = sound.but(train=weaker).opponent()
    found = judged(sound.candidate(), base)
    assert found["not_worse.roc_auc"].status == "pass"
    assert found["not_worse.roc_auc"].value > 0.05


def test_one_ruined_slice_fails_the_worst_slice_by_name(sound):
    west = pl.col("region") == "west"
    flipped = pl.when(west).then(pl.col("y").replace({"yes": "no", "no": "yes"})).otherwise(pl.col("y"))
    settings = but("train", {"folds": 2, "model": "hist_gradient_boosting"})
    world = sound.but(settings=but("gates", "metrics", {"roc_auc": {"min": 0.5}}, settings=settings))
    found = judged(world.but(train=sound.train.with_columns(flipped.alias("y"))).candidate(), world.opponent())
    assert found["worst_slice.balanced_accuracy"].status == "fail"
    assert "region west" in found["worst_slice.balanced_accuracy"].reason
    assert found["metrics.roc_auc"].status == "pass"


@pytest.mark.parametrize("rate", ["selection_rate", "true_positive_rate", "false_positive_rate"])
def test_a_bias_against_a_group_fails_fairness_in_that_rate(sound, rate):
    chosen = pl.when(pl.int_range(pl.len()) % 3 > 0).then(pl.col("sex").replace({"m": "yes", "f": "no"}))
    biased = sound.train.with_columns(chosen.otherwise(pl.col("y")).alias("y"))
    world = sound.but(train=biased, schema=with_columns(sound.schema, sex={"use": True}))
    found = judged(world.candidate(), sound.opponent())
    assert found[f"fairness.sex.{rate}"].status == "fail"
    assert "'m' has" in found[f"fairness.sex.{rate}"].reason
    assert found["drift"].status == found["parity"].status == found["robustness.noise"].status == "pass"


def test_more_errors_for_a_group_fail_fairness_in_error(sound, numbers):
    generator = np.random.default_rng(2)
    for world, column in ((sound, "y"), (numbers, "y")):
        mixed = world.holdout[column].sample(fraction=1, shuffle=True, seed=3)
        hurt = pl.Series((world.holdout["sex"] == "f").to_numpy() & (generator.random(world.holdout.height) < 0.9))
        holdout = world.holdout.with_columns(pl.when(hurt).then(mixed).otherwise(pl.col(column)).alias(column))
        worse = world.but(holdout=holdout)
        found = judged(worse.candidate(), worse.opponent())
        assert found["fairness.sex.error"].status == "fail"
        assert "'f' has" in found["fairness.sex.error"].reason
        assert found["fairness.sex.error"].low > found["fairness.sex.error"].limit


def test_probabilities_that_do_not_come_about_fail_calibration(sound):
    few = (pl.col("y") == "yes") | (pl.int_range(pl.len()) % 6 == 0)
    found = judged(sound.but(train=sound.train.filter(few)).candidate(), sound.opponent())
    assert found["calibration"].status == "fail"
    assert found["metrics.roc_auc"].status == found["not_worse.roc_auc"].status == "pass"


def test_numbers_that_are_all_too_high_fail_calibration(numbers):
    high = numbers.train.with_columns(y=pl.col("y") + 1.5)
    settings = but("gates", "metrics", {"r2": {"min": -1}}, settings=numbers.settings)
    found = judged(numbers.but(train=high, settings=settings).candidate(), numbers.opponent())
    assert found["calibration"].status == "fail"


def test_a_model_that_hangs_on_the_last_digits_fails_robustness_to_noise(sound):
    def striped(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
        dose = np.random.default_rng(seed).uniform(0, 10, frame.height)
        return frame.with_columns(dose=pl.Series(dose), y=pl.Series(np.where(dose % 0.5 < 0.25, "yes", "no")))

    learner = {"folds": 2, "model": "hist_gradient_boosting", "hist_gradient_boosting": {"min_samples_leaf": 5}}
    settings = but("gates", "worst_slice", {}, settings=but("train", learner))
    world = sound.but(train=striped(sound.train, 0), holdout=striped(sound.holdout, 1), settings=settings)
    found = judged(world.candidate(), world.opponent())
    assert found["robustness.noise"].status == "fail"
    assert found["metrics.roc_auc"].status == found["robustness.missing"].status == "pass"


def test_a_model_that_hangs_on_a_value_that_may_be_missing_fails_robustness_to_missing_values(sound):
    schema = with_columns(sound.schema, dose={"nullable": True})
    world = sound.but(schema=schema, settings=but("gates", "robustness", {"missing": 0.3}))
    found = judged(world.candidate(), world.opponent())
    assert found["robustness.missing"].status == "fail"
    assert found["robustness.noise"].status == "pass"
    assert not others(found, "robustness.missing")


def test_another_model_in_place_of_the_exported_one_fails_parity(sound):
    other = sound.but(train=people(seed=9)).model("other")
    predictor = sound.model("candidate")
    content = other.file.read_bytes()
    predictor.file.write_bytes(content)
    signature = json.loads((predictor.folder / SIGNATURE).read_text())
    signature["model"]["sha256"] = sha256(content).hexdigest()
    (predictor.folder / SIGNATURE).write_text(json.dumps(signature))
    found = judged(sound.candidate(type(predictor)(predictor.folder)), sound.opponent())
    assert found["parity"].status == "fail"
    assert not others(found, "parity")


def test_a_file_that_export_found_to_differ_fails_parity(sound):
    candidate = sound.candidate()
    report = sound.root / "candidate" / layout.EXPORT_REPORT
    content = json.loads(report.read_text())
    content["parity"]["difference"] = 0.01
    report.write_text(json.dumps(content))
    found = judged(candidate, sound.opponent())
    assert found["parity"].status == "fail"
    assert not others(found, "parity")


def test_a_slow_model_fails_latency(sound):
    slow = {"folds": 2, "model": "random_forest", "random_forest": {"n_estimators": 200, "min_samples_leaf": 20}}
    settings = but("export", {"tolerance": 1e-15}, settings=but("train", slow))  # so that it ships as skops
    world = sound.but(settings=but("gates", "budget", {"single_row_ms": 4, "file_mb": 50}, settings=settings))
    predictor = world.model("candidate")
    assert predictor.file.suffix == ".skops"
    found = judged(world.candidate(predictor), sound.opponent())
    assert found["latency"].status == "fail"
    assert found["size"].status == found["parity"].status == "pass"


def test_a_large_model_fails_size(sound):
    large = {"folds": 2, "model": "random_forest", "random_forest": {"n_estimators": 100}}
    found = judged(sound.but(settings=but("train", large)).candidate(), sound.opponent())
    assert found["size"].status == "fail"
    assert found["latency"].status == "pass"


def test_a_lock_edited_by_hand_fails_lock(sound):
    candidate = sound.candidate()
    write(sound.root / "candidate", "dvc.yaml", "stages:\n  train:\n    cmd: python train.py\n")
    lock = "schema: '2.0'\nstages:\n  train:\n    cmd: python other.py\n"
    write(sound.root / "candidate", "dvc.lock", lock)
    found = judged(candidate, sound.opponent())
    assert found["lock"].status == "fail"
    assert "train: the command changed" in found["lock"].reason
    assert not others(found, "lock")


def test_a_lock_that_cannot_be_told_is_undecided(sound):
    candidate = sound.candidate()
    write(sound.root / "candidate", "dvc.yaml", "stages:\n  train:\n    foreach: [1, 2]\n    do: {cmd: echo}\n")
    found = judged(candidate, sound.opponent())
    assert found["lock"].status == "undecided"
    assert not others(found, "lock")


@pytest.mark.parametrize("suite", ["data", "model"])
@pytest.mark.parametrize(
    ("checks", "status", "why"),
    [
        ([Check("a leak", "failed", "= 0", 3.0, "")], "fail", "1 of 1 checks failed: a leak"),
        ([Check("a leak", "error", "= 0", None, "broke")], "undecided", "1 of 1 checks could not run: a leak"),
        ([Check("a leak", "warned", "= 0", 1.0, "")], "pass", "none of 1 checks failed"),
        ([], "undecided", "the suite holds no check"),
    ],
)
def test_a_suite_fails_its_gate_and_one_that_could_not_run_is_no_pass(sound, suite, checks, status, why):
    candidate = sound.candidate()
    with chdir(sound.root / "candidate"):
        write_suite(layout.SUITES / f"{suite}.json", suite, checks)
    found = judged(candidate, sound.opponent())
    assert (found[f"suites.{suite}"].status, found[f"suites.{suite}"].reason) == (status, why)
    assert not others(found, f"suites.{suite}")


def test_training_rows_unlike_the_bases_fail_drift_by_column(sound):
    moved = sound.train.with_columns(age=pl.col("age") + 12)
    found = judged(sound.but(train=moved).candidate(), sound.opponent())
    assert found["drift"].status == "fail"
    assert "1 of 3 inputs moved since the base was trained: 'age'" in found["drift"].reason


def test_a_category_that_takes_over_fails_drift(sound):
    moved = sound.train.with_columns(region=pl.lit("north"))
    found = judged(sound.but(train=moved).candidate(), sound.opponent())
    assert found["drift"].status == "fail"
    assert "'region'" in found["drift"].reason


def test_what_drift_and_fairness_leave_out_is_named(sound):
    few = pl.concat([sound.holdout, sound.holdout[:8].with_columns(sex=pl.lit("x"))])
    gone = {"type": "text", "use": False, "categories": None}
    contract = with_columns(sound.schema, sex={"categories": ("f", "m", "x")}, region=gone)
    world = sound.but(holdout=few, schema=contract)
    found = judged(world.candidate(sound.model("candidate")), sound.opponent(few))
    assert found["drift"].reason.endswith("; gone or of another type, so not compared: 'region'")
    assert found["fairness.sex.error"].reason.endswith("; too few rows to be judged: 'x'")


def test_too_few_rows_leave_the_comparison_undecided(sound):
    tiny = sound.but(holdout=people(60, seed=5), settings=but("gates", "not_worse", {"margins": {"roc_auc": 0.002}}))
    weaker = tiny.but(train=people(150, seed=8))
    found = judged(weaker.candidate(), tiny.opponent())
    assert found["not_worse.roc_auc"].status == "undecided"
    assert "cannot tell whether it is worse" in found["not_worse.roc_auc"].reason


@pytest.mark.parametrize("rows", [5, 1])
def test_a_holdout_of_a_few_rows_is_undecided_and_nothing_breaks(sound, rows):
    tiny = sound.but(holdout=sound.holdout[:rows])
    found = judged(tiny.candidate(), tiny.opponent())
    assert found["worst_slice.balanced_accuracy"].status == "undecided"
    assert found["fairness.sex.selection_rate"].status == "undecided"
    assert "fewer than two groups of 20 rows" in found["fairness.sex.selection_rate"].reason


def test_one_class_in_the_holdout_is_undecided(sound):
    one = sound.but(holdout=sound.holdout.filter(pl.col("y") == "no"))
    found = judged(one.candidate(), one.opponent())
    assert found["metrics.roc_auc"].status == found["not_worse.roc_auc"].status == "undecided"
    assert found["robustness.noise"].status == "undecided"
    assert found["metrics.log_loss"].status == "pass"


@pytest.mark.parametrize(("first", "status"), [(True, "not applicable"), (False, "undecided")])
def test_without_the_bases_model_nothing_is_compared(sound, first, status):
    nobody = Opponent(Side(revision="main", commit="1" * 40, source="none"), why="it is gone", first=first)
    found = judged(sound.candidate(), nobody)
    expected = ("not_worse.roc_auc", "not_worse.log_loss", "drift")
    assert [found[name].status for name in expected] == [status] * 3
    assert found["not_worse.roc_auc"].reason == "it is gone"
    assert not others(found, *expected)


def test_a_sensitive_number_without_bins_is_undecided(sound):
    world = sound.but(schema=Schema.model_validate(sound.schema.model_dump() | {"sensitive": ["age"]}))
    found = judged(world.candidate(), world.opponent())
    assert found["fairness.age.error"].status == "undecided"
    assert "`bins`" in found["fairness.age.error"].reason
    cut = but("evaluate", "slices", [{"column": "age", "bins": [45, 55]}])
    world = world.but(settings=cut)
    assert judged(world.candidate(), world.opponent())["fairness.age.selection_rate"].status in {"fail", "undecided"}


def test_gates_that_nobody_set_do_not_apply(sound):
    world = sound.but(
        settings={"train": {"folds": 2}, "gates": {"drift": None, "robustness": {"noise": 0, "missing": 0}}}
    )
    found = judged(world.candidate(), world.opponent())
    assert found["fairness"].reason == "'sex' is sensitive, but gates.fairness in params.yaml has no limit"
    aside = {"fairness", "calibration", "robustness.noise", "robustness.missing", "drift"}
    assert {name for name, gate in found.items() if gate.status == "not applicable"} == aside
    assert not others(found, *aside)
