"""Colours and progress where a person looks, and neither where nobody does."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import copy_project, made_once, write
from terminal import CODE, COLOUR, in_terminal

SLIPWAY = [sys.executable, "-m", "slipway"]
NO_COLOURS = [{"NO_COLOR": "1"}, {"TERM": "dumb"}]
BROKEN = """\
stages:
  train:
    cmd: python -c "raise SystemExit(3)"
    outs: [artifacts/model]
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it is in git, with its reports and without results; nobody may change it."""
    return made_once(tmp_path_factory, "at a terminal", copy_project)


@pytest.fixture
def broken(tree: Path, tmp_path: Path) -> Path:
    """The same with a pipeline whose one stage fails."""
    root = Path(shutil.copytree(tree, tmp_path / "tree", symlinks=True))
    write(root, "dvc.yaml", BROKEN)
    (root / "dvc.lock").unlink()
    return root


def piped(root: Path, *words: str) -> str:
    """What a command writes where there is no terminal, in whatever way."""
    done = subprocess.run([*SLIPWAY, *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("verb", ["summary", "exps"])
def test_a_terminal_gets_codes_and_a_pipe_none(tree: Path, verb: str) -> None:
    _, seen = in_terminal(tree, [*SLIPWAY, verb])

    assert CODE in seen
    assert CODE not in piped(tree, verb)


def test_colours_are_off_where_somebody_said_so(tree: Path) -> None:
    assert COLOUR.search(in_terminal(tree, [*SLIPWAY, "summary"])[1])
    for environment in NO_COLOURS:
        assert not COLOUR.search(in_terminal(tree, [*SLIPWAY, "summary"], **environment)[1])


@pytest.mark.parametrize("verb", ["summary", "exps", "check", "--help"])
def test_a_terminal_that_knows_no_codes_gets_none(tree: Path, verb: str) -> None:
    code, seen = in_terminal(tree, [*SLIPWAY, verb], TERM="dumb")

    assert (code, CODE in seen) == (0, False), seen


def test_what_dvc_says_obeys_as_well(broken: Path) -> None:
    code, seen = in_terminal(broken, [*SLIPWAY, "repro"])
    assert code == 2
    assert "\x1b[31mERROR" in seen  # or the next lines would prove nothing
    for environment in NO_COLOURS:
        _, plain = in_terminal(broken, [*SLIPWAY, "repro"], **environment)
        assert "ERROR: failed to reproduce 'train'" in plain
        assert not COLOUR.search(plain)
    assert CODE not in piped(broken, "repro")


@pytest.mark.slow
def test_long_work_shows_progress_to_who_looks(ran: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(ran, tmp_path / "run", symlinks=True))
    review = ["review", "--base", "HEAD", "--out", str(tmp_path / "out")]

    assert "comparing" in in_terminal(root, [*SLIPWAY, *review])[1]
    assert "comparing" not in piped(root, *review)
    stage = [sys.executable, "-m", "slipway.stages.train"]
    assert "cross-validation" in in_terminal(root, stage)[1]
    done = subprocess.run(stage, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
    quiet = piped(root, "repro", "--force", "--single-item", "train")
    assert "Running stage 'train'" in quiet
    assert "\r" not in quiet
    assert CODE not in quiet
