"""Release, promotion, rollback and lineage: on a real origin, into a real registry, with others who push as well."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_github import fake_github
from helpers import git, slipway, write
from images import cut_after, free_port, need_skopeo, registry, tiny_image, wait_for
from loopback import serving

from slipway.delivery.image.build import OCI, OWN
from slipway.delivery.image.engine import Engine
from slipway.delivery.release import branch as pushing
from slipway.delivery.release.branch import ATTEMPTS, Change, commit_on
from slipway.delivery.release.history import RELEASES, releases
from slipway.delivery.release.lineage import NOTHING, Lineage
from slipway.delivery.release.mirror import mirror
from slipway.delivery.release.overlay import KUSTOMIZATION, LINEAGE, OVERLAYS, deploy, deployed
from slipway.delivery.release.promote import open_pull_request, propose_promotion, propose_rollback, push_now
from slipway.delivery.release.registry import Registry, Stored, registry_of, registry_of_image
from slipway.delivery.release.release import Released, release
from slipway.delivery.release.trace import trace
from slipway.delivery.release.verify import verify
from slipway.errors import UserError
from slipway.tracking import mlflow_module

__all__ = ["registry"]  # a fixture
OVERLAY = f"""# a comment that stays
resources:
  - ../../base

images:
  - name: model
    newName: registry.example/model # nothing yet
    digest: {NOTHING}

commonAnnotations:
  team: risk
