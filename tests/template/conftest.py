"""The template as a repository with a version, for the tests that make projects of it."""

from pathlib import Path

import pytest
from helpers import made_once
from rendering import publish


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template; no test may change it."""
    return made_once(tmp_path_factory, "template", publish)
