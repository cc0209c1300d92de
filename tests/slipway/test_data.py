"""`slipway data` as a person runs it, in a project of its own."""

from pathlib import Path

import polars as pl
import pytest
from helpers import copy_project, dvc, git, slipway

from slipway.delivery.data import version_data
from slipway.errors import UserError
from slipway.settings import read_yaml


def status(pulled: Path) -> list[str]:
    return git(pulled, "status", "--porcelain", "-uall").splitlines()


@pytest.mark.parametrize("words", [["data"], ["--allow-missing"]])
def test_a_clone_pulls_the_raw_data_without_an_account(tmp_path, words):
    root = copy_project(tmp_path / "project")
    assert not (root / "data").exists()
    dvc(root, "pull", *words)
    assert [path.name for path in (root / "data").iterdir()] == ["breast_cancer.parquet"]


def test_changed_data_is_versioned_and_only_its_objects_are_seen_by_git(pulled):
    before = read_yaml(pulled / "data.dvc")
    version_data(Path())
    assert not status(pulled)  # nothing had changed
    (table,) = (pulled / "data").iterdir()
    pl.read_parquet(table).head(9).write_parquet(pulled / "data/more.parquet")
    done = slipway(Path(), "data")
    assert "2 files" in done.stdout
    lines = (pulled / ".dvc/remote/.gitignore").read_text().splitlines()
    assert sum(line.startswith("!/files/md5/") for line in lines) == 3  # two files and the listing of the folder
    after = read_yaml(pulled / "data.dvc")
    assert (after.get("meta"), after["outs"][0]["desc"]) == (before.get("meta"), before["outs"][0]["desc"])
    assert len(status(pulled)) == 4  # data.dvc, .gitignore, the new file, the new listing


def test_data_that_breaks_the_contract_is_not_versioned(pulled):
    (table,) = (pulled / "data").iterdir()
    objects = sorted((pulled / ".dvc").glob("remote/files/md5/*/*"))
    frame = pl.read_parquet(table)
    first, second, *_ = [name for name, dtype in frame.schema.items() if dtype.is_float()]
    frame.with_columns(pl.lit(-1e6).alias(first), pl.lit(1e9).alias(second)).write_parquet(table)
    done = slipway(Path(), "data")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"column {first!r}, row 1: -1000000.0 is below the minimum" in done.stderr
    assert f"column {second!r}, row 1: 1000000000.0 is above the maximum" in done.stderr
    assert not status(pulled)
    assert sorted((pulled / ".dvc").glob("remote/files/md5/*/*")) == objects
    frame.drop(first).write_parquet(table)
    with pytest.raises(UserError, match=f"column {first!r} is missing"):
        version_data(Path())
    assert not list((pulled / ".dvc/tmp/data").iterdir())


def test_much_data_in_git_is_warned_of(pulled):
    (pulled / "data/notes.txt").write_bytes(bytes(12 * 2**20))
    assert "12 MB would travel in git, in .dvc/remote" in slipway(Path(), "data").stderr
    (pulled / "data/notes.txt").unlink()
    assert "travel" not in slipway(Path(), "data").stderr


def test_a_remote_elsewhere_needs_no_list_for_git(pulled, tmp_path):
    (tmp_path / "bucket").mkdir()
    dvc(pulled, "remote", "add", "-q", "--default", "elsewhere", str(tmp_path / "bucket"))
    before = (pulled / ".dvc/remote/.gitignore").read_text()
    assert version_data(Path()).in_git is None
    assert (pulled / ".dvc/remote/.gitignore").read_text() == before
    assert len(list((tmp_path / "bucket").glob("files/md5/*/*"))) == 2


def test_a_remote_that_cannot_be_reached_is_one_line(pulled, tmp_path):
    (tmp_path / "bucket").write_text("not a folder")
    dvc(pulled, "remote", "add", "-q", "--default", "elsewhere", str(tmp_path / "bucket"))
    done = slipway(Path(), "data")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "error: `dvc push data.dvc` failed" in done.stderr


def test_no_data_is_one_line(pulled):
    for path in (pulled / "data").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="no such file; run `make repro`"):
        version_data(Path())
