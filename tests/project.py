"""What the project's own suites, `tests/data` and `tests/model`, look at: the results of the last run.

Everything is read once. A result that is missing, or is not of this tree, is an error that says `make repro`.
"""

import os
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy.typing as npt
import polars as pl

from slipway import layout
from slipway.delivery import lock
from slipway.encoding import columns_of, target_of
from slipway.errors import UserError
from slipway.files import read_report, read_table
from slipway.params import Params, load_params
from slipway.predictor import Prediction, Predictor
from slipway.review.candidate import refuse_foreign
from slipway.schema import Schema, load_schema

os.chdir(Path(__file__).parents[1])  # wherever pytest was started


@cache
def refuse_stale() -> None:
    """Stop where the results are not those of this tree."""
    if problems := lock.check():
        raise UserError(
            f"dvc.lock does not belong to this tree ({problems[0].stage}: {problems[0].message}); run `make repro`"
        )
    for path in (layout.TRAIN, layout.HOLDOUT, layout.MODEL):
        refuse_foreign(path)


@cache
def params() -> Params:
    """The settings."""
    return load_params()


@cache
def schema() -> Schema:
    """The data contract."""
    return load_schema()


@cache
def train() -> pl.DataFrame:
    """The training rows."""
    return read_table(layout.TRAIN)


@cache
def holdout() -> pl.DataFrame:
    """The rows that training never saw."""
    return read_table(layout.HOLDOUT)


def truth(frame: pl.DataFrame) -> npt.NDArray[Any]:
    """The target of prepared rows: class indices, or numbers."""
    return target_of(frame, schema())


@cache
def model() -> Predictor:
    """The exported model file."""
    return Predictor(layout.MODEL, trusted=params().export.trusted)


def predict(frame: pl.DataFrame) -> Prediction:
    """What the exported file says of prepared rows."""
    return model().predict(columns_of(frame, model().signature.names))


@cache
def report(name: str) -> Any:
    """A JSON report of the last run, such as `metrics` or `suites/data`."""
    return read_report(layout.REPORTS / f"{name}.json")


def checks(suite: str) -> list[dict[str, Any]]:
    """The checks of a suite as its stage left them; none if it has not run, which `refuse_stale` will say."""
    try:
        return list(report(f"suites/{suite}")["checks"])
    except UserError:
        return []


def held(check: dict[str, Any]) -> None:
    """Assert that a check of a suite passed, or only warned; one that could not run holds only where it need not."""
    setting = f"{check['parameter']} in params.yaml"
    if check["status"] in {"warned", "error"}:
        warnings.warn(f"{check['name']}: {check['message']} ({setting})", stacklevel=2)
    if check["status"] == "error":
        assert not check["required"], f"{check['name']}: could not run: {check['message']} ({setting})"
    else:
        said = f"{check['name']}: found {check['value']}, expected: {check['condition']}. {check['message']}"
        assert check["status"] in {"passed", "warned"}, f"{said} (mend the cause, or change {setting})"
