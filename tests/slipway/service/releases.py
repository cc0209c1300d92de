"""Releases of small models of every kind, for the tests of the service."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from examples import CHURN, churn, churn_schema, diabetes, numeric, quick, wine
from helpers import schema_of
from prometheus_client import CollectorRegistry

from slipway import layout
from slipway.encoding import columns_of
from slipway.params import Export
from slipway.predictor import encode
from slipway.schema import Schema
from slipway.service.release import MODEL, RELEASE, Release
from slipway.service.serving import Serving
from slipway.stages.export import export, write_golden
from slipway.stages.train import train

Table = Callable[[], tuple[pl.DataFrame, Schema]]


def churned() -> tuple[pl.DataFrame, Schema]:
    """Missing values, categories open and closed, booleans, dates, a constant; each policy for what is outside."""
    columns = dict(CHURN["columns"])
    columns["city"] = columns["city"] | {"outside": "accept"}
    columns["age (years)"] = columns["age (years)"] | {"outside": "clip"}
    return churn(), churn_schema(columns=columns)


def wide() -> tuple[pl.DataFrame, Schema]:
    """Two hundred columns."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 200))
    frame = pl.DataFrame(values, schema=[f"x{place}" for place in range(200)])
    frame = frame.with_columns(y=pl.Series(np.where(values[:, 0] + rng.normal(size=300) > 0, "up", "down")))
    return frame, numeric(frame, "y", "binary", ("down", "up"))


def odd_names() -> tuple[pl.DataFrame, Schema]:
    """Names that mean something elsewhere: to JSON, to paths, to the forms of a request."""
    rng = np.random.default_rng(0)
    names = ["records", "columns", "a.b[0]", 'say "x"', "f0", "ü\\n", " ", "$"]
    frame = pl.DataFrame({name: rng.normal(size=200) for name in names})
    frame = frame.with_columns(y=pl.Series(np.where(frame["records"].to_numpy() > 0, "yes", "no")))
    return frame, schema_of(dict.fromkeys(names, "number"))


TABLES: dict[str, Table] = {
    "churn": churned,
    "diabetes": diabetes,
    "wine": wine,
    "wide": wide,
    "odd names": odd_names,
}


def make_release(folder: Path, table: Table, settings: dict[str, Any] | None = None, **train_settings: Any) -> Path:
    """Train, export and assemble a release of a table's model; the working directory must be the test's own."""
    frame, schema = table()
    trained = train(frame, schema, quick(**train_settings))
    matrix = encode(trained.signature, columns_of(frame, trained.signature.names))
    export(trained.pipeline, trained.signature, matrix, Export())
    write_golden(trained.pipeline, trained.signature, Export().tolerance)
    folder.mkdir(parents=True)
    layout.MODEL.rename(folder / MODEL)
    release = Release(
        version="1",
        commit="0" * 40,
        created="2026-01-01T00:00:00+00:00",
        service=settings or {},  # type: ignore[arg-type]
    )
    (folder / RELEASE).write_text(release.model_dump_json())
    return folder


def served(folder: Path, **options: Any) -> Serving:
    """A release with counters of its own."""
    return Serving(folder, registry=CollectorRegistry(), **options)


def with_settings(folder: Path, **settings: Any) -> Path:
    """Change the settings of a release."""
    file = folder / RELEASE
    content = json.loads(file.read_text())
    content["service"] |= settings
    file.write_text(json.dumps(content))
    return folder


def counted(serving: Serving, name: str, **labels: str) -> float:
    """The value of a counter."""
    registry = serving.registry
    return registry.get_sample_value(name, labels) or 0.0
