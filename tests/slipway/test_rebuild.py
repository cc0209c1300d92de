"""A commit's pipeline run again from the raw data alone, and what is said of a metric that comes out otherwise."""

import json
import re
import shutil
from pathlib import Path

import pytest
from helpers import copy_project, dvc, git, slipway, write

from slipway.delivery.rebuild import Rebuilt, compare, report

# One stage, in place of minutes of training; `runs` is where it leaves a line each time it is really run.
PIPELINE = """\
stages:
  evaluate:
    cmd: python make.py && echo run >> {runs}
    deps: [data, make.py]
    outs: [artifacts/model]
    metrics:
      - reports/metrics.json: {{cache: false}}
"""
MAKE = """\
import json, pathlib
rows = pathlib.Path("data/rows.csv").read_text().split()
pathlib.Path("artifacts").mkdir(exist_ok=True)
pathlib.Path("artifacts/model").write_text("model")
content = {"holdout": {"f1": {"value": len(rows) / 4, "low": None}, "brier": {"value": 0.25}}}
pathlib.Path("reports/metrics.json").write_text(json.dumps(content))
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The project with a pipeline of one stage, run and committed; its remote holds the results and the run cache."""
    root = copy_project(tmp_path / "project")
    write(root, "dvc.yaml", PIPELINE.format(runs=tmp_path / "runs"))
    write(root, "make.py", MAKE)
    shutil.rmtree(root / "reports")
    write(root, "data/rows.csv", "a\nb\nc\n")
    write(root, "reports/.keep", "")
    for path in ("dvc.lock", "data.dvc"):
        (root / path).unlink()
    git(root, "rm", "-q", "--cached", "-r", "reports")
    (tmp_path / "storage").mkdir()
    dvc(root, "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    dvc(root, "add", "-q", "data")
    dvc(root, "repro", "-q")
    dvc(root, "push", "-q", "--run-cache")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "small")
    return root


def runs(root: Path) -> int:
    return len((root.parent / "runs").read_text().splitlines())


@pytest.mark.slow
def test_metrics_that_come_out_again_pass_and_nothing_but_the_data_was_taken_from_anywhere(small):
    dvc(small, "cache", "dir", "--local", str(small.parent / "shared"))  # as where several people share one
    dvc(small, "remote", "modify", "--local", "storage", "url", "../storage")
    dvc(small, "pull", "-q", "--run-cache")
    before = runs(small)
    done = slipway(small, "rebuild")
    assert done.returncode == 0, done.stdout + done.stderr
    commit = git(small, "rev-parse", "HEAD")[:9]
    assert f"all 3 metrics of {commit} come out of the raw data again" in done.stdout
    assert runs(small) == before + 1
    assert not list((small / ".dvc/tmp/rebuild").iterdir())
    assert git(small, "status", "--porcelain") == ""


@pytest.mark.slow
def test_a_metric_that_comes_out_otherwise_is_named_with_both_values(small):
    content = json.loads((small / "reports/metrics.json").read_text())
    content["holdout"]["f1"]["value"] += 0.01
    content["holdout"]["brier"]["value"] += 1e-6  # within the tolerance
    write(small, "reports/metrics.json", json.dumps(content))
    git(small, "commit", "-qam", "flattered")
    done = slipway(small, "rebuild")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "holdout.f1.value: committed 0.76, now 0.75\n" in done.stdout
    assert "brier" not in done.stdout
    assert "1 metrics of" in done.stdout


@pytest.mark.slow
def test_what_keeps_a_commit_from_being_rebuilt_is_one_line(small):
    write(small, "make.py", "raise SystemExit('no')\n")
    git(small, "commit", "-qam", "broken")
    broken = slipway(small, "rebuild")
    shutil.rmtree(small.parent / "storage")
    dvc(small, "cache", "dir", "--local", str(small / ".dvc/cache"))  # which has the data, and is not asked
    away = slipway(small, "rebuild")
    git(small, "rm", "-q", "reports/metrics.json")
    git(small, "commit", "-qm", "no metrics")
    none = slipway(small, "rebuild")
    assert [done.returncode for done in (broken, away, none)] == [2, 2, 2]
    assert re.search("^error: .*its pipeline did not run from the raw data", broken.stderr, re.MULTILINE)
    assert re.search("^error: .*its raw data cannot be pulled", away.stderr, re.MULTILINE)
    assert re.search("^error: reports/metrics.json: not in [0-9a-f]{9}; run `make repro`", none.stderr, re.MULTILINE)


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ({"a": 1.0}, {"a": 1.0005}, []),
        ({"a": 1.0}, {"a": 1.002}, ["a"]),
        ({"a": 1e-6}, {"a": 1.1e-6}, ["a"]),  # a share of the value, however small that is
        ({"a": 0.0}, {"a": 1e-15}, []),
        ({"a": None}, {"a": None}, []),
        ({"a": None}, {}, ["a"]),
        ({"a": 1.0}, {"a": None}, ["a"]),
        ({}, {"a": 1.0}, ["a"]),
    ],
)
def test_values_are_compared_by_a_share_of_the_greater(old, new, names):
    assert [each.name for each in compare(old, new, 1e-3)] == names


def test_a_metric_that_is_gone_is_said_to_be_nothing():
    found = tuple(compare({"a": 0.5}, {}, 0))
    assert report(Rebuilt("c" * 40, 1, 0, found)).startswith("a: committed 0.5, now nothing\n")
