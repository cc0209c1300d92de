"""Running the pipeline for a branch on another machine: who may ask for it, and how the results come back."""

import os
from dataclasses import dataclass
from pathlib import Path

from slipway import layout
from slipway.delivery.data import run_dvc
from slipway.delivery.git import AS_BOT, GIT, authorization, do, last_line, run
from slipway.delivery.github.api import Event, GitHub, pull_request_of
from slipway.errors import UserError

COMMAND = "/reproduce"
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


def join(base: str) -> str:
    """Merge the branch that this one goes into where that has got other results, and say what was done.

    Of what a run makes this side's stays where both have changed it; the run after this makes it anew.

    Raises:
        UserError: There is no such branch, or both sides have changed the same lines of something else.
    """
    theirs = f"refs/remotes/origin/{base}"
    if not base:
        raise UserError("no branch is named that this one goes into; make join BASE=main")
    fork = do(["git", "merge-base", "HEAD", theirs])
    if fork.returncode:
        raise UserError(f"{base}: origin has no such branch, or none that this one has begun from")
    unchanged = ["git", "diff", "--quiet", fork.stdout.strip(), theirs, "--", str(layout.LOCK)]
    if do(unchanged).returncode == 0:
        return f"{base} has the results that this branch began from"
    merge = [*GIT, *AS_BOT, *OURS, "merge", "--quiet", "--no-edit", "-m", f"Merge {base} and its results", theirs]
    done = do(merge)
    if done.returncode:
        names = do(["git", "diff", "--name-only", "--diff-filter=U"]).stdout.split()
        do([*GIT, "merge", "--abort"])
        what = f"both have changed {', '.join(names)}" if names else done.stderr.strip()[-200:]
        raise UserError(f"{base} cannot be merged into this branch by itself: {what}; merge it at home")
    return f"{base} is merged, with its results"


def publish(branch: str, message: str) -> str:
    """Push what the pipeline made to DVC's remote, then `dvc.lock` and the reports to a branch, and say what was done.

    Raises:
        UserError: There is no such branch, as where a tag was run, or origin does not answer; or a push failed: the
            branch may have moved on.
    """
    if not branch:
        raise UserError("no branch is named that the results go to; make publish BRANCH=main")
    known = do(["git", "ls-remote", "--exit-code", "origin", f"refs/heads/{branch}"], authorization())
    if known.returncode == 2:
        raise UserError(f"{branch}: origin has no branch of this name, so the results have nowhere to go; run a branch")
    if known.returncode:  # nothing is committed that nobody could get
        raise UserError(f"origin cannot be asked for {branch}: {last_line(known)}; see `git remote -v`")
    run_dvc(Path(), "push")
    run(["git", "add", "--", str(layout.LOCK), str(layout.REPORTS)], "the results cannot be added")
    if do(["git", "diff", "--cached", "--quiet"]).returncode:
        run([*GIT, *AS_BOT, "commit", "--quiet", "--message", message], "the results cannot be committed")
    elif do(["git", "merge-base", "--is-ancestor", "HEAD", f"refs/remotes/origin/{branch}"]).returncode == 0:
        return "nothing changed, so nothing was committed"
    moved = f"{branch} could not be pushed; if it has moved on, ask again"
    run([*GIT, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}"], moved, authorization())
    return f"dvc.lock and the reports are on {branch}"
