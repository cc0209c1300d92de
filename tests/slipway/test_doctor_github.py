"""What `slipway doctor` says of GitHub's settings: `gh` asks a server on loopback that answers as GitHub does."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_github import FakeGitHub, fake_github
from helpers import ROOT, git, write

from slipway.doctor import asking, github
from slipway.doctor.finding import Finding

LOGIN = "me:secret"  # apart from the URLs that it is put into, so that no hook takes them for leaks

# It knows of gh what is needed here, asks over the proxy as gh does, and fails in gh's words.
GH = f"""#!{sys.executable}
import json, os, sys, urllib.error, urllib.request
api, hostname, host, method, get, path = sys.argv[1:]
assert (api, hostname, method, get) == ("api", "--hostname", "--method", "GET")
if not os.environ.get("GH_TOKEN"):
    sys.exit("To get started with GitHub CLI, please run:  gh auth login")
headers = {{"Authorization": "token " + os.environ["GH_TOKEN"]}}
try:
    with urllib.request.urlopen(urllib.request.Request(f"http://api.{{host}}/{{path}}", headers=headers)) as answer:
        print(answer.read().decode())
except urllib.error.HTTPError as error:
    content = error.read().decode()
    print(content)
    sys.exit(f"gh: {{json.loads(content)['message']}} (HTTP {{error.code}})")
