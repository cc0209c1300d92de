"""Who may have the pipeline run for a branch, and how the results get there."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fake_github import BOT, FakeGitHub, fake_github
from helpers import ROOT, dvc, git, slipway, write

from slipway.delivery.github.api import write_outputs
from slipway.delivery.github.reproduce import Branch, allow, join, publish
from slipway.errors import UserError

HEAD = "c" * 40


@pytest.fixture
def github():
    with fake_github() as server:
        server.permissions = {"writer": "write", "reader": "read"}
        yield server


@pytest.fixture
def commented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, github: FakeGitHub):
    """Set the environment of a run that a comment has started."""

    def start(author: str, body: str = "/reproduce", **issue: Any) -> None:
        event = {
            "comment": {"body": body, "user": {"login": author}},
            "issue": {"number": 3, "pull_request": {}} | issue,
        }
        (tmp_path / "event.json").write_text(json.dumps(event))
        for name, value in {
            "GITHUB_EVENT_NAME": "issue_comment",
            "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_API_URL": github.url,
            "GITHUB_TOKEN": "token",
            "NO_PROXY": "127.0.0.1",
        }.items():
            monkeypatch.setenv(name, value)

    return start


def test_who_may_write_gets_the_branch_as_it_is_now(commented, github, tmp_path, monkeypatch):
    github.add_pull(3, HEAD, branch="topic")
    commented("writer")
    assert allow() == Branch("topic", HEAD, "main")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    branch = allow()
    write_outputs(branch=branch.name, commit=branch.commit, base=branch.base)
    assert (tmp_path / "output").read_text() == f"branch=topic\ncommit={HEAD}\nbase=main\n"


@pytest.mark.parametrize(
    "case",
    [
        ("reader", "/reproduce", "o/r", "reader may not write to o/r"),
        ("nobody", "/reproduce", "o/r", "nobody may not write to o/r"),
        ("writer", "/reproduce please", "o/r", "the comment is not /reproduce"),
        ("writer", "/reproduce", "stranger/r", "#3 comes from a fork"),
        ("../../x", "/reproduce", "o/r", "404"),
    ],
)
def test_nobody_else_has_anything_run(commented, github, case):
    author, body, source, why = case
    github.add_pull(3, HEAD, source=source)
    commented(author, body)
    with pytest.raises(UserError, match=why):
        allow()


def test_a_comment_on_an_issue_runs_nothing(commented, github):
    commented("writer", pull_request=None)
    with pytest.raises(UserError, match="is not /reproduce on a pull request"):
        allow()


@pytest.fixture
def branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a DVC remote and an origin, on a branch of its own."""
    origin, work = tmp_path / "origin.git", tmp_path / "work"
    git(tmp_path, "init", "-q", "--bare", str(origin))
    work.mkdir()
    git(work, "init", "-qb", "topic")
    remote = f"['remote \"r\"']\n    url = {tmp_path / 'remote'}\n"
    write(work, ".dvc/config", f"{remote}[core]\n    remote = r\n    analytics = false\n")
    write(work, "dvc.yaml", "stages:\n  make:\n    cmd: echo more > out.txt\n    outs:\n      - out.txt\n")
    write(work, "dvc.lock", "schema: '2.0'\n")
    write(work, "reports/metrics.json", "{}\n")
    git(work, "add", "-A")
    git(work, "commit", "-qm", "first")
    git(work, "remote", "add", "origin", str(origin))
    git(work, "push", "-q", "origin", "topic")
    monkeypatch.chdir(work)
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    return work


def test_results_are_pushed_once(branch, tmp_path):
    dvc(branch, "repro", "-q")
    write(branch, "reports/metrics.json", '{"a": 1}\n')
    write(branch, "notes.txt", "not a result\n")
    assert publish("topic", "Reproduce the pipeline") == "dvc.lock and the reports are on topic"
    changed = git(tmp_path / "origin.git", "show", "--stat", "--format=%an %s", "topic")
    assert changed.startswith("github-actions[bot] Reproduce the pipeline\n")
    assert "dvc.lock" in changed
    assert "reports/metrics.json" in changed
    assert "notes.txt" not in changed
    assert list((tmp_path / "remote").rglob("*"))
    assert publish("topic", "again") == "nothing changed, so nothing was committed"


