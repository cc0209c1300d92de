"""What `slipway doctor` says of a repository: real ones, in each state that a first run may find."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import git, write

from slipway.doctor import repository
from slipway.doctor.diagnose import diagnose
from slipway.doctor.repository import NAMING

LOGIN = "me:secret"  # apart from the URLs that it is put into, so that no hook takes them for leaks

HONEST = {
    "dvc.yaml": "stages: {one: {cmd: echo, params: [train.seed]}}\n",
    "dvc.lock": "schema: '2.0'\nstages: {one: {cmd: echo, params: {params.yaml: {train.seed: 0}}}}\n",
    "params.yaml": "train: {seed: 0}\n",
    "src/model/schema.yaml": "columns: {}\n",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository without a commit, on a machine that knows nobody."""
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(write(tmp_path, "global", "")))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "project").mkdir()
    git(tmp_path / "project", "init", "-q")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def test_git_is_here_and_this_is_a_repository(root, monkeypatch):
    assert [found.outcome for found in repository.git()] == ["ok"]
    shutil.rmtree(root / ".git")
    (found,) = repository.git()
    assert (found.outcome, found.found, found.mend) == ("wrong", f"{root} is in no repository", "git init")
    monkeypatch.setenv("PATH", str(root))
    (found,) = repository.git()
    assert (found.outcome, found.found) == ("wrong", "missing")
    assert found.mend.endswith(" install git")


def test_a_configuration_that_git_cannot_read_is_no_missing_repository(root, monkeypatch):
    """given a damaged configuration of the repository or of whoever is there, then git is heard, and once"""
    config, whole = root / ".git/config", (root / ".git/config").read_text()
    config.write_text(f"{whole}[broken\n")
    line = whole.count("\n") + 1
    (found,) = repository.git()
    assert (found.outcome, found.found) == ("wrong", f"git refuses: fatal: bad config line {line} in file .git/config")
    assert found.mend == f"${{EDITOR:-vi}} .git/config # line {line}"
    for look in (repository.identity, repository.origin, repository.hooks):
        assert not list(look())

    config.write_text(whole)
    assert [found.outcome for found in repository.git()] == ["ok"]
    home = write(root.parent, "some home/.gitconfig", "[broken\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home))
    (found,) = repository.git()
    assert found.found == f"git refuses: fatal: bad config line 1 in file {home}"
    monkeypatch.setenv("EDITOR", "rm")
    subprocess.run(found.mend, shell=True, check=True)  # noqa: S602
    assert not home.exists()


def test_a_folder_of_somebody_else_is_mended_as_git_says(root, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own tests have it take us for another
    (found,) = repository.git()
    said = f"git refuses: fatal: detected dubious ownership in repository at '{root}'"
    assert (found.outcome, found.found) == ("wrong", said)
    assert found.mend == f"git config --global --add safe.directory {root}"
    subprocess.run(found.mend, shell=True, check=True)  # noqa: S602
    assert [found.outcome for found in repository.git()] == ["ok"]


def test_a_worktree_whose_repository_is_gone_is_not_made_anew(root):
    shutil.rmtree(root / ".git")
    write(root, ".git", "gitdir: /nowhere\n")
    (found,) = repository.git()
    assert (found.outcome, found.found) == ("wrong", "git refuses: fatal: not a git repository: /nowhere")
    assert found.mend.startswith("git status # ")


def test_outside_of_a_repository_nothing_more_is_said_of_it(root):
    shutil.rmtree(root / ".git")
    for name, text in HONEST.items():
        write(root, name, text)
    for look in (repository.identity, repository.origin, repository.hooks, repository.lock):
        assert not list(look())


def test_who_commits_is_known_guessed_or_nobody(root, monkeypatch):
    git(root, "config", "user.useConfigOnly", "true")
    (found,) = repository.identity()
    assert (found.outcome, found.mend) == ("wrong", NAMING)

    monkeypatch.setenv("EMAIL", "ann@example.org")  # which git takes where nothing says more
    git(root, "config", "user.useConfigOnly", "false")
    git(root, "config", "user.name", "Ann")
    (found,) = repository.identity()
    assert (found.outcome, found.found) == ("advice", "git guesses who you are: Ann <ann@example.org>")

    git(root, "config", "user.email", "ann@work.example.org")
    (found,) = repository.identity()
    assert (found.outcome, found.found, found.mend) == ("ok", "Ann <ann@work.example.org>", "")


def test_what_mends_an_identity_mends_it(root):
    subprocess.run(NAMING, shell=True, check=True)  # noqa: S602
    assert [found.outcome for found in repository.identity()] == ["ok"]


def test_origin_is_named_and_answers(root):
    (found,) = repository.origin()
    assert (found.outcome, found.mend) == ("advice", "git remote add origin URL")
    git(root, "init", "-q", "--bare", "../origin.git")
    git(root, "remote", "add", "origin", "../origin.git")
    (found,) = repository.origin()
    assert (found.outcome, found.found) == ("ok", "../origin.git answers")
    shutil.rmtree(root.parent / "origin.git")
    (found,) = repository.origin()
    assert (found.outcome, found.mend) == ("wrong", "git remote set-url origin URL")
    assert "does not appear to be a git repository" in found.found or "not read from remote" in found.found


def test_an_origin_that_is_down_is_named_without_its_token(root):
    git(root, "remote", "add", "origin", f"http://{LOGIN}@127.0.0.1:1/a.git")
    (found,) = repository.origin()
    assert found.outcome == "wrong"
    assert found.found.startswith("http://127.0.0.1:1/a.git cannot be reached: fatal: unable to access")
    assert "secret" not in found.found


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1/a.git", "Failed to connect to 127.0.0.1"),
        ("git://127.0.0.1:1/a.git", "unable to connect to 127.0.0.1"),
        ("http://nowhere.invalid/a.git", "Could not resolve host"),
        ("git://nowhere.invalid/a.git", "unable to look up nowhere.invalid"),
        ("ssh://git@nowhere.invalid/a.git", "ssh: Could not resolve hostname nowhere.invalid"),
        ("ssh://git@127.0.0.1:1/a.git", "ssh: connect to host 127.0.0.1 port 1: Connection refused"),
    ],
)
def test_without_a_network_the_url_may_well_be_right(root, monkeypatch, url, said):
    """given a host that is not found, or not there, then the cause is told, and to try again, not another URL"""
    if url.startswith("ssh") and shutil.which("ssh") is None:
        pytest.skip("needs ssh")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    git(root, "remote", "add", "origin", url)
    (found,) = repository.origin()
    assert (found.outcome, found.mend.partition(" #")[0]) == ("wrong", "git ls-remote origin")
    assert said in found.found