"""
REGISTRY = Registry("registry.example/o/model")
RELEASE = (
    "import sys; from slipway.delivery.release.registry import *; from slipway.delivery.release.release import *;"
    "release(Registry('registry.example/o/model'), Stored('sha256:' + sys.argv[1] * 64, {}))"
)
REPORTS = {
    "reports/split.json": {"rows": {"train": 80, "holdout": 20}},
    "reports/metrics.json": {"holdout": {"roc_auc": {"value": 0.9, "low": 0.8, "high": 0.95}}},
    "reports/suites/data.json": {"data": {"passed": 3, "failed": 0}},
    "reports/suites/model.json": {"model": {"passed": 2, "failed": 0}},
    "dvc.lock": {"stages": {"train": {"params": {"params.yaml": {"train": {"model": "linear"}}}}}},
}


class Project:
    """A project with an origin and two environments."""

    def __init__(self, folder: Path, *, origin: bool = True) -> None:
        self.work, self.origin = folder / "work", folder / "origin.git"
        for name, content in REPORTS.items():
            write(self.work, name, json.dumps(content))
        for environment in ("staging", "production"):
            write(self.work, f"{OVERLAYS}/{environment}/{KUSTOMIZATION}", OVERLAY)
        write(self.work, "dvc.yaml", "stages: {}\n")
        write(self.work, "data.dvc", "outs:\n- md5: 0123.dir\n  path: data\n")
        git(self.work, "init", "-qb", "main")
        git(self.work, "config", "user.name", "test")  # for the commands that are tested
        git(self.work, "config", "user.email", "test@example.org")
        self.commit("first")
        if origin:
            git(folder, "clone", "-q", "--bare", str(self.work), str(self.origin))
            git(self.work, "remote", "add", "origin", str(self.origin))
            git(self.work, "fetch", "-q")

    def commit(self, message: str, **files: str) -> str:
        for name, text in files.items():
            write(self.work, name, text)
        git(self.work, "add", "-A")
        git(self.work, "commit", "-qm", message, "--allow-empty")
        return self.head()

    def merge(self, message: str, **files: str) -> str:
        """A commit on main, as a merge makes it."""
        git(self.work, "pull", "-q", "--rebase", "origin", "main")
        made = self.commit(message, **files)
        git(self.work, "push", "-q", "origin", "main")
        return made

    def head(self, revision: str = "HEAD") -> str:
        return git(self.work, "rev-parse", revision).strip()

    def at(self, reference: str, path: str) -> str:
        return git(self.origin, "show", f"{reference}:{path}")

    def log(self) -> list[str]:
        return git(self.origin, "log", "--format=%s", "main").splitlines()


def stored(project: Project, digest: str = "a", verdict: str = "pass") -> Stored:
    return Stored(f"sha256:{digest * 64}", {f"{OCI}.revision": project.head(), f"{OWN}.verdict": verdict})


def release_next(project: Project, digest: str, message: str = "better") -> Released:
    project.merge(message, note=digest)
    return release(REGISTRY, stored(project, digest))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path)
    monkeypatch.chdir(made.work)
    monkeypatch.setattr(pushing, "PAUSE", 0.0)
    return made


def test_a_release_is_one_commit_that_says_what_staging_runs_and_where_it_came_from(project):
    done = release(REGISTRY, stored(project))
    text = project.at("main", f"{OVERLAYS}/staging/{KUSTOMIZATION}")
    assert f"digest: sha256:{'a' * 64}" in text
    assert "newName: registry.example/o/model" in text
    assert "# a comment that stays" in text
    assert "team: risk" in text
    assert f"slipway.dev/commit: {project.head()}" in text
    made = json.loads(project.at("main", f"{OVERLAYS}/staging/{LINEAGE}"))
    assert (made["name"], made["commit"], made["data"]) == ("model-v1", project.head(), "0123.dir")
    assert (made["authors"], made["params"], made["verdict"]) == (["test"], {"train.model": "linear"}, "pass")
    assert made["metrics"]["roc_auc"] == {"value": 0.9, "low": 0.8, "high": 0.95}
    assert git(project.origin, "rev-parse", "model-v1^{commit}").strip() == done.commit
    assert project.log() == ["Release model-v1 to staging", "first"]
    changed = git(project.origin, "diff", "--name-only", "main~1", "main").split()
    assert changed == [str(RELEASES), f"{OVERLAYS}/staging/{KUSTOMIZATION}", f"{OVERLAYS}/staging/{LINEAGE}"]
    assert git(project.work, "status", "--porcelain") == ""
    assert git(project.work, "worktree", "list").count("\n") == 1


def test_again_it_changes_nothing(project):
    release(REGISTRY, stored(project))
    before = git(project.origin, "rev-parse", "main")
    again = release(REGISTRY, stored(project))
    assert (again.commit, again.lineage.name) == (None, "model-v1")
    assert git(project.origin, "rev-parse", "main") == before


def test_releases_are_numbered_and_the_change_log_says_what_is_better(project):
    release(REGISTRY, stored(project))
    better = json.dumps({"holdout": {"roc_auc": {"value": 0.95, "low": 0.9, "high": 0.99}}})
    project.merge("A [better](http://x) <b>model</b>", **{"reports/metrics.json": better})
    assert release(REGISTRY, stored(project, "b")).lineage.name == "model-v2"
    text = project.at("main", str(RELEASES))
    assert text.index("## model-v2") < text.index("## model-v1")
    assert "| 0.9500 | 0.9000 to 0.9900 | +0.0500 |" in text
    assert "\\[better\\](" in text
    assert "<b>" not in text
    assert "Release model-v1" not in text
    assert git(project.origin, "tag").split() == ["model-v1", "model-v2"]


def test_an_older_commit_never_replaces_a_newer_one(project):
    first = stored(project)
    project.merge("newer")
    release(REGISTRY, stored(project, "b"))
    git(project.work, "checkout", "-q", "main~1")
    late = release(REGISTRY, first)
    assert (late.superseded, late.lineage.digest) == (True, f"sha256:{'b' * 64}")
    assert project.log()[0] == "Release model-v1 to staging"


def test_a_commit_that_is_not_merged_is_refused(project):
    project.commit("on nobody's branch but mine")
    with pytest.raises(UserError, match="is not on origin's main; merge it first"):
        release(REGISTRY, stored(project))


def test_after_the_branch_was_rewritten_it_asks_before_it_replaces_what_runs(project):
    project.merge("this goes")
    release(REGISTRY, stored(project))
    git(project.work, "pull", "-q", "origin", "main")
    kept = git(project.work, "show", f"HEAD:{OVERLAYS}/staging/{LINEAGE}")
    text = git(project.work, "show", f"HEAD:{OVERLAYS}/staging/{KUSTOMIZATION}")
    git(project.work, "reset", "-q", "--hard", "HEAD~2")
    project.commit("rewritten", **{f"{OVERLAYS}/staging/{LINEAGE}": kept, f"{OVERLAYS}/staging/{KUSTOMIZATION}": text})
    git(project.work, "push", "-qf", "origin", "main")
    with pytest.raises(UserError, match=r"not in the history of .* say --replace"):
        release(REGISTRY, stored(project, "c"))
    assert release(REGISTRY, stored(project, "c"), replace=True).commit


def racing(project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> Callable[[], int]:
    """Somebody else pushes to main just before each of our first pushes."""
    other = folder / "other"
    git(folder, "clone", "-q", str(project.origin), str(other))
    done, push = [], pushing._push

    def slower(tree: Path, *words: object, **options: object) -> bool:
        if len(done) < times:
            git(other, "pull", "-q", "--rebase")
            git(other, "commit", "-qm", f"theirs {len(done)}", "--allow-empty")
            git(other, "push", "-q", "origin", "HEAD:main")
            done.append(1)
        return push(tree, *words, **options)

    monkeypatch.setattr(pushing, "_push", slower)
    return lambda: len(done)


def test_a_push_that_loses_five_times_is_made_again_on_what_won(project, tmp_path, monkeypatch):
    count = racing(project, tmp_path, monkeypatch, ATTEMPTS - 1)
    release(REGISTRY, stored(project))
    assert count() == ATTEMPTS - 1
    assert project.log()[:2] == ["Release model-v1 to staging", f"theirs {ATTEMPTS - 2}"]
    assert git(project.origin, "tag").split() == ["model-v1"]


def test_a_push_that_always_loses_changes_nothing_and_says_so(project, tmp_path, monkeypatch):
    lost = f"others pushed first, {ATTEMPTS} times; nothing was changed, run it again"
    with monkeypatch.context() as patch:
        racing(project, tmp_path, patch, ATTEMPTS)
        with pytest.raises(UserError, match=lost):
            release(REGISTRY, stored(project))
    assert project.log()[0] == f"theirs {ATTEMPTS - 1}"
    assert git(project.work, "tag") == git(project.origin, "tag") == ""
    assert release(REGISTRY, stored(project)).lineage.name == "model-v1"


def test_two_releases_at_once_leave_the_newer_one(project, tmp_path):
    """Two processes, of two commits: whoever pushes first, the newer commit's image is what staging says."""
    old = stored(project)
    other = tmp_path / "second"
    git(tmp_path, "clone", "-q", str(project.origin), str(other))
    new = project.merge("newer")
    who = {f"GIT_{role}_{part}": "a@b" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    both = [
        subprocess.Popen([sys.executable, "-c", RELEASE, digest], cwd=folder, env=os.environ | who)
        for folder, digest in ((other, "a"), (project.work, "b"))
    ]
    assert [each.wait(120) for each in both] == [0, 0]
    assert old.digest.startswith("sha256:a")
    found = json.loads(project.at("main", f"{OVERLAYS}/staging/{LINEAGE}"))
    assert (found["commit"], found["digest"]) == (new, f"sha256:{'b' * 64}")
    assert sorted(git(project.origin, "tag").split()) in (["model-v1"], ["model-v1", "model-v2"])


def test_what_a_rule_of_the_origin_refuses_is_said_at_once(project):
    hook = write(project.origin, "hooks/pre-receive", "#!/bin/sh\necho 'main is protected' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(UserError, match="main cannot be pushed"):
        release(REGISTRY, stored(project))
    assert git(project.work, "tag") == ""


def test_a_release_that_was_killed_while_it_pushed_is_completed_by_the_next(project, tmp_path):
    hook = write(project.origin, "hooks/pre-receive", f"#!/bin/sh\ntouch {tmp_path}/begun\nsleep 60\n")
    hook.chmod(0o755)
    with subprocess.Popen([sys.executable, "-c", RELEASE, "a"], cwd=project.work, start_new_session=True) as process:
        for _ in range(600):
            if (tmp_path / "begun").exists():
                break
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    assert project.log() == ["first"]
    hook.unlink()
    assert release(REGISTRY, stored(project)).lineage.name == "model-v1"
    assert project.log()[0] == "Release model-v1 to staging"
    assert git(project.origin, "tag").split() == ["model-v1"]


def test_an_origin_that_is_gone_is_said(project):
    shutil.rmtree(project.origin)
    with pytest.raises(UserError, match="origin cannot be fetched from"):
        release(REGISTRY, stored(project))


def test_an_origin_may_be_named_by_a_path_from_the_project(project):
    git(project.work, "remote", "set-url", "origin", "../origin.git")

    release(REGISTRY, stored(project))

    assert project.log()[0] == "Release model-v1 to staging"


def test_without_an_origin_the_branch_here_is_changed(tmp_path, monkeypatch):
    project = Project(tmp_path, origin=False)
    monkeypatch.chdir(project.work)
    done = release(REGISTRY, stored(project))
    assert project.head() == done.commit
    found = deployed("staging", project.work)
    assert found is not None
    assert found.name == "model-v1"
    git(project.work, "checkout", "-qb", "elsewhere")
    push_now(propose_promotion("staging", "production", "main"), "main")
    assert (
        git(project.work, "log", "-1", "--format=%s", "main").strip() == "Promote model-v1 from staging to production"
    )
    assert git(project.work, "status", "--porcelain") == ""


def test_a_project_in_a_folder_of_its_repository_changes_that_folder(tmp_path, monkeypatch):
    project = Project(tmp_path)
    (tmp_path / "work/sub").mkdir()
    for name in ("deploy", "reports", "data.dvc", "dvc.lock", "dvc.yaml"):
        git(project.work, "mv", name, f"sub/{name}")
    project.commit("into a folder")
    git(project.work, "push", "-q", "origin", "main")
    monkeypatch.chdir(project.work / "sub")
    release(REGISTRY, stored(project))
    assert "a" * 64 in project.at("main", f"sub/{OVERLAYS}/staging/{KUSTOMIZATION}")
    assert [each.name for each in releases("origin/main")] == ["model-v1"]


def test_two_files_that_tell_different_stories_are_refused(project):
    release(REGISTRY, stored(project))
    git(project.work, "pull", "-q", "origin", "main")
    path = project.work / OVERLAYS / "staging" / KUSTOMIZATION
    path.write_text(path.read_text().replace("a" * 64, "d" * 64))
    with pytest.raises(UserError, match=r"kustomization.yaml has sha256:dddd.*lineage.json sha256:aaaa"):
        deployed("staging", project.work)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("images: []\n", "has no entry, or several, named model"),
        ("images: [{name: model}, {name: model}]\n", "has no entry, or several"),
        ("a: [\n", "cannot be read"),
        ("- 1\n", "has no entry"),
    ],
)
def test_a_kustomization_that_is_none_of_ours_is_refused(project, text, said):
    write(project.work, f"{OVERLAYS}/staging/{KUSTOMIZATION}", text)
    with pytest.raises(UserError, match=said):
        deployed("staging", project.work)


