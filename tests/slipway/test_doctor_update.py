"""`slipway doctor --update`: templates are real repositories with real tags, and answers what copier writes."""

import json
import subprocess
from pathlib import Path

import pytest
from helpers import git, slipway, write

from slipway.doctor.finding import Finding
from slipway.doctor.update import address, template
from slipway.errors import UserError

LOGIN = "me:secret"  # apart from the URLs that it is put into, so that no hook takes them for leaks


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A template, a project whose everything is committed, and nobody's settings."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(write(tmp_path, "global", "")))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("template", "project"):
        (tmp_path / name).mkdir()
        git(tmp_path / name, "init", "-q")
        write(tmp_path, f"{name}/dvc.yaml", "stages: {}\n")
        git(tmp_path / name, "add", "-A")
        git(tmp_path / name, "commit", "-q", "--allow-empty", "-m", "first")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def release(desk: Path, *tags: str) -> None:
    for tag in tags:
        git(desk / "template", "commit", "-q", "--allow-empty", "-m", tag)
        git(desk / "template", "tag", "-a", "-m", tag, tag)


def found(desk: Path, commit: str | None, source: str | None = None) -> Finding:
    """What is said of a project that was made from a source."""
    lines = ["# Changes here will be overwritten by Copier"] + ([] if commit is None else [f"_commit: {commit}"])
    lines += [f"_src_path: {json.dumps(source or str(desk / 'template'))}", "project: churn"]
    write(desk, "project/.copier-answers.yml", "\n".join(lines) + "\n")
    git(desk / "project", "add", "-A")
    git(desk / "project", "commit", "-q", "--allow-empty", "-m", "answers")
    (finding,) = template()
    return finding


def test_a_template_that_has_moved_on(desk):
    """given versions in no order of names, when there is a newer one, then it is named with what to do first"""
    release(desk, "v0.9.0", "v0.10.0", "v0.2.0", "nightly")
    finding = found(desk, "v0.9.0")
    assert (finding.outcome, finding.mend) == ("advice", "uvx copier update")
    assert finding.found == f"{desk}/template has moved on to v0.10.0; this is v0.9.0"
    write(desk, "project/new.py", "")
    (finding,) = template()
    commit = 'git add --all && git commit --message "Before the update of the template"'
    assert finding.mend == f"{commit} && uvx copier update"


@pytest.mark.parametrize("commit", ["v0.10.0", "0.10.0", "v0.10.0-3-gabc1234", "v1.0.0"])
def test_a_project_that_is_current(desk, commit):
    release(desk, "v0.9.0", "v0.10.0", "v1.1.0rc1", "v2.0.0.dev3")
    finding = found(desk, commit)
    assert (finding.outcome, finding.mend) == ("ok", "")
    assert finding.found == f"{commit}; nothing newer than v0.10.0 at {desk}/template"


@pytest.mark.parametrize("commit", ["v0.9.0-12-gabc1234", "abc1234", "'1234567'"])
def test_between_versions_and_before_the_first(desk, commit):
    """given a commit that is no version, even one of digits alone, then the newest version is newer"""
    release(desk, "v0.9.0", "v0.10.0")
    assert found(desk, commit).outcome == "advice"


def test_a_template_without_versions_is_compared_by_its_head(desk):
    commit = git(desk / "template", "describe", "--tags", "--always").strip()
    assert found(desk, f"'{commit}'").outcome == "ok"
    git(desk / "template", "commit", "-q", "--allow-empty", "-m", "second")
    finding = found(desk, f"'{commit}'")
    assert (finding.outcome, finding.mend) == ("advice", "uvx copier update")
    assert "has no version, and is at " in finding.found


def test_sources_in_copiers_short_form_are_asked(desk):
    """given a source on GitHub, when git is told to find that elsewhere, then it is found there"""
    release(desk, "v2.0.0")
    git(desk, "config", "--global", f"url.{desk}/template.insteadOf", "https://github.com/o/t.git")
    assert found(desk, "v1.0.0", "gh:o/t").found == "gh:o/t has moved on to v2.0.0; this is v1.0.0"


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ("gh:o/t", "https://github.com/o/t.git"),
        ("gh:o/t.git", "https://github.com/o/t.git"),
        ("gh:/o/t/", "https://github.com/o/t.git"),
        ("gl:g/s/t", "https://gitlab.com/g/s/t.git"),
        ("git+https://host/t", "https://host/t"),
        ("git@host:t.git", "git@host:t.git"),
        ("../t", "../t"),
        ("~/t", str(Path("~/t").expanduser())),
    ],
)
def test_sources_are_addresses(source, url):
    assert address(source) == url


