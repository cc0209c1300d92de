"""What `slipway doctor` says of DVC's remote and MLflow's server: it tries them, and leaves nothing behind."""

from pathlib import Path
from typing import Any

import pytest
from dvc_objects.fs import LocalFileSystem
from helpers import dvc, git, write
from loopback import serving

from slipway.doctor import stores
from slipway.doctor.diagnose import diagnose
from slipway.doctor.finding import Finding

LOGIN = "me:secret"  # apart from the URLs that it is put into, so that no hook takes them for leaks


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with DVC and no remote."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    git(Path(), "init", "-q")
    dvc(Path(), "init", "-q")
    return tmp_path / "project"


def tried(url: str) -> Finding:
    write(Path(), ".dvc/config", f"[core]\n    remote = store\n['remote \"store\"']\n    url = {url}\n")
    (found,) = diagnose({"DVC remote": stores.dvc})
    assert found.name == "DVC remote"
    return found


def tree(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize("kept", [(), ("store",), ("store/files/md5",)])
def test_a_remote_that_can_be_written_is_as_it_was(root, kept):
    """given a remote that is not made yet, empty, or in use, when it is tried, then nothing has come or gone"""
    for folder in kept:
        (root.parent / folder).mkdir(parents=True)
        write(root.parent / folder, "somebodys", "file")
    before = tree(root.parent)
    found = tried(str(root.parent / "store"))
    assert (found.outcome, found.found) == ("ok", f"store ({root.parent}/store) can be written")
    assert (
        tree(root.parent / "store")
        == [path for path in before if path.is_relative_to(root.parent / "store")][bool(kept) :]
    )


def test_a_remote_that_is_no_folder_cannot_be_written(root):
    """given a path below a file, where even root makes no folder, then it is wrong, and why is said"""
    write(root.parent, "store", "a file")
    found = tried(str(root.parent / "store"))
    assert (found.outcome, found.mend) == ("wrong", "uv run dvc remote modify store url URL")
    assert found.found.startswith(f"store ({root.parent}/store) cannot be used: ")
    assert "Not a directory" in found.found or "File exists" in found.found


def test_without_dvc_or_a_remote_it_says_what_to_do(root, tmp_path, monkeypatch):
    (found,) = diagnose({"DVC remote": stores.dvc})
    assert (found.outcome, found.found) == ("wrong", ".dvc/config: has no default remote")
    assert found.mend == "add one with `dvc remote add --default NAME URL`"
    monkeypatch.chdir(tmp_path)
    (found,) = diagnose({"DVC remote": stores.dvc})
    assert (found.outcome, found.mend) == ("wrong", "uv run dvc init")


def test_a_git_that_refuses_is_not_taken_for_no_repository(root):
    """given a remote that can be written, when git cannot read its configuration, then that is said, not DVC's guess"""
    config, whole = root / ".git/config", (root / ".git/config").read_text()
    config.write_text(f"{whole}[broken\n")
    found = tried(str(root.parent / "store"))
    line = whole.count("\n") + 1
    assert (found.outcome, found.found) == ("wrong", f"git refuses: fatal: bad config line {line} in file .git/config")
    assert found.mend == f"${{EDITOR:-vi}} .git/config # line {line}"
    config.write_text(whole)
    assert tried(str(root.parent / "store")).outcome == "ok"


def test_a_configuration_that_dvc_cannot_read_is_a_line(root):
    (root / ".dvc/config").write_text("[core\n")
    (found,) = diagnose({"DVC remote": stores.dvc})
    assert (found.outcome, found.mend) == ("wrong", "git checkout HEAD -- .dvc/config")
    assert found.found.startswith(".dvc/config cannot be used: ")


def test_a_driver_that_is_not_installed_is_named_by_its_group(root):
    found = tried("azure://container/path")
    assert found.outcome == "wrong"
    assert found.found == "store (azure://container/path) needs a driver that is not installed"
    assert found.mend == 'add "azure" to default-groups in pyproject.toml, then: make setup'


def test_a_remote_that_does_not_answer_is_not_waited_for(root, monkeypatch):
    monkeypatch.setattr(stores, "IMPORTING", 0.1)
    found = tried(str(root.parent / "store"))
    assert (found.outcome, found.found) == ("wrong", "no answer within 0.1 s")


def test_nothing_is_written_where_nothing_could_be_removed(root):
    asked = []

    def answer(method: str, path: str, *_: Any) -> tuple[int, Any]:
        asked.append((method, path))
        return 200, {}

    with serving(answer) as url:
        found = tried(f"{url}/store")
    assert (found.outcome, asked) == ("advice", [])


class Undeletable(LocalFileSystem):
    """A store that takes and gives objects, and lets nobody delete."""

    def rm_file(self, path: str) -> None:
        raise PermissionError(f"AccessDenied: {path}")


class Forgetful(LocalFileSystem):
    """A store that gives back something else."""

    def cat_file(self, *_: Any, **__: Any) -> bytes:
        return b""


class Stopped(LocalFileSystem):
    """A store in the midst of which the process is told to end, as happens where it takes too long."""

    def cat_file(self, *_: Any, **__: Any) -> bytes:
        raise SystemExit(143)


def test_what_cannot_be_removed_is_told(tmp_path):
    outcome, found, mend = stores._write(Undeletable(), str(tmp_path), "there")
    (left,) = tmp_path.iterdir()
    assert (outcome, found) == ("advice", f"there can be written, but {left} stays: AccessDenied: {left}")
    assert left.read_bytes() == stores.PROBE
    assert mend


def test_what_comes_back_changed_is_wrong(tmp_path):
    assert stores._write(Forgetful(), str(tmp_path), "there")[0] == "wrong"


def test_a_probe_that_is_stopped_leaves_nothing(tmp_path):
    with pytest.raises(SystemExit):
        stores._write(Stopped(), str(tmp_path / "store/files/md5"), "there")
    assert not tree(tmp_path)


def test_runs_that_stay_here_need_no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert [(found.outcome, found.found) for found in stores.mlflow()] == [("ok", "no server: runs go to mlflow.db")]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://{LOGIN}@db/runs")
    (found,) = stores.mlflow()
    assert (found.outcome, found.found) == ("ok", "no server: runs go to postgresql://db/runs")


def test_mlflows_server_answers_or_refuses(monkeypatch):
    """given a server as MLflow's client finds it, then it answers; with one that knows nobody, or none, it is wrong"""
    status, asked = 200, []

    def answer(method: str, path: str, *_: Any) -> tuple[int, Any]:
        asked.append((method, path))
        return status, {"experiments": []} if status == 200 else {"error_code": "PERMISSION_DENIED", "message": "who?"}

    for name in ("MAX_RETRIES", "TIMEOUT"):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", "1")  # is changed, and put back by this
    with serving(answer) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        (found,) = diagnose({"MLflow": stores.mlflow})
        assert (found.outcome, found.found) == ("ok", f"{url} answers")
        assert asked == [("POST", "/api/2.0/mlflow/experiments/search")]
        status = 403
        mend = "start that server, or keep runs here: unset MLFLOW_TRACKING_URI"
        assert stores._try_mlflow() == ("wrong", f"{url} does not answer: PERMISSION_DENIED: who?", mend)
    outcome, said, _ = stores._try_mlflow()
    assert (outcome, said.startswith(f"{url} does not answer: API request to {url}")) == ("wrong", True)
    assert "Connection refused" in said


def test_a_library_that_cannot_be_imported_is_a_line(root, tmp_path, monkeypatch):
    write(tmp_path, "broken/dvc/__init__.py", "raise ImportError('half of it')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    (found,) = diagnose({"DVC remote": stores.dvc})
    assert found.outcome == "wrong"
    assert "half of it" in found.found
