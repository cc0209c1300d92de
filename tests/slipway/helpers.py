"""What several test modules build on: repositories and small contracts."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from slipway.schema import Schema

ROOT = Path(__file__).parents[2]


def git(root: Path, *command: str) -> str:
    """Run git in a folder, as nobody in particular."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "core.autocrlf=false"]
    return subprocess.run(["git", *identity, *command], cwd=root, check=True, capture_output=True, text=True).stdout


def dvc(root: Path, *words: str) -> str:
    """Run DVC in a folder; it must succeed."""
    command = [sys.executable, "-m", "dvc", *words]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def slipway(root: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder."""
    command = [sys.executable, "-m", "slipway", *map(str, words)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def bench(out: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark; its results go to a folder."""
    command = [sys.executable, str(ROOT / "benchmarks/run.py"), "--out", str(out), *options]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=600
    )


def write(root: Path, path: str, text: str) -> Path:
    """Write a file, with the folders above it and its line ends as they are."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return file


def shared(factory: pytest.TempPathFactory, name: str) -> Path:
    """A path that all processes of a test run share."""
    base = factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first process of a test run which needs it fills; none but `make` may change it."""
    folder = shared(factory, name)
    maker = f"{make.__module__}.{make.__qualname__}"
    with FileLock(folder.with_suffix(".lock")):
        if not (done := folder.with_suffix(".done")).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.write_text(maker, encoding="utf-8")
    assert done.read_text(encoding="utf-8") == maker, f"{name}: others fill a folder of that name"
    return folder


def copy_tree(root: Path) -> None:
    """Put the tree as it is now, without what git ignores, into a new repository, uncommitted."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in listed.split("\0")[:-1]:
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    git(root, "init", "-q")


def copy_project(root: Path) -> Path:
    """Put the project as it is now into a new repository; it shares the environments."""
    copy_tree(root)
    share_environments(root)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "project")
    return root


def share_environments(root: Path) -> None:
    """Have a repository use this one's environments: gigabytes, and minutes, were each to have its own."""
    write(root, ".git/info/exclude", ".venv\n.tools\n")
    (ROOT / ".tools").mkdir(exist_ok=True)
    for folder in (".venv", ".tools"):
        (root / folder).symlink_to(ROOT / folder)


def clone(origin: Path, root: Path) -> Path:
    """Clone a repository; the clone shares the environments, and no results."""
    git(origin, "clone", "-q", str(origin), str(root))
    share_environments(root)
    return root


def schema_of(
    columns: dict[str, Any], target: str | dict[str, Any] = "y", source: dict[str, Any] | None = None, **rest: Any
) -> Schema:
    """A contract from types, or whole entries, by column name.

    The target is a column of two classes, "no" and "yes", unless given in full; the source is Parquet.
    """
    columns = {name: {"type": entry} if isinstance(entry, str) else entry for name, entry in columns.items()}
    if isinstance(target, str):
        target = {"column": target, "task": "binary", "classes": ["no", "yes"]}
    columns.setdefault(target["column"], {"type": "number" if target["task"] == "regression" else "category"})
    source = source or {"files": "*.parquet", "format": "parquet"}
    return Schema.model_validate({"source": source, "target": target, "columns": columns, **rest})
