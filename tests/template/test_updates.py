"""Years later: into a folder that has files, from one version to the next, and from a copy to a project."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import ROOT, git, write
from rendering import VERSION, commit, copier_command, files, project, publish, render
from ruamel.yaml import YAML

Owner = Callable[[Path], None]
WORKFLOW, SUITE = ".github/workflows/nightly.yaml", "tests/model/test_thresholds.py"


def text(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


def replace(folder: Path, name: str, old: str, new: str) -> None:
    assert old in text(folder, name), f"{name} has no {old!r}"
    (folder / name).write_text(text(folder, name).replace(old, new, 1), encoding="utf-8", newline="")


def test_what_is_in_a_folder_stays_and_is_named(template: Path, tmp_path: Path) -> None:
    there = tmp_path / "churn"
    kept = {"README.md": "# Mine\n", ".gitignore": "*.log\n", "LICENSE": "mine\n", "src/churn/code.py": "x = 1\n"}
    for name, content in kept.items():
        write(there, name, content)
    git(there, "init", "-q")
    commit(there, "before")
    done = copier_command(tmp_path, "copy", "--defaults", str(template), "churn")
    assert done.returncode == 0, done.stderr
    assert {name: text(there, name) for name in kept} == kept
    skipped = re.findall(r"skip\s+(\S+)", re.sub(r"\x1b\[[\d;]*m", "", done.stderr))
    assert sorted(skipped) == [".gitignore", "LICENSE", "README.md"]
    assert {"Makefile", "pyproject.toml", "src/model/pipeline.py"} <= files(there).keys()
    assert '    cd "churn"\n    git init -b main && ' in done.stderr
    assert git(there, "status", "--porcelain", "--", *kept) == ""


def test_what_is_in_a_folder_is_replaced_if_asked_for(template: Path, tmp_path: Path) -> None:
    """Twin of the test above: it is the pattern in copier.yml that keeps it."""
    write(tmp_path / "churn", "README.md", "# Mine\n")
    done = copier_command(tmp_path, "copy", "--defaults", "--overwrite", str(template), "churn")
    assert done.returncode == 0, done.stderr
    assert text(tmp_path / "churn", "README.md").startswith("# churn\n")


def next_version(template: Path, folder: Path) -> Path:
    """The template a version later: it has changed what projects change as well, elsewhere in the same files."""
    git(template, "clone", "-q", str(template), str(folder))
    replace(folder, "src/slipway/errors.py", '"""', '"""Newer. ')
    replace(folder, "src/model/pipeline.py", '"""The project\'s estimator', '"""Newer: the project\'s estimator')
    replace(folder, "params.yaml", "# Every knob of the pipeline.", "# Every knob of the newer pipeline.")
    replace(folder, WORKFLOW, "timeout-minutes: 15", "timeout-minutes: 16")
    replace(folder, SUITE, '"""', '"""Newer. ')
    replace(folder, "dvc.lock", "schema:", "# newer\nschema:")
    replace(folder, "reports/metrics.json", "{", "{ ")
    write(folder, "src/slipway/newer.py", '"""Newer."""\n')
    (folder / ".editorconfig").unlink(missing_ok=True)
    (folder / ".dvcignore").unlink()
    commit(folder, "newer")
    git(folder, "tag", "v1.1.0")
    return folder


def own_work(made: Path) -> None:
    """What its owner does to a project: model, settings, a workflow, tests, results."""
    replace(made, "src/model/pipeline.py", "def _estimator(", "OURS = True\n\n\ndef _estimator(")
    replace(made, "params.yaml", "  folds: 5", "  folds: 7")
    replace(made, WORKFLOW, 'cron: "17 3 * * *"', 'cron: "5 5 * * *"')
    replace(made, SUITE, "import pytest\n", "import pytest  # ours\n")
    write(made, "tests/unit/test_ours.py", "def test_ours():\n    assert 1 + 1 == 2\n")
    replace(made, "dvc.lock", "schema:", "# ours\nschema:")
    replace(made, "reports/metrics.json", "{", "{\n")
    commit(made, "our work")


