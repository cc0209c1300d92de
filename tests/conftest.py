"""Fixtures of every test module."""

from pathlib import Path

import pytest

from helpers import copy_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project as it is now, in a git repository of its own."""
    return copy_project(tmp_path / "project")
