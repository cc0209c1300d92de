"""Projects of different answers, each run to its end as its owner would: the commands of its README, nothing shared but
the package cache.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from helpers import ROOT, git
from rendering import render, terminal
from ruamel.yaml import YAML
from sklearn.datasets import load_diabetes, load_wine

pytestmark = pytest.mark.slow


def churn(folder: Path) -> str:
    """Two classes, with strings, missing values and a sensitive column; the file is what Excel makes in Germany."""
    rng = np.random.default_rng(3)
    rows = 1200
    age, minutes = rng.normal(45, 12, rows).round(1), rng.exponential(200, rows).round()
    plan, region = rng.choice(["basic", "plus", "pro"], rows), rng.choice(["north", "south", "west"], rows)
    odds = (age - 45) / 12 + 1.2 * (plan == "basic") - minutes / 300 + rng.normal(0, 0.7, rows)
    table = pl.DataFrame(
        {
            "customer": [f"C{number:05d}" for number in range(rows)],
            "age": [None if rng.random() < 0.06 else str(value).replace(".", ",") for value in age],
            "minutes": [int(value) for value in minutes],
            "plan": plan,
            "region": [None if rng.random() < 0.04 else value for value in region],
            "gender": rng.choice(["f", "m"], rows),
            "churned": np.where(odds > 0, "yes", "no"),
        }
    )
    table.write_csv(folder / "Kunden 2026.csv", separator=";")
    return "Kunden 2026.csv:churned"


def progress(folder: Path) -> str:
    """Numbers to predict."""
    data = load_diabetes(as_frame=True)
    pl.from_pandas(data.frame.rename(columns={"target": "progression"})).write_parquet(folder / "diabetes.parquet")
    return "diabetes.parquet:progression"


def wine(folder: Path) -> str:
    """Three classes."""
    data = load_wine(as_frame=True)
    frame = data.frame.assign(target=data.target.map(dict(enumerate(["barolo", "grignolino", "barbera"]))))
    pl.from_pandas(frame.rename(columns={"target": "cultivar"})).write_ndjson(folder / "wine.jsonl")
    return "wine.jsonl:cultivar"


def wide(folder: Path) -> str:
    """More columns than rows."""
    rng = np.random.default_rng(5)
    rows, columns = 260, 300
    ill = rng.random(rows) < 0.5
    values = rng.normal(size=(rows, columns)) + 0.3 * ill[:, None] * rng.normal(size=columns)  # each tells a little
    frame = pl.DataFrame(values, schema=[f"gene {number}" for number in range(columns)])
    frame.with_columns(pl.Series("ill", np.where(ill, "yes", "no"))).write_csv(folder / "wide.csv")
    return "wide.csv:ill"


@dataclass(frozen=True)
class Case:
    """Answers, the table if it is not the demo's, and what `make adopt` has to be told besides."""

    answers: dict[str, str] = field(default_factory=dict)
    table: Callable[[Path], str] | None = None
    wishes: str = ""
    task: str = "binary"


CASES = {
    "demo": Case(),
    "two-classes": Case({"licence": "MIT", "deployment": "compose"}, churn, "--sensitive gender --id customer"),
    "regression": Case({"licence": "BSD-3-Clause", "deployment": "kubernetes"}, progress, task="regression"),
    "three-classes": Case({"licence": "proprietary"}, wine, task="multiclass"),
    "wide": Case({"remote": "ssh://host/srv/wide"}, wide),
    "no-deployment": Case({"deployment": "none"}),
}


def test_each_of_them_is_run_on_github_too() -> None:
    workflow = YAML(typ="safe").load(ROOT / ".github/workflows/template.yaml")
    assert workflow["jobs"]["project"]["strategy"]["matrix"]["project"] == list(CASES)


class Owner:
    """Somebody at a terminal in the project's folder, with nothing of the template's environment."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = terminal(
            GIT_AUTHOR_NAME="o", GIT_AUTHOR_EMAIL="o@example.org", GIT_COMMITTER_NAME="o", GIT_COMMITTER_EMAIL="o@e.org"
        )

    def types(self, *words: str, code: int = 0) -> str:
        """Run a command that has to end with a code, and give all that it printed."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        done = subprocess.run(words, cwd=self.root, env=self.environment, text=True, check=False, **pipes)  # type: ignore[call-overload]
        assert done.returncode == code, f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-6000:]}"
        return str(done.stdout)


@pytest.mark.parametrize("name", CASES)
def test_a_project_runs_to_its_end(template: Path, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    data = {"data": f"../{case.table(tmp_path)}"} if case.table else {}
    owner = Owner(render(template, tmp_path / name, **case.answers, **data))
    owner.types("git", "init", "-q", "-b", "main")
    if "ssh" in case.answers.get("remote", ""):  # nobody answers there: the project's owner has another disk for now
        (owner.root / ".dvc/config.local").write_text(
            f"['remote \"storage\"']\n    url = {tmp_path / 'disk'}\n", encoding="utf-8"
        )
    if case.wishes:
        owner.types("make", "adopt", f"ARGS={case.wishes}")
    said = owner.types("make", "repro")
    assert f"({case.task})" in said
    assert "Every threshold and check holds." in said
    both_kinds = name in {"demo", "two-classes"}  # of data: what else is the same for all is done for these
    owner.types("make", "hooks")
    owner.types("git", "add", "-A")
    owner.types("git", "commit", "-qm", "a project")  # passes its own pre-commit
    assert " passed" in owner.types("make", "test")
    if both_kinds:
        owner.types("make", "lint")
        assert " passed" in owner.types("make", "test-fast")
    verdict = owner.types("make", "review", "ARGS=--base HEAD")
    assert "pass" in verdict
    assert git(owner.root, "status", "--porcelain") == ""
    if both_kinds and "SLIPWAY_IMAGE_BASE" in os.environ and shutil.which("docker"):
        owner.types("make", "image", "image-test")
    shutil.rmtree(owner.root / ".venv")  # gigabytes, and the names of files are hard links
    shutil.rmtree(owner.root / ".tools")
