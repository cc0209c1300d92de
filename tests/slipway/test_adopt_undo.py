"""`slipway adopt` changes everything or nothing, and says how to go back."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from examples import churn, diabetes
from helpers import dvc, git

from slipway.adopt import adopt
from slipway.adopt.infer import Wishes
from slipway.adopt.show import document, show
from slipway.errors import UserError
from slipway.settings import read_yaml


@pytest.fixture
def table(tmp_path: Path) -> Path:
    churn(200).write_parquet(tmp_path / "my table.parquet")
    return tmp_path / "my table.parquet"


def state(root: Path) -> dict[str, Any]:
    """Everything that an adoption changes, as git, DVC and a reader of the files see it."""
    names = ("src/model/schema.yaml", "params.yaml", "data.dvc", "dvc.yaml", ".gitignore", ".dvc/remote/.gitignore")
    files = [*map(root.joinpath, names), *sorted((root / "data").glob("*"))]
    return {
        "files": {path.relative_to(root).as_posix(): path.read_bytes() for path in files},
        "git": git(root, "status", "--porcelain", "-uall"),
        "dvc": json.loads(dvc(root, "data", "status", "--json")).get("uncommitted", {}).get("modified"),
    }


def is_placed(root: Path) -> bool:
    return (root / "data/my table.parquet").exists()


def is_described(root: Path) -> bool:
    return "my table" in (root / "data.dvc").read_text()


def is_added(root: Path) -> bool:
    try:
        return is_described(root) and read_yaml(root / "data.dvc")["outs"][0].get("nfiles") == 1
    except (TypeError, UserError):  # DVC writes the file in its place, so it may be half there
        return False


def adopt_until(
    pulled: Path, table: Path, reached: Callable[[Path], bool], stops: list[signal.Signals], *words: str
) -> None:
    """Run `slipway adopt` in a process of its own and stop it as soon as it has come so far."""
    command = [sys.executable, "-m", "slipway", "adopt", str(table), "--target", "churned", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as running:
        while running.poll() is None and not reached(pulled):
            time.sleep(0.002)
        assert running.poll() is None
        for stop in stops:  # as a terminal does: DVC is stopped too
            running.send_signal(stop) if stop == signal.SIGTERM else os.killpg(running.pid, stop)
    assert running.returncode != 0


def in_shell(pulled: Path, command: str) -> None:
    """Run what was printed as somebody does whose path does not hold the project's environment."""
    path = os.environ["PATH"].replace(f"{Path(sys.executable).parent}:", "")
    subprocess.run(["sh", "-ec", command], cwd=pulled, check=True, capture_output=True, env=os.environ | {"PATH": path})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reached", "stops"),
    [
        (is_placed, [signal.SIGINT]),
        (is_described, [signal.SIGTERM]),
        (is_added, [signal.SIGINT, signal.SIGINT]),
    ],
)
def test_an_interruption_while_writing_leaves_everything_as_it_was(
    pulled: Path, table: Path, reached: Callable[[Path], bool], stops: list[signal.Signals]
) -> None:
    before = state(pulled)
    adopt_until(pulled, table, reached, stops)
    assert state(pulled) == before
    assert not list((pulled / ".dvc/tmp/adopt").iterdir())


def test_a_remote_that_cannot_be_reached_leaves_everything_as_it_was(pulled, table, tmp_path):
    (tmp_path / "bucket").write_text("not a folder")
    dvc(pulled, "remote", "add", "-q", "--default", "elsewhere", str(tmp_path / "bucket"))
    before = state(pulled)
    with pytest.raises(UserError, match=r"`dvc push .*` failed: .*; mend that and run it again"):
        adopt(table, Wishes("churned"))
    assert state(pulled) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_leaves_everything_as_it_was(pulled, table):
    before = state(pulled)
    (pulled / f".dvc/remote/..gitignore.{os.getpid()}").symlink_to("/dev/full")  # the last file's draft
    with pytest.raises(OSError, match="No space left on device"):
        adopt(table, Wishes("churned"))
    assert state(pulled) == before


