"""The files that git tracks, with the hashes DVC 3 would give them."""

import json
import subprocess
import tomllib
from functools import cached_property
from hashlib import md5
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

        A file's is the MD5 of its bytes; a folder's is the MD5, with `.dir` appended, of the JSON list of its files'
        hashes and relative paths, without those that `.dvcignore` names.
        """
        file = self.root / path
        if path in self.tracked:
            return _md5(file.read_bytes()) if file.is_file() else None
        inside = sorted(name.removeprefix(f"{path}/") for name in self._counted if name.startswith(f"{path}/"))
        entries = [
            {"md5": _md5((file / name).read_bytes()), "relpath": name} for name in inside if (file / name).is_file()
        ]
        return f"{_md5(json.dumps(entries).encode())}.dir" if entries else None


def _md5(content: bytes) -> str:
    return md5(content, usedforsecurity=False).hexdigest()
