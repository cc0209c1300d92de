"""The release: the one folder that the service reads, with the model, what it must answer, and where it comes from."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from slipway.errors import UserError
from slipway.predictor import Predictor, Values
from slipway.service.settings import Service
from slipway.signature import GOLDEN, Signature

RELEASE = "release.json"
MODEL, FALLBACK = "model", "fallback"  # folders; the second holds the release before, if it was shipped along


class Metric(BaseModel):
    """A metric of the holdout, with its interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None
    low: float | None = None
    high: float | None = None


class Release(BaseModel):
    """`release.json`: what this model is, from which commit and data, and how it is to be served."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    version: str
    commit: str
    dirty: bool = False
    created: str  # of the commit, in UTC
    data: str | None = None  # DVC's hash of the raw data
    lock: str | None = None  # SHA-256 of dvc.lock
    rows: dict[str, int] = {}
    metrics: dict[str, Metric] = {}
    fallback: str | None = None  # the version of the model in the folder `fallback`
    service: Service = Service()


@dataclass(frozen=True)
class Golden:
    """Rows with the right model's answers, shape (n, classes) or (n,); the first `valid` keep to the contract."""

    rows: dict[str, list[Any]]
    answers: Values
    valid: int
    tolerance: float


def load_release(folder: Path) -> Release:
    """Read `release.json`.

    Raises:
        UserError: It is missing or damaged.
    """
    path = folder / RELEASE
    try:
        return Release.model_validate_json(path.read_bytes())
    except OSError:
        raise UserError(f"{path}: cannot be read; SLIPWAY_RELEASE must name a release folder") from None
    except ValidationError as error:
        raise UserError(
            f"{path}: not a release ({error.error_count()} faults); run `make serve` or `make image`"
        ) from None


def load_golden(folder: Path) -> Golden:
    """Read the golden rows beside a model.

    Raises:
        UserError: They are missing or damaged.
    """
    path = folder / GOLDEN
    try:
        content = json.loads(path.read_bytes())
        answers = np.asarray(content["answers"], np.float64)
        return Golden(dict(content["rows"]), answers, int(content["valid"]), float(content["tolerance"]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({type(error).__name__}); run `make repro`") from None


def prove(predictor: Predictor, golden: Golden) -> float:
    """Have a model answer the golden rows, and return the greatest difference from the right answers.

    Raises:
        UserError: It differs by more than is allowed.
    """
    told = predictor.predict(golden.rows).values
    if told.shape != golden.answers.shape:
        raise UserError(f"{predictor.file}: answers of shape {told.shape}, {golden.answers.shape} expected")
    gap = float(np.abs(told - golden.answers).max(initial=0.0))
    if not gap <= golden.tolerance:
        raise UserError(
            f"{predictor.file}: answers the golden rows off by {gap:.3g}, more than {golden.tolerance:.3g}; "
            "it is not the model that was exported, or this machine computes otherwise"
        )
    return gap


def example(signature: Signature, golden: Golden, row: int = 0) -> dict[str, Any]:
    """One of the golden rows, as a request holds it."""
    return {name: golden.rows[name][row] for name in signature.names}
