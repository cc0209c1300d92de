"""`--json`: standard output is one document, documented in `--help`; what else is said is on standard error."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import copy_project, git, made_once, slipway, write
from test_rebuild import small
from test_release import Project, project, release_next

__all__ = ["project", "small"]  # fixtures
TABLE = "age,city,left\n" + "".join(
    f"{20 + row % 50},{'Bern' if row % 3 else 'Genf'},{'yes' if row % 50 > 24 else 'no'}\n" for row in range(400)
)


@pytest.fixture(scope="module")
def shared_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it is in git, with its reports and without results; nobody may change it."""
    return made_once(tmp_path_factory, "as in git", copy_project)


@pytest.fixture
def tree(shared_tree: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(shared_tree, tmp_path / "tree", symlinks=True))


def document(root: Path, *words: str, code: int = 0) -> Any:
    """What a verb prints with `--json`; `--help` names each of its keys, and they are plain words."""
    done = slipway(root, *words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    found = json.loads(done.stdout)
    said = slipway(root, words[0], "--help").stdout.partition("--json")[2]
    for key in found:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", key)
        assert re.search(rf"\b{key}\b|\.json|\.schema", said), f"{words[0]} --help does not tell of {key}"
    return found


def break_a_gate(root: Path) -> None:
    path = root / "params.yaml"
    path.write_text(re.sub(r"(?m)^(    roc_auc: ).*$", r"\g<1>{min: 0.9999}", path.read_text(), count=1))


def forget_a_report(root: Path) -> None:
    (root / "reports/metrics.json").unlink()


def spoil_params(root: Path) -> None:
    (root / "params.yaml").write_text("train: 3\n")


def name_a_sensitive_column(root: Path) -> None:
    path = root / "src/model/schema.yaml"
    path.write_text(path.read_text().replace("\ncolumns:\n", "\nsensitive: [mean area]\n\ncolumns:\n"))


def nothing(_: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("verb", "change", "code", "said"),
    [
        ("summary", nothing, 0, {"passed": True}),
        ("summary", break_a_gate, 1, {"passed": False}),
        ("check", nothing, 0, {"fits": True, "warnings": []}),
        (
            "check",
            name_a_sensitive_column,
            0,
            {"warnings": ["'mean area' is sensitive, but gates.fairness in params.yaml has no limit"]},
        ),
        ("lock", nothing, 0, {"honest": True}),
        ("lock", break_a_gate, 0, {"problems": []}),  # the pipeline does not read the gates
        ("lock", forget_a_report, 1, {"honest": False}),
        ("track", nothing, 0, {"uploaded": []}),
    ],
)
def test_a_verb_prints_one_document_and_exits_as_without(
    tree: Path, verb: str, change: Callable[[Path], None], code: int, said: dict[str, object]
) -> None:
    change(tree)

    found = document(tree, verb, code=code)

    assert found | said == found
    assert slipway(tree, verb).returncode == code


def test_in_text_too_check_warns_of_a_sensitive_column_without_a_limit(tree: Path) -> None:
    told = "warning: check: 'mean area' is sensitive, but gates.fairness in params.yaml has no limit\n"
    assert slipway(tree, "check").stderr == ""
    name_a_sensitive_column(tree)
    done = slipway(tree, "check")
    assert (done.returncode, done.stderr) == (0, told)
    assert done.stdout == "params.yaml and src/model/schema.yaml fit together\n"
    path = tree / "params.yaml"
    path.write_text(path.read_text().replace("    error:\n", "    error: 0.1\n"))
    assert slipway(tree, "check").stderr == ""


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (["summary"], forget_a_report),
        (["check"], spoil_params),
        (["lock"], lambda root: (root / "dvc.yaml").write_text("stages: 3\n")),
        (["exps"], lambda root: shutil.rmtree(root / ".git")),
        (["data"], nothing),
        (["model"], lambda root: (root / "dvc.lock").unlink()),
        (["review"], nothing),
        (["rebuild"], lambda root: shutil.rmtree(root / ".git")),
        (["image"], nothing),
        (["image-test"], nothing),
        (["scan"], nothing),
        (["adopt", "none.csv", "--target", "y"], nothing),
        (["promote", "staging", "production"], nothing),
        (["rollback", "production"], nothing),
        (["lineage", "production"], nothing),
        (["deploy", "production", "--stop"], nothing),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_an_error_is_one_line_on_standard_error(
    tree: Path, words: list[str], change: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_ENGINE", "podman-that-is-not-here")
    change(tree)

    failed = slipway(tree, *words, "--json")

    assert (failed.returncode, failed.stdout) == (2, ""), failed.stderr
    assert re.fullmatch(r"error: .+\n", failed.stderr), failed.stderr


def test_experiments_have_their_metrics_and_the_parameters_that_differ(tree: Path) -> None:
    path = tree / "params.yaml"
    path.write_text(re.sub(r"(?m)^(  seed: )\d+", r"\g<1>77", path.read_text()))

    workspace, last = document(tree, "exps")["experiments"]

    assert (workspace["name"], last["params"]) == ("workspace", {})
    assert 77 in workspace["params"].values()
    assert 0.5 < last["holdout"]["roc_auc"] <= 1
    assert 0.5 < last["cross_validation"]["roc_auc"] <= 1


def test_data_tells_what_was_versioned(pulled: Path) -> None:
    found = document(pulled, "data")

    assert (found["files"], found["in_git"] is not None) == (1, True)
    assert f"md5: {found['md5']}" in (pulled / "data.dvc").read_text()


@pytest.mark.slow
def test_adoption_tells_what_was_decided(tree: Path) -> None:
    write(tree, "people.csv", TABLE)

    found = document(tree, "adopt", "people.csv", "--target", "left", "--force")

    assert (found["rows"], found["schema"]["target"]["task"]) == (400, "binary")
    assert "src/model/schema.yaml" in found["written"]


@pytest.mark.slow
def test_a_review_prints_its_verdict(ran: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(ran, tmp_path / "run", symlinks=True))

    assert document(root, "model") == {"model": "artifacts/model", "lock": "dvc.lock", "found": "here"}
    found = document(root, "review", "--base", "HEAD")
    assert found == json.loads((root / "reports/verdict.json").read_text())
    assert found["verdict"] == "pass"

    break_a_gate(root)
    assert document(root, "review", "--base", "HEAD", code=1)["verdict"] == "fail"


@pytest.mark.slow
def test_what_a_rebuild_has_others_say_is_beside_its_result(small: Path) -> None:
    found = document(small, "rebuild")

    assert (found["compared"], found["differing"]) == (3, [])


def test_what_runs_where_and_what_is_proposed(project: Project, tmp_path: Path) -> None:
    release_next(project, "a")
    first = project.head("origin/main~1")
    root = project.work

    proposed = document(root, "promote", "staging", "production", "--dry-run")
    assert (proposed["before"], proposed["after"]["commit"], proposed["done"]) == (None, first, None)
    assert git(project.origin, "branch", "--list", "promote/*") == ""
    done = document(root, "promote", "staging", "production")["done"]
    assert "promote/production-model-v1" in done

    release_next(project, "b")
    back = document(root, "rollback", "staging", "--now")
    assert (back["before"]["name"], back["after"]["name"]) == ("model-v2", "model-v1")
    assert "Roll staging back to model-v1" in back["done"]

    found = document(root, "lineage", "staging")
    assert (found["name"], found["environments"], found["findings"]) == ("model-v1", ["staging"], [])
    overlay = "deploy/kubernetes/overlays/staging/kustomization.yaml"
    project.merge("by hand", **{overlay: project.at("main", overlay).replace("a" * 64, "c" * 64)})
    git(root, "fetch", "-q")
    wrong = document(root, "lineage", "model-v1", code=1)["findings"]
    assert [each["what"] for each in wrong if each["holds"] is False] == ["staging"]


def test_a_release_of_nothing_new_says_so(project: Project) -> None:
    release_next(project, "a")
    git(project.work, "pull", "-q", "--rebase", "origin", "main")

    found = document(project.work, "release")

    assert (found["ships"], found["digest"], found["release"]["name"]) == (False, None, "model-v1")


def test_what_programs_say_that_are_run_is_not_in_the_document(tmp_path: Path) -> None:
    code = (
        "import subprocess\nfrom slipway.cli.output import aside, print_json\n"
        "with aside(True):\n    print('ours')\n    subprocess.run(['echo', 'theirs'])\n"
        "print_json({'a': float('nan')})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout) == {"a": None}
    assert sorted(done.stderr.split()) == ["ours", "theirs"]
