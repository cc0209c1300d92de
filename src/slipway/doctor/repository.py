"""What git has to know, and what it proves."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from slipway import layout
from slipway.answers import is_empty, promised
from slipway.delivery.git import last_line
from slipway.doctor.asking import ask
from slipway.doctor.finding import Finding, short, without_secrets

NAMING = 'git config --global user.name "Your Name" && git config --global user.email you@example.org'
DRIVERS = ("merge.remade.driver", "merge.dvc.driver")  # that .gitattributes names
NOWHERE = "not a git repository (or any"  # parent; where a file points to one that is gone, git says less
OWNED = re.compile(r"^\s*(git config --global --add safe\.directory .+?)\s*$", re.MULTILINE)
UNREADABLE = re.compile(r"bad config line (\d+) in file (.+?)\s*$", re.MULTILINE)
UNREACHED = re.compile(  # as curl, ssh and git's own protocol say it
    r"could(?: not|n't) resolve|unable to look up|failed to connect|unable to connect|connect to host|"
    r"connection (?:refused|timed out)|(?:network|host) is unreachable|no route to host",
    re.IGNORECASE,
)


def git() -> Iterator[Finding]:
    """Whether git is here, and this is a repository."""
    if shutil.which("git") is None:
        yield Finding("git", "wrong", "missing", _install("git"))
    elif refusal := refused("git"):
        yield refusal
    elif not _in_repository():
        yield Finding("git", "wrong", f"{Path.cwd()} is in no repository", "git init")
    else:
        yield Finding("git", "ok", ask("git", "--version").stdout.strip().removeprefix("git version "))


def identity() -> Iterator[Finding]:
    """Whether commits will say who made them."""
    if not _in_repository():
        return
    names = {name: os.environ.get(f"GIT_AUTHOR_{name}") or _setting(f"user.{name}") for name in ("NAME", "EMAIL")}
    if all(names.values()):
        yield Finding("identity", "ok", f"{names['NAME']} <{names['EMAIL']}>")
        return
    done = ask("git", "var", "GIT_AUTHOR_IDENT")
    if done.returncode == 0:
        yield Finding("identity", "advice", f"git guesses who you are: {done.stdout.partition('>')[0]}>", NAMING)
    else:
        yield Finding("identity", "wrong", "git does not know who you are, and commits nothing", NAMING)


def origin() -> Iterator[Finding]:
    """Whether there is a remote named origin, and it answers."""
    if not _in_repository():
        return
    url = origin_url()
    if not url:
        yield Finding("origin", "advice", "no remote has this name", "git remote add origin URL")
        return
    done, url = ask("git", "ls-remote", "--quiet", "origin", "HEAD"), without_secrets(url)
    unreached = [line for line in done.stderr.splitlines() if UNREACHED.search(line)]
    if done.returncode == 0:
        yield Finding("origin", "ok", f"{url} answers")
    elif unreached:
        found = f"{url} cannot be reached: {short(' '.join(unreached))}"
        yield Finding("origin", "wrong", found, "git ls-remote origin # again, once the network is there")
    else:
        found = f"{url} cannot be read: {without_secrets(last_line(done))}"
        yield Finding("origin", "wrong", found, "git remote set-url origin URL")


def hooks() -> Iterator[Finding]:
    """Whether commits are checked, and merges of results settled."""
    if not _in_repository() or not Path(".pre-commit-config.yaml").is_file():
        return
    hook = Path(ask("git", "rev-parse", "--git-path", "hooks/pre-commit").stdout.strip())
    missing = [] if hook.is_file() else ["commits are not checked"]
    missing += [] if all(map(_setting, DRIVERS)) else ["results conflict in merges"]
    if missing:
        yield Finding("hooks", "advice", f"not installed: {' and '.join(missing)}", "make hooks")
    else:
        yield Finding("hooks", "ok", "installed")


def lock() -> Iterator[Finding]:
    """Whether dvc.lock belongs to this tree."""
    from slipway.delivery.lock import check

    if is_empty():
        named = promised()
        mend = "make adopt TARGET=column" if named else "make adopt FILE=my.csv TARGET=column"
        mend = "make repro" if named and named.target else mend  # which adopts the table that was named
        yield Finding("dvc.lock", "advice", "the project has no data yet", mend)
    elif layout.PIPELINE.exists() and not layout.LOCK.exists():
        yield Finding("dvc.lock", "advice", "missing: the pipeline has not been run", "make repro")
    elif _in_repository():
        problems = check()
        for first in problems[:1]:
            more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
            found = f"does not belong to this tree: {first.stage or layout.LOCK}: {first.message}{more}"
            yield Finding("dvc.lock", "wrong", found, "make lock" if more else first.fix)
        if not problems:
            yield Finding("dvc.lock", "ok", "belongs to this tree")


def origin_url() -> str:
    """Where origin is; empty if nothing has this name, or there is no repository."""
    return ask("git", "remote", "get-url", "origin").stdout.strip() if _in_repository() else ""


def refused(name: str) -> Finding | None:
    """Why git does nothing in this repository, as a finding of this name; None if it does, or if there is none."""
    if shutil.which("git") is None:
        return None
    done = ask("git", "rev-parse", "--git-dir")
    if done.returncode == 0 or NOWHERE in done.stderr:
        return None
    mend = "git status # says it again, until that is mended"
    if owned := OWNED.search(done.stderr):
        mend = owned[1]
    elif unreadable := UNREADABLE.search(done.stderr):
        mend = f"${{EDITOR:-vi}} {shlex.quote(unreadable[2])} # line {unreadable[1]}"
    return Finding(name, "wrong", f"git refuses: {last_line(done)}", mend)


def _in_repository() -> bool:
    return shutil.which("git") is not None and ask("git", "rev-parse", "--git-dir").returncode == 0


def _setting(name: str) -> str:
    return ask("git", "config", "--get", name).stdout.strip()


def _install(program: str) -> str:
    return f"brew install {program}" if sys.platform == "darwin" else f"sudo apt install {program}"
