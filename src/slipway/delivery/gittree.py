"""The files that git tracks, with the hashes DVC 3 would give them."""

import json
import subprocess
import tomllib
from collections.abc import Iterable
from functools import cached_property, partial
from hashlib import file_digest, md5
from pathlib import Path
from typing import Any

from slipway.errors import UserError
from slipway.settings import read_yaml


class GitTree:
    """What git tracks below a root, as it is in the working directory.

    Args:
        root: The top of the project.

    Raises:
        UserError: It is not in a git repository.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tracked = frozenset(self._list())

    def _list(self, *options: str) -> list[str]:
        command = ["git", "ls-files", "-z", *options]
        try:
            done = subprocess.run(command, cwd=self.root, check=True, capture_output=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", b"").decode(errors="replace").strip() or error
            raise UserError(f"{self.root}: git cannot list the files: {reason}") from None
        return done.stdout.decode().split("\0")[:-1]

    @cached_property
    def _counted(self) -> frozenset[str]:
        ignored = self._list("--cached", "--ignored", "--exclude-per-directory=.dvcignore")
        return self.tracked - set(ignored)

    def is_ignored(self, path: str) -> bool:
        """Whether `.gitignore` keeps a path out of git."""
        command = ["git", "check-ignore", "--quiet", path]
        return subprocess.run(command, cwd=self.root, check=False).returncode == 0  # noqa: S603

    def mapping(self, path: str) -> dict[str, Any]:
        """Read a YAML, JSON or TOML file, as DVC does.

        Raises:
            UserError: It is not in git, cannot be read, or holds something else than a mapping.
        """
        if path not in self.tracked:
            raise UserError(f"{path}: not in git; `git add {path}`, or create it")
        file = self.root / path
        try:
            if file.suffix in {".json", ".toml"}:
                parse = json.loads if file.suffix == ".json" else tomllib.loads
                content = parse(file.read_text(encoding="utf-8"))
            else:
                content = read_yaml(file)
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read: {error}") from None
        if not isinstance(content, dict | None):
            raise UserError(f"{path}: not a mapping of names to values")
        return content or {}

    def hash(self, path: str) -> str | None:
        """DVC's hash of a file or folder, None if git does not track it or it is gone.

        In a folder the files count that git tracks and `.dvcignore` does not name.
        """
        file = self.root / path
        if path in self.tracked:
            return file_hash(file) if file.is_file() else None
        inside = [name.removeprefix(f"{path}/") for name in self._counted if name.startswith(f"{path}/")]
        return folder_hash(file, [name for name in inside if (file / name).is_file()])


def file_hash(path: Path) -> str:
    """DVC's hash of a file: the MD5 of its bytes."""
    with path.open("rb") as file:
        return file_digest(file, _md5).hexdigest()


def folder_hash(folder: Path, names: Iterable[str]) -> str | None:
    """DVC's hash of a folder with these files, by their relative paths; None if there are none.

    It is the MD5, with `.dir` appended, of the JSON list of their hashes and paths.
    """
    entries = [{"md5": file_hash(folder / name), "relpath": name} for name in sorted(names)]
    return f"{_md5(json.dumps(entries).encode()).hexdigest()}.dir" if entries else None


def path_hash(path: Path) -> str | None:
    """DVC's hash of whatever lies at a path; None if it is a folder without files."""
    if path.is_file():
        return file_hash(path)
    return folder_hash(path, [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()])


_md5 = partial(md5, usedforsecurity=False)
