"""For every condition of the deepchecks suites a fault that it, by name, must find; all run for real."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from helpers import made_once, schema_of, write

from slipway.deepchecks import INSTALLED, install_ahead, run_deepchecks
from slipway.params import DataSuite, ModelSuite, Params, Suites
from slipway.suites import Check
from slipway.suites.job import Job, applies, by_chance, write_job
from slipway.suites.launch import NAMES, read_results

SLOW = {"max_multivariate_drift": None, "min_weak_segment": None}  # seconds each, so only where they are what is tried


def rows(count: int, seed: int, task: str = "binary") -> pl.DataFrame:
    """Rows whose target follows `dose`; each has an id and a time of its own."""
    generator = np.random.default_rng(seed)
    dose = generator.normal(size=count)
    frame = pl.DataFrame(
        {
            "person": [f"{seed}-{number}" for number in range(count)],
            "seen": [datetime(2024 + seed, 1, 1) + timedelta(hours=number) for number in range(count)],
            "dose": dose,
            "age": generator.normal(50, 10, size=count),
            "region": generator.choice(["north", "south", "west"], count),
            "member": generator.random(count) < 0.5,
        }
    )
    noise = generator.logistic(size=count)
    if task == "regression":
        return frame.with_columns(y=pl.Series(2 * dose + noise))
    if task == "multiclass":
        cut = np.digitize(2 * dose + noise, [-1, 1])
        return frame.with_columns(y=pl.Series(np.array(["low", "middle", "high"])[cut]))
    return frame.with_columns(y=pl.Series(np.where(2 * dose + noise > 0, "yes", "no")))


TARGETS: dict[str, Any] = {
    "binary": "y",
    "multiclass": {"column": "y", "task": "multiclass", "classes": ["high", "low", "middle"]},
    "regression": {"column": "y", "task": "regression"},
}


def schema(task: str = "binary", **changes: Any):
    columns = {"person": "category", "seen": "datetime", "dose": "number", "age": "number", "region": "category"}
    roles = {"id": "person", "time": "seen"} | changes
    return schema_of(columns | {"member": "boolean"}, TARGETS[task], **roles)


def said(frame: pl.DataFrame, contract: Any, seed: int) -> np.ndarray:
    """What a fair model would say: class and probabilities, or the number."""
    generator = np.random.default_rng(seed)
    signal = 2 * frame["dose"].to_numpy() + generator.normal(size=frame.height) * 0.1
    if contract.target.task == "regression":
        return signal.reshape(-1, 1)
    if contract.target.task == "binary":
        positive = 1 / (1 + np.exp(-signal))
        return np.column_stack([positive > 0.5, 1 - positive, positive]).astype(float)
    low, high = 1 / (1 + np.exp(signal + 1)), 1 / (1 + np.exp(1 - signal))
    shares = np.column_stack([high, low, 1 - low - high])
    return np.column_stack([shares.argmax(axis=1), shares])


def data_job(task: str = "binary", **conditions: Any) -> Job:
    settings = Suites()
    chosen = settings.data.model_dump(exclude={"max_age_days"}) | SLOW | conditions
    chosen.pop("min_weak_segment", None)
    sides = rows(900, 0, task), rows(300, 1, task)
    return Job("data", schema(task), settings, chosen, *sides, ordered=True)


def model_job(task: str = "binary", **conditions: Any) -> Job:
    settings = Suites()
    chosen = settings.model.model_dump() | {"min_weak_segment": None} | conditions
    contract, sides = schema(task), (rows(900, 0, task), rows(300, 1, task))
    counts = sides[0]["y"].value_counts() if contract.target.classes else None
    shares = [dict(counts.iter_rows())[name] / 900 for name in contract.target.classes] if counts is not None else []
    told = tuple(said(side, contract, seed) for seed, side in enumerate(sides))
    return Job("model", contract, settings, chosen, *sides, predictions=told, shares=shares)


def changed(side: str, **columns: Any) -> Callable[[Job], Job]:
    """A job with some columns of one side set anew."""
    return lambda job: replace(job, **{side: getattr(job, side).with_columns(**columns)})


def told(change: Callable[[np.ndarray, Job], np.ndarray]) -> Callable[[Job], Job]:
    """A job whose predictions of the holdout are changed."""
    return lambda job: replace(job, predictions=(job.predictions[0], change(job.predictions[1].copy(), job)))


def shuffled(values: np.ndarray, _: Job) -> np.ndarray:
    return np.random.default_rng(0).permutation(values)


def overconfident(values: np.ndarray, job: Job) -> np.ndarray:
    """Sure of the same label in all rows, and wrong in half of them."""
    values[:, 1:] = np.where(np.arange(values.shape[1] - 1) == 1, 0.999, 0.001 / (values.shape[1] - 2))
    values[:, 1:] += np.random.default_rng(0).normal(size=values[:, 1:].shape) * 1e-6
    values[:, 0] = 1
    return values


def blind(values: np.ndarray, job: Job) -> np.ndarray:
    """Wrong wherever the region is the west."""
    west = (job.holdout["region"] == "west").to_numpy()
    values[west, 0] = 1 - (job.holdout["y"] == "yes").to_numpy()[west]
    values[west, 1], values[west, 2] = 1 - values[west, 0], values[west, 0]
    return values


def twice(job: Job) -> Job:
    copied = job.train.head(300).with_columns(person=pl.lit("copy ") + pl.col("person"))
    return replace(job, train=pl.concat([job.train, copied]), schema=schema(id=None))


copied_ids = pl.Series([f"0-{number}" for number in range(300)])
FAULTS: dict[str, tuple[Callable[[], Job], str, set[str]]] = {
    # by what is wrong: the job, the condition that must find it, and others that it may also break
    "too small a holdout": (
        lambda: replace(data_job(), holdout=rows(40, 1)),
        "min_holdout_rows",
        set(),
    ),
    "repeated rows": (
        lambda: replace(data_job(), train=pl.concat([rows(900, 0), rows(900, 0).head(300)])),
        "max_duplicates",
        {"max_shared_ids"},
    ),
    "rows alike but for the target": (
        lambda: changed("train", dose=pl.lit(1.0), age=pl.lit(50.0), member=pl.lit(True))(data_job()),
        "max_conflicting_labels",
        {"max_drift", "max_new_categories"},
    ),
    "a category written in two ways": (
        lambda: changed("train", region=pl.col("region").replace({"west": "West"}))(
            changed("holdout", region=pl.col("region"))(data_job())
        ),
        "max_string_variants",
        {"max_drift", "max_new_categories"},
    ),
    "a column that gives the target away": (
        lambda: changed("holdout", age=(pl.col("y") == "yes").cast(pl.Float64))(
            changed("train", age=(pl.col("y") == "yes").cast(pl.Float64))(data_job())
        ),
        "max_predictive_power",
        set(),
    ),
    "an id that gives the target away": (
        lambda: changed(
            "train", seen=pl.when(pl.col("y") == "yes").then(datetime(2020, 1, 1)).otherwise(datetime(2021, 1, 1))
        )(data_job()),
        "max_id_power",
        set(),
    ),
    "a class that training never saw": (
        lambda: replace(
            data_job("multiclass"),
            train=rows(900, 0, "multiclass").with_columns(y=pl.col("y").replace({"low": "middle"})),
        ),
        "max_new_labels",
        {"max_label_drift"},
    ),
    "categories that training never saw": (
        lambda: changed("holdout", region=pl.col("region").replace({"west": "east"}))(data_job()),
        "max_new_categories",
        {"max_drift"},
    ),
    "training rows in the holdout": (
        lambda: replace(
            data_job(),
            holdout=pl.concat(
                [rows(900, 0).head(150).with_columns(person=pl.lit("new ") + pl.col("person")), rows(150, 1)]
            ),
        ),
        "max_shared_rows",
        {"max_overlap", "max_duplicates"},
    ),
    "ids on both sides": (
        lambda: replace(data_job(), holdout=rows(300, 1).with_columns(person=copied_ids)),
        "max_shared_ids",
        set(),
    ),
    "a holdout that is not later": (
        lambda: changed("holdout", seen=pl.col("seen") - timedelta(days=365))(data_job()),
        "max_overlap",
        set(),
    ),
    "a column that drifts": (
        lambda: changed("holdout", age=pl.col("age") + 10)(data_job()),
        "max_drift",
        set(),
    ),
    "a category that drifts": (
        lambda: changed("holdout", region=pl.lit("west"))(data_job()),
        "max_drift",
        set(),
    ),
    "values that go missing": (
        lambda: changed("holdout", age=pl.when(pl.int_range(pl.len()) % 5 > 1).then(pl.col("age")))(data_job()),
        "max_drift",
        {"max_new_categories"},
    ),
    "categories that go missing": (
        lambda: changed("holdout", region=pl.when(pl.int_range(pl.len()) % 5 > 1).then(pl.col("region")))(data_job()),
        "max_drift",
        {"max_new_categories"},
    ),
    "a target that drifts": (
        lambda: changed("holdout", y=pl.lit("yes"))(data_job()),
        "max_label_drift",
        set(),
    ),
    "numbers to predict that drift": (
        lambda: changed("holdout", y=pl.col("y") + 3)(data_job("regression")),
        "max_label_drift",
        set(),
    ),
    "columns that drift together": (
        lambda: changed("holdout", age=50 + 10 * pl.col("dose"))(data_job(max_multivariate_drift=0.3)),
        "max_multivariate_drift",
        {"max_predictive_power"},
    ),
    "predictions of other rows": (
        lambda: told(shuffled)(model_job()),
        "max_degradation",
        {"min_gain", "min_class_auc", "min_brier_skill"},
    ),
    "a model that knows nothing": (
        lambda: told(shuffled)(model_job()),
        "min_gain",
        {"max_degradation", "min_class_auc", "min_brier_skill"},
    ),
    "numbers of other rows": (
        lambda: told(shuffled)(model_job("regression")),
        "min_gain",
        {"max_degradation"},
    ),
    "a class that is not told from the rest": (
        lambda: told(shuffled)(model_job("multiclass")),
        "min_class_auc",
        {"max_degradation", "min_gain", "min_brier_skill"},
    ),
    "predictions that drift": (
        lambda: told(lambda values, _: np.column_stack([values[:, 0], values[:, 1] / 4, 1 - values[:, 1] / 4]))(
            model_job()
        ),
        "max_prediction_drift",
        {"min_brier_skill"},
    ),
    "numbers predicted that drift": (
        lambda: told(lambda values, _: values * 0.2)(model_job("regression")),
        "max_prediction_drift",
        {"max_degradation", "min_gain"},
    ),
    "probabilities that are sure and wrong": (
        lambda: told(overconfident)(model_job()),
        "min_brier_skill",
        {"max_prediction_drift", "max_degradation", "min_gain", "min_class_auc"},
    ),
    "errors to one side": (
        lambda: told(lambda values, _: values + 2)(model_job("regression")),
        "max_systematic_error",
        {"max_degradation", "max_prediction_drift", "min_gain"},
    ),
    "a segment that is all wrong": (
        lambda: told(blind)(model_job(min_weak_segment=0.9)),
        "min_weak_segment",
        {"max_degradation", "max_prediction_drift", "min_gain", "min_brier_skill", "min_class_auc"},
    ),
}
SOUND = {
    "sound data": lambda: data_job(max_multivariate_drift=0.3),
    "sound data of three classes": lambda: data_job("multiclass"),
    "sound data of numbers": lambda: data_job("regression"),
    "sound model": model_job,
    "sound model of three classes": lambda: model_job("multiclass"),
    "sound model of numbers": lambda: model_job("regression"),
}
ODD = "<script>alert(1)</script>"


def odd_job(suite: Callable[..., Job]) -> Job:
    """Names and values that try to become part of the page, and every kind of gap."""
    names = {"dose": ODD, "age": "100 %", "region": "a\"b'c&d", "member": "prediction 0", "seen": "index"}
    job = suite()
    values = {"west": "<img src=x onerror=alert(2)>"}
    gaps = [
        pl.when(pl.int_range(pl.len()) % 7 > 0).then(pl.col(name)).alias(name)
        for name in ("dose", "age", "member", "region")
    ]

    def odd(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.col("region").replace(values)).with_columns(gaps).rename(names)

    columns = {
        names.get(name, name): column.model_dump() | {"nullable": True} for name, column in job.schema.columns.items()
    }
    contract = schema_of(columns, "y", id="person", time="index")
    return replace(job, schema=contract, train=odd(job.train), holdout=odd(job.holdout))


@pytest.fixture(scope="session")
def found(tmp_path_factory) -> Callable[[str], tuple[list[Check], Path]]:
    """What deepchecks says of every job; it is started once, since importing it takes seconds."""
    jobs = {name: job() for name, (job, _, _) in FAULTS.items()} | {name: job() for name, job in SOUND.items()}
    jobs |= {"odd data": odd_job(data_job), "odd model": odd_job(model_job)}
    for name, kept in (
        ("one class held out", pl.col("y") == "yes"),
        ("five rows held out", pl.int_range(pl.len()) < 5),
    ):
        job = model_job()
        mask = job.holdout.select(kept).to_series()
        told_of = (job.predictions[0], job.predictions[1][mask.to_numpy()])
        jobs[name] = replace(job, holdout=job.holdout.filter(mask), predictions=told_of)
    sampled = replace(data_job(), settings=Suites(sample=200))
    jobs["sampled"] = sampled
    numbers = {name: str(number) for number, name in enumerate(jobs)}

    def run(root: Path) -> None:
        notes = {}
        for name, job in jobs.items():
            (root / numbers[name]).mkdir()
            notes[name] = write_job(job, root / numbers[name])
        write(root, "notes.json", json.dumps(notes))
        run_deepchecks(*(root / number for number in numbers.values()))

    root = made_once(tmp_path_factory, "jobs", run)
    notes = json.loads((root / "notes.json").read_text(encoding="utf-8"))
    folders = {name: root / number for name, number in numbers.items()}
    return lambda name: (read_results(jobs[name], folders[name], notes[name]), folders[name])


def statuses(checks: list[Check]) -> dict[str, str]:
    return {check.parameter.rsplit(".", 1)[-1]: check.status for check in checks}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_the_condition_that_is_for_it(found, fault):
    checks, _ = found(fault)
    _, condition, also = FAULTS[fault]
    said = statuses(checks)
    assert said[condition] == ("warned" if condition == "min_weak_segment" else "failed"), checks
    broken = {name for name, status in said.items() if status != "passed"}
    assert broken <= {condition} | also, [check for check in checks if check.status != "passed"]


@pytest.mark.slow
@pytest.mark.parametrize("job", SOUND)
def test_sound_data_and_models_pass_every_condition(found, job):
    checks, folder = found(job)
    assert set(statuses(checks).values()) == {"passed"}, [check for check in checks if check.status != "passed"]
    assert all(check.value is not None for check in checks)
    assert (folder / "report.html").stat().st_size > 100_000


@pytest.mark.slow
def test_what_one_class_or_a_few_rows_leave_undefined_could_not_run_and_is_no_pass(found):
    one, _ = found("one class held out")
    few, _ = found("five rows held out")
    assert {"max_degradation", "min_class_auc"} <= {name for name, said in statuses(one).items() if said == "error"}
    assert {"min_class_auc", "max_prediction_drift"} & {n for n, said in statuses(few).items() if said == "error"}


def test_every_condition_has_a_fault_and_a_name():
    every = {*DataSuite.model_fields, *ModelSuite.model_fields} - {"max_age_days"}
    assert {condition for _, condition, _ in FAULTS.values()} == every == set(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("job", ["odd data", "odd model"])
def test_names_and_values_do_not_become_part_of_the_page(found, job):
    checks, folder = found(job)
    assert "error" not in statuses(checks).values(), [check for check in checks if check.status == "error"]
    page = (folder / "report.html").read_text("utf-8")
    assert ODD not in page
    assert "<img src=x" not in page


@pytest.mark.slow
def test_what_is_sampled_is_said(found):
    checks, _ = found("sampled")
    assert all("200 of 900 training rows, 200 of 300 held out" in check.message for check in checks)


@pytest.mark.slow
def test_deepchecks_can_be_installed_ahead_and_is_only_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ahead = install_ahead()
    assert ahead is not None
    assert ahead.wait() == 0
    assert (tmp_path / INSTALLED / "bin/python").exists()
    assert install_ahead() is None


def test_only_what_applies_is_tried():
    plain = replace(data_job("regression"), schema=schema("regression", id=None, time=None))
    assert not any(applies(name, plain) for name in ("max_conflicting_labels", "max_shared_ids", "max_overlap"))
    assert applies("max_drift", plain)


def test_chance_allows_more_of_fewer_rows():
    few, many = by_chance(100, 30, 10, 2), by_chance(10_000, 3000, 10, 2)
    assert all(few[name] > many[name] > 0 for name in few)


def test_the_limits_are_those_of_the_settings():
    assert Params().suites.data.max_drift == DataSuite().max_drift
    with pytest.raises(ValueError, match="there is no condition 'max_drft'"):
        Suites(may_not_run=("max_drft",))
