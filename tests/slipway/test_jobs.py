"""What a pull request's workflow asks first and last."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, git, write

from slipway.delivery.github.jobs import missing

SCRIPT = ROOT / "src/slipway/delivery/github/jobs.py"


def ask(folder: Path, verb: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "NEEDS"))}
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT), verb],
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "-qb", "main")
    write(origin, "README.md", "hello\n")
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "first")
    git(tmp_path, "clone", "-q", str(origin), "clone")
    git(tmp_path / "clone", "checkout", "-qb", "topic")
    return tmp_path / "clone"


@pytest.mark.parametrize(
    ("paths", "line"),
    [
        (["README.md", "docs/more.md", "docs/a.png"], "false"),
        ([".editorconfig", ".vscode/tasks.json", ".devcontainer/devcontainer.json"], "false"),
        (["README.md", "params.yaml"], "true"),
        (["src/README.md"], "false"),
        (["src/model/pipeline.py"], "true"),
        (["docs/verdict.schema.json"], "true"),
        ([".github/workflows/pull-request.yaml"], "true"),
        (["data.md/x.csv"], "true"),
    ],
)
def test_documents_alone_do_not_run_the_line(clone, tmp_path, paths, line):
    for path in paths:
        write(clone, path, "new\n")
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "more")
    done = ask(clone, "changed", GITHUB_BASE_REF="main", GITHUB_OUTPUT=str(tmp_path / "output"))
    assert (done.returncode, done.stdout) == (0, f"line={line}\ncontainer={line}\ndependencies=false\n")
    assert (tmp_path / "output").read_text() == done.stdout


def test_what_becomes_a_document_was_none(clone):
    git(clone, "checkout", "-q", "main")
    write(clone, "params.yaml", "a: 1\n" * 20)
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "params")
    git(clone, "push", "-q", "origin", "HEAD:refs/heads/later")
    git(clone.parent / "origin", "update-ref", "refs/heads/main", "later")
    git(clone, "fetch", "-q")
    git(clone, "checkout", "-qb", "move", "main")
    git(clone, "mv", "params.yaml", "params.md")
    git(clone, "commit", "-qm", "move")
    assert ask(clone, "changed", GITHUB_BASE_REF="main").stdout.startswith("line=true\n")


def test_what_the_base_has_changed_since_does_not_count(clone):
    write(clone, "README.md", "more\n")
    git(clone, "commit", "-qam", "document")
    origin = clone.parent / "origin"
    write(origin, "params.yaml", "a: 1\n")
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "params")
    git(clone, "fetch", "-q")
    assert ask(clone, "changed", GITHUB_BASE_REF="main").stdout.startswith("line=false\n")


def test_a_name_that_is_no_text_is_read(clone):
    (clone / os.fsdecode(b"caf\xe9.md")).write_text("x")
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "odd")
    assert ask(clone, "changed", GITHUB_BASE_REF="main").stdout.startswith("line=false\n")


def test_a_base_branch_that_is_gone_runs_everything(clone):
    assert ask(clone, "changed", GITHUB_BASE_REF="gone").stdout.endswith(
        "\nline=true\ncontainer=true\ndependencies=false\n"
    )
    assert ask(clone, "changed").stdout.startswith("line=true\n")  # no pull request


PULL = {"pull_request": {}, "repository": {"visibility": "public"}}


@pytest.mark.parametrize(
    ("path", "event", "also", "dependencies"),
    [
        ("uv.lock", PULL, "", "true"),
        ("README.md", PULL, "", "false"),  # documents depend on nothing
        ("uv.lock", PULL | {"repository": {"visibility": "private"}}, "", "false"),
        ("uv.lock", PULL | {"repository": {"visibility": "private"}}, "true", "true"),
        ("uv.lock", {"merge_group": {}, "repository": {"visibility": "public"}}, "", "false"),
        ("uv.lock", {"before": "0" * 40, "repository": {"visibility": "public"}}, "", "false"),
        ("uv.lock", {}, "true", "false"),
    ],
)
def test_dependencies_are_reviewed_where_github_can(clone, path, event, also, dependencies):
    write(clone, path, "new\n")
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "more")
    write(clone.parent, "event.json", json.dumps(event))
    told = {"GITHUB_EVENT_PATH": str(clone.parent / "event.json"), "CODE_SECURITY": also}
    done = ask(clone, "changed", GITHUB_BASE_REF="main", **told)
    assert done.stdout.splitlines()[2] == f"dependencies={dependencies}"


def needs(changes="success", quality="success", line="success", output="true", container=None):
    return {
        "changes": {"result": changes, "outputs": {"line": output, "container": output, "dependencies": "true"}},
        "dependencies": {"result": "success", "outputs": {}},
        "quality": {"result": quality, "outputs": {}},
        "line": {"result": line, "outputs": {}},
        "container": {"result": container or ("success" if line == "success" else "skipped"), "outputs": {}},
    }


def reviewed(dependencies, output):
    found = needs()
    found["changes"]["outputs"]["dependencies"] = output
    return found | {"dependencies": {"result": dependencies, "outputs": {}}}


@pytest.mark.parametrize(
    ("found", "problems"),
    [
        (needs(), []),
        (needs(line="skipped", output="false"), []),
        (needs(line="skipped"), ["line: skipped", "container: skipped"]),
        (needs(line="failure"), ["line: failure", "container: skipped"]),
        (needs(line="cancelled"), ["line: cancelled", "container: skipped"]),
        (needs(container="failure"), ["container: failure"]),
        (needs(container="skipped"), ["container: skipped"]),
        (needs(quality="skipped", output="false"), ["quality: skipped"]),
        (
            needs(changes="failure", line="skipped", output=""),
            ["changes: failure", "line: skipped", "container: skipped"],
        ),
        (needs(line="failure", output="false"), ["line: failure"]),
        (reviewed("skipped", "false"), []),
        (reviewed("skipped", "true"), ["dependencies: skipped"]),
        (reviewed("skipped", ""), ["dependencies: skipped"]),
        (reviewed("failure", "true"), ["dependencies: failure"]),
    ],
)
def test_the_gate_is_green_only_if_all_that_had_to_run_did(tmp_path, found, problems):
    assert missing(found) == problems
    done = ask(tmp_path, "gate", NEEDS=json.dumps(found))
    assert done.returncode == (1 if problems else 0)
    assert all(problem in done.stdout for problem in problems)


@pytest.mark.parametrize(
    "said", ["", "null", "{}", "[1]", '{"changes": {"result": "success"}, "quality": {"result": "success"}}']
)
def test_a_gate_that_is_told_nothing_is_red(tmp_path, said):
    assert ask(tmp_path, "gate", NEEDS=said).returncode == 1
