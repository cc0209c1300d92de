"""The base of a review: which commit it is, what git holds of it, and its model file from DVC or made again."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from slipway import layout
from slipway.errors import UserError
from slipway.files import console, printable, scratch_folder
from slipway.settings import load
from slipway.tools import find_uv, own_environment

WORKSHOP = Path(".dvc/tmp/review")  # on the project's own disk, ignored by git and DVC
Settings = TypeVar("Settings", bound=BaseModel)


class NoModelError(Exception):
    """The base revision has a model, but its file cannot be had; the text says why and what to do."""


@dataclass(frozen=True)
class Base:
    """A commit to compare with.

    Attributes:
        revision: As it was asked for.
        commit: Its full hash.
    """

    revision: str
    commit: str

    def read(self, path: Path) -> bytes | None:
        """A file as the commit has it, relative to the project; None if it has none.

        Raises:
            UserError: git has the commit, but not the file, as in a partial clone.
        """
        listed = _git("ls-tree", "--name-only", self.commit, "--", f"./{path.as_posix()}")
        if listed.returncode == 0 and not listed.stdout:
            return None
        done = _git("show", f"{self.commit}:./{path.as_posix()}")
        if done.returncode:
            raise UserError(f"{path} of {self.revision} cannot be read: {_last_line(done.stderr)}")
        return done.stdout

    def settings(self, path: Path, model: type[Settings]) -> Settings:
        """A settings file of the commit.

        Raises:
            UserError: It is missing, or today's code does not understand it.
        """
        content = self.read(path)
        if content is None:
            raise UserError(f"{path}: not in {self.revision}")
        with scratch_folder(WORKSHOP) as folder:
            (folder / path.name).write_bytes(content)
            try:
                return load(folder / path.name, model)
            except UserError as error:
                said = str(error).replace(str(folder / path.name), f"{path} of {self.revision}")
                raise UserError(said) from None

    def mapping(self, path: Path) -> dict[str, Any] | None:
        """A YAML file of the commit as it is; None if it has none.

        Raises:
            UserError: It is not YAML, or no mapping of names to values.
        """
        content = self.read(path)
        if content is None:
            return None
        try:
            found = YAML(typ="safe").load(content.decode(errors="replace"))
        except (YAMLError, ValueError):
            found = None
        if not isinstance(found, dict):
            raise UserError(f"{path} of {self.revision}: damaged: it holds no names with values")
        return found

    def lock(self) -> dict[str, Any] | None:
        """The stages of the commit's `dvc.lock`; None if it has none.

        Raises:
            UserError: It is damaged.
        """
        content = self.mapping(layout.LOCK)
        if content is None:
            return None
        stages = content.get("stages")
        if not isinstance(stages, dict) or not all(isinstance(stage, dict) for stage in stages.values()):
            raise UserError(f"{layout.LOCK} of {self.revision}: damaged: it holds no stages")
        return stages


def find_base(revision: str | None, into: str | None = None) -> Base:
    """Resolve the revision to compare with: the one given, or where this branch left the one that it goes into.

    Args:
        revision: To compare with, whatever lies between.
        into: The branch that this one goes into; the default branch unless given.

    Raises:
        UserError: There is no such revision, or no such point in the history that is here.
    """
    if _git("rev-parse", "--git-dir").returncode:
        raise UserError("this folder is not in a git repository; run: git init")
    if _git("rev-parse", "--verify", "--quiet", "HEAD^{commit}").returncode:
        raise UserError("the repository has no commit yet; commit first, then there is something to compare with")
    shallow = git_text("rev-parse", "--is-shallow-repository") == "true"
    deepen = "; the clone is shallow: `git fetch --unshallow` brings the history" if shallow else ""
    if revision is not None and set(revision) != {"0"}:  # so GitHub names what was before the first push
        commit = git_text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        if not re.fullmatch("[0-9a-f]{40}([0-9a-f]{24})?", commit):  # `^HEAD` resolves, but names no commit
            raise UserError(
                f"--base {printable(revision)}: there is no such revision{deepen or '; see `git log --all`'}"
            )
        return Base(revision, commit)
    branch = into or _default_branch()
    if not git_text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{branch}^{{commit}}"):
        raise UserError(f"--into {printable(branch)}: there is no such branch{deepen or '; see `git branch --all`'}")
    commit = git_text("merge-base", "--end-of-options", "HEAD", branch)
    if not commit:
        raise UserError(
            f"HEAD and {branch} have no common commit here{deepen or '; name the revision to compare with by --base'}"
        )
    return Base(branch, commit)


def _default_branch() -> str:
    remote = git_text("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
    for name in (remote, "origin/main", "origin/master", "main", "master"):
        if name and git_text("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"):
            return name
    raise UserError("no default branch was found (origin/HEAD, main, master); name what to compare with by --base")


def model_stage(stages: Mapping[str, Any]) -> tuple[str, str] | None:
    """The stage of a `dvc.lock` that wrote the model folder, and the folder's hash; None if there is none."""
    for name, stage in stages.items():
        outs = stage.get("outs") or []
        for out in outs if isinstance(outs, list) else []:
            if isinstance(out, dict) and out.get("path") == layout.MODEL.as_posix():
                return str(name), str(out.get("md5"))
    return None


