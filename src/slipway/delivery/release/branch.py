"""Commits on a branch that others push to as well: made in a worktree of its own, and made again where they lose."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep

from slipway.delivery.git import AS_BOT, GIT, authorization, do, last_line, run
from slipway.errors import UserError

ATTEMPTS = 6
PAUSE = 0.2  # seconds, growing with each attempt
LOST = ("[rejected]", "cannot lock ref", "failed to update ref")  # not "[remote rejected]", which a rule says


@dataclass(frozen=True)
class Change:
    """What a commit is to say, and the tag that it is to get."""

    message: str
    tag: str | None = None


def has_origin() -> bool:
    """Whether there is somewhere to push to."""
    return "origin" in do(["git", "remote"]).stdout.split()


def fetch() -> None:
    """Get what origin has, with its tags; nothing without an origin.

    Raises:
        UserError: It cannot be reached.
    """
    if has_origin():
        tags = [*GIT, "fetch", "--quiet", "--force", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"]
        run(tags, "origin cannot be fetched from", authorization())


def head(branch: str) -> str | None:
    """The commit that a branch is at: origin's, or this repository's where there is no origin."""
    reference = f"refs/remotes/origin/{branch}" if has_origin() else f"refs/heads/{branch}"
    return do(["git", "rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}"]).stdout.strip() or None


def tags(pattern: str) -> set[str]:
    """The tags of a pattern: origin's, since a push that was cut short leaves one here that nobody else has.

    Raises:
        UserError: origin cannot be asked.
    """
    if not has_origin():
        return set(do(["git", "tag", "--list", pattern]).stdout.split())
    ask = [*GIT, "ls-remote", "--tags", "--refs", "origin", f"refs/tags/{pattern}"]
    lines = run(ask, "origin cannot be asked for its tags", authorization()).splitlines()
    return {line.rpartition("refs/tags/")[2] for line in lines}


def is_ancestor(older: str, newer: str) -> bool:
    """Whether one commit is in the history of another, or is it."""
    return do(["git", "merge-base", "--is-ancestor", older, newer]).returncode == 0


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """The project's folder of a commit's tree, in a worktree that goes afterwards."""
    prefix = run(["git", "rev-parse", "--show-prefix"], "this is no git repository")
    with TemporaryDirectory(prefix="slipway-") as scratch:
        tree = Path(scratch) / "tree"
        run([*GIT, "worktree", "add", "--quiet", "--detach", str(tree), commit], "git has no room to work in")
        try:
            yield tree / prefix
        finally:
            do([*GIT, "worktree", "remove", "--force", str(tree)])


def tip_of(branch: str) -> str:
    """The commit that a branch is at, as it was last fetched.

    Raises:
        UserError: There is no such branch.
    """
    found = head(branch)
    if found is None:
        raise UserError(f"{branch}: {'origin has' if has_origin() else 'there is'} no branch of this name")
    return found


def commit_on(branch: str, change: Callable[[Path], Change | None], *, start: str | None = None) -> str | None:
    """Change a branch by one commit, and push it.

    Where somebody else has pushed meanwhile, the change is made anew on what they pushed.

    Args:
        branch: The branch.
        change: Changes the files of a tree, given its project's folder, and says what for; None if nothing is to do.
            It is called once for each attempt.
        start: The branch that it begins from, where it is not there yet or is to be made anew.

    Returns:
        The commit; None if nothing was to do.

    Raises:
        UserError: The branch is missing, it cannot be pushed, or others were faster every time.
    """
    for attempt in range(ATTEMPTS):
        sleep(PAUSE * attempt)
        fetch()
        begun = tip_of(start or branch)
        with checked_out(begun) as root:
            wanted = change(root)
            if wanted is None:
                return None
            made = _commit(root, wanted)
            if made == begun or (start and _is_same(head(branch), made)):
                return None
            if _push(branch, made, wanted.tag, old=head(branch)):
                return made
    raise UserError(f"{branch}: others pushed first, {ATTEMPTS} times; nothing was changed, run it again")


def _is_same(old: str | None, made: str) -> bool:
    """Whether a commit does what another does to the same commit."""
    return old is not None and _shown(old) == _shown(made)


def _shown(commit: str) -> str:
    return do(["git", "show", "--no-patch", "--format=%P %T", commit]).stdout


def _commit(tree: Path, wanted: Change) -> str:
    run([*GIT, "add", "--all", "."], "the change cannot be added", folder=tree)
    if do([*GIT, "diff", "--cached", "--quiet"], folder=tree).returncode == 0:
        return run(["git", "rev-parse", "HEAD"], "git cannot say where it is", folder=tree)
    who = AS_BOT if os.environ.get("GITHUB_ACTIONS") else ()
    commit = [*GIT, *who, "commit", "--quiet", "--no-verify", "--message", wanted.message]
    run(commit, "the change cannot be committed", folder=tree)
    made = run(["git", "rev-parse", "HEAD"], "git cannot say where it is", folder=tree)
    if wanted.tag:
        tag = [*GIT, *who, "tag", "--force", "--annotate", "--message", wanted.message, wanted.tag, made]
        run(tag, "the release cannot be tagged", folder=tree)
    return made


def _push(branch: str, made: str, tag: str | None, *, old: str | None) -> bool:
    """Push, commit and tag together or neither; False if somebody was faster.

    It is done from the project's folder, which an origin such as `../origin.git` is relative to.
    """
    if not has_origin():
        return _update(branch, made, old)
    references = [f"{made}:refs/heads/{branch}", *([f"refs/tags/{tag}"] if tag else [])]
    lease = f"--force-with-lease=refs/heads/{branch}:{old or ''}"  # it is as we saw it, or is not there yet
    done = do([*GIT, "push", "--quiet", "--atomic", lease, "origin", *references], authorization())
    if done.returncode == 0:
        return True
    if tag:
        do([*GIT, "tag", "--delete", tag])
    if any(sign in done.stderr for sign in LOST):
        return False
    raise UserError(f"{branch} cannot be pushed: {last_line(done)}; nothing was changed, run it again")


def _update(branch: str, made: str, old: str | None) -> bool:
    """Move a branch of this repository, with its files where it is checked out; False if somebody was faster."""
    if do(["git", "symbolic-ref", "--quiet", "HEAD"]).stdout.strip() != f"refs/heads/{branch}":
        return do(["git", "update-ref", f"refs/heads/{branch}", made, old or "0" * 40]).returncode == 0
    done = do([*GIT, "merge", "--quiet", "--ff-only", made])
    if done.returncode and head(branch) == old:
        raise UserError(f"{branch} cannot be moved on: {last_line(done)}")
    return done.returncode == 0
