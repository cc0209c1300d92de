"""The data suite: what must be true of the project's rows. Add your own tests beside these."""

import pytest

import project
from slipway.errors import UserError


def pytest_sessionstart() -> None:
    """Say it once, and not in every test, where the results are not those of this tree."""
    try:
        project.refuse_stale()
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