def test_where_no_data_was_none_is_left_behind(pulled, table):
    dvc(pulled, "remote", "add", "-q", "--default", "elsewhere", "/dev/null")
    for path in (pulled / "data").iterdir():
        path.unlink()
    (pulled / "data").rmdir()
    with pytest.raises(UserError, match="failed"):
        adopt(table, Wishes("churned"))
    assert not (pulled / "data").exists()


@pytest.mark.slow
@pytest.mark.parametrize("reached", [is_placed, is_described])
def test_an_adoption_that_was_killed_is_told_of_and_can_be_mended_in_two_ways(pulled, table, reached):
    before = state(pulled)
    adopt_until(pulled, table, reached, [signal.SIGKILL])
    with pytest.raises(UserError, match=r"was killed while it wrote: .* --force, .*: git checkout HEAD") as refused:
        adopt(table, Wishes("churned"))
    assert "\n" not in str(refused.value)
    in_shell(pulled, str(refused.value).rpartition(": ")[2])
    assert state(pulled) == before

    adopt_until(pulled, table, reached, [signal.SIGKILL])
    adopt(table, Wishes("churned"), force=True)
    assert is_added(pulled)
    assert not list((pulled / ".dvc/tmp/adopt").iterdir())


@pytest.mark.parametrize("had_data", [True, False])
def test_the_way_back_that_is_printed_leads_back(pulled, table, had_data, capsys):
    before = state(pulled)
    if not had_data:
        for folder in ("data", ".dvc/cache"):
            shutil.rmtree(pulled / folder)
    with (pulled / "README.md").open("a") as file:
        file.write("mine\n")
    show(adopt(table, Wishes("churned")))
    told = capsys.readouterr().out
    written = (
        "data/, .dvc/remote/.gitignore, data.dvc, params.yaml, src/model/schema.yaml, and for git to carry 2 objects"
    )
    assert f"Written: {written}" in told
    assert state(pulled) != before
    in_shell(pulled, told.split("To go back to the last commit: ")[1])
    after = state(pulled)
    assert after.pop("git") == " M README.md\n"  # what has nothing to do with it stays
    assert after == {name: value for name, value in before.items() if name != "git"}


def test_another_task_lists_the_pipeline_too_and_the_same_again_nothing(pulled, tmp_path, capsys):
    diabetes()[0].write_parquet(tmp_path / "d.parquet")
    show(adopt(tmp_path / "d.parquet", Wishes("progression")))
    assert "data.dvc, dvc.yaml, params.yaml" in capsys.readouterr().out
    git(pulled, "add", "-A")
    git(pulled, "commit", "-qm", "mine")
    show(adopt(tmp_path / "d.parquet", Wishes("progression")))
    told = capsys.readouterr().out
    assert "Written: data/\n" in told
    assert "To go back" not in told


def test_reports_that_a_refused_run_has_removed_are_named_and_come_back(pulled, table, capsys):
    before, report = state(pulled), (pulled / "reports/split.json").read_bytes()
    adopt(table, Wishes("churned"))
    contract = pulled / "src/model/schema.yaml"
    contract.write_text(re.sub(r"visits: .*", "visits: {type: integer, min: 0, max: 1}", contract.read_text()))
    with pytest.raises(subprocess.CalledProcessError):
        dvc(pulled, "repro", "-q", "prepare")
    assert not (pulled / "reports/split.json").exists()

    show(adoption := adopt(table, Wishes("churned", sensitive=("city",)), force=True))
    assert adoption.removed == ("reports/split.json",)
    assert document(adoption)["removed"] == ("reports/split.json",)
    assert "reports/split.json" not in adoption.written
    told = capsys.readouterr().out
    assert "\nRemoved, to be made anew by a run: reports/split.json\n" in told
    in_shell(pulled, told.split("To go back to the last commit: ")[1])
    assert (pulled / "reports/split.json").read_bytes() == report
    after = state(pulled)
    assert after["files"] == before["files"]
