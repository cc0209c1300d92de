"""How a report gets onto a pull request, against a server that answers as GitHub does."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from fake_github import BOT, FakeGitHub, fake_github
from test_report import FAILED, HOSTILE, PASSED, gate

from slipway.delivery.github.comment import LARGEST, MARKER, Told, tell
from slipway.review.verdict import Verdict

HEAD, OLD = "c" * 40, "a" * 40
MARK = MARKER.format(run=7, head=HEAD)
WATERMARK = '![](https://cml.dev/watermark.png#abc "CML watermark Slipway")'


@pytest.fixture
def github():
    with fake_github() as server:
        yield server


@pytest.fixture
def verdict(tmp_path: Path) -> Path:
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps(PASSED))
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, github: FakeGitHub):
    """Set the environment of a run; the summary is read from the path that is returned."""

    def start(payload: dict[str, Any], event: str = "pull_request", number: int = 7) -> Path:
        summary, path = tmp_path / "summary.md", tmp_path / "event.json"
        path.write_text(json.dumps(payload))
        (tmp_path / "bin").mkdir(exist_ok=True)
        variables = {
            "GITHUB_EVENT_NAME": event,
            "GITHUB_EVENT_PATH": str(path),
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_RUN_ID": str(number),
            "GITHUB_API_URL": github.url,
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_TOKEN": "token",
            "RUNNER_TEMP": str(tmp_path),
            "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
            "NO_PROXY": "127.0.0.1",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("REPO_TOKEN", raising=False)
        return summary

    return start


def cml(tmp_path: Path, script: str) -> None:
    """A program `cml` on the path, since CML's own is nowhere to be installed from; it shows what it is asked."""
    file = tmp_path / "bin/cml"
    file.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{tmp_path}/asked"\n{script}\n')
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def test_a_report_becomes_one_comment_that_later_runs_write_anew(run, github, verdict):
    pull = github.add_pull(3, HEAD)
    summary = run({"pull_request": pull})
    assert tell(verdict).problem == ""
    verdict.write_text(json.dumps(FAILED))
    told = tell(verdict)
    assert told.where == ("the job's summary", "the comment on #3, in place")
    (comment,) = github.comments
    assert comment["body"].startswith("### ❌ Fail")
    assert MARK in comment["body"]
    assert [line[:5] for line in summary.read_text().splitlines() if line.startswith("### ")] == ["### ✅", "### ❌"]


def test_the_comment_is_found_among_hundreds_and_only_if_it_is_ours(run, github, verdict):
    github.add_comment(MARK, "a stranger who writes our marker")
    for number in range(250):
        github.add_comment(f"comment {number}")
    ours = github.add_comment(f"old\n{MARK}", BOT)
    github.add_comment(MARK, "another stranger")
    github.add_comment(f"another workflow, which quotes {MARK}", BOT)
    run({"pull_request": github.add_pull(3, HEAD)})
    tell(verdict)
    assert ours["body"].startswith("### ✅ Pass")
    assert len(github.comments) == 254
    assert github.comments[0]["body"] == github.comments[252]["body"] == MARK


def test_an_older_run_never_writes_over_a_newer_one(run, github, verdict):
    newer = github.add_comment(f"newer\n{MARKER.format(run=8, head=HEAD)}", BOT)
    run({"pull_request": github.add_pull(3, HEAD)})
    assert tell(verdict).problem == "a newer run has commented on #3"
    assert newer["body"].startswith("newer")


def test_a_run_of_a_commit_that_is_no_longer_the_head_does_not_comment(run, github, verdict):
    event = {"pull_request": dict(github.add_pull(3, OLD))}
    github.add_pull(3, HEAD)
    summary = run(event)
    assert "is no longer the head of #3" in tell(verdict).problem
    assert not github.comments
    assert "### ✅ Pass" in summary.read_text()


