"""Writing results so that a reader never sees half a file, and the same content is always the same bytes."""

import json
import math
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import polars as pl
from rich.console import Console

from slipway import layout
from slipway.errors import UserError


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder, and rename it to `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder for intermediate files, removed at the end and, if a run was killed, at the start of another."""
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(".scratch-*"):
        if not _runs(left.name.split("-")[1]):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(mkdtemp(prefix=f".scratch-{os.getpid()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _runs(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, as UTF-8, whatever the platform's own line ends."""
    with replaced(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and machines; a number that is not finite becomes null."""
    write_text(path, json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_report(path: Path) -> Any:
    """Read a JSON report of an earlier stage.

    Raises:
        UserError: It is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `make repro`") from None
    except ValueError:
        raise UserError(f"{path}: not valid JSON; run `make repro` to write it anew") from None


def read_table(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a Parquet file of an earlier stage.

    Raises:
        UserError: It is missing or damaged.
    """
    try:
        return pl.read_parquet(path, columns=columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{path}: cannot be read: {reason}; run `make repro`") from None


@contextmanager
def undamaged() -> Iterator[None]:
    """Turn what reading a report stumbles over into one line: it was damaged, or another version wrote it."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{layout.REPORTS}: a report lacks what this version writes ({' '.join(str(error).split())[:200]}); "
            "run `make repro`"
        ) from None


def finite(value: Any) -> Any:
    """A value of JSON's types with null for every number that is not finite."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def printable(text: str) -> str:
    """A text without control characters, which a name from the data must not bring to a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def console() -> Console:
    """Where progress goes: standard error, and nothing at all unless that is a terminal."""
    return Console(stderr=True, quiet=not sys.stderr.isatty())
