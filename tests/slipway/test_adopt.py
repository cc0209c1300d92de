"""`slipway adopt` and `slipway data` as a person runs them, in a project of its own."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from examples import churn, diabetes
from helpers import copy_project, dvc, git, slipway

from slipway.adopt import adopt
from slipway.adopt.infer import Wishes
from slipway.delivery.data import version_data
from slipway.errors import UserError
from slipway.params import load_params
from slipway.schema import load_schema
from slipway.settings import read_yaml
from slipway.settings_check import check_settings

WRITTEN = ("src/model/schema.yaml", "params.yaml", "data.dvc", "dvc.yaml", ".dvc/remote/.gitignore")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as it is now, in a repository of its own, where the test runs."""
    root = copy_project(tmp_path / "project")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def table(tmp_path: Path) -> Path:
    churn(400).with_columns(pl.col("joined").dt.date()).write_csv(tmp_path / "kündigungen 2024.csv", separator=";")
    return tmp_path / "kündigungen 2024.csv"


def texts(project: Path) -> dict[str, str]:
    return {name: (project / name).read_text(encoding="utf-8") for name in WRITTEN}


def status(project: Path) -> list[str]:
    return git(project, "status", "--porcelain", "-uall").splitlines()


@pytest.mark.slow
def test_a_table_becomes_the_data_of_the_project(project, table, tmp_path):
    done = slipway(Path(), "adopt", table, "--target", "churned", "--sensitive", "city")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the positive class is 'yes'" in done.stdout
    assert "make repro" in done.stdout
    assert [path.name for path in (project / "data").iterdir()] == [table.name]
    assert (project / "data" / table.name).read_bytes() == table.read_bytes()
    schema, params = load_schema(), load_params()
    check_settings(params, schema)
    assert schema.sensitive == ("city",)
    assert params.evaluate.slices[0].column == "city"
    pinned = read_yaml(project / "data.dvc")
    assert pinned["outs"][0]["desc"].startswith("kündigungen 2024.csv")
    assert "meta" not in pinned

    # Git sees the objects of this table and no others, so a clone can pull it from the repository itself.
    git(project, "add", "-A")
    git(project, "commit", "-qm", "my data")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(project), str(clone))
    dvc(clone, "pull", "-q", "data.dvc")
    assert (clone / "data" / table.name).read_bytes() == table.read_bytes()
    (project / ".dvc/remote/files/md5/00").mkdir()
    (project / ".dvc/remote/files/md5/00/result").write_text("of a pipeline")
    assert not status(project)

    # The same once more gives the same files.
    before = texts(project)
    adopt(table, Wishes("churned", sensitive=("city",)))
    assert texts(project) == before
    assert not status(project)


def test_another_task_changes_the_plots_and_the_gates(project, tmp_path):
    diabetes()[0].write_parquet(tmp_path / "d.parquet")
    adopt(tmp_path / "d.parquet", Wishes("progression"))
    assert set(load_params().gates.metrics) == {"r2", "mae"}
    assert "residuals" in (project / "dvc.yaml").read_text()
    assert "roc.csv" not in (project / "dvc.yaml").read_text()
    check_settings(load_params(), load_schema())


@pytest.mark.parametrize("name", ["params.yaml", "src/model/schema.yaml", "data.dvc"])
def test_work_that_is_in_no_commit_is_not_overwritten(project, table, name):
    with (project / name).open("a") as file:
        file.write("# mine\n")
    before = texts(project)
    with pytest.raises(UserError, match=f"^{name}: would be overwritten"):
        adopt(table, Wishes("churned"))
    assert texts(project) == before


def test_changed_data_is_not_overwritten_unless_forced(project, table):
    (project / "data").mkdir(exist_ok=True)
    inside = project / "data" / table.name
    inside.write_bytes(table.read_bytes())
    (project / "data/mine.csv").write_text("a\n")
    with pytest.raises(UserError, match=r"^data/: would be overwritten"):
        adopt(inside, Wishes("churned"))
    assert (project / "data/mine.csv").exists()
    adopt(inside, Wishes("churned"), force=True)
    assert [path.name for path in (project / "data").iterdir()] == [table.name]
    assert inside.read_bytes() == table.read_bytes()


def test_data_that_dvc_does_not_know_is_not_overwritten(project, table):
    git(project, "rm", "-q", "data.dvc")
    git(project, "commit", "-qm", "no data")
    (project / "data").mkdir(exist_ok=True)
    with pytest.raises(UserError, match="no such file"):
        adopt(project / "nothing.csv", Wishes("churned"))
    (project / "data/mine.csv").write_text("a\n")
    with pytest.raises(UserError, match=r"^data/: would be overwritten"):
        adopt(table, Wishes("churned"))


def test_an_interruption_while_deciding_changes_nothing(project, table):
    before = texts(project)
    command = [sys.executable, "-m", "slipway", "adopt", str(table), "--target", "churned"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        while running.poll() is None and not list(project.glob(".dvc/tmp/adopt/.scratch-*/*.parquet")):
            time.sleep(0.01)  # until it reads the table
        running.send_signal(signal.SIGINT)
    assert running.returncode not in {0, 2}
    assert texts(project) == before
    assert not status(project)
    assert not (project / "data").exists()
    assert not list((project / ".dvc/tmp/adopt").iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.csv", "--target", "y"], "nowhere.csv: no such file"),
        (["{table}", "--target", "churn"], "--target: there is no column 'churn'; there is 'churned'"),
        (["{table}", "--target", "churned", "--time", "joined"], "--time: column 'joined' has no value in"),
        (["{table}", "--target", "churned", "--id", "city"], "--id: column 'city' has no value in"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(project, table, words, message):
    done = slipway(Path(), "adopt", *(word.format(table=table) for word in words))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not status(project)


def test_where_there_is_no_project_one_is_asked_for(tmp_path, monkeypatch, table):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UserError, match="not in a git repository"):
        adopt(table, Wishes("churned"))
    git(tmp_path, "init", "-q")
    with pytest.raises(UserError, match="DVC is not set up"):
        adopt(table, Wishes("churned"))
    dvc(tmp_path, "init", "-q")
    with pytest.raises(UserError, match="no default remote"):
        version_data(tmp_path)


@pytest.mark.no_cover
@pytest.mark.slow
def test_an_adopted_table_runs_to_the_end(project, tmp_path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=500)
    kinds = np.digitize(x + rng.normal(size=500), [-1, 1])
    frame = pl.DataFrame(
        {
            " age (years)": [f"{40 + 9 * value:.1f}".replace(".", ",") if n % 20 else "?" for n, value in enumerate(x)],
            "Größe": rng.choice(["klein", "groß", "k.A."], 500),
            "seit": [f"{n % 28 + 1:02d}.{n % 12 + 1:02d}.2021" for n in range(500)],
            "%": rng.choice(["ja", "nein"], 500),
            "leer": [""] * 500,
            "Ziel!": [f"<= {kind}" for kind in kinds],
        }
    )
    (tmp_path / "t.csv").write_bytes(frame.write_csv(separator=";").encode("latin-1"))
    adopt(tmp_path / "t.csv", Wishes("Ziel!"))
    dvc(project, "repro", "-q")
    told = slipway(Path(), "summary")
    assert told.returncode == 0, told.stdout
    assert (project / "artifacts/model/model.onnx").exists()
