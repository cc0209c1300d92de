"""Running the pipeline for a branch on another machine: who may ask for it, and how the results come back."""

import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway import layout
from slipway.delivery.github.api import BOT, Event, GitHub, pull_request_of
from slipway.errors import UserError

COMMAND = "/reproduce"
# Without hooks, which the pipeline's code could have planted to see the token.
GIT = ("git", "-c", "core.hooksPath=/dev/null")
AS_BOT = ("-c", f"user.name={BOT}", "-c", f"user.email=41898282+{BOT}@users.noreply.github.com")
OURS = ("-c", "merge.remade.driver=true")  # what .gitattributes calls so stays as this side has it
WRITERS = {"admin", "maintain", "write"}


@dataclass(frozen=True)
class Branch:
    """A branch of this repository, the commit that it was at when somebody asked, and the branch that it goes into."""

    name: str
    commit: str
    base: str


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
        return Branch(str(pull["head"]["ref"]), str(pull["head"]["sha"]), str(pull["base"]["ref"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"the event or GitHub's answer is not as expected: {type(error).__name__} {error}") from None


def write_outputs(branch: Branch) -> None:
    """Hand the branch to the steps after this one."""
    if path := os.environ.get("GITHUB_OUTPUT"):
        if "\n" in branch.name + branch.commit + branch.base:
            raise UserError("the branch has a name of several lines")
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"branch={branch.name}\ncommit={branch.commit}\nbase={branch.base}\n")


def join(base: str) -> str:
    """Merge the branch that this one goes into where that has got other results, and say what was done.

    Of what a run makes this side's stays where both have changed it; the run after this makes it anew.

    Raises:
        UserError: There is no such branch, or both sides have changed the same lines of something else.
    """
    theirs = f"refs/remotes/origin/{base}"
    fork = _do(["git", "merge-base", "HEAD", theirs])
    if fork.returncode:
        raise UserError(f"{base}: origin has no such branch, or none that this one has begun from")
    unchanged = ["git", "diff", "--quiet", fork.stdout.strip(), theirs, "--", str(layout.LOCK)]
    if _do(unchanged).returncode == 0:
        return f"{base} has the results that this branch began from"
    merge = [*GIT, *AS_BOT, *OURS, "merge", "--quiet", "--no-edit", "-m", f"Merge {base} and its results", theirs]
    done = _do(merge)
    if done.returncode:
        names = _do(["git", "diff", "--name-only", "--diff-filter=U"]).stdout.split()
        _do([*GIT, "merge", "--abort"])
        what = f"both have changed {', '.join(names)}" if names else done.stderr.strip()[-200:]
        raise UserError(f"{base} cannot be merged into this branch by itself: {what}; merge it at home")
    return f"{base} is merged, with its results"


def publish(branch: str, message: str) -> str:
    """Push what the pipeline made to DVC's remote, then `dvc.lock` and the reports to a branch, and say what was done.

    Raises:
        UserError: There is no such branch, as where a tag was run; or a push failed: the branch may have moved on.
    """
    known = ["git", "ls-remote", "--exit-code", "origin", f"refs/heads/{branch}"]
    if _do(known, _authorization()).returncode == 2:
        raise UserError(f"{branch}: origin has no branch of this name, so the results have nowhere to go; run a branch")
    _run([sys.executable, "-m", "dvc", "push", "--quiet"], "the results could not be pushed to DVC's remote")
    _run(["git", "add", "--", str(layout.LOCK), str(layout.REPORTS)], "the results cannot be added")
    if _do(["git", "diff", "--cached", "--quiet"]).returncode:
        _run([*GIT, *AS_BOT, "commit", "--quiet", "--message", message], "the results cannot be committed")
    elif _do(["git", "merge-base", "--is-ancestor", "HEAD", f"refs/remotes/origin/{branch}"]).returncode == 0:
        return "nothing changed, so nothing was committed"
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
    done = _do(command, environment)
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()] or ["it said nothing"]
        raise UserError(f"{problem}: {said[-1][:200]}")


def _do(command: list[str], environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | (environment or {})
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