@pytest.mark.parametrize("source", [f"http://{LOGIN}@127.0.0.1:1/t.git", "/nowhere/t"])
def test_a_source_out_of_reach_is_advice_in_a_line(desk, source):
    finding = found(desk, "v1.0.0", source)
    assert (finding.outcome, finding.mend) == ("advice", "make doctor ARGS=--update")
    assert " could not be asked: fatal: " in finding.found
    assert "secret" not in finding.found
    assert "\n" not in finding.found


@pytest.mark.parametrize("prefix", ["", "git+", " "])
def test_a_source_is_never_an_option(desk, prefix):
    with pytest.raises(UserError, match=r"_src_path is '--upload-pack=.*', which is no place"):
        found(desk, "v1.0.0", f"{prefix}--upload-pack=touch {desk}/run")
    assert not (desk / "run").exists()


def test_a_source_runs_no_command(desk):
    """given a git that would run what a URL says, when a source is such a URL, then it is refused and nothing ran"""
    git(desk, "config", "--global", "protocol.ext.allow", "always")
    source = f"ext::sh -c touch% {desk}/run"
    subprocess.run(["git", "ls-remote", source], capture_output=True, check=False)
    (desk / "run").unlink()  # it would
    finding = found(desk, "v1.0.0", source)
    assert finding.outcome == "advice"
    assert "transport 'ext' not allowed" in finding.found
    assert not (desk / "run").exists()


@pytest.mark.parametrize("text", ["", "- a\n", "_src_path: [1]\n", "_src_path: ''\n", "_commit: v1\n"])
def test_answers_without_a_source_are_damaged(desk, text):
    write(desk, "project/.copier-answers.yml", text)
    with pytest.raises(UserError, match=r"^\.copier-answers\.yml: names no _src_path; git checkout HEAD"):
        list(template())


def test_a_copy_of_a_folder_has_no_version(desk):
    finding = found(desk, None)
    assert finding.outcome == "advice"
    assert "no version is known" in finding.found


@pytest.mark.parametrize("lost", ["not committed", "committed"])
def test_answers_that_are_gone_come_back_out_of_git(desk, lost):
    """given a project that has lost its answers, then what mends it brings them back"""
    found(desk, "v1.0.0")
    (desk / "project/.copier-answers.yml").unlink()
    if lost == "committed":
        git(desk / "project", "commit", "-q", "-a", "-m", "lost")
        git(desk / "project", "commit", "-q", "--allow-empty", "-m", "later")
    (finding,) = template()
    said = "no .copier-answers.yml: nothing says which template this project is of"
    assert (finding.outcome, finding.found) == ("advice", said)
    subprocess.run(finding.mend, shell=True, check=True, capture_output=True)  # noqa: S602
    assert "_commit: v1.0.0" in (desk / "project/.copier-answers.yml").read_text()


def test_answers_that_never_were_come_from_copier(desk, monkeypatch):
    """given a project whose history has no answers, or no git, then `make own`, which it has not, is not advised"""
    (finding,) = template()
    assert (finding.outcome, finding.mend[:26]) == ("advice", "uvx copier copy TEMPLATE .")
    monkeypatch.setenv("PATH", "")
    assert list(template()) == [finding]


def test_where_nothing_was_rendered_it_says_so_and_ends_well(desk):
    write(desk, "project/copier.yml", "")
    done = slipway(desk / "project", "doctor", "--update")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok      template  no .copier-answers.yml: this is the template itself")


def test_the_command_says_it_to_machines_and_ends_well(desk):
    release(desk, "v2.0.0")
    found(desk, "v1.0.0")
    done = slipway(desk / "project", "doctor", "--update", "--json")
    assert done.returncode == 0, done.stderr
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["name"], finding["outcome"]) == ("template", "advice")


def test_damaged_answers_are_an_error_of_one_line(desk):
    write(desk, "project/.copier-answers.yml", "_src_path: {\n")
    done = slipway(desk / "project", "doctor", "--update")
    assert done.returncode == 2
    assert done.stdout.startswith("wrong   template  .copier-answers.yml, line 2: not valid YAML")
    assert not done.stderr
