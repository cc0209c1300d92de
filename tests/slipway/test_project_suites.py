"""The project's own suites, `tests/data` and `tests/model`: sound results pass, and each fault fails a test by name."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from helpers import git, slipway

pytestmark = [pytest.mark.slow, pytest.mark.no_cover]


def run(root: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """Run the suites in a project; its failed tests by name, with what they said, from the JUnit file."""
    command = [sys.executable, "-m", "pytest", "tests/data", "tests/model", "--junitxml", "junit.xml", *words]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    file = root / "junit.xml"
    cases = ElementTree.parse(file).iter("testcase") if file.exists() else []  # noqa: S314  # of our own pytest
    return done, {case.get("name", ""): "".join(failed.itertext()) for case in cases for failed in case.iter("failure")}


def edit(root: Path, path: str, *changes: tuple[str, str]) -> None:
    """Replace texts that are there in a file."""
    text = (root / path).read_text("utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (root / path).write_text(text, "utf-8")


def test_sound_results_pass(project):
    done, failed = run(project)
    assert (done.returncode, failed) == (0, {}), done.stdout


def test_what_the_gates_forbid_fails_by_name_and_says_which_setting_to_change(project):
    edit(
        project,
        "params.yaml",
        ("roc_auc: {min: 0.97}", "roc_auc: {min: 0.999}"),
        ("balanced_accuracy: {min: 0.8}", "balanced_accuracy: {min: 0.99}"),
        ("noise: 0.05", "noise: 3"),
        ("single_row_ms: 20", "single_row_ms: 0.0001"),
        ("file_mb: 100", "file_mb: 0.0001"),
    )
    done, failed = run(project)
    said = {
        "test_metric_reaches_its_threshold[roc_auc]": "expected ≥ 0.999 (gates.metrics.roc_auc in params.yaml)",
        "test_metric_reaches_its_threshold_on_every_slice[balanced_accuracy]": "(gates.worst_slice.balanced_accuracy",
        "test_little_is_lost_by[noise]": "by noise of 3, allowed 0.05 (gates.robustness in params.yaml)",
        "test_a_single_row_is_answered_in_time": "allowed 0.0001 (gates.budget.single_row_ms in params.yaml)",
        "test_the_file_is_small_enough": "allowed 0.0001 (gates.budget.file_mb in params.yaml)",
    }
    assert done.returncode == 1
    assert failed.keys() == said.keys()
    assert all(part in failed[name] for name, part in said.items()), failed


def test_a_wrong_direction_a_condition_that_is_missed_and_a_test_of_ones_own_fail(project):
    worst = next(
        line for line in (project / "src/model/schema.yaml").read_text("utf-8").splitlines() if "worst radius:" in line
    )
    edit(
        project,
        "src/model/schema.yaml",
        (worst, worst.replace("{type: number", "{monotonic: decreasing, type: number")),
    )
    edit(project, "params.yaml", ("min_holdout_rows: 50", "min_holdout_rows: 5000"))
    (project / "tests/data/test_own.py").write_text("def test_mine():\n    assert False, 'as I thought'\n")
    assert slipway(project, "repro").returncode == 1
    git(project, "add", "-A")
    done, failed = run(project)
    assert done.returncode == 1
    assert failed.keys() == {
        "test_prediction_follows_a_monotonic_column[worst radius]",
        "test_condition_holds[the holdout has enough rows]",
        "test_mine",
    }
    assert (
        "columns.worst radius.monotonic in src/model/schema.yaml says decreasing"
        in failed["test_prediction_follows_a_monotonic_column[worst radius]"]
    )
    assert "suites.data.min_holdout_rows in params.yaml" in failed["test_condition_holds[the holdout has enough rows]"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda root: (root / "artifacts/model/model.onnx").write_bytes(b"x"), "artifacts/model: is not what dvc.lock"),
        (lambda root: edit(root, "params.yaml", ("strength: 1.0", "strength: 2.0")), "does not belong to this tree"),
        (lambda root: (root / "reports/suites/data.json").unlink(), "does not belong to this tree"),
    ],
)
def test_results_of_another_tree_are_refused_in_one_line(project, spoil, said):
    spoil(project)
    done, _ = run(project)
    assert done.returncode == 4
    assert done.stderr.startswith("ERROR: ")
    assert said in done.stderr
    assert "make repro" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
