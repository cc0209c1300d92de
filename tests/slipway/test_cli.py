"""The command line as a whole: its rooms, some of which a project may lack."""

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from helpers import copy_project, git, slipway, write

RELEASE = {"release", "promote", "rollback", "lineage"}
# What a project lacks that deploys to Kubernetes alone, and what besides one that does not deploy.
NO_MACHINE = ("cli/deploy.py", "delivery/deploy")
NO_RELEASE = ("cli/release.py", "delivery/release")


def without(root: Path, *names: str) -> Path:
    for name in names:
        path = root / "src/slipway" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return root


@pytest.mark.parametrize(
    ("missing", "gone"),
    [((), set()), (NO_MACHINE, {"deploy"}), ((*NO_MACHINE, *NO_RELEASE), {"deploy", *RELEASE})],
    ids=["compose", "kubernetes", "none"],
)
def test_the_verbs_are_those_of_the_rooms_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], gone: set[str]
) -> None:
    root = without(copy_project(tmp_path), *missing)
    monkeypatch.setenv("PYTHONPATH", str(root / "src"))  # before the project that the environment has installed

    said = slipway(root, "--help")

    found = set(re.findall(r"^  ([a-z-]+)  ", said.stdout.partition("Commands:")[2], re.MULTILINE))
    assert found >= {"repro", "lock", "review", "image", "scan", "comment"}
    assert {"deploy", *RELEASE} - found == gone
    for verb in gone & {"deploy", "lineage"}:
        refused = slipway(root, verb)
        assert refused.returncode == 2
        assert f"No such command '{verb}'" in refused.stderr
    assert slipway(root, "lock").returncode == 0
    assert slipway(root, "check").returncode == 0


def everything_but_slipway(folder: Path) -> Path:
    """The Python of an environment that has what ours has, but not this project, where mypy would find what is gone."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "slipway" not in path.name:
            (folder / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix) / path.name).symlink_to(path)
    return folder / "bin/python"


@pytest.mark.slow
def test_nothing_that_stays_needs_what_is_gone(tmp_path: Path) -> None:
    root = copy_project(tmp_path / "project")
    other = everything_but_slipway(tmp_path / "environment")
    mypy = [sys.executable, "-m", "mypy", "--no-error-summary", "--python-executable", str(other)]

    for missing in (NO_MACHINE, NO_RELEASE):
        without(root, *missing)
        done = subprocess.run(mypy, cwd=root, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_what_nobody_foresaw_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = copy_project(tmp_path / "project")
    write(tmp_path, "broken/polars.py", "raise RuntimeError('half installed')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))

    done = slipway(root, "summary")

    assert done.returncode == 2  # Python's own, 1, would say that a gate failed
    assert "half installed" in done.stderr
    assert done.stderr.splitlines()[-1] == "error: RuntimeError was not foreseen; report it with what stands above"


@pytest.mark.parametrize("verb", ["data", "repro", "model"])
def test_what_dvc_says_of_its_settings_is_one_line(tmp_path: Path, verb: str) -> None:
    root = copy_project(tmp_path / "project")
    write(root, ".dvc/config", "[core\n")

    done = slipway(root, verb)

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "Invalid line ('[core')" in done.stderr


@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_stream_that_is_closed_changes_no_outcome(tmp_path: Path, closed: str) -> None:
    root = copy_project(tmp_path / "project")

    done = subprocess.run(
        ["bash", "-c", f'exec "$0" -m slipway summary --json {closed}>&-', sys.executable],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == (closed == "2")


def test_a_branch_that_removes_data_and_proof_is_stopped_by_the_review(tmp_path: Path) -> None:
    root = copy_project(tmp_path / "project")
    git(root, "rm", "-rq", "data.dvc", "dvc.lock", "src/model/schema.yaml")
    git(root, "commit", "-qm", "emptied")

    proved, judged = slipway(root, "lock"), slipway(root, "review", "--base", "HEAD~1")

    assert (proved.returncode, proved.stdout) == (0, "there is no data yet, and nothing to prove\n")
    assert (judged.returncode, judged.stdout) == (2, "")  # undecided, which blocks
    assert "this project has no data yet" in judged.stderr
    git(root, "rm", "-q", "dvc.yaml")
    assert "dvc.yaml: no such file" in slipway(root, "lock").stderr
