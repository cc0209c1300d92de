"""Telling pull requests that results which were just merged are in conflict with theirs: nothing of them runs then."""

import os
import subprocess

from slipway import layout
from slipway.delivery.github.api import Event, GitHub
from slipway.delivery.github.comment import own_comment
from slipway.errors import UserError

MARK = "<!-- slipway: outdated -->"
NOTE = (
    f"{MARK}\n> [!WARNING]\n> `{{base}}` has got other results since, so `dvc.lock` is in conflict, and GitHub runs no "
    "checks. A comment that is `/reproduce` and nothing else, of somebody who may write here, merges them and runs the "
    "pipeline; at home `git merge origin/{base}` and `make repro` do, after `make hooks`.\n\n"
)


def tell_outdated() -> list[int]:
    """Put a note above the report of each pull request whose `dvc.lock` is in conflict with the branch just pushed.

    A branch of a fork is not at hand here, and is passed over; GitHub shows the conflict.

    Returns:
        The pull requests that were told.

    Raises:
        UserError: This is no push to a branch, or GitHub refuses.
    """
    event = Event.from_environment()
    reference = str(event.payload.get("ref", ""))
    if event.name != "push" or not reference.startswith("refs/heads/"):
        raise UserError("not the run of a push to a branch, so no pull request is outdated by it")
    github, base = GitHub(event.repository, os.environ.get("GITHUB_TOKEN", "")), reference.removeprefix("refs/heads/")
    told = []
    for pull in github.pages("pulls", state="open", base=base):
        number, head = int(pull["number"]), str(pull["head"]["sha"])
        if not _in_conflict(head):
            continue
        _, comment = own_comment(github, number)
        if comment is not None and MARK not in comment["body"]:
            body = NOTE.format(base=base) + comment["body"]
            github.call("PATCH", f"issues/comments/{int(comment['id'])}", json={"body": body})
            told.append(number)
    return told


def _in_conflict(head: str) -> bool:
    """Whether merging a commit into this one leaves `dvc.lock` in conflict; not where the commit is not here."""
    merge = ["git", "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", "HEAD", head]
    done = subprocess.run(merge, capture_output=True, text=True, check=False)  # noqa: S603
    return done.returncode == 1 and str(layout.LOCK) in done.stdout.split("\0")[1:]