@contextmanager
def base_model(base: Base, *, reproduce: bool) -> Iterator[tuple[Path, str] | None]:
    """The base's model folder for as long as the block lasts, and its source; None if the base has no model.

    Args:
        base: The commit.
        reproduce: Whether to run the base's pipeline again where neither DVC's cache nor its remote has the model.

    Raises:
        NoModelError: It cannot be had.
    """
    try:
        stages = base.lock()
    except UserError as error:
        raise NoModelError(str(error)) from None
    stage = None if stages is None else model_stage(stages)
    if stages is not None and stage is None:
        raise NoModelError(f"{layout.LOCK} of {base.commit[:9]} names no {layout.MODEL}")
    if stage is None:
        yield None
        return
    with scratch_folder(WORKSHOP) as scratch:
        folder = scratch.resolve()
        target, source = folder / "model", "dvc"
        if not fetch(base, layout.MODEL, target):
            if not reproduce:
                raise NoModelError(
                    f"the model of {base.commit[:9]} is neither in DVC's cache nor in a remote; "
                    f"leave out --no-reproduce, or run `dvc push` where that model was made"
                )
            _reproduce(base, stage[0], folder / "tree", target)
            source = "reproduced"
        yield target, source


def fetch(base: Base, path: Path, target: Path) -> bool:
    """Bring a file or folder as the commit has it from DVC's cache or remote; whether it is there now."""
    from dvc.api import DVCFileSystem

    try:
        DVCFileSystem(".", rev=base.commit).get(path.as_posix(), str(target), recursive=True)
    except Exception:  # DVC's own, and whatever the driver of a remote that is out of reach raises
        shutil.rmtree(target, ignore_errors=True)
        return False
    return any(target.iterdir()) if target.is_dir() else target.is_file()


def changed_files(base: Base) -> list[tuple[str, int | None, int | None]]:
    """The files that people write and that are not the commit's, with the lines that came and went (None: binary)."""
    made = [f":(exclude){path}" for path in (layout.LOCK, layout.REPORTS, layout.DATA_DVC, ".dvc/remote")]
    plain = ("--no-renames", "--no-ext-diff", "--no-textconv")  # whatever the user's git is set to
    listed = _git("diff", "--numstat", "-z", *plain, base.commit, "--", ".", *made).stdout
    found = []
    for line in listed.decode(errors="replace").split("\0")[:-1]:
        added, removed, path = line.split("\t", 2)
        found.append((path, int(added) if added != "-" else None, int(removed) if removed != "-" else None))
    return found


def _reproduce(base: Base, stage: str, tree: Path, target: Path) -> None:
    """Run the base's pipeline up to its model in a worktree of its own, with its own lock files and our cache."""
    try:
        uv = find_uv()
    except UserError as error:
        raise NoModelError(str(error)) from None
    added = _git("worktree", "add", "--detach", "--force", str(tree), base.commit)
    try:
        if added.returncode:
            raise NoModelError(f"a worktree of {base.commit[:9]} cannot be made: {_last_line(added.stderr)}")
        cache = _cache()
        with console().status(f"reproducing the model of {base.commit[:9]}"):
            for command in (
                [uv, "sync", "--frozen", "--quiet"],
                [uv, "run", "--frozen", "dvc", "cache", "dir", "--local", cache],
                [uv, "run", "--frozen", "dvc", "repro", "--pull", stage],
            ):
                done = subprocess.run(command, cwd=tree, env=own_environment(), capture_output=True, check=False)  # noqa: S603
                if done.returncode:
                    raise NoModelError(
                        f"the model of {base.commit[:9]} is in no cache or remote, and making it again failed: "
                        f"{_last_line(done.stderr or done.stdout)}; see it with `git switch --detach "
                        f"{base.commit[:9]} && make repro`, then `dvc push` shares the result"
                    )
        shutil.copytree(tree / layout.MODEL, target)
    finally:
        shutil.rmtree(tree, ignore_errors=True)
        _git("worktree", "prune")


def _cache() -> str:
    from dvc.repo import Repo

    with Repo() as project:
        return str(project.cache.local.path)


def digest(content: bytes | None) -> str | None:
    """SHA-256 in hexadecimal."""
    return None if content is None else sha256(content).hexdigest()


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "--no-optional-locks", *words], capture_output=True, check=False)  # noqa: S603, S607


def git_text(*words: str) -> str:
    """What a git command says; empty if it fails."""
    done = _git(*words)
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""


def _last_line(content: bytes) -> str:
    lines = [line.strip() for line in content.decode(errors="replace").splitlines() if line.strip()]
    return (lines or ["it said nothing"])[-1][:200]
