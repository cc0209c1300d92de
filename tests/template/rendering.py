"""Making projects of the template, as `copier copy` does."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import copier
from copier.errors import DirtyLocalWarning
from helpers import ROOT, copy_tree, git

UNWANTED = ("GITHUB_", "RUNNER_", "COV", "PYTEST", "VIRTUAL_ENV", "PYTHON", "MAKE", "MFLAGS", "MLFLOW", "UV_PROJECT")
VERSION = "v1.0.0"  # the tag that the template's tree gets in the tests


def terminal(**told: str) -> dict[str, str]:
    """The variables that a terminal has: nothing of whoever runs the tests, nor of their environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(UNWANTED)}
    kept["PATH"] = os.pathsep.join(each for each in kept["PATH"].split(os.pathsep) if not each.startswith(str(ROOT)))
    return kept | told


def publish(folder: Path, tag: str = VERSION) -> Path:
    """Put the template as it is now, without what git ignores, into a repository with a version."""
    copy_tree(folder)
    commit(folder, "template")
    git(folder, "branch", "-M", "main")
    git(folder, "tag", tag)
    git(folder, "gc", "-q")
    return folder


def commit(folder: Path, message: str) -> None:
    """Commit all there is."""
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message, "--allow-empty")


def render(template: Path, folder: Path, version: str | None = None, **answers: Any) -> Path:
    """Make a project of a version, the newest one unless said, with the default for what is not answered."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DirtyLocalWarning)
        copier.run_copy(str(template), folder, data=answers, vcs_ref=version, defaults=True, quiet=True)
    return folder


def project(template: Path, folder: Path, version: str | None = None, **answers: Any) -> Path:
    """Make a project that is a git repository with one commit."""
    render(template, folder, version, **answers)
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "project")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """What a folder holds, by path, but for git's own."""
    paths = [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]
    relative = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: path.read_bytes() for name, path in sorted(relative.items()) if not name.startswith(".git/")}


def copier_command(folder: Path, *words: str, answers: str = "") -> subprocess.CompletedProcess[str]:
    """Run copier's command in a folder, as people do."""
    command = [sys.executable, "-W", "ignore", "-m", "copier", *words]
    return subprocess.run(command, cwd=folder, input=answers, capture_output=True, text=True, check=False)