def test_an_environment_that_is_not_there_is_named_with_those_that_are(project):
    with pytest.raises(UserError, match=r"'live' is no environment; .* has production, staging"):
        propose_promotion("staging", "live", "main")


def test_promotion_is_a_branch_with_a_commit_that_copies_what_staging_runs(project):
    release(REGISTRY, stored(project))
    proposal = propose_promotion("staging", "production", "main")
    assert "Verdict of its review: **pass**" in proposal.body
    assert "roc\\_auc | 0.9000 | 0.8000 to 0.9500" in proposal.body
    assert f"+    digest: sha256:{'a' * 64}" in proposal.body
    said = open_pull_request(proposal, "main")
    assert "gh pr create --head promote/production-model-v1 --base main" in said
    branch = "promote/production-model-v1"
    staging, production = (project.at(branch, f"{OVERLAYS}/{name}/{LINEAGE}") for name in ("staging", "production"))
    assert staging == production
    assert project.log()[0] == "Release model-v1 to staging"  # main is as it was
    before = git(project.origin, "rev-parse", branch)
    open_pull_request(proposal, "main")
    assert git(project.origin, "rev-parse", branch) == before
    project.merge("something else")
    git(project.work, "fetch", "-q")
    open_pull_request(propose_promotion("staging", "production", "main"), "main")
    assert git(project.origin, "merge-base", branch, "main") == git(project.origin, "rev-parse", "main")


