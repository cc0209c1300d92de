"""Shared by every test: the project's suites look at the results of the last run, which must be this tree's."""

from pathlib import Path

import pytest

SUITES = {Path(__file__).parent / name for name in ("data", "model")}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the suites unread where nobody asks for them: to read them takes results."""
    return True if collection_path in SUITES and "not results" in config.option.markexpr else None


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Say it once, and not in every test, where the results are not those of this tree."""
    if collector.path in SUITES:
        import project
        from slipway.errors import UserError

        try:
            project.refuse_stale()
        except UserError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what looks at results."""
    if SUITES.intersection(item.path.parents):
        item.add_marker("results")