def test_hooks_are_installed_with_what_settles_merges(root):
    assert not list(repository.hooks())  # a project without any
    write(root, ".pre-commit-config.yaml", "repos: []\n")
    (found,) = repository.hooks()
    both = "not installed: commits are not checked and results conflict in merges"
    assert (found.outcome, found.found, found.mend) == ("advice", both, "make hooks")
    subprocess.run([sys.executable, "-m", "pre_commit", "install"], check=True, capture_output=True)
    (found,) = repository.hooks()
    assert found.found == "not installed: results conflict in merges"
    git(root, "config", "merge.remade.driver", "true")
    git(root, "config", "merge.dvc.driver", "true")
    assert [found.outcome for found in repository.hooks()] == ["ok"]


def test_dvc_lock_belongs_to_the_tree(root):
    for name, text in HONEST.items():
        write(root, name, text)
    git(root, "add", "-A")
    (found,) = repository.lock()
    assert (found.outcome, found.found) == ("ok", "belongs to this tree")
    write(root, "params.yaml", "train: {seed: 1}\n")
    (found,) = repository.lock()
    assert (found.outcome, found.mend) == ("wrong", "make repro")
    said = "does not belong to this tree: one: params.yaml:train.seed is 1, the run had 0"
    assert found.found == said
    write(root, "dvc.yaml", HONEST["dvc.yaml"].replace("echo", "true"))
    (found,) = repository.lock()
    assert (found.found.endswith(", and 1 more"), found.mend) == (True, "make lock")


def test_what_has_not_been_run_is_not_wrong(root):
    for name, text in HONEST.items():
        write(root, name, text)
    (root / "dvc.lock").unlink()
    (found,) = repository.lock()
    assert (found.outcome, found.mend) == ("advice", "make repro")


@pytest.mark.parametrize(
    ("answers", "mend"),
    [
        (None, "make adopt FILE=my.csv TARGET=column"),
        ("data: demo\n", "make adopt FILE=my.csv TARGET=column"),
        ("data: ../churn.csv\n", "make adopt TARGET=column"),
        ("data: ../churn.csv:churned\n", "make repro"),
    ],
)
def test_a_project_without_data_is_not_wrong(root, answers, mend):
    """given a project that was made for a table, or for none, then it says how that is brought in"""
    if answers:
        write(root, ".copier-answers.yml", answers)
    (found,) = repository.lock()
    assert (found.outcome, found.found, found.mend) == ("advice", "the project has no data yet", mend)


def test_a_lock_that_cannot_be_read_is_wrong_and_says_why(root):
    for name, text in HONEST.items():
        write(root, name, text)
    write(root, "dvc.lock", "a: 1\n<<<<<<< ours\n")
    git(root, "add", "-A")
    (found,) = diagnose({"dvc.lock": repository.lock})
    assert (found.name, found.outcome) == ("dvc.lock", "wrong")
    assert found.found == "dvc.lock: holds a merge conflict"
    assert "make repro" in found.mend