def test_promotion_opens_one_pull_request_and_brings_it_up_to_date(project, monkeypatch):
    release(REGISTRY, stored(project))
    with fake_github() as github:
        for name, text in {"API_URL": github.url, "REPOSITORY": "o/r", "TOKEN": "token"}.items():
            monkeypatch.setenv(f"GITHUB_{name}", text)
        first = open_pull_request(propose_promotion("staging", "production", "main"), "main")
        again = open_pull_request(propose_promotion("staging", "production", "main"), "main")
        assert "is open: Promote model-v1 from staging to production" in first
        assert "is up to date" in again
        (pull,) = github.pulls.values()
        assert (pull["head"]["ref"], pull["base"]["ref"]) == ("promote/production-model-v1", "main")
        assert "Verdict of its review" in pull["body"]


def test_what_cannot_be_promoted_is_said(project):
    with pytest.raises(UserError, match="nothing runs in staging"):
        propose_promotion("staging", "production", "main")
    release(REGISTRY, stored(project))
    push_now(propose_promotion("staging", "production", "main"), "main")
    with pytest.raises(UserError, match="production runs model-v1 already"):
        propose_promotion("staging", "production", "main")
    with pytest.raises(UserError, match="cannot be promoted to itself"):
        propose_promotion("staging", "staging", "main")


