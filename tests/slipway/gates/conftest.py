"""The sound worlds that faults are seeded into."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from world import NUMBERS, World, contract, people


@pytest.fixture
def sound(tmp_path: Path) -> World:
    """A world of two classes in which every gate passes."""
    return World(tmp_path)


@pytest.fixture
def numbers(tmp_path: Path) -> World:
    """A world of numbers in which every gate passes."""
    return World(
        tmp_path,
        task="regression",
        train=people(task="regression"),
        holdout=people(600, seed=1, task="regression"),
        settings=NUMBERS,
        schema=contract("regression"),
    )