"""
HOST = "github.localhost"  # gh asks this one, of its own developers, without TLS
REAL = shutil.which("gh")
READY: dict[str, Any] = {
    "": {"default_branch": "release/1"},
    "/rules/branches/release%2F1": [
        {"type": "deletion"},
        {"type": "required_status_checks", "parameters": {"required_status_checks": [{"context": "gate"}]}},
    ],
    "/actions/permissions/workflow": {
        "default_workflow_permissions": "read",
        "can_approve_pull_request_reviews": True,
    },
    "/environments": {
        "total_count": 2,
        "environments": [
            {"name": "staging", "protection_rules": []},
            {"name": "production", "protection_rules": [{"type": "required_reviewers"}]},
        ],
    },
    "/actions/variables/APP_CLIENT_ID": {"name": "APP_CLIENT_ID", "value": "Iv1"},
    "/actions/secrets/APP_PRIVATE_KEY": {"name": "APP_PRIVATE_KEY"},
    "/actions/organization-variables": {"total_count": 0, "variables": []},
    "/actions/organization-secrets": {"total_count": 0, "secrets": []},
}


@pytest.fixture(params=["stand-in", pytest.param("gh", marks=pytest.mark.skipif(not REAL, reason="needs gh"))])
def there(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitHub]:
    """GitHub with everything set, and a clone of a repository of it with this project's workflows."""
    if request.param == "stand-in":
        write(tmp_path, "bin/gh", GH).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    shutil.copytree(ROOT / ".github", tmp_path / "project/.github")
    monkeypatch.chdir(tmp_path / "project")
    git(Path(), "init", "-q")
    git(Path(), "remote", "add", "origin", f"https://{LOGIN}@{HOST}/o/r.git")
    for name in ("GITHUB_TOKEN", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with fake_github() as state:
        state.settings = dict(READY)
        own = {"GH_HOST": HOST, "GH_TOKEN": "token", "GH_CONFIG_DIR": str(tmp_path / "gh")}
        for name, text in {**own, "HTTP_PROXY": state.url, "http_proxy": state.url}.items():
            monkeypatch.setenv(name, text)
        yield state


def said() -> dict[str, Finding]:
    return {finding.name: finding for finding in github.settings()}


def outcomes() -> dict[str, str]:
    return {name: finding.outcome for name, finding in said().items()}


def test_a_repository_with_everything_set_is_fine(there):
    found = said()
    assert {name: finding.outcome for name, finding in found.items()} == dict.fromkeys(
        ("gate", "Actions", "environments", "App"), "ok"
    )
    assert not any(finding.mend for finding in found.values())
    assert {method for method, _ in there.calls} == {"GET"}  # it asks, and changes nothing


def test_a_branch_that_takes_what_fails_is_wrong(there):
    """given rules that require something else, then it is wrong; with the older protection that names it, it is not"""
    other = {"type": "required_status_checks", "parameters": {"required_status_checks": [{"context": "quality"}]}}
    there.settings |= {
        "/rules/branches/release%2F1": [{"type": "deletion"}, other],
        "/branches/release%2F1": {"protection": {"enabled": False}},
    }
    found = said()["gate"]
    assert (found.outcome, found.found) == ("wrong", "release/1 takes what fails: no rule requires gate")
    assert found.mend == "gh api repos/o/r/rulesets --method POST --input .github/ruleset.json"
    contexts = {"required_status_checks": {"contexts": ["gate"]}}
    there.settings["/branches/release%2F1"] = {"protection": contexts}
    assert outcomes()["gate"] == "ok"


def test_workflows_that_may_open_no_pull_request_are_wrong(there):
    there.settings["/actions/permissions/workflow"] = {
        "default_workflow_permissions": "write",
        "can_approve_pull_request_reviews": False,
    }
    found = said()["Actions"]
    assert found.outcome == "wrong"
    # The call sets both; what is not to change has to be named as well.
    assert found.mend.endswith("--field default_workflow_permissions=write")
    assert "--field can_approve_pull_request_reviews=true" in found.mend


def test_environments_that_nobody_guards_are_advised(there):
    there.settings["/environments"] = {"environments": [{"name": "production", "protection_rules": []}]}
    found = said()["environments"]
    assert (found.outcome, found.mend) == ("advice", "gh api --method PUT repos/o/r/environments/staging")
    there.settings["/environments"]["environments"].append({"name": "staging"})
    found = said()["environments"]
    assert (found.outcome, found.found) == ("advice", "production has no reviewers")


def test_the_app_is_whole_or_not_there(there):
    """given no app, then it is advised; its id alone has the workflows fail; what the organization shares counts"""
    identity, key = (f"/actions/{name}" for name in ("variables/APP_CLIENT_ID", "secrets/APP_PRIVATE_KEY"))
    del there.settings[key]
    found = said()["App"]
    assert (found.outcome, found.mend) == ("wrong", "gh secret set APP_PRIVATE_KEY < app.private-key.pem")
    del there.settings[identity]
    found = said()["App"]
    assert found.outcome == "advice"
    assert found.found.startswith("APP_CLIENT_ID and APP_PRIVATE_KEY not set")
    there.settings["/actions/organization-variables"] = {"variables": [{"name": "APP_CLIENT_ID"}]}
    there.settings["/actions/organization-secrets"] = {"secrets": [{"name": "APP_PRIVATE_KEY"}]}
    assert outcomes()["App"] == "ok"


def test_what_only_an_administrator_sees_cannot_be_told(there):
    """given somebody who may not see settings, then that is said of each, and is not wrong"""
    there.settings |= {path: None for path in READY if path.startswith(("/actions", "/environments"))}
    found = said()
    assert {name: finding.outcome for name, finding in found.items()} == {
        "gate": "ok",
        "Actions": "advice",
        "environments": "advice",
        "App": "advice",
    }
    assert found["App"].found.startswith("cannot be told: Must have admin rights to Repository.")
    assert found["App"].mend


def test_an_answer_in_another_form_ends_no_other_check(there):
    there.settings["/environments"] = []
    found = said()
    assert found["environments"].outcome == "advice"
    assert "gh's answer about environments is not as expected: TypeError: " in found["environments"].found
    assert found["environments"].found.endswith(" is []")
    assert found["environments"].mend
    assert {name for name, each in found.items() if each.outcome == "ok"} == {"gate", "Actions", "App"}


@pytest.mark.parametrize(
    ("path", "answer", "name"),
    [
        ("", [], "GitHub"),
        ("", {}, "GitHub"),
        ("", "a string", "GitHub"),
        ("/rules/branches/release%2F1", {}, "gate"),
        ("/rules/branches/release%2F1", ["deletion"], "gate"),
        ("/rules/branches/release%2F1", [{"kind": "deletion"}], "gate"),
        ("/actions/permissions/workflow", {}, "Actions"),
        ("/environments", {"environments": [1]}, "environments"),
        ("/environments", {"environments": None}, "environments"),
        ("/actions/variables/APP_CLIENT_ID", "yes", "App"),
    ],
)
def test_no_answer_of_github_is_taken_for_a_mistake_of_the_check(there, path, answer, name):
    there.settings[path] = answer
    found = said()[name]
    assert found.outcome == "advice"
    assert found.found.startswith(f"gh's answer about {name} is not as expected: ")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exec sleep 60", "gh did not answer within 1 s"),
        ("echo Welcome to gh", "gh answered repos/o/r with no JSON but: Welcome to gh"),
        ("echo '[]'", "gh's answer about GitHub is not as expected: TypeError: repos/o/r is []"),
        ("echo '\"main\"'", 'gh\'s answer about GitHub is not as expected: TypeError: repos/o/r is "main"'),
    ],
)
def test_a_gh_that_hangs_or_is_another_program_is_advice(there, tmp_path, monkeypatch, script, words):
    write(tmp_path, "other/gh", f"#!/bin/sh\n{script}\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'other'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(asking, "PATIENCE", 1.0)
    (found,) = github.settings()
    assert (found.name, found.outcome, found.found) == ("GitHub", "advice", words)
    assert found.mend


def test_without_a_deployment_its_settings_do_not_matter(there):
    for name in ("promote", "release"):
        Path(f".github/workflows/{name}.yaml").unlink()
    assert outcomes() == {"gate": "ok", "App": "ok"}


def test_a_repository_that_github_does_not_know(there):
    del there.settings[""]
    (found,) = github.settings()
    assert (found.outcome, found.mend) == ("advice", "gh repo view o/r")
    assert found.found.startswith("o/r could not be asked: Not Found")


def test_gh_that_knows_nobody(there, monkeypatch):
    monkeypatch.delenv("GH_TOKEN")
    (found,) = github.settings()
    assert (found.outcome, found.mend) == ("advice", f"gh auth login --hostname {HOST}")


def test_without_gh_nothing_is_looked_at(there, monkeypatch, tmp_path):
    (tmp_path / "git").mkdir()
    (tmp_path / "git/git").symlink_to(str(shutil.which("git")))
    monkeypatch.setenv("PATH", str(tmp_path / "git"))
    (found,) = github.settings()
    assert (found.outcome, found.mend) == ("advice", "https://cli.github.com")
    assert not there.calls


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://github.com/o/r", ("github.com", "o/r")),
        (f"https://{LOGIN}@github.com/o/r.js.git", ("github.com", "o/r.js")),
        ("git@github.com:o/r.git", ("github.com", "o/r")),
        ("ssh://git@ssh.github.com:443/o/r.git/", ("ssh.github.com", "o/r")),
        ("github.com:o/r", ("github.com", "o/r")),
        ("/srv/github.com/o/r.git", None),
        ("../r.git", None),
        ("https://gitlab.com/a/b/c.git", None),
        ("", None),
    ],
)
def test_origins_are_told_apart(url, parts):
    found = github.ADDRESS.fullmatch(url)
    assert (found.groups() if found else None) == parts


def test_an_origin_elsewhere_is_not_asked(there):
    git(Path(), "remote", "set-url", "origin", "https://gitlab.com/o/r.git")
    assert not list(github.settings())
    git(Path(), "remote", "remove", "origin")
    assert not list(github.settings())
    assert not there.calls