@pytest.fixture
def three(project: Project) -> Project:
    """Three releases, each of which has run in production."""
    for digest in "abc":
        release_next(project, digest, f"change {digest}")
        push_now(propose_promotion("staging", "production", "main"), "main")
    return project


def test_rollback_goes_to_the_release_before_and_to_any_other(three):
    proposal = propose_rollback("production", None, "main")
    assert (proposal.after.name, proposal.branch) == ("model-v2", "rollback/production-model-v2")
    push_now(proposal, "main")
    assert f"sha256:{'b' * 64}" in three.at("main", f"{OVERLAYS}/production/{KUSTOMIZATION}")
    assert f"sha256:{'c' * 64}" in three.at("main", f"{OVERLAYS}/staging/{KUSTOMIZATION}")
    assert three.log()[0] == "Roll production back to model-v2 from model-v3"
    assert propose_rollback("production", "model-v1", "main").after.digest == f"sha256:{'a' * 64}"
    assert propose_rollback("production", f"sha256:{'a' * 12}", "main").after.name == "model-v1"
    at = git(three.origin, "log", "--format=%H", "--grep=Promote model-v1", "main").strip()
    assert propose_rollback("production", at, "main").after.name == "model-v1"
    with pytest.raises(UserError, match="'model-v9' is no release that has run in production; it has run model-v"):
        propose_rollback("production", "model-v9", "main")
    with pytest.raises(UserError, match="production runs model-v2 already"):
        propose_rollback("production", "model-v2", "main")


def test_a_second_rollback_does_not_bring_back_what_the_first_one_left(three):
    for name in ("model-v2", "model-v1"):
        proposal = propose_rollback("production", None, "main")
        assert proposal.after.name == name
        push_now(proposal, "main")
    with pytest.raises(UserError, match="has run no release before model-v1"):
        propose_rollback("production", None, "main")


def test_there_is_no_rollback_from_the_first(project):
    with pytest.raises(UserError, match="nothing runs in production"):
        propose_rollback("production", None, "main")
    release(REGISTRY, stored(project))
    push_now(propose_promotion("staging", "production", "main"), "main")
    with pytest.raises(UserError, match="has run no release before model-v1"):
        propose_rollback("production", None, "main")


def test_a_proposal_that_others_have_overtaken_is_not_carried_out(three):
    proposal = propose_rollback("production", "model-v1", "main")
    push_now(propose_rollback("production", "model-v2", "main"), "main")
    with pytest.raises(UserError, match="production has changed meanwhile"):
        push_now(proposal, "main")


def test_lineage_is_found_from_everything_that_names_a_release(three):
    commit = json.loads(three.at("main", f"{OVERLAYS}/staging/{LINEAGE}"))["commit"]
    for what in (
        "staging",
        "model-v3",
        f"sha256:{'c' * 64}",
        f"registry.example/o/model@sha256:{'c' * 64}",
        commit[:8],
    ):
        found = trace(what, "main")
        assert (found.lineage.name, found.environments) == ("model-v3", ("production", "staging"))
    old = trace("model-v1", "main")
    assert old.environments == ()
    with pytest.raises(UserError, match="'model-v9' is no release, environment or URL"):
        trace("model-v9", "main")


@pytest.mark.parametrize("form", ["--format=table", "--json", "--format=markdown"])
def test_lineage_is_printed_for_people_machines_and_auditors(three, form):
    done = slipway(three.work, "lineage", "production", form)
    assert done.returncode == 0, done.stderr
    for text in ("model-v3", "c" * 64, "0123.dir", "linear"):
        assert text in done.stdout
    if form == "--json":
        found = json.loads(done.stdout)
        assert (found["environments"], found["metrics"]["roc_auc"]["low"]) == (["production", "staging"], 0.8)


