"""The settings of `params.yaml`: every rule between keys, and messages with paths."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from helpers import schema_of, write
from pydantic import ValidationError

from slipway.errors import UserError
from slipway.params import Bound, Params, Split, load_params
from slipway.settings_check import check_settings, without_limits


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert load_params(write(tmp_path, "params.yaml", "")) == Params()


SOUND: list[dict[str, Any]] = [
    {"split": {"strategy": "time", "cutoff": "2024-01-31"}},
    {"split": {"strategy": "group"}},
    {"train": {"model": "random_forest", "random_forest": {"max_depth": 3}}},
    {"train": {"threshold": {"rule": "recall", "value": 0.9}}},
    {"evaluate": {"slices": [{"column": "a", "bins": [1, 2.5]}, {"column": "b"}]}},
    {"gates": {"metrics": {"f1": {"min": 0.5}, "brier": {"max": 0.2}}, "worst_slice": {"f1": {"min": 0}}}},
]
UNSOUND: list[tuple[dict[str, Any], str]] = [
    ({"split": {"strategy": "time"}}, "cutoff: `strategy: time` needs"),
    ({"split": {"cutoff": "2024-01-31"}}, "cutoff: `strategy: time` needs"),
    ({"split": {"strategy": "time", "cutoff": "soon"}}, "cutoff"),
    ({"split": {"strategy": "random"}}, "hash"),
    ({"split": {"holdout": 0}}, "greater than 0"),
    ({"split": {"holdout": 1}}, "less than 1"),
    ({"train": {"model": "linaer"}}, "linear"),
    ({"train": {"folds": 1}}, "greater than or equal to 2"),
    ({"train": {"seed": -1}}, "greater than or equal to 0"),
    ({"train": {"seed": 1.5}}, "integer"),
    ({"train": {"linear": {"strength": 0}}}, "greater than 0"),
    ({"train": {"random_forest": {"max_depth": 0}}}, "greater than or equal to 1"),
    ({"train": {"threshold": {"rule": "recall"}}}, "value: the rules recall"),
    ({"train": {"threshold": {"rule": "f1", "value": 0.5}}}, "value: the rules recall"),
    ({"evaluate": {"slices": [{"column": "a", "bins": [2, 1]}]}}, "rising order"),
    ({"evaluate": {"slices": [{"column": "a", "bins": [1, 1]}]}}, "rising order"),
    ({"evaluate": {"slices": [{"column": "a", "bins": []}]}}, "rising order"),
    ({"evaluate": {"resamples": 10}}, "greater than or equal to 100"),
    ({"gates": {"metrics": {"f1": {}}}}, "either min or max"),
    ({"gates": {"metrics": {"f1": {"min": 0.1, "max": 0.2}}}}, "either min or max"),
    ({"gates": {"metrics": {"f1": 0.5}}}, "valid"),
    ({"suites": {"data": {"max_drift": -1}}}, "greater than or equal to 0"),
]


@pytest.mark.parametrize("content", SOUND)
def test_sound_settings_are_taken(content: dict[str, Any]) -> None:
    assert Params.model_validate(content) != Params()


@pytest.mark.parametrize(("content", "message"), UNSOUND)
def test_unsound_settings_are_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Params.model_validate(content)


def test_a_bare_date_is_refused_because_dvc_cannot_read_it(tmp_path: Path) -> None:
    bare = write(tmp_path, "bare.yaml", "split: {strategy: time, cutoff: 2024-01-31}")
    quoted = write(tmp_path, "quoted.yaml", "split: {strategy: time, cutoff: '2024-01-31'}")

    with pytest.raises(UserError, match=r"bare.yaml: split.cutoff: put the moment in quotes: '2024-01-31'"):
        load_params(bare)
    assert load_params(quoted).split.cutoff == datetime(2024, 1, 31)  # what the file says
    assert Split(strategy="time", cutoff=datetime(2024, 1, 31, tzinfo=UTC)).cutoff


def test_a_typo_is_an_error_with_its_path(tmp_path: Path) -> None:
    file = write(tmp_path, "params.yaml", "train: {random_forest: {n_estimaters: 10}}")

    with pytest.raises(UserError, match=r"params\.yaml: train\.random_forest\.n_estimaters: unknown key"):
        load_params(file)


@pytest.mark.parametrize(
    ("bound", "below", "at", "above"),
    [(Bound(min=0.5), False, True, True), (Bound(max=0.5), True, True, False), (Bound(min=0.0), False, True, True)],
)
def test_a_bound_holds_at_its_value_and_on_one_side(bound: Bound, below: bool, at: bool, above: bool) -> None:
    limit = bound.max if bound.min is None else bound.min
    assert limit is not None
    assert (bound.holds(limit - 0.1), bound.holds(limit), bound.holds(limit + 0.1)) == (below, at, above)
    assert not bound.holds(math.nan)
    assert str(bound) == f"{'≤' if bound.min is None else '≥'} {limit:g}"


SCHEMA = schema_of(
    {"size": "number", "kind": "category", "on": "datetime", "who": "category", "said": {"type": "text", "use": False}}
)
MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"split": {"strategy": "time", "cutoff": "2024-01-31"}}, "split.strategy: `time` needs a column to go by"),
    ({"split": {"strategy": "group"}}, "split.strategy: `group` needs a column to go by"),
    ({"evaluate": {"slices": [{"column": "sise"}]}}, "evaluate.slices.0: .* has no column 'sise'"),
    ({"evaluate": {"slices": [{"column": "size"}, {"column": "on"}]}}, "evaluate.slices.1: 'on' is datetime"),
    ({"evaluate": {"slices": [{"column": "said"}]}}, "evaluate.slices.0: 'said' is text"),
    ({"evaluate": {"slices": [{"column": "kind", "bins": [1]}]}}, "evaluate.slices.0: 'kind' is category; remove"),
    ({"gates": {"metrics": {"rmse": {"max": 1}}}}, "gates.metrics.rmse: no metric of a binary task; there are roc_auc"),
    ({"gates": {"worst_slice": {"f2": {"min": 1}}}}, "gates.worst_slice.f2: no metric"),
]


@pytest.mark.parametrize(("content", "message"), MISFITS)
def test_settings_that_do_not_fit_the_contract_are_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"^params\.yaml: {message}"):
        check_settings(Params.model_validate(content), SCHEMA)


def test_all_misfits_are_named_together() -> None:
    content = {"gates": {"metrics": {"a": {"min": 1}}}, "evaluate": {"slices": [{"column": "b"}]}}

    with pytest.raises(UserError, match=r"gates\.metrics\.a: .*; evaluate\.slices\.0: "):
        check_settings(Params.model_validate(content), SCHEMA)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"split": {"strategy": "time", "cutoff": "2024-01-31"}},
        {"split": {"strategy": "group"}},
        {"evaluate": {"slices": [{"column": "size", "bins": [1]}, {"column": "kind"}, {"column": "y"}]}},
        {"gates": {"metrics": {"f1": {"min": 0.1}}, "worst_slice": {"log_loss": {"max": 1}}}},
    ],
)
def test_settings_that_fit_the_contract_pass(content: dict[str, Any]) -> None:
    check_settings(Params.model_validate(content), SCHEMA.model_copy(update={"time": "on", "group": "who"}))


def test_sensitive_columns_without_a_limit_are_told_of() -> None:
    named = SCHEMA.model_copy(update={"sensitive": ("kind", "size")})

    assert without_limits(Params(), SCHEMA) is None
    assert without_limits(Params(), named) == (
        "'kind' and 'size' are sensitive, but gates.fairness in params.yaml has no limit"
    )
    assert without_limits(Params.model_validate({"gates": {"fairness": {"error": 0.1}}}), named) is None
