"""The model suite: what must be true of the exported model file. Add your own tests beside these."""

import pytest

import project


@pytest.fixture(autouse=True)
def _results_of_this_tree():
    project.refuse_stale()