def test_a_fork_s_own_run_shows_the_summary_and_calls_nobody(run, github, verdict):
    summary = run({"pull_request": github.add_pull(3, HEAD, source="stranger/r")})
    told = tell(verdict)
    assert told.where == ("the job's summary",)
    assert "comes from a fork" in told.problem
    assert not github.calls
    assert "Not on the pull request: the pull request comes from a fork" in summary.read_text()


@pytest.mark.parametrize("case", [("", None, "not set"), ("bad", None, "401"), ("token", 403, "403")])
def test_without_the_right_to_comment_the_summary_says_why(run, github, verdict, monkeypatch, case):
    token, refuse, why = case
    summary = run({"pull_request": github.add_pull(3, HEAD)})
    monkeypatch.setenv("GITHUB_TOKEN", token)
    github.refuse = refuse
    assert why in tell(verdict).problem
    assert why in summary.read_text()


def test_a_server_that_is_away_is_one_line(run, github, verdict, monkeypatch):
    run({"pull_request": github.add_pull(3, HEAD)})
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    assert tell(verdict).problem.startswith("GitHub cannot be reached")


def fork_event(head: str = HEAD) -> dict[str, Any]:
    source = {"full_name": "stranger/r", "owner": {"login": "stranger"}}
    return {"workflow_run": {"head_sha": head, "head_branch": "topic", "head_repository": source}}


def test_after_a_fork_s_run_the_comment_is_rendered_here_and_says_where_it_comes_from(run, github, verdict):
    github.add_pull(4, HEAD, source="stranger/r")
    verdict.write_text(json.dumps(PASSED | {"reason": HOSTILE, "a key of tomorrow": 1}))
    run(fork_event(), "workflow_run")
    assert tell(verdict).problem == ""
    (comment,) = github.comments
    assert comment["body"].startswith("> [!NOTE]\n> This comes from the run of a fork")
    assert "<script>" not in comment["body"]


def test_after_a_fork_s_run_the_pull_request_is_not_the_artifact_s_to_choose(run, github, verdict):
    github.add_pull(1, HEAD)  # of another owner, with the same head
    github.add_pull(4, OLD, source="stranger/r")
    run(fork_event(), "workflow_run")
    assert "no open pull request" in tell(verdict).problem
    assert not github.comments


def test_of_two_pull_requests_of_one_fork_branch_each_gets_the_comment_of_its_own_base(run, github, verdict):
    github.add_pull(4, HEAD, source="stranger/r", base="main")
    github.add_pull(5, HEAD, source="stranger/r", base="next")
    run(fork_event(), "workflow_run")
    for base, number in (("next", 5), ("main", 4)):
        verdict.write_text(json.dumps(PASSED | {"base": PASSED["base"] | {"revision": f"origin/{base}"}}))
        assert tell(verdict).where[-1].endswith(f"#{number}")
    verdict.write_text(json.dumps(PASSED | {"base": PASSED["base"] | {"revision": "origin/elsewhere"}}))
    assert "the verdict fits none" in tell(verdict).problem
    verdict.unlink()
    assert "the verdict fits none" in tell(verdict).problem


def test_a_verdict_of_another_commit_is_not_shown_on_the_pull_request(run, github, verdict):
    verdict.write_text(json.dumps(PASSED | {"candidate": PASSED["candidate"] | {"commit": OLD}}))
    github.add_pull(4, HEAD, source="stranger/r")
    run(fork_event(), "workflow_run")
    assert tell(verdict).problem == f"the verdict is of another commit than {HEAD[:9]}, the head of #4"
    assert not github.comments


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b'{"verdict": "pass"}',
        json.dumps(PASSED | {"verdict": "**great**"}).encode(),
        json.dumps(PASSED | {"reason": "great"}).encode() + b" " * LARGEST,
    ],
)
def test_what_is_no_verdict_is_not_shown(run, github, tmp_path, content):
    path = tmp_path / "verdict.json"
    path.write_bytes(content)
    run(fork_event(), "workflow_run")
    github.add_pull(4, HEAD, source="stranger/r")
    assert str(path) in tell(path).problem
    assert all("great" not in comment["body"] for comment in github.comments)


