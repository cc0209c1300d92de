"""Whole pull requests: pushed to a repository, run through the workflow's own steps, up to the comment and the gate."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from expression import Expression
from fake_github import BOT, FakeGitHub, fake_github
from fake_osv import fake_osv
from filelock import FileLock
from helpers import ROOT, git, shared, slipway, write
from images import need_skopeo, tiny_image
from ruamel.yaml import YAML
from workflow import LOGINS, Run, Runner

from slipway.delivery.github.comment import MARKER

pytestmark = [pytest.mark.slow, pytest.mark.no_cover]

TOKEN = "token"  # noqa: S105  # the one that the server takes
COMMANDS = ("setup", "lint", "test-fast", "lock", "repro", "test-data test-model", "review", "comment", "gc")
COMMANDS += ("image image-test",)
SKIP_ALL = {f"make {command}": "what stands around it is looked at" for command in COMMANDS}
SKIP = {
    "make test-fast": "this is one of those tests",
    "make lint": "a check of its own",
    "make image image-test": "test_container.py does, where there is an engine",
}
SKIP_SUITES = {**SKIP, "make test-data test-model": "those of a good and of a bad change are run"}


class Project:
    """A repository with a bare origin, whose main branch has been run, and a clone to work in."""

    def __init__(self, ran: Path, folder: Path, known: Path) -> None:
        self.known = known
        self.folder, self.origin, self.work = folder, folder / "origin.git", folder / "work"
        shutil.copytree(ran, self.work, symlinks=True)
        git(folder, "clone", "-q", "--bare", str(self.work), str(self.origin))
        git(self.work, "remote", "add", "origin", str(self.origin))
        git(self.work, "fetch", "-q")
        git(self.work, "checkout", "-qb", "topic")
        shutil.copytree(self.work / ".dvc/cache", folder / "run/cache")  # what main's runs have left

    def change(self, path: str, old: str, new: str) -> None:
        file = self.work / path
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def push(self, *, run: bool = True, again: bool = False) -> str:
        """Run the pipeline, if no test has run it so, commit and push; the commit.

        With `again`, GitHub's cache holds what the run has left, as if the workflow had run for that commit before.
        """
        if run:
            with FileLock(self.known.with_suffix(".lock")):
                self.known.mkdir(exist_ok=True)
                shutil.copytree(self.known, self.work / ".dvc/cache", dirs_exist_ok=True)
            assert slipway(self.work, "repro").returncode in {0, 1}
            with FileLock(self.known.with_suffix(".lock")):
                shutil.copytree(self.work / ".dvc/cache", self.known, dirs_exist_ok=True)
        if again:
            shutil.copytree(self.work / ".dvc/cache", self.folder / "run/cache", dirs_exist_ok=True)
        git(self.work, "add", "-A")
        git(self.work, "commit", "-qm", "a change")
        git(self.work, "push", "-qf", "origin", "topic")
        return git(self.work, "rev-parse", "HEAD").strip()

    def pull_request(self, github: FakeGitHub, *, source: str = "o/r", token: str = TOKEN, **more: Any) -> Run:
        """Run the workflow of a pull request of the topic branch; `more` is for the runner."""
        sha = git(self.work, "rev-parse", "HEAD").strip()
        pull = github.add_pull(3, sha, source=source)
        context = {
            "event": {"pull_request": pull, "repository": {"visibility": "public"}},
            "event_name": "pull_request",
            "repository": "o/r",
            "run_id": 7,
            "sha": sha,
            "ref": "refs/pull/3/merge",
            "base_ref": "main",
        }
        options = {"skip": SKIP, "environment": {"GITHUB_API_URL": github.url}} | more
        return Runner(self.origin, self.folder / "run", context, token, **options)("pull-request.yaml")

    def reproduce(self, github: FakeGitHub, commit: str, author: str) -> Run:
        """Run the workflow of a comment that asks for a pull request of the topic branch to be reproduced."""
        github.add_pull(3, commit)
        github.permissions = {"writer": "write"}
        said = {
            "comment": {"body": "/reproduce", "user": {"login": author}},
            "issue": {"number": 3, "pull_request": {"url": github.url}},
        }
        main = git(self.origin, "rev-parse", "main").strip()
        context = {"event": said, "event_name": "issue_comment", "repository": "o/r", "run_id": 9, "sha": main}
        for left in ("allowed", "reproduce"):
            shutil.rmtree(self.folder / "run" / left, ignore_errors=True)
        where = {"GITHUB_API_URL": github.url}
        return Runner(self.origin, self.folder / "run", context, TOKEN, environment=where)("reproduce.yaml")

    @property
    def summary(self) -> str:
        path = self.folder / "run/summary.md"
        return path.read_text() if path.exists() else ""

    @property
    def verdict(self) -> dict[str, Any]:
        return json.loads((self.folder / "run/artifacts/review/verdict.json").read_text())


@pytest.fixture
def project(ran: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(ran, tmp_path, shared(tmp_path_factory, "known"))


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with fake_github() as server:
        yield server


def test_a_good_change_is_green_and_one_comment_says_why(project, github):
    project.change("params.yaml", "strength: 1.0", "strength: 0.9")
    project.push()
    run = project.pull_request(github)
    assert set(run.results.values()) == {"success"}, run.printed("line")
    assert {*run.results} == {"changes", "quality", "line", "container", "dependencies", "gate"}
    assert "Running stage 'train'" in run.printed("line")  # no remote has the branch's model, and it was not run here
    (comment,) = github.comments
    assert comment["body"].startswith("### ✅ Pass")
    assert "`train.linear.strength` 1.0 → 0.9" in comment["body"].replace("\\", "")
    assert comment["body"].splitlines()[0] == project.summary.splitlines()[0]
    assert project.verdict["base"]["source"] == "dvc"
    assert (project.folder / "run/artifacts/review/review.html").exists()
    # Nothing but the engine, which nobody has of this name, is left to be wanting for an image of the line's model.
    built = slipway(project.folder / "run/container", "image", "--engine", "kaniko")
    assert "is no engine" in built.stderr


def test_a_bad_change_is_red_and_the_comment_says_why(project, github):
    project.change("params.yaml", "strength: 1.0", "strength: 0.00001")
    project.push(again=True)
    run = project.pull_request(github)
    assert [job for job, result in run.results.items() if result != "success"] == ["line", "container", "gate"]
    assert github.comments[0]["body"].startswith("### ❌ Fail")
    assert project.verdict["verdict"] == "fail"
    assert "line: failure" in run.printed("gate")


def unescaped(text: str) -> str:
    return text.replace("\\", "").replace("\u200b", "")


def test_a_lock_that_is_not_of_this_tree_is_red_and_says_what_mends_it(project, github):
    project.change("params.yaml", "strength: 1.0", "strength: 0.9")
    project.push(run=False)
    run = project.pull_request(github)
    assert run.results["line"] == run.results["gate"] == "failure"
    assert "train: params.yaml:train.linear.strength" in run.printed("line").replace(" changed", "")
    assert "make repro" in run.printed("line")
    (comment,) = github.comments
    assert comment["body"].startswith("### ❌ Fail: `dvc.lock` does not belong to this tree")
    assert "- **train**: params.yaml:train.linear.strength is 0.9, the run had 1.0" in unescaped(comment["body"])
    assert "/reproduce" in comment["body"]
    assert comment["body"].splitlines()[0] == project.summary.splitlines()[0]


def test_a_fork_gets_the_summary_and_then_a_comment_that_is_rendered_here(project, github):
    project.change("params.yaml", "strength: 1.0", "strength: 0.9")
    sha = project.push(again=True)
    run = project.pull_request(github, source="stranger/r", token="", skip=SKIP_SUITES)
    assert run.results["gate"] == "success", run.printed("line")
    assert not github.comments
    assert project.summary.startswith("### ✅ Pass")
    source = {"full_name": "stranger/r", "owner": {"login": "stranger"}}
    after = {"event": "pull_request", "head_sha": sha, "head_branch": "topic", "head_repository": source, "id": 7}
    context = {"event": {"workflow_run": after}, "event_name": "workflow_run", "repository": "o/r", "run_id": 8}
    main = git(project.work, "rev-parse", "main").strip()
    where = {"GITHUB_API_URL": github.url}
    trusted = Runner(project.origin, project.folder / "run", context | {"sha": main}, TOKEN, environment=where)
    assert trusted("comment.yaml").results == {"comment": "success"}
    (comment,) = github.comments
    assert "This comes from the run of a fork" in comment["body"]
    assert "### ✅ Pass" in comment["body"]


@pytest.mark.parametrize(("author", "results"), [("writer", "success"), ("reader", "skipped")])
def test_reproduce_runs_the_branch_and_commits_the_results_for_those_who_may_write(project, github, author, results):
    project.change("params.yaml", "strength: 1.0", "strength: 0.9")
    before = project.push(run=False)  # the lock is not of this tree: somebody has to run it
    run = project.reproduce(github, before, author)
    assert run.results["reproduce"] == results, run.steps
    after = git(project.origin, "rev-parse", "topic").strip()
    if author == "reader":
        assert (after, run.results["allowed"]) == (before, "failure")
        return
    changed = git(project.origin, "diff", "--name-only", before, after).split()
    assert "dvc.lock" in changed
    assert all(name == "dvc.lock" or name.startswith("reports/") for name in changed)
    git(project.work, "pull", "-q", "origin", "topic")
    assert slipway(project.work, "lock").returncode == 0


def test_of_two_branches_with_new_results_the_later_is_told_so_and_reproduce_merges_them(project, github):
    project.change("params.yaml", "strength: 1.0", "strength: 0.9")
    project.push()
    git(project.work, "checkout", "-qb", "other", "main")
    project.change("params.yaml", "folds: 5", "folds: 4")
    assert slipway(project.work, "repro").returncode == 0
    git(project.work, "commit", "-qam", "another change")
    git(project.work, "push", "-q", "origin", "other:main")
    git(project.work, "fetch", "-q")
    git(project.work, "checkout", "-q", "topic")
    with pytest.raises(subprocess.CalledProcessError):
        git(project.work, "merge", "origin/main")
    conflicts = git(project.work, "diff", "--name-only", "--diff-filter=U").split()
    assert "dvc.lock" in conflicts
    assert all(name == "dvc.lock" or name.startswith("reports/") for name in conflicts)
    git(project.work, "merge", "--abort")
    before = git(project.work, "rev-parse", "HEAD").strip()

    # At home, by the line that the documentation has.
    (line,) = re.findall(r"^git fetch && .*", (ROOT / "docs/github.md").read_text(), re.MULTILINE)
    home = {**os.environ, "UV_NO_SYNC": "1", "EMAIL": "test@example.org"}
    done = subprocess.run(["bash", "-c", line], cwd=project.work, env=home, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert slipway(project.work, "lock").returncode == 0
    assert git(project.work, "rev-list", "--parents", "-1", "HEAD").count(" ") == 2
    git(project.work, "reset", "-q", "--hard", before)

    # At home, as `make hooks` has set up git.
    git(project.work, "config", "merge.remade.driver", "true")
    git(project.work, "merge", "-q", "--no-edit", "origin/main")
    git(project.work, "push", "-q", "origin", "topic")
    run = project.pull_request(github)
    assert run.results["gate"] == "failure"
    assert github.comments[0]["body"].startswith("### ❌ Fail: `dvc.lock` does not belong to this tree")
    assert "- **train**: params.yaml:train.folds is 4, the run had 5" in unescaped(github.comments[0]["body"])

    # On GitHub, where there is no such merge.
    git(project.work, "reset", "-q", "--hard", before)
    git(project.work, "push", "-qf", "origin", "topic")
    run = project.reproduce(github, before, "writer")
    assert run.results["reproduce"] == "success", run.printed("reproduce")
    assert "main is merged, with its results" in run.printed("reproduce")
    git(project.work, "pull", "-q", "origin", "topic")
    assert slipway(project.work, "lock").returncode == 0
    assert git(project.work, "merge-base", "HEAD", "origin/main") == git(project.work, "rev-parse", "origin/main")
    params = (project.work / "params.yaml").read_text()
    assert "strength: 0.9" in params
    assert "folds: 4" in params


def test_a_push_of_other_results_tells_the_pull_requests_that_are_in_conflict_with_them(project, github):
    project.change("dvc.lock", "strength: 1.0", "strength: 0.9")
    github.add_pull(3, project.push(run=False))
    github.add_comment(f"report\n{MARKER.format(run=1, head='c' * 40)}", BOT)
    git(project.work, "checkout", "-q", "main")
    project.change("dvc.lock", "strength: 1.0", "strength: 0.8")
    git(project.work, "commit", "-qam", "other results")
    git(project.work, "push", "-q", "origin", "main")
    context = {"event": {"ref": "refs/heads/main", "before": "0" * 40}, "event_name": "push", "repository": "o/r"}
    context |= {"run_id": 8, "sha": git(project.work, "rev-parse", "main").strip(), "ref": "refs/heads/main"}
    options = {"skip": SKIP_ALL, "environment": {"GITHUB_API_URL": github.url}}
    run = Runner(project.origin, project.folder / "run", context, TOKEN, **options)("pull-request.yaml")
    assert run.results["line"] == "success", run.printed("line")
    assert run.results["dependencies"] == "skipped"  # which GitHub compares in pull requests only
    assert "told: #3" in run.printed("line")
    assert "`main` has got other results since" in github.comments[0]["body"]


def test_every_night_the_default_branch_comes_out_of_its_raw_data_again_and_what_is_locked_is_looked_up(project):
    (project.folder / "run/cache").rename(project.folder / "run/unused")
    main = git(project.work, "rev-parse", "main").strip()
    context = {"event": {"schedule": "17 3 * * *"}, "event_name": "schedule", "repository": "o/r", "sha": main}
    runner = Runner(project.origin, project.folder / "run", context, TOKEN, skip={"make audit": "see below"})
    run = runner("nightly.yaml")
    assert run.results["rebuild"] == "success", run.printed("rebuild")
    assert "come out of the raw data again" in run.printed("rebuild")
    with fake_osv({}) as (url, asked):
        where = {"ARGS": f"--service-url={url}"}  # make takes it from there, for whatever it runs
        again = replace(runner, folder=project.folder / "audit", skip={"make rebuild": "it is done"}, environment=where)
        run = again("nightly.yaml")
    assert run.results["audit"] == "success", run.printed("audit")
    assert len(asked) > 100


class Main:
    """The default branch of a project, and the workflows that begin with it."""

    def __init__(self, project: Project, github: FakeGitHub) -> None:
        self.project, self.github, self.images = project, github, project.folder / "images/model"
        git(project.work, "checkout", "-q", "main")
        for name, source in (("model", "artifacts/model"), ("review", "reports")):  # what the checks have left
            shutil.copytree(project.work / source, project.folder / "run/artifacts" / name)

    def merge(self, path: str, old: str, new: str) -> str:
        """A change on main, for which there is an image; its digest."""
        git(self.project.work, "pull", "-q", "origin", "main")
        self.project.change(path, old, new)
        git(self.project.work, "commit", "-qam", "a change")
        git(self.project.work, "push", "-q", "origin", "main")
        commit = git(self.project.work, "rev-parse", "HEAD").strip()
        return tiny_image(self.images, commit[:12], {"org.opencontainers.image.revision": commit})

    def run(self, name: str, event: dict[str, Any], event_name: str, **inputs: str | bool) -> Run:
        """Run a workflow on main."""
        for left in ("release", "promote", "rollback"):
            shutil.rmtree(self.project.folder / "run" / left, ignore_errors=True)
        sha = git(self.project.origin, "rev-parse", "main").strip()
        context = {"event": event, "event_name": event_name, "repository": "o/r", "run_id": 9, "sha": sha, "actor": "a"}
        where = {"GITHUB_API_URL": self.github.url, "GITHUB_ACTIONS": "true"}
        where |= {"TO": f"oci:{self.images}"} if name == "release.yaml" else {}
        skip = {"make setup": "what stands around it is looked at", **SKIP}
        runner = Runner(self.project.origin, self.project.folder / "run", context, TOKEN)
        return replace(runner, skip=skip, environment=where, inputs=inputs)(name)

    def release(self) -> Run:
        """Run what follows the checks of the newest commit."""
        sha = git(self.project.origin, "rev-parse", "main").strip()
        after = {"event": "push", "conclusion": "success", "head_sha": sha, "id": 7}
        event = {"workflow_run": after, "repository": {"visibility": "public"}}
        return self.run("release.yaml", event, "workflow_run")

    def promote(self) -> None:
        """Promote, and merge the pull request."""
        run = self.run("promote.yaml", {}, "workflow_dispatch", source="staging", target="production")
        assert run.results == {"promote": "success"}, run.printed("promote")
        branch = self.github.pulls[max(self.github.pulls)]["head"]["ref"]
        git(self.project.origin, "update-ref", "refs/heads/main", branch)

    def says(self, environment: str) -> str:
        """The digest that main says an environment runs."""
        path = f"main:deploy/kubernetes/overlays/{environment}/lineage.json"
        return str(json.loads(git(self.project.origin, "show", path))["digest"])


def test_a_merge_is_released_promoted_and_rolled_back(project, github):
    need_skopeo()
    main = Main(project, github)
    first = main.merge("Dockerfile", "# The image", "# An image")
    run = main.release()
    assert run.results == {"release": "success"}, run.printed("release")
    assert main.says("staging") == first
    signed = (project.folder / "run/signed").read_text()
    assert f"sign --yes {main.images}@{first}" in signed
    assert "attest --yes --type spdxjson --predicate" in signed
    assert signed.count(f"attest {main.images}@{first}") == 2
    assert git(project.origin, "log", "-1", "--format=%an", "main").strip() == BOT

    again = main.release()  # of the commit that only says what runs
    assert again.results == {"release": "success"}
    assert "nothing that ships has changed since model-v1" in again.printed("release")
    ran = [step.name for step in again.steps["release"] if step.result != "skipped" and step.name.startswith("make")]
    assert ran == ["make setup", "make release ARGS=--check", "make release"]

    main.promote()
    assert main.says("production") == first
    second = main.merge("Dockerfile", "# An image", "# The image")
    assert main.release().results == {"release": "success"}
    main.promote()
    assert (main.says("staging"), main.says("production")) == (second, second)
    assert [pull["title"] for pull in github.pulls.values()] == [
        "Promote model-v1 from staging to production",
        "Promote model-v2 from staging to production",
    ]

    asked = main.run("rollback.yaml", {}, "workflow_dispatch", environment="production", to="", now=False)
    assert asked.results == {"rollback": "success"}, asked.printed("rollback")
    assert github.pulls[3]["title"] == "Roll production back to model-v1 from model-v2"
    assert main.says("production") == second
    main.run("rollback.yaml", {}, "workflow_dispatch", environment="production", to="model-v1", now=True)
    assert (main.says("staging"), main.says("production")) == (second, first)


def test_an_image_with_a_hole_that_can_be_mended_is_not_released(project, github):
    need_skopeo()
    main = Main(project, github)
    main.merge("Dockerfile", "# The image", "# An image")
    sha = git(project.origin, "rev-parse", "main").strip()
    after = {"event": "push", "conclusion": "success", "head_sha": sha, "id": 7}
    context = {"event": {"workflow_run": after}, "event_name": "workflow_run", "repository": "o/r", "sha": sha}
    options: dict[str, Any] = {"skip": {"make setup": "done", **SKIP}, "failing": ("anchore/scan-action",)}
    context |= {"actor": "a", "run_id": 9}
    run = Runner(project.origin, project.folder / "run", context, TOKEN, **options)("release.yaml")
    assert run.results == {"release": "failure"}
    assert git(project.origin, "rev-parse", "main").strip() == sha
    assert not (project.folder / "run/signed").exists()


def test_a_push_whose_checks_failed_is_not_released(project, github):
    main = Main(project, github)
    after = {"event": "push", "conclusion": "failure", "head_sha": "0" * 40, "id": 7}
    assert main.run("release.yaml", {"workflow_run": after}, "workflow_run").results == {"release": "skipped"}


def test_documents_alone_are_green_without_running_the_line(project, github):
    write(project.work, "docs/why.md", "because\n")
    project.push(run=False)
    run = project.pull_request(github)
    skipped = {"line": "skipped", "container": "skipped", "dependencies": "skipped"}
    assert run.results == {"changes": "success", "quality": "success", **skipped, "gate": "success"}
    assert not github.calls


def test_a_dependency_that_github_warns_of_is_red(project, github):
    project.change("Makefile", "# What people", "# That which people")
    project.push(run=False)
    run = project.pull_request(github, failing=("actions/dependency-review-action",), skip=SKIP_SUITES)
    assert [job for job, result in run.results.items() if result != "success"] == ["dependencies", "gate"]


def test_a_remote_that_is_down_is_borne_where_the_cache_has_the_data(project, github):
    project.change("params.yaml", "strength: 1.0", "strength: 0.9")
    project.change(".dvc/config", "url = remote", "url = /nowhere/at/all")
    project.push(again=True)
    run = project.pull_request(github, skip=SKIP_SUITES)
    assert run.results["gate"] == "success", run.printed("line")


def test_without_cache_and_remote_the_missing_data_is_named_and_the_report_says_that_there_is_none(project, github):
    shutil.rmtree(project.folder / "run/cache")
    shutil.rmtree(project.work / ".dvc/remote/files")
    project.push(run=False)
    run = project.pull_request(github)
    assert run.results["gate"] == "failure"
    assert "neither locally nor on remote" in run.printed("line")
    assert github.comments[0]["body"].startswith("### ❓ No verdict")


def test_a_base_branch_that_is_gone_is_said(project, github):
    git(project.origin, "branch", "-m", "main", "other")
    git(project.work, "push", "-q", "origin", "topic")
    run = project.pull_request(github)
    assert run.results["gate"] == "failure"
    assert "--into origin/main: there is no such branch" in run.printed("line")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b == 'x' && !c", True),
        ("a.b != 'x' || (c && a)", None),
        ("format('origin/{0}', a.b)", "origin/x"),
        ("a.missing.deeper || 'it''s'", "it's"),
        ("fromJSON(d).e.f == 'x'", True),
        ("fromJSON(d).missing || a.b", "x"),
    ],
)
def test_expressions_are_read_as_github_reads_them(text, expected):
    values = {"a": {"b": "x"}, "c": None, "d": '{"e": {"f": "x"}}'}
    functions = {"format": lambda text, *words: text.format(*words), "fromJSON": json.loads}
    assert Expression(text, values, functions).value() == expected


CLOUDS = {
    "AWS_ROLE": "arn:aws:iam::123456789012:role/reader",
    "GCP_PROVIDER": "projects/1/locations/global/workloadIdentityPools/github/providers/github",
    "GCP_SERVICE_ACCOUNT": "reader@project.iam.gserviceaccount.com",
    "AZURE_CLIENT": "client",
    "AZURE_TENANT": "tenant",
}


@pytest.mark.parametrize(
    ("variables", "kept"),
    [
        ({}, True),
        ({"AWS_ROLE": "r"}, False),
        ({"GCP_PROVIDER": "r"}, False),
        ({"AZURE_CLIENT": "r"}, False),
        ({"AWS_ROLE": "r", "DVC_CACHE": "true"}, True),
    ],
)
def test_what_a_cloud_has_given_out_is_not_left_where_forks_can_read_it(variables, kept):
    (step,) = [
        step
        for step in YAML(typ="safe").load(ROOT / ".github/workflows/pull-request.yaml")["jobs"]["line"]["steps"]
        if step.get("uses", "").startswith("actions/cache/save@")
    ]
    values = {"github": {"ref": "refs/heads/main"}, "vars": variables}
    assert bool(Expression(step["if"], values, {}).value()) is kept


@pytest.mark.parametrize(
    ("source", "variables", "logins"),
    [
        ("o/r", CLOUDS, [*LOGINS]),
        ("o/r", {"AWS_ROLE": CLOUDS["AWS_ROLE"]}, [*LOGINS][:1]),
        ("o/r", {}, []),
        ("stranger/r", CLOUDS, []),
    ],
)
def test_credentials_of_a_cloud_are_asked_for_where_variables_name_it_and_never_for_forks(
    project, github, source, variables, logins
):
    project.change("Makefile", "# What people", "# That which people")
    project.push(run=False)
    run = project.pull_request(github, source=source, variables=variables, skip=SKIP_ALL)
    assert run.results["line"] == "success"
    assert [step.name for step in run.steps["line"] if step.name in LOGINS and step.result == "success"] == logins
