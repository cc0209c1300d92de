"""Who may have the pipeline run for a branch, and how the results get there."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_github import FakeGitHub, fake_github

from helpers import dvc, git, slipway, write
from slipway.delivery.reproduce import Branch, allow, publish, write_outputs
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
    assert allow() == Branch("topic", HEAD)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    write_outputs(allow())
    assert (tmp_path / "output").read_text() == f"branch=topic\ncommit={HEAD}\n"


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


def test_the_command_says_so_in_one_line(tmp_path):
    git(tmp_path, "init", "-q")
    done = slipway(tmp_path, "allowed")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: not a run of GitHub Actions")