def test_what_could_not_be_verified_is_said_and_what_is_wrong_fails(three):
    done = slipway(three.work, "lineage", "production", "--verify")
    told = " ".join(done.stdout.split())
    assert "approval not looked up: GITHUB_REPOSITORY and GITHUB_TOKEN are not set" in told
    assert "image not looked up: " in told
    assert "signature not checked" in told
    assert done.returncode == 0
    git(three.work, "pull", "-q", "origin", "main")
    path = three.work / OVERLAYS / "production" / KUSTOMIZATION
    path.write_text(path.read_text().replace("c" * 64, "d" * 64))
    git(three.work, "commit", "-qam", "by hand")
    git(three.work, "push", "-q", "origin", "main")
    done = slipway(three.work, "lineage", "staging")
    assert done.returncode == 1
    assert "WRONG: deploy/kubernetes/overlays/production" in " ".join(done.stdout.split())


def test_a_running_service_is_asked_what_it_is(three):
    commit = json.loads(three.at("main", f"{OVERLAYS}/staging/{LINEAGE}"))["commit"]

    def answer(_: str, path: str, *__: object) -> tuple[int, object]:
        return (200, {"version": commit[:12], "commit": commit}) if path == "/model" else (404, {})

    with serving(answer) as url:
        found = trace(url, "main")
        assert found.lineage.name == "model-v3"
        assert f"{url} says that it is {commit[:12]}" in found.findings[0].said
        with pytest.raises(UserError, match="/model cannot be asked"):
            trace(f"{url}/nothing", "main")


@pytest.mark.parametrize(
    ("to", "name", "variables", "expected"),
    [
        (None, "ghcr.io/o/model", {}, Registry("ghcr.io/o/model")),
        (None, "model", {"GITHUB_REPOSITORY": "Owner/Name"}, Registry("ghcr.io/owner/name")),
        ("127.0.0.1:5000/model", "ghcr.io/o/model", {}, Registry("127.0.0.1:5000/model")),
        ("oci:images/model", "model", {}, Registry(str(Path.cwd() / "images/model"), folder=True)),
    ],
)
def test_where_images_go_is_said_set_or_github_s(monkeypatch, to, name, variables, expected):
    for key, text in variables.items():
        monkeypatch.setenv(key, text)
    assert registry_of(to, name) == expected


def test_a_folder_is_found_again_from_wherever_and_by_its_name_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = registry_of("oci:images/model", "model")
    monkeypatch.chdir("/")
    assert registry_of_image(made.name) == made
    assert registry_of_image("ghcr.io/o/model") == Registry("ghcr.io/o/model")


@pytest.mark.parametrize(("to", "name"), [(None, "model"), ("model", "ghcr.io/o/model"), (None, "o/model")])
def test_a_name_without_a_registry_is_refused(to, name):
    with pytest.raises(UserError, match="names no registry"):
        registry_of(to, name)


def test_a_registry_that_is_down_is_no_registry_without_the_image():
    need_skopeo()
    with pytest.raises(UserError, match=r"cannot be asked for v1: .*connection refused"):
        Registry(f"127.0.0.1:{free_port()}/model").find("v1")


@pytest.mark.slow
def test_mlflow_mirrors_what_runs_and_its_absence_fails_nothing(three, tmp_path, monkeypatch, capsys):
    write(three.work, "pyproject.toml", '[project]\nname = "churn"\n')
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    mirror("main")
    assert "does not mirror what was released" in capsys.readouterr().err
    release_next(three, "d")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
    log = (tmp_path / "log").open("w")
    with log, subprocess.Popen([*command, *store], stdout=log, stderr=log, cwd=tmp_path) as server:
        try:
            wait_for(port, seconds=240)
            mirror("main")
            mirror("main")  # again, it makes no version
            client = mlflow_module().MlflowClient(f"http://127.0.0.1:{port}")
            assert len(client.search_model_versions("name = 'churn'")) == 2
            for alias, digest, name in (("challenger", "d", "model-v4"), ("champion", "c", "model-v3")):
                found = client.get_model_version_by_alias("churn", alias)
                assert (found.tags["slipway.image_digest"], found.description) == (f"sha256:{digest * 64}", name)
                assert found.tags["slipway.verdict"] == "pass"
            push_now(propose_rollback("production", None, "main"), "main")
            mirror("main")
            assert client.get_model_version_by_alias("churn", "champion").description == "model-v2"
        finally:
            server.terminate()


