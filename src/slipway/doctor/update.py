"""Whether the template that a project was made from has moved on."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from slipway.answers import ANSWERS
from slipway.delivery.git import last_line
from slipway.doctor.asking import ask
from slipway.doctor.finding import Finding, without_secrets
from slipway.errors import UserError
from slipway.settings import read_yaml

SHORT = {"gh:": "https://github.com/", "gl:": "https://gitlab.com/"}
# The source is what a file says: no transport that runs commands, as `ext::` does.
PROTOCOLS = {"GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}
UPDATE = "uvx copier update"
COMMIT = 'git add --all && git commit --message "Before the update of the template" && '
CHANGES = ("git", "--no-optional-locks", "status", "--porcelain")
NAME = "template"
QUESTIONS = Path("copier.yml")  # which the template has, and no project made of it


def template() -> Iterator[Finding]:
    """What has become of the template since this project was made, or updated.

    Raises:
        UserError: The answers are damaged.
    """
    if not ANSWERS.exists() and not QUESTIONS.exists():
        yield Finding(NAME, "advice", f"no {ANSWERS}: nothing says which template this project is of", _regained())
        return
    if not ANSWERS.exists():
        found = (
            f"no {ANSWERS}: this is the template itself, or GitHub's copy of it, of which `make own` makes a project"
        )
        yield Finding(NAME, "ok", found)
        return
    source, commit = _answers(read_yaml(ANSWERS))
    shown = without_secrets(source)
    if not commit:
        yield Finding(NAME, "advice", f"{shown} was no git repository when it was copied: no version is known", UPDATE)
        return
    words = ("git", "ls-remote", "--quiet", "--", address(source), "HEAD", "refs/tags/*")
    try:
        done = ask(*words, variables=PROTOCOLS)
        said = without_secrets(last_line(done)) if done.returncode else ""
    except UserError as error:
        said = str(error).partition("; ")[0]
    if said:
        yield Finding(NAME, "advice", f"{shown} could not be asked: {said}", "make doctor ARGS=--update")
        return
    yield _compared(shown, commit, dict(line.split("\t")[::-1] for line in done.stdout.splitlines()))


def _regained() -> str:
    """How answers that are gone come back: out of git, or else from copier."""
    with suppress(UserError):  # no git
        commit = ask("git", "log", "-1", "--format=%h", "--diff-filter=AM", "--", str(ANSWERS)).stdout.strip()
        if commit:
            return f"git checkout {commit} -- {ANSWERS}"
    return "uvx copier copy TEMPLATE . # on a new branch: it asks before it replaces a file of yours"


def address(source: str) -> str:
    """Where git finds a source that copier was given.

    Raises:
        UserError: It is an option, not a source.
    """
    for prefix, host in SHORT.items():
        if source.startswith(prefix):
            return f"{host}{source.removeprefix(prefix).strip('/').removesuffix('.git')}.git"
    source = source.removeprefix("git+")
    if source.startswith("-"):
        raise UserError(f"{ANSWERS}: _src_path is {source!r}, which is no place; git checkout HEAD -- {ANSWERS}")
    return str(Path(source).expanduser()) if source.startswith("~") else source


def _compared(source: str, commit: str, refs: dict[str, str]) -> Finding:
    """Hold what a project was made from against the references of the template, by their names."""
    released = {version: tag for tag in refs if (version := _version(tag.removeprefix("refs/tags/"))) is not None}
    mend = COMMIT + UPDATE if ask(*CHANGES).stdout else UPDATE  # copier wants everything committed
    described = re.fullmatch(r"(.+)-(\d+)-g[0-9a-f]+", commit)  # as `git describe` names what lies after a tag
    hashed = re.fullmatch(r"[0-9a-f]{7,40}", commit) and f"refs/tags/{commit}" not in refs  # were it all digits
    ours = None if hashed else _version(described[1] if described else commit)
    if not released:  # then copier takes the head
        head = refs.get("HEAD", "")
        if head.startswith(commit):
            return Finding(NAME, "ok", f"{source} has no version, and nothing newer than {commit}")
        return Finding(NAME, "advice", f"{source} has no version, and is at {head[:9]}; this is {commit}", mend)
    newest = max(released)
    tag = released[newest].removeprefix("refs/tags/")
    if ours is not None and newest <= ours:
        return Finding(NAME, "ok", f"{commit}; nothing newer than {tag} at {source}")
    return Finding(NAME, "advice", f"{source} has moved on to {tag}; this is {commit}", mend)


def _version(tag: str) -> Version | None:
    """The version that a tag names; None if none, or none that copier would update to."""
    try:
        version = Version(tag)
    except InvalidVersion:
        return None
    return None if version.is_prerelease else version


def _answers(content: Any) -> tuple[str, str]:
    content = content if isinstance(content, dict) else {}
    source, commit = content.get("_src_path"), content.get("_commit")
    if not isinstance(source, str) or not source.strip():
        raise UserError(f"{ANSWERS}: names no _src_path; git checkout HEAD -- {ANSWERS}")
    return source.strip(), "" if commit is None else str(commit)
