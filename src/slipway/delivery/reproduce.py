"""Running the pipeline for a branch on another machine: who may ask for it, and how the results come back."""

import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway import layout
from slipway.delivery.github import BOT, Event, GitHub, pull_request_of
from slipway.errors import UserError

COMMAND = "/reproduce"
# Without hooks, which the pipeline's code could have planted to see the token.
GIT = ("git", "-c", "core.hooksPath=/dev/null")
WRITERS = {"admin", "maintain", "write"}


@dataclass(frozen=True)
class Branch:
    """A branch of this repository, and the commit that it was at when somebody asked."""

    name: str
    commit: str


def allow() -> Branch:
    """The branch that the comment of this event asks to have reproduced.

    Raises:
        UserError: The comment asks for nothing, its author may not write here, or the branch lies in a fork: its code
            would run with the right to write.
    """
    event = Event.from_environment()
    github = GitHub(event.repository, os.environ.get("GITHUB_TOKEN", ""))
    try:
        comment, issue = event.payload["comment"], event.payload["issue"]
        if comment["body"].strip() != COMMAND or issue.get("pull_request") is None:
            raise UserError(f"the comment is not {COMMAND} on a pull request")
        author = str(comment["user"]["login"])
        may = github.call("GET", f"collaborators/{author}/permission")
        if may.get("permission") not in WRITERS:
            raise UserError(f"{author} may not write to {event.repository}, so {COMMAND} does nothing")
        number = int(issue["number"])
        pull = github.call("GET", f"pulls/{number}")
        if not pull_request_of(pull, event.repository).own:
            raise UserError(f"#{number} comes from a fork; its code is not run with the right to write")
        return Branch(str(pull["head"]["ref"]), str(pull["head"]["sha"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"the event or GitHub's answer is not as expected: {type(error).__name__} {error}") from None


def write_outputs(branch: Branch) -> None:
    """Hand the branch to the steps after this one."""
    if path := os.environ.get("GITHUB_OUTPUT"):
        if "\n" in branch.name + branch.commit:
            raise UserError("the branch has a name of several lines")
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"branch={branch.name}\ncommit={branch.commit}\n")


def publish(branch: str, message: str) -> str:
    """Push what the pipeline made to DVC's remote, then `dvc.lock` and the reports to a branch, and say what was done.

    Raises:
        UserError: A push failed; the branch may have moved on.
    """
    _run([sys.executable, "-m", "dvc", "push", "--quiet"], "the results could not be pushed to DVC's remote")
    _run(["git", "add", "--", str(layout.LOCK), str(layout.REPORTS)], "the results cannot be added")
    if subprocess.run(["git", "diff", "--cached", "--quiet"], check=False).returncode == 0:  # noqa: S607
        return "nothing changed, so nothing was committed"
    bot = ["-c", f"user.name={BOT}", "-c", f"user.email=41898282+{BOT}@users.noreply.github.com"]
    _run([*GIT, *bot, "commit", "--quiet", "--message", message], "the results cannot be committed")
    moved = f"{branch} could not be pushed; if it has moved on, ask again"
    _run([*GIT, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}"], moved, _authorization())
    return f"dvc.lock and the reports are on {branch}"


def _authorization() -> dict[str, str]:
    """What lets git push over HTTPS for this one command; the token gets into no file that the pipeline could read."""
    token, server = os.environ.get("GITHUB_TOKEN"), os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    if not token:
        return {}
    secret = b64encode(f"x-access-token:{token}".encode()).decode()
    header = {"KEY": f"http.{server}/.extraheader", "VALUE": f"AUTHORIZATION: basic {secret}"}
    return {"GIT_CONFIG_COUNT": "1"} | {f"GIT_CONFIG_{name}_0": text for name, text in header.items()}


def _run(command: list[str], problem: str, environment: Mapping[str, str] | None = None) -> None:
    environment = os.environ | (environment or {})
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()] or ["it said nothing"]
        raise UserError(f"{problem}: {said[-1][:200]}")
