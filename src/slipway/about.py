"""What `pyproject.toml` says of the project, whose name is its own, not this package's."""

import tomllib
from pathlib import Path


def project_name() -> str:
    """The project's name; without one that of its folder."""
    return _stated("name") or Path.cwd().name


def project_licence() -> str:
    """The licence as an SPDX expression; `NOASSERTION`, which is SPDX for unknown, where none is named."""
    return _stated("license") or "NOASSERTION"


def _stated(key: str) -> str | None:
    try:
        stated = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"].get(key)
    except (OSError, ValueError, LookupError, AttributeError):
        return None
    return stated if isinstance(stated, str) else None
