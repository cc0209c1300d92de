"""Releases that tests read, made once; who changes one takes a copy."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from releases import TABLES, make_release


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the release of a table by its name."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            folder, before = tmp_path_factory.mktemp("release"), Path.cwd()
            os.chdir(folder)
            try:
                made[name] = make_release(folder / "release", TABLES[name])
            finally:
                os.chdir(before)
        return made[name]

    return of


@pytest.fixture
def release(releases: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """Gives a copy of such a release, to be changed."""

    def of(name: str) -> Path:
        target = tmp_path / "release"
        shutil.copytree(releases(name), target)
        return target

    return of
