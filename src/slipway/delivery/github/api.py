"""The edge to GitHub: what an event says, and the few calls that a report needs. All else runs without it."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from slipway.errors import UserError

TIMEOUT = 20  # seconds
PAGE = 100
PAGES = 100  # of a listing, at most


@dataclass(frozen=True)
class Event:
    """What started a workflow, from the variables and the file that GitHub gives it."""

    name: str
    payload: dict[str, Any]
    repository: str
    run: int

    @classmethod
    def from_environment(cls) -> "Event":
        """Read the event of this run.

        Raises:
            UserError: This is no run of GitHub Actions, or its event cannot be read.
        """
        path, repository = os.environ.get("GITHUB_EVENT_PATH"), os.environ.get("GITHUB_REPOSITORY")
        if not path or not repository:
            raise UserError("not a run of GitHub Actions: GITHUB_EVENT_PATH and GITHUB_REPOSITORY are not set")
        try:
            payload = json.loads(Path(path).read_text(encoding="utf-8"))
            run = int(os.environ.get("GITHUB_RUN_ID") or 0)
        except (OSError, ValueError) as error:
            raise UserError(f"GITHUB_EVENT_PATH or GITHUB_RUN_ID cannot be read: {error}") from None
        return cls(os.environ.get("GITHUB_EVENT_NAME", ""), payload, repository, run)


def write_outputs(**outputs: str) -> None:
    """Hand something to the steps after this one; nothing happens where this is no step of GitHub Actions.

    Raises:
        UserError: A value has several lines, which would be read as more outputs.
    """
    path = os.environ.get("GITHUB_OUTPUT")
    if not path:
        return
    for name, text in outputs.items():
        if "\n" in text or "\r" in text:
            raise UserError(f"{name}: has several lines: {text[:40]!r}")
    with Path(path).open("a", encoding="utf-8") as file:
        file.writelines(f"{name}={text}\n" for name, text in outputs.items())


@dataclass(frozen=True)
class PullRequest:
    """A pull request: its number, the commit at its head, and whether that lies in this repository."""

    number: int
    head: str
    own: bool


class GitHub:
    """The REST interface of one repository.

    Args:
        repository: As `owner/name`.
        token: For the calls.
    """

    def __init__(self, repository: str, token: str) -> None:
        api = os.environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
        self._root = f"{api}/repos/{repository}"
        self._session = requests.Session()
        self._session.headers.update(
            {
                "Authorization": f"Bearer {token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            }
        )

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Call below the repository, and return the JSON that is answered.

        Raises:
            UserError: It was refused, or nobody answered; the message has GitHub's own.
        """
        try:
            answer = self._session.request(method, f"{self._root}/{path}", timeout=TIMEOUT, **options)
        except requests.RequestException as error:
            raise UserError(f"GitHub cannot be reached: {type(error).__name__}") from None
        try:
            content = answer.json()
        except ValueError:
            content = {}
        if not answer.ok:
            said = content.get("message") if isinstance(content, dict) else None
            raise UserError(f"GitHub refused to {method} {path}: {answer.status_code} {said or answer.reason}")
        return content

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Everything that a listing holds, page by page."""
        for page in range(1, PAGES + 1):
            entries = self.call("GET", path, params={**query, "per_page": PAGE, "page": page})
            if not isinstance(entries, list):
                raise UserError(f"GitHub answered {path} with no list")
            yield from entries
            if len(entries) < PAGE:
                return


def pull_request(event: Event, github: GitHub, base: str = "") -> PullRequest:
    """The pull request that an event is about.

    After another workflow's run it is looked up by the head of that run: what an artifact says of it is a stranger's.

    Args:
        event: What happened.
        github: Where to look.
        base: What the run compared with. It is the artifact's word, but can only choose among pull requests of the same
            commit of the same branch, which go into different ones.

    Raises:
        UserError: It is about none, its head has moved on, or there are several.
    """
    if "pull_request" in event.payload:
        return pull_request_of(event.payload["pull_request"], event.repository)
    if event.name == "workflow_run":
        run = event.payload["workflow_run"]
        owner, branch = run["head_repository"]["owner"]["login"], run["head_branch"]
        pulls = github.pages("pulls", state="open", head=f"{owner}:{branch}")
        found = [pull for pull in pulls if pull["head"]["sha"] == run["head_sha"]]
        if not found:
            raise UserError(
                f"no open pull request has {run['head_sha'][:9]} at its head; it was closed or has moved on"
            )
        if len(found) > 1:
            found = [pull for pull in found if f"origin/{pull['base']['ref']}" == base]
        if len(found) != 1:
            raise UserError(f"several pull requests have {run['head_sha'][:9]} at their head; the verdict fits none")
        return pull_request_of(found[0], event.repository)
    raise UserError(f"the event {event.name!r} is about no pull request")


def pull_request_of(found: dict[str, Any], repository: str) -> PullRequest:
    """A pull request from GitHub's description of it."""
    source = (found["head"].get("repo") or {}).get("full_name")  # a fork may have been deleted
    return PullRequest(int(found["number"]), str(found["head"]["sha"]), source == repository)