def test_nothing_is_committed_where_nothing_changes(project):
    assert commit_on("main", lambda _: None) is None
    assert commit_on("main", lambda _: Change("empty")) is None
    assert project.log() == ["first"]


def test_lineage_survives_being_written_and_read(project):
    done = release(REGISTRY, stored(project)).lineage
    assert Lineage.model_validate_json(done.text()) == done
    deploy("production", done, project.work)
    assert deployed("production", project.work) == done


@pytest.mark.parametrize("kind", ["registry", "folder"])
def test_an_image_is_pushed_and_found_by_version_and_digest(kind, tmp_path, monkeypatch, request):
    need_skopeo()
    tiny_image(tmp_path / "made", "v1", {"a": "v1"})
    # What builds images is stood in for by a folder: skopeo copies from there as from an engine.
    monkeypatch.setattr("slipway.delivery.release.registry.SOURCES", {"docker": "oci:"})
    if kind == "registry":
        place = Registry(f"{request.getfixturevalue('registry')}/o/model")
    else:
        place = Registry(str(tmp_path / "images/model"), folder=True)
    assert place.find("v1") is None
    digest = place.push(Engine("docker"), f"{tmp_path / 'made'}:v1", "v1")
    assert place.find("v1") == Stored(digest, {"a": "v1"})
    assert place.find("v2") is None
    if kind == "registry":
        assert place.find(digest) == Stored(digest, {"a": "v1"})
        assert place.find(f"sha256:{'0' * 64}") is None
    assert place.push(Engine("docker"), f"{tmp_path / 'made'}:v1", "v1") == digest
    shutil.rmtree(tmp_path / "made")
    with pytest.raises(UserError, match=r"cannot be pushed to: .* run it again"):
        place.push(Engine("docker"), f"{tmp_path / 'made'}:v1", "v3")


def test_a_push_that_is_cut_in_the_middle_says_so_and_the_next_one_completes_it(registry, tmp_path, monkeypatch):
    need_skopeo()
    tiny_image(tmp_path / "made", "v1", {}, layer=os.urandom(4_000_000))
    monkeypatch.setattr("slipway.delivery.release.registry.SOURCES", {"docker": "oci:"})
    with cut_after(registry, 2_000_000) as gate:
        cut = Registry(f"{gate.address}/o/cut")
        with pytest.raises(UserError, match=r"cannot be pushed to: .* run it again"):
            cut.push(Engine("docker"), f"{tmp_path / 'made'}:v1", "v1")
        assert cut.find("v1") is None
        gate.most = 10**9
        digest = cut.push(Engine("docker"), f"{tmp_path / 'made'}:v1", "v1")
        assert cut.find("v1") == Stored(digest, {})


def test_a_digest_that_no_registry_has_is_found_to_be_missing(three, registry, tmp_path):
    need_skopeo()
    tiny_image(tmp_path / "made", "v1", {})
    copy = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{tmp_path}/made:v1"]
    subprocess.run([*copy, f"docker://{registry}/o/other:v1"], check=True)
    made = trace("staging", "main").lineage.model_copy(update={"image": f"{registry}/o/other"})
    stored_, *_ = verify(made)
    assert (stored_.holds, stored_.what) == (False, "image")
    assert f"does not have sha256:{'c' * 12}" in stored_.said


def test_a_full_disk_leaves_no_half_of_an_image(tmp_path, monkeypatch):
    need_skopeo()
    tiny_image(tmp_path / "made", "v1", {}, layer=os.urandom(4_000_000))
    monkeypatch.setattr("slipway.delivery.release.registry.SOURCES", {"docker": "oci:"})
    place, before = Registry(str(tmp_path / "images"), folder=True), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(UserError, match="cannot be pushed to"):
            place.push(Engine("docker"), f"{tmp_path / 'made'}:v1", "v1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert place.find("v1") is None
    digest = place.push(Engine("docker"), f"{tmp_path / 'made'}:v1", "v1")
    assert place.find("v1") == Stored(digest, {})
