"""`slipway review` from end to end, in a clone that has been run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import polars as pl
import pytest
from helpers import ROOT, git, slipway, write

from slipway import layout

pytestmark = pytest.mark.slow


def verdict(root: Path) -> dict:
    """What the last review wrote."""
    content = json.loads((root / "reports/verdict.json").read_text())
    jsonschema.validate(content, json.loads((ROOT / "docs/verdict.schema.json").read_text()))
    return content


def rerun(root: Path, old: str, new: str) -> None:
    """Change params.yaml, run, and commit on a branch."""
    file = root / "params.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    git(root, "checkout", "-qb", "candidate")
    slipway(root, "repro")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "candidate")


def test_the_same_model_passes_and_the_verdict_says_so_everywhere(project):
    done = slipway(project, "review")
    assert (done.returncode, done.stderr) == (0, "")
    found = verdict(project)
    assert found["verdict"] == "pass"
    assert found["base"]["source"] == "dvc"
    assert {metric["difference"] for metric in found["comparison"]["metrics"]} == {0.0}
    assert "verdict: pass" in done.stdout
    assert (project / "reports/review.md").read_text().startswith("### ✅ Pass: ")
    page = (project / "reports/review.html").read_text()
    assert page.count("<svg") == 6
    assert "<script" not in page
    assert set(found["run"]["stages"]) == {"prepare", "check-data", "train", "export", "evaluate", "check-model"}
    assert found["run"]["mlflow"]
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.no_cover
def test_a_worse_model_fails_against_the_default_branch(project):
    rerun(project, "strength: 1.0", "strength: 100000.0")
    done = slipway(project, "review")
    found = verdict(project)
    assert done.returncode == 1
    assert found["verdict"] == "fail"
    assert found["base"]["revision"] == "main"
    failed = {gate["name"] for gate in found["gates"] if gate["status"] == "fail"}
    assert "not_worse.log_loss" in failed
    told = " ".join(done.stdout.split())
    assert "(gates.not_worse.margins.log_loss)" in told
    assert "fail: review.html shows all of it" in told
    assert not failed & {"lock", "parity", "size", "drift"}


@pytest.mark.no_cover
def test_a_gate_that_the_candidate_loosens_or_removes_is_told_in_the_verdict(project):
    file = project / "params.yaml"
    text = file.read_text()
    file.write_text(text.replace("roc_auc: {min: 0.97}", "roc_auc: {min: 0.5}").replace("    f1: {min: 0.9}\n", ""))
    done = slipway(project, "review", "--base", "HEAD")
    found = verdict(project)
    rules = {change["name"]: (change["base"], change["candidate"]) for change in found["changes"]["settings"]}
    assert rules == {"gates.metrics.roc_auc.min": ("0.97", "0.5"), "gates.metrics.f1.min": ("0.9", None)}
    assert all(change["rule"] for change in found["changes"]["settings"])
    assert "judged by other rules than the base: 'gates.metrics.roc_auc.min', 'gates.metrics.f1.min'" in found["reason"]
    assert "other rule: gates.metrics.f1.min: 0.9 -> not set" in done.stdout


def test_a_rule_of_the_contract_that_is_dropped_is_told_in_the_verdict(project):
    schema = project / "src/model/schema.yaml"
    plain = schema.read_text()
    directed = plain.replace("  mean area: {", "  mean area: {monotonic: increasing, ")
    assert directed != plain
    schema.write_text(directed)
    git(project, "commit", "-qam", "a direction")
    schema.write_text(plain)
    done = slipway(project, "review", "--base", "HEAD")
    found = verdict(project)
    assert [(change["name"], change["rule"]) for change in found["changes"]["columns"]] == [("mean area", True)]
    assert "judged by other rules than the base: 'schema.yaml: mean area'" in found["reason"]
    assert "other rule: schema.yaml: mean area: " in done.stdout


@pytest.mark.no_cover
def test_another_division_of_the_rows_is_another_rule(project):
    file = project / "params.yaml"
    file.write_text(file.read_text().replace("salt: ''", "salt: 'new'"))
    slipway(project, "review", "--base", "HEAD")
    assert "judged by other rules than the base: 'split.salt'" in verdict(project)["reason"]


def test_a_review_that_cannot_even_be_imported_leaves_no_verdict_of_an_earlier_one(project, tmp_path, monkeypatch):
    for name in layout.REVIEW:
        write(project, f"reports/{name}", "old")
    write(tmp_path, "broken/onnxruntime.py", "raise ImportError('half installed')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    done = slipway(project, "review")
    assert done.returncode == 2  # Python's own, 1, would say that the model failed
    assert "half installed" in done.stderr
    assert not [name for name in layout.REVIEW if (project / "reports" / name).exists()]


def test_plots_that_cannot_be_drawn_are_said_and_stop_nothing(project):
    (project / "reports/plots/roc.csv").write_text("false_positive_rate,true_positive_rate,class,reference\n")
    (project / "reports/plots/calibration.csv").write_text('"' + "x" * 200_000)
    git(project, "commit", "-qam", "edited")
    done = slipway(project, "review", "--base", "HEAD")
    assert "Traceback" not in done.stderr
    page = (project / "reports/review.html").read_text()
    assert "ROC curve: these rows do not give it" in page
    assert page.count("<svg") == 4


def test_what_was_before_the_first_push_is_no_revision(project):
    assert slipway(project, "review", "--base", "0" * 40).returncode == 0


@pytest.mark.no_cover
def test_grown_data_and_another_split_are_undecided_and_told_row_by_row(project):
    (table,) = (project / "data").iterdir()
    frame = pl.read_parquet(table)
    extra = frame.head(30).with_columns(pl.col("mean radius") * 1.0001)
    pl.concat([frame.tail(-2), extra]).write_parquet(table)
    assert slipway(project, "data").returncode == 0
    rerun(project, "holdout: 0.2", "holdout: 0.3")
    done = slipway(project, "review", "--base", "main")
    assert done.returncode == 2
    assert "split.holdout changed" in verdict(project)["base"]["note"]
    rows, height = verdict(project)["changes"]["rows"], frame.height
    assert rows == {"base": height, "candidate": height + 28, "added": 30, "removed": 2, "changed": None}


def test_results_can_go_elsewhere(project, tmp_path):
    assert slipway(project, "review", "--out", str(tmp_path / "out")).returncode == 0
    assert (tmp_path / "out/verdict.json").exists()
    assert not (project / "reports/verdict.json").exists()


def test_a_base_that_dvc_does_not_have_is_undecided_or_made_again(project):
    shutil.copytree(project / "artifacts", project / "kept")
    shutil.rmtree(project / ".dvc/cache")
    done = slipway(project, "review", "--no-reproduce")
    assert done.returncode == 2
    undecided = {gate["name"]: gate for gate in verdict(project)["gates"] if gate["status"] == "undecided"}
    assert set(undecided) == {"not_worse.roc_auc", "not_worse.log_loss", "drift"}
    assert "leave out --no-reproduce" in undecided["drift"]["reason"]

    done = slipway(project, "review")
    found = verdict(project)
    assert found["base"]["source"] == "reproduced", found["base"]["note"]
    assert done.returncode == 0
    assert found["base"]["model"] == found["candidate"]["model"]
    assert len(git(project, "worktree", "list").splitlines()) == 1
    assert not list((project / ".dvc/tmp/review").iterdir())


def test_a_base_that_cannot_be_made_again_is_undecided_and_says_how_to_see_why(project):
    file = project / "src/slipway/stages/train.py"
    sound = file.read_text()
    file.write_text("raise SystemExit('broken')\n")
    git(project, "commit", "-qam", "broken")
    file.write_text(sound)
    shutil.rmtree(project / ".dvc/cache")
    done = slipway(project, "review", "--base", "HEAD")
    assert done.returncode == 2
    assert "making it again failed" in verdict(project)["base"]["note"]
    assert len(git(project, "worktree", "list").splitlines()) == 1


def test_the_first_model_has_nothing_to_be_compared_with(project):
    nothing = git(
        project, "commit-tree", "-m", "nothing", git(project, "hash-object", "-t", "tree", "/dev/null").strip()
    )
    done = slipway(project, "review", "--base", nothing.strip())
    found = verdict(project)
    statuses = {gate["name"]: gate["status"] for gate in found["gates"]}
    assert statuses["not_worse.roc_auc"] == statuses["drift"] == "not applicable"
    assert found["base"]["note"] == "it has no model"
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Path.exists, "--base nowhere: there is no such revision"),
        (lambda root: (root / "artifacts/holdout.parquet").unlink(), "artifacts/holdout.parquet: no such file"),
        (lambda root: (root / "artifacts/model/model.onnx").write_bytes(b"x"), "artifacts/model: is not what dvc.lock"),
        (lambda root: (root / "dvc.lock").unlink(), "dvc.lock: says nothing of artifacts/model"),
        (lambda root: shutil.rmtree(root / ".git"), "this folder is not in a git repository"),
        (lambda root: (root / "params.yaml").write_text("splitt: {}"), "params.yaml: splitt: unknown key"),
    ],
)
def test_what_cannot_be_judged_is_one_line_and_nothing_is_written(project, spoil, message):
    spoil(project)
    done = slipway(project, "review", "--base", "nowhere" if "nowhere" in message else "HEAD")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
    assert not (project / "reports/verdict.json").exists()


def test_a_shallow_clone_says_how_to_deepen_it(project, tmp_path):
    git(project, "commit", "-q", "--allow-empty", "-m", "one more")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{project}", str(shallow))
    done = slipway(shallow, "review", "--base", "HEAD~1")
    assert done.returncode == 2
    assert "the clone is shallow: `git fetch --unshallow`" in done.stderr


def test_a_detached_head_is_compared_all_the_same(project):
    git(project, "checkout", "-q", "--detach")
    assert slipway(project, "review").returncode == 0


def test_a_repository_without_a_commit_says_so(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "dvc.yaml").touch()
    done = slipway(tmp_path, "review")
    assert (done.returncode, done.stderr.startswith("error: the repository has no commit yet")) == (2, True)


def test_an_interrupted_review_leaves_nothing_behind(project):
    shutil.rmtree(project / ".dvc/cache")
    command = [sys.executable, "-m", "slipway", "review"]
    running = subprocess.Popen(command, cwd=project, start_new_session=True, stderr=subprocess.PIPE, text=True)
    while running.poll() is None and not list((project / ".dvc/tmp").glob("review/.scratch-*/tree/dvc.yaml")):
        pass
    os.killpg(running.pid, 2)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in said
    assert len(git(project, "worktree", "list").splitlines()) == 1
    assert not (project / "reports/verdict.json").exists()


def test_what_cannot_be_read_of_the_base_is_no_first_model(project):
    sound = (project / "dvc.lock").read_text("utf-8")
    for content in ("hello\n", "stages: []\n", "stages: {x: hello}\n", ""):
        (project / "dvc.lock").write_text(content, "utf-8")
        git(project, "commit", "-qam", "damaged")
        (project / "dvc.lock").write_text(sound, "utf-8")
        git(project, "commit", "-qam", "mended")
        done = slipway(project, "review", "--base", "HEAD~1")
        assert (done.returncode, done.stderr) == (2, ""), content
        assert "damaged" in verdict(project)["base"]["note"]


def test_a_review_that_cannot_be_made_leaves_no_earlier_verdict(project):
    assert slipway(project, "review", "--base", "HEAD").returncode == 0
    done = slipway(project, "review", "--base", "^HEAD")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "there is no such revision" in done.stderr
    assert not (project / "reports/verdict.json").exists()
