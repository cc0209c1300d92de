"""What only an administrator can set on GitHub, asked through `gh`; docs/github.md says what each is for."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from slipway.delivery.git import last_line
from slipway.doctor.asking import ask
from slipway.doctor.finding import Finding, from_error, short
from slipway.doctor.repository import origin_url
from slipway.errors import UserError

GATE = "gate"
ENVIRONMENTS = ("staging", "production")
WORKFLOWS = Path(".github/workflows")
RULESET = Path(".github/ruleset.json")
ID, KEY = "APP_CLIENT_ID", "APP_PRIVATE_KEY"
SET_APP = f"gh variable set {ID} --body CLIENT_ID && gh secret set {KEY} < app.private-key.pem"
ADDRESS = re.compile(r"(?:\w+://)?(?:[^/@]*@)?([\w.-]+)(?::\d+)?[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?")

ODD = (AttributeError, LookupError, TypeError)  # what looks at an answer of another form than GitHub's end with


class Refused(Exception):  # noqa: N818 it is no error but an outcome
    """GitHub does not say; `status` is 0 where it was not even asked."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub, and the branch that everything goes into."""

    host: str
    name: str
    branch: str = ""

    def get(self, path: str = "", form: type[list[Any]] | type[dict[str, Any]] = dict) -> Any:
        """What GitHub's REST interface answers.

        Args:
            path: What is asked for, below the repository.
            form: What the answer has to be.

        Raises:
            Refused: It is nothing.
            TypeError: It is of another form.
            UserError: gh does not answer in time, or with no JSON.
        """
        place = f"repos/{self.name}/{path}".rstrip("/")
        done = ask("gh", "api", "--hostname", self.host, "--method", "GET", place)
        if done.returncode:
            status = re.search(r"\(HTTP (\d+)\)", done.stderr)
            raise Refused(int(status[1]) if status else 0, last_line(done).removeprefix("gh: "))
        try:
            answer = json.loads(done.stdout)
        except (ValueError, RecursionError):
            raise UserError(f"gh answered {place} with no JSON but: {short(done.stdout)}; gh auth status") from None
        if not isinstance(answer, form):
            raise TypeError(f"{place} is {short(done.stdout)}")
        return answer


def settings() -> Iterator[Finding]:
    """The settings of origin, if that is on GitHub."""
    found = ADDRESS.fullmatch(origin_url())
    if not found or found[1] not in {"github.com", "ssh.github.com", os.environ.get("GH_HOST")}:
        return
    host = found[1].removeprefix("ssh.")
    if shutil.which("gh") is None:
        yield Finding("GitHub", "advice", "gh is missing, so no setting was looked at", "https://cli.github.com")
        return
    try:
        branch = Repository(host, found[2]).get()["default_branch"]
    except Refused as refused:
        mend = f"gh repo view {found[2]}" if refused.status == 404 else f"gh auth login --hostname {host}"
        yield Finding("GitHub", "advice", f"{found[2]} could not be asked: {refused}", mend)
        return
    except (UserError, *ODD) as error:
        yield _unclear("GitHub", error)
        return
    repository = Repository(host, found[2], branch)
    looks = {"gate": gate, "Actions": actions, "environments": environments, "App": app}
    with ThreadPoolExecutor(len(looks)) as pool:
        for findings in pool.map(lambda name: _looked(name, looks[name], repository), looks):
            yield from findings


def gate(repository: Repository) -> Iterator[Finding]:
    """Whether nothing reaches the default branch unless its gate is green."""
    branch = quote(repository.branch, safe="")
    rules = repository.get(f"rules/branches/{branch}?per_page=100", list)
    required = [rule.get("parameters", {}) for rule in rules if rule["type"] == "required_status_checks"]
    names = {check["context"] for rule in required for check in rule.get("required_status_checks", ())}
    if GATE not in names:  # branch protection of the older kind does as well
        protection = repository.get(f"branches/{branch}").get("protection") or {}
        names |= {*(protection.get("required_status_checks") or {}).get("contexts", ())}
    if GATE in names:
        yield Finding("gate", "ok", f"{repository.branch} requires the check {GATE}")
    else:
        mend = f"gh api repos/{repository.name}/rulesets --method POST --input {RULESET}"
        yield Finding("gate", "wrong", f"{repository.branch} takes what fails: no rule requires {GATE}", mend)


