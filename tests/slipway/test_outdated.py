"""Which pull requests are told that results which were just merged are in conflict with theirs."""

import json
from pathlib import Path

import pytest
from fake_github import BOT, FakeGitHub, fake_github
from helpers import git, slipway, write

from slipway.delivery.github.comment import MARKER
from slipway.delivery.github.outdated import MARK, tell_outdated


@pytest.fixture
def github():
    with fake_github() as server:
        yield server


def commit(root: Path, message: str) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-qm", message)


@pytest.fixture
def merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, github: FakeGitHub) -> Path:
    """A repository whose main has just got new results, with three open pull requests and our comment on each.

    Of them 3 has results as well, 4 has none, and 5 lies in a fork that is not at hand.
    """
    root = tmp_path / "work"
    root.mkdir()
    git(root, "init", "-qb", "main")
    write(root, "dvc.lock", "first\n")
    commit(root, "first")
    for branch, path in (("results", "dvc.lock"), ("code", "new.py")):
        git(root, "checkout", "-qb", branch, "main")
        write(root, path, f"of {branch}\n")
        commit(root, branch)
    git(root, "checkout", "-q", "main")
    write(root, "dvc.lock", "of main\n")
    commit(root, "second")
    for number, head in ((3, "results"), (4, "code")):
        github.add_pull(number, git(root, "rev-parse", head).strip(), branch=head)
    github.add_pull(5, "c" * 40, source="stranger/r")
    for number in (3, 4, 5):
        github.add_comment(f"report\n{MARKER.format(run=1, head='c' * 40)}", BOT, number)
    write(root, "dvc.yaml", "stages: {}\n")  # a project
    write(tmp_path, "event.json", json.dumps({"ref": "refs/heads/main"}))
    for name, value in {
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_API_URL": github.url,
        "GITHUB_TOKEN": "token",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(root)
    return root


def test_those_with_other_results_are_told_once_and_keep_their_report(merged, github):
    assert tell_outdated() == [3]
    body = github.comments[0]["body"]
    assert body.startswith(MARK)
    assert "`main` has got other results since" in body
    assert "report\n<!-- slipway review" in body
    assert [comment["body"][:6] for comment in github.comments[1:]] == ["report", "report"]
    assert tell_outdated() == []
    assert github.comments[0]["body"] == body


def test_another_base_and_a_pull_request_without_a_report_are_left_alone(merged, github):
    github.pulls[3]["base"]["ref"] = "next"
    assert tell_outdated() == []
    github.pulls[3]["base"]["ref"] = "main"
    github.comments.clear()
    assert tell_outdated() == []
    assert not github.comments


def test_where_github_refuses_the_run_goes_on(merged, github):
    github.refuse = 403
    done = slipway(merged, "outdated")
    assert done.returncode == 0
    assert "::notice title=outdated::GitHub refused" in done.stdout