def test_a_branch_that_has_moved_on_is_not_written_over(branch, tmp_path):
    git(tmp_path, "clone", "-q", "-b", "topic", str(tmp_path / "origin.git"), "other")
    write(tmp_path / "other", "newer.txt", "newer\n")
    git(tmp_path / "other", "add", "-A")
    git(tmp_path / "other", "commit", "-qm", "newer")
    git(tmp_path / "other", "push", "-q", "origin", "topic")
    write(branch, "reports/metrics.json", '{"a": 2}\n')
    with pytest.raises(UserError, match="topic could not be pushed; if it has moved on, ask again"):
        publish("topic", "Reproduce the pipeline")
    assert git(tmp_path / "origin.git", "show", "-s", "--format=%s", "topic") == "newer\n"


def test_a_name_that_is_no_branch_gets_no_results(branch, tmp_path):
    git(branch, "tag", "v1")
    git(branch, "push", "-q", "origin", "v1")
    write(branch, "reports/metrics.json", '{"a": 2}\n')
    with pytest.raises(UserError, match="v1: origin has no branch of this name"):
        publish("v1", "Reproduce the pipeline")
    with pytest.raises(UserError, match="no branch is named"):
        publish("", "Reproduce the pipeline")
    with pytest.raises(UserError, match="no branch is named"):
        join("")
    assert git(tmp_path / "origin.git", "branch", "--format=%(refname:short)").split() == ["topic"]
    assert not (tmp_path / "remote").exists()


def test_where_origin_does_not_answer_nothing_is_committed(branch, tmp_path):
    (tmp_path / "origin.git").rename(tmp_path / "elsewhere.git")
    write(branch, "reports/metrics.json", '{"a": 2}\n')
    with pytest.raises(UserError, match="origin cannot be asked for topic: fatal: "):
        publish("topic", "Reproduce the pipeline")
    assert git(branch, "log", "--format=%s") == "first\n"


def test_a_remote_that_takes_nothing_is_named(branch, tmp_path):
    dvc(branch, "repro", "-q")
    write(tmp_path, "remote", "no folder\n")
    with pytest.raises(UserError, match=r"`dvc push` failed: .*(remote|files)"):
        publish("topic", "Reproduce the pipeline")


@pytest.fixture
def apart(branch) -> Path:
    """The project on `topic`, and origin's `main` since it began; both have got other results."""
    write(branch, ".gitattributes", (ROOT / ".gitattributes").read_text())
    git(branch, "add", "-A")
    git(branch, "commit", "-qm", "attributes")
    git(branch, "checkout", "-qb", "main")
    for name, number in (("main", 1), ("topic", 2)):
        git(branch, "checkout", "-q", name)
        write(branch, "dvc.lock", f"schema: '2.0'\nstages: {{{name}: {{cmd: echo}}}}\n")
        write(branch, "reports/metrics.json", f'{{"a": {number}}}\n')
        write(branch, f"{name}.py", f"{number}\n")
        git(branch, "add", "-A")
        git(branch, "commit", "-qm", f"results of {name}")
        git(branch, "push", "-q", "origin", name)
    return branch


def test_another_branch_s_results_are_merged_and_made_anew(apart, tmp_path):
    assert join("main") == "main is merged, with its results"
    assert "topic: " in (apart / "dvc.lock").read_text()
    assert (apart / "reports/metrics.json").read_text() == '{"a": 2}\n'
    assert (apart / "main.py").exists()
    assert join("main") == "main has the results that this branch began from"
    write(apart, "dvc.lock", "schema: '2.0'\n")
    shutil.rmtree(apart / ".dvc/tmp", ignore_errors=True)
    assert publish("topic", "Reproduce") == "dvc.lock and the reports are on topic"
    log = git(tmp_path / "origin.git", "log", "--format=%an %s", "-2", "topic")
    assert log == f"{BOT} Reproduce\n{BOT} Merge main and its results\n"


def test_a_merge_that_a_run_left_as_it_was_is_pushed_too(apart, tmp_path):
    join("main")
    assert publish("topic", "Reproduce") == "dvc.lock and the reports are on topic"
    assert git(tmp_path / "origin.git", "log", "--format=%s", "-1", "topic") == "Merge main and its results\n"


def test_what_a_person_has_to_merge_is_named_and_nothing_is_left_half_merged(apart):
    before = git(apart, "rev-parse", "HEAD")
    write(apart, "main.py", "mine\n")
    git(apart, "add", "-A")
    git(apart, "commit", "-qm", "mine")
    with pytest.raises(UserError, match=r"main cannot be merged .*: both have changed main.py; merge it at home"):
        join("main")
    assert git(apart, "rev-parse", "HEAD~") == before
    assert git(apart, "status", "--porcelain") == ""
    with pytest.raises(UserError, match="gone: origin has no such branch"):
        join("gone")


def test_the_command_says_so_in_one_line(tmp_path):
    git(tmp_path, "init", "-q")
    done = slipway(tmp_path, "allowed")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: not a run of GitHub Actions")
