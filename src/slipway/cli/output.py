"""Results for machines: with `--json` standard output is one JSON document; all else is on standard error."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer


def json_option(shape: str) -> Any:
    """The option `--json`.

    Args:
        shape: What the document holds, for `--help`.
    """
    return typer.Option("--json", help=f"Print JSON, and all else on standard error: {shape}")


@contextmanager
def aside(machine: bool) -> Iterator[None]:
    """Send to standard error, if so wished, what is said meanwhile, also by the programs that are run."""
    if not machine:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def print_json(content: Any) -> None:
    """Print a document: what JSON does not know, such as a path, as text, and a number that is not finite as null."""
    try:
        text = json.dumps(content, indent=2, allow_nan=False, default=str)
    except ValueError:
        from slipway.files import finite

        text = json.dumps(finite(content), indent=2, allow_nan=False, default=str)
    typer.echo(text)
