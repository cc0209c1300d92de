"""The candidate of a review: what the workspace has, if it is what `dvc.lock` says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import polars as pl

from slipway import layout
from slipway.delivery.gittree import path_hash
from slipway.encoding import target_of
from slipway.errors import UserError
from slipway.files import read_table
from slipway.params import Params, load_params
from slipway.predictor import Prediction, Predictor
from slipway.review.base import digest, git_text
from slipway.review.compare import score
from slipway.review.verdict import Side
from slipway.schema import Schema, load_schema
from slipway.settings import data_hash, read_yaml
from slipway.settings_check import check_settings


@dataclass(frozen=True)
class Candidate:
    """The settings, the model and the n rows of the holdout with their truth and predictions."""

    params: Params
    schema: Schema
    predictor: Predictor
    holdout: pl.DataFrame
    truth: npt.NDArray[Any]
    prediction: Prediction
    side: Side


def load_candidate() -> Candidate:
    """Load the workspace's settings, model and holdout.

    Raises:
        UserError: Something is missing, damaged, or not what `dvc.lock` says that the last run made.
    """
    params, schema = load_params(), load_schema()
    check_settings(params, schema)
    for path in (layout.MODEL, layout.HOLDOUT, layout.TRAIN):
        refuse_foreign(path)
    predictor = Predictor(layout.MODEL, trusted=params.export.trusted)
    holdout = read_table(layout.HOLDOUT)
    try:
        prediction, truth = score(predictor, holdout), target_of(holdout, schema)
    except (UserError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{predictor.file}: cannot score {layout.HOLDOUT}: {error}; run `make repro`") from None
    side = Side(
        revision="workspace",
        commit=git_text("rev-parse", "HEAD"),
        dirty=bool(git_text("status", "--porcelain", "--untracked-files=no")),
        source="workspace",
        model=predictor.signature.model.sha256 if predictor.signature.model else None,
        data=data_hash(),
        lock=digest(layout.LOCK.read_bytes()),
    )
    return Candidate(params, schema, predictor, holdout, truth, prediction, side)


def refuse_foreign(path: Path) -> None:
    """Stop where a result is not the one that `dvc.lock` names.

    Raises:
        UserError: It is missing, or another one.
    """
    try:
        stages = read_yaml(layout.LOCK)["stages"].values() if layout.LOCK.exists() else ()
        outs = {out["path"]: out.get("md5") for stage in stages for out in stage.get("outs") or ()}
    except (AttributeError, LookupError, TypeError):
        raise UserError(f"{layout.LOCK}: damaged; restore it from git, or run `make repro`") from None
    if path.as_posix() not in outs:
        raise UserError(f"{layout.LOCK}: says nothing of {path}; run `make repro`")
    if not path.exists():
        raise UserError(f"{path}: no such file; run `make repro`")
    if path_hash(path) != outs[path.as_posix()]:
        raise UserError(f"{path}: is not what {layout.LOCK} names; run `make repro`")