def actions(repository: Repository) -> Iterator[Finding]:
    """Whether workflows may open the pull requests that promote and roll back."""
    if not (WORKFLOWS / "promote.yaml").exists():
        return
    allowed = repository.get("actions/permissions/workflow")
    if allowed["can_approve_pull_request_reviews"]:
        yield Finding("Actions", "ok", "may open pull requests")
    else:
        mend = (
            f"gh api repos/{repository.name}/actions/permissions/workflow --method PUT "
            "--field can_approve_pull_request_reviews=true "
            f"--field default_workflow_permissions={allowed['default_workflow_permissions']}"
        )
        yield Finding("Actions", "wrong", "may open no pull requests: promote and rollback fail", mend)


def environments(repository: Repository) -> Iterator[Finding]:
    """Whether somebody is asked before production changes."""
    if not (WORKFLOWS / "release.yaml").exists():
        return
    listed = repository.get("environments?per_page=100")["environments"]
    known = {each["name"]: {rule["type"] for rule in each.get("protection_rules", ())} for each in listed}
    missing = [name for name in ENVIRONMENTS if name not in known]
    put = f"gh api --method PUT repos/{repository.name}/environments/"
    if missing:
        found = f"{' and '.join(missing)} missing: GitHub makes them without reviewers"
        yield Finding("environments", "advice", found, " && ".join(f"{put}{name}" for name in missing))
    elif "required_reviewers" not in known["production"]:
        reviewer = "--field 'reviewers[][type]=User' --field \"reviewers[][id]=$(gh api user --jq .id)\""
        yield Finding("environments", "advice", "production has no reviewers", f"{put}production {reviewer}")
    else:
        yield Finding("environments", "ok", f"{' and '.join(ENVIRONMENTS)}, with reviewers")


def app(repository: Repository) -> Iterator[Finding]:
    """Whether pushes and pull requests of workflows start checks, which takes an app of one's own."""
    has = {ID: _knows(repository, "variables", ID), KEY: _knows(repository, "secrets", KEY)}
    missing = [name for name, there in has.items() if not there]
    if not missing:
        yield Finding("App", "ok", f"{ID} and {KEY} are set")
    elif has[ID]:  # from which the workflows take it that there is a key
        found = f"{ID} is set, but {KEY} is not: what workflows push fails"
        yield Finding("App", "wrong", found, f"gh secret set {KEY} < app.private-key.pem")
    else:
        yield Finding(
            "App", "advice", f"{' and '.join(missing)} not set: what workflows push starts no checks", SET_APP
        )


def _knows(repository: Repository, kind: str, name: str) -> bool:
    """Whether a variable or secret is the repository's, or the organization's that lets it use it."""
    try:
        return bool(repository.get(f"actions/{kind}/{name}"))
    except Refused as refused:
        if refused.status != 404:
            raise
    shared = repository.get(f"actions/organization-{kind}?per_page=100")[kind]
    return any(each["name"] == name for each in shared)


def _looked(name: str, look: Callable[[Repository], Iterator[Finding]], repository: Repository) -> list[Finding]:
    try:
        return list(look(repository))
    except Refused as refused:
        mend = f"ask an administrator of {repository.name}, or: gh auth refresh --scopes repo"
        return [Finding(name, "advice", f"cannot be told: {refused}", mend)]
    except (UserError, *ODD) as error:
        return [_unclear(name, error)]
    except Exception as error:  # of which the other settings must not hear
        return [from_error(name, error)]


def _unclear(name: str, error: Exception) -> Finding:
    """What is said where gh hangs, or answers as GitHub does not."""
    if isinstance(error, UserError):
        return from_error(name, error, "advice")
    found = f"gh's answer about {name} is not as expected: {type(error).__name__}: {short(error)}"
    return Finding(name, "advice", found, "gh auth status")
