"""The model suite: what must be true of the exported model file. Add your own tests beside these."""

import pytest

import project
from slipway.errors import UserError


def pytest_sessionstart() -> None:
    """Say it once, and not in every test, where the results are not those of this tree."""
    try:
        project.refuse_stale()
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what there is nothing of, such as monotonic columns, rather than show it as skipped."""
    items[:] = [
        item
        for item in items
        if not any("empty parameter set" in mark.kwargs.get("reason", "") for mark in item.iter_markers("skip"))
    ]
