"""A small world in which every gate passes, and from which each seeded fault differs in one thing."""

from contextlib import chdir
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from helpers import git, schema_of, write

from slipway import layout
from slipway.encoding import columns_of, target_of
from slipway.files import write_json
from slipway.params import Params
from slipway.predictor import Predictor, encode
from slipway.review.candidate import Candidate
from slipway.review.compare import score
from slipway.review.judge import Opponent, judge
from slipway.review.verdict import Gate, Side
from slipway.schema import Schema
from slipway.stages.export import export, write_golden
from slipway.stages.train import train
from slipway.suites import Check, write_suite

COMMON: dict[str, Any] = {
    "train": {"folds": 2},
    "evaluate": {"slices": [{"column": "region"}], "min_slice_rows": 20},
}
BUDGET = {"single_row_ms": 15, "file_mb": 0.5}
SETTINGS: dict[str, Any] = COMMON | {
    "gates": {
        "metrics": {"roc_auc": {"min": 0.8}, "log_loss": {"max": 0.6}},
        "worst_slice": {"balanced_accuracy": {"min": 0.65}},
        "not_worse": {"margins": {"roc_auc": 0.03, "log_loss": 0.05}},
        "fairness": {"selection_rate": 0.2, "true_positive_rate": 0.2, "false_positive_rate": 0.2, "error": 0.2},
        "calibration": 0.1,
        "budget": BUDGET,
    },
}
NUMBERS: dict[str, Any] = COMMON | {
    "gates": {
        "metrics": {"r2": {"min": 0.6}, "mae": {"max": 1.0}},
        "worst_slice": {"mae": {"max": 1.2}},
        "not_worse": {"margins": {"r2": 0.05, "mae": 0.05}},
        "fairness": {"error": 0.2},
        "calibration": 0.2,
        "budget": BUDGET,
    },
}


def people(rows: int = 1200, seed: int = 0, task: str = "binary") -> pl.DataFrame:
    """Rows whose target follows `dose` and, less, `age`, alike in all regions and for all sexes."""
    generator = np.random.default_rng(seed)
    dose, age = generator.normal(size=rows), generator.normal(50, 10, size=rows)
    signal = 1.6 * dose + 0.08 * (age - 50)
    frame = pl.DataFrame(
        {
            "dose": dose,
            "age": pl.Series(np.where(generator.random(rows) < 0.1, np.nan, age)).fill_nan(None),
            "region": generator.choice(["north", "south", "west"], rows),
            "sex": generator.choice(["f", "m"], rows),
        }
    )
    if task == "regression":
        return frame.with_columns(y=pl.Series(signal + generator.normal(size=rows)))
    positive = generator.random(rows) < 1 / (1 + np.exp(-1.5 * signal))
    return frame.with_columns(y=pl.Series(np.where(positive, "yes", "no")))


def contract(task: str = "binary") -> Schema:
    """The contract of `people`."""
    target = "y" if task == "binary" else {"column": "y", "task": "regression"}
    columns = {
        "dose": "number",
        "age": {"type": "number", "nullable": True},
        "region": {"type": "category", "categories": ["north", "south", "west"]},
        "sex": {"type": "category", "categories": ["f", "m"], "use": False},
    }
    return schema_of(columns, target, sensitive=["sex"])


@dataclass(frozen=True)
class World:
    """What one side of a review has: rows to train on and to hold out, contract, settings."""

    root: Path
    task: str = "binary"
    train: pl.DataFrame = field(default_factory=people)
    holdout: pl.DataFrame = field(default_factory=lambda: people(600, seed=1))
    settings: dict[str, Any] = field(default_factory=lambda: SETTINGS)
    schema: Schema = field(default_factory=contract)

    def but(self, **changes: Any) -> "World":
        """The same but for some things."""
        return replace(self, **changes)

    @property
    def params(self) -> Params:
        return Params.model_validate(self.settings)

    def model(self, name: str) -> Predictor:
        """Train on the rows, export, and leave everything where the stages would, in a folder of that name."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        with chdir(folder):
            trained = train(self.train, self.schema, self.params)
            matrix = encode(trained.signature, columns_of(self.train, trained.signature.names))
            _, report = export(trained.pipeline, trained.signature, matrix, self.params.export)
            write_golden(trained.pipeline, trained.signature, self.params.export.tolerance)
            write_json(layout.EXPORT_REPORT, report)
            self.train.write_parquet(layout.TRAIN)
            for suite in ("data", "model"):
                write_suite(layout.SUITES / f"{suite}.json", suite, [Check("sound", "passed", "= 0", 0.0, "")])
            write(Path(), "dvc.yaml", "stages: {}\n")
            write(Path(), "dvc.lock", "schema: '2.0'\nstages: {}\n")
            if not Path(".git").exists():
                git(Path(), "init", "-q")
            git(Path(), "add", "dvc.yaml", "dvc.lock")
        return Predictor(folder / layout.MODEL)

    def candidate(self, predictor: Predictor | None = None) -> Candidate:
        """The candidate that a review of the folder `candidate` would load."""
        predictor = predictor or self.model("candidate")
        return Candidate(
            params=self.params,
            schema=self.schema,
            predictor=predictor,
            holdout=self.holdout,
            truth=target_of(self.holdout, self.schema),
            prediction=score(predictor, self.holdout),
            side=Side(revision="workspace", commit="0" * 40, source="workspace"),
        )

    def opponent(self, holdout: pl.DataFrame | None = None) -> Opponent:
        """This world's model as the base, scored on a candidate's holdout."""
        predictor = self.model("base")
        rows = self.holdout if holdout is None else holdout
        side = Side(revision="main", commit="1" * 40, source="dvc")
        return Opponent(side, predictor.signature, score(predictor, rows), self.train.height)


def judged(candidate: Candidate, opponent: Opponent) -> dict[str, Gate]:
    """What every gate says, by name, in the candidate's folder."""
    folder = candidate.predictor.folder.parent.parent
    with chdir(folder):
        _, found = judge(candidate, opponent)
    return {gate.name: gate for gate in found}


def statuses(found: dict[str, Gate]) -> dict[str, str]:
    """By gate its status."""
    return {name: gate.status for name, gate in found.items()}