def update(made: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return copier_command(made, "update", "--defaults", *words)


def versions() -> list[str]:
    """The versions that this repository has published, the oldest first."""
    return git(ROOT, "tag", "--list", "v*", "--sort=v:refname").split()


def updated(template: Path, tmp_path: Path) -> Path:
    """A project with work of its owner's, updated to the next version."""
    made = project(template, tmp_path / "churn")
    own_work(made)
    newer = next_version(template, tmp_path / "newer")
    replace(made, ".copier-answers.yml", str(template), str(newer))
    commit(made, "the template has moved")
    done = update(made)
    assert done.returncode == 0, done.stderr
    return made


def test_an_update_keeps_the_owners_work_and_brings_what_is_new(template: Path, tmp_path: Path) -> None:
    made = updated(template, tmp_path)
    both = {
        "src/model/pipeline.py": ("OURS = True", "Newer: the project's"),
        "params.yaml": ("folds: 7", "the newer pipeline"),
        WORKFLOW: ("5 5 * * *", "timeout-minutes: 16"),
        SUITE: ("# ours", "Newer. "),
    }
    for name, (ours, newer) in both.items():
        assert ours in text(made, name), name
        assert newer in text(made, name), name
    assert (made / "tests/unit/test_ours.py").exists()
    assert text(made, "src/slipway/errors.py").startswith('"""Newer. ')
    assert (made / "src/slipway/newer.py").exists()
    assert not (made / ".dvcignore").exists()
    assert not [name for name, content in files(made).items() if b"<<<<<<<" in content or name.endswith(".rej")]
    assert YAML(typ="safe").load(made / ".copier-answers.yml")["_commit"] == "v1.1.0"


def test_an_update_leaves_results_alone(template: Path, tmp_path: Path) -> None:
    made = updated(template, tmp_path)
    assert "# ours" in text(made, "dvc.lock")
    assert "# newer" not in text(made, "dvc.lock")
    assert text(made, "reports/metrics.json").startswith("{\n")
    changed = git(made, "status", "--porcelain", "--", "dvc.lock", "reports", "data.dvc", ".dvc/remote")
    assert changed == ""


def test_an_update_brings_no_result_back(template: Path, tmp_path: Path) -> None:
    made = project(template, tmp_path / "churn")
    gone = ["data.dvc", "dvc.lock", "reports/plots/roc.csv", ".dvc/remote", "src/model/schema.yaml"]
    git(made, "rm", "-rq", *gone)
    commit(made, "another table")
    replace(made, ".copier-answers.yml", str(template), str(next_version(template, tmp_path / "newer")))
    commit(made, "a newer template")
    done = update(made)
    assert done.returncode == 0, done.stderr
    assert (made / "src/slipway/newer.py").exists()
    assert not [name for name in gone if (made / name).exists()]


def test_both_having_changed_a_line_is_shown(template: Path, tmp_path: Path) -> None:
    """Twin: where no machine can tell, people are asked, and nothing is lost."""
    made = project(template, tmp_path / "churn")
    replace(made, WORKFLOW, "timeout-minutes: 15", "timeout-minutes: 99")
    newer = next_version(template, tmp_path / "newer")
    replace(made, ".copier-answers.yml", str(template), str(newer))
    commit(made, "our work")
    done = update(made)
    assert done.returncode == 0, done.stderr
    shown = text(made, WORKFLOW)
    assert "<<<<<<<" in shown
    assert "timeout-minutes: 99" in shown
    assert "timeout-minutes: 16" in shown


def test_an_update_with_another_answer_adds_and_removes_what_it_stands_for(template: Path, tmp_path: Path) -> None:
    made = project(template, tmp_path / "churn", deployment="none")
    newer = next_version(template, tmp_path / "newer")
    replace(made, ".copier-answers.yml", str(template), str(newer))
    commit(made, "the template has moved")
    assert update(made, "--data", "deployment=compose").returncode == 0
    assert (made / "deploy/compose/compose.yaml").exists()
    assert (made / ".github/workflows/release.yaml").exists()
    assert not (made / "deploy/kubernetes").exists()
    commit(made, "compose")
    assert update(made, "--data", "deployment=none").returncode == 0
    assert not (made / "deploy/compose/compose.yaml").exists()
    assert not (made / ".github/workflows/release.yaml").exists()


def test_an_update_wants_a_clean_tree(template: Path, tmp_path: Path) -> None:
    made = project(template, tmp_path / "churn")
    write(made, "README.md", "unsaved\n")
    done = update(made)
    assert done.returncode != 0
    assert "dirty" in done.stderr
    assert text(made, "README.md") == "unsaved\n"


def test_from_the_oldest_version_that_was_published(template: Path, tmp_path: Path) -> None:
    """Its answers and files are those of that time; what this tree is now becomes the newest version."""
    oldest, history = next(iter(versions()), None), tmp_path / "history"
    git(ROOT, "clone", "-q", str(ROOT if oldest else template), str(history))
    made = project(history, tmp_path / "churn", oldest or VERSION)
    own_work(made)
    now = publish(tmp_path / "now", "v999.0.0")
    git(history, "fetch", "-q", str(now), "tag", "v999.0.0")
    assert update(made).returncode == 0
    assert "OURS = True" in text(made, "src/model/pipeline.py")


# "Use this template": everything there is, in one commit.
def copy(template: Path, folder: Path) -> Path:
    git(template, "clone", "-q", str(template), str(folder))
    for command in (["checkout", "-q", "--orphan", "fresh"], ["commit", "-qm", "Initial commit"]):
        git(folder, *command)
    git(folder, "tag", "-d", VERSION)
    git(folder, "remote", "set-url", "origin", "git@github.com:acme/churn.git")
    return folder


def own(folder: Path, template: Path | str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "template/own.py", "--from", str(template), "--defaults", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_copy_becomes_a_project(template: Path, tmp_path: Path) -> None:
    copied = copy(template, tmp_path / "churn")
    write(copied, "notes/ours.md", "ours\n")
    write(copied, "docs/index.md", "ours\n")
    replace(copied, "Makefile", "# ", "# Ours. ")
    commit(copied, "a note")
    done = own(copied, template, "-d", "description=Who leaves")
    assert done.returncode == 0, done.stderr
    assert "Your work in Makefile, docs/index.md gave way" in done.stdout
    assert {path.name for path in (copied / "docs").iterdir()} == {"github.md", "verdict.schema.json"}
    expected = files(render(template, tmp_path / "made/churn", description="Who leaves", repository="acme/churn"))
    found = files(copied)
    assert found.pop("notes/ours.md") == b"ours\n"
    assert found == expected
    assert git(copied, "diff", "--name-only") == ""  # all of it is staged
    git(copied, "commit", "-qm", "own")
    again = own_again(copied, template)
    assert again.returncode == 2
    assert "already" in again.stderr


def own_again(copied: Path, template: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "template/own.py"), "--from", str(template), "--defaults"]
    return subprocess.run(command, cwd=copied, capture_output=True, text=True, check=False)


def test_a_copy_with_unsaved_work_is_left_alone(template: Path, tmp_path: Path) -> None:
    copied = copy(template, tmp_path / "churn")
    write(copied, "notes.md", "ours\n")
    before = files(copied)
    done = own(copied, template)
    assert done.returncode == 2
    assert "not committed" in done.stderr
    assert files(copied) == before


@pytest.mark.parametrize("answer", ["remote=http://a", "project_nam=churn", "driver=s3"])
def test_a_bad_answer_is_one_line_and_changes_nothing(template: Path, tmp_path: Path, answer: str) -> None:
    copied = copy(template, tmp_path / "churn")
    done = own(copied, template, "-d", answer)
    assert done.returncode == 2
    assert answer.partition("=")[0] in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert git(copied, "status", "--porcelain") == ""


def test_a_template_that_cannot_be_had_is_one_line(template: Path, tmp_path: Path) -> None:
    copied = copy(template, tmp_path / "churn")
    done = own(copied, "https://127.0.0.1:1/nobody/nothing.git")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "cannot be had" in done.stderr
    assert git(copied, "status", "--porcelain") == ""


def test_an_interrupt_changes_nothing(template: Path, tmp_path: Path) -> None:
    copied = copy(template, tmp_path / "churn")
    command = [sys.executable, "template/own.py", "--from", str(template), "--defaults"]
    (tmp_path / "scratch").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "scratch")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=copied, env=environment, text=True, **pipes)
    while not any((tmp_path / "scratch").rglob("Makefile")) and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode in {130, -signal.SIGINT}, said
    assert git(copied, "status", "--porcelain") == ""