def test_cml_writes_the_comment_where_it_is(run, github, verdict, tmp_path):
    run({"pull_request": github.add_pull(3, HEAD)})
    cml(tmp_path, "exit 0")
    assert tell(verdict).where[-1] == "a comment on #3, by CML"
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[:5] == ["comment", "update", "--publish=false", "--target=pr/3", "--watermark-title=Slipway"]
    assert not [call for call in github.calls if call[0] != "GET"]
    assert not list(tmp_path.glob("slipway-comment*"))


def test_where_cml_fails_the_comment_is_written_all_the_same(run, github, verdict, tmp_path):
    run({"pull_request": github.add_pull(3, HEAD)})
    cml(tmp_path, "echo 'Invalid URL' >&2; exit 1")
    assert tell(verdict).where[-1] == "a new comment on #3 (CML failed: Invalid URL)"
    assert len(github.comments) == 1


def test_a_comment_that_cml_would_not_find_again_is_kept_in_its_place(run, github, verdict, tmp_path):
    for number in range(40):
        github.add_comment(f"comment {number}")
    ours = github.add_comment(f"old\n{MARK}\n{WATERMARK}", BOT)
    run({"pull_request": github.add_pull(3, HEAD)})
    cml(tmp_path, "exit 0")
    assert "in place" in tell(verdict).where[-1]
    assert not (tmp_path / "asked").exists()
    assert ours["body"].count(WATERMARK) == 1


def test_no_line_of_an_older_report_is_carried_along(run, github, verdict):
    run({"pull_request": github.add_pull(3, HEAD)})
    verdict.write_text(json.dumps(PASSED | {"reason": f"all is well {WATERMARK} cml.dev/watermark.png"}))
    tell(verdict)
    verdict.write_text(json.dumps(FAILED))
    tell(verdict)
    (comment,) = github.comments
    assert "all is well" not in comment["body"]


@pytest.mark.parametrize("more", [{"gates": [gate("not_worse.roc_auc", limit=-1.0)]}, {"gates": []}])
def test_a_verdict_that_makes_no_sense_is_shown_or_named_and_fails_nothing(run, github, verdict, more):
    run({"pull_request": github.add_pull(3, HEAD)})
    verdict.write_text(json.dumps(PASSED | more))
    assert tell(verdict).where


def test_a_problem_is_no_markup_in_the_summary(run, github, verdict):
    summary = run({"pull_request": github.add_pull(3, HEAD)})
    verdict.write_text(json.dumps(PASSED | {"verdict": "</i><h1>Pass</h1> [x](http://evil.example)"}))
    github.refuse = 403
    tell(verdict)
    assert "<h1>" not in summary.read_text().replace("\\<", "")


def test_an_answer_that_is_no_list_is_one_line(run, github, verdict):
    run({"pull_request": github.add_pull(3, HEAD)})
    github.comments = {"message": "odd"}  # type: ignore[assignment]
    assert tell(verdict).problem


def test_nothing_to_show_is_said_and_fails_nothing(run, github, tmp_path):
    summary = run({"pull_request": github.add_pull(3, HEAD)})
    told = tell(tmp_path / "none.json")
    assert "cannot be read" in told.problem
    assert "No verdict" in summary.read_text()
    assert "No verdict" in github.comments[0]["body"]


def test_a_push_has_a_summary_and_nothing_to_comment_on(run, github, verdict):
    summary = run({"before": OLD}, "push")
    assert tell(verdict) == Told(("the job's summary",))
    assert "### ✅ Pass" in summary.read_text()
    assert not github.calls


def test_the_examples_are_verdicts():
    for content in (PASSED, FAILED):
        assert Verdict.model_validate(content)
