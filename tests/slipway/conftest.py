"""A project that has been run, for the tests that need one."""

import os
import shutil
from pathlib import Path

import pytest
from helpers import copy_project, dvc, git, made_once, slipway
from hypothesis import settings

# A deadline measures the machine, not the code: on a busy one it fails tests that are right.
settings.register_profile("slipway", deadline=None)
settings.load_profile("slipway")

# Tests run side by side: threads of linear algebra, which spin while they wait, would take the cores of other tests.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def unmeasured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of a test marked `no_cover` are not measured either, with which they take up to twice as long.

    What several tests share, such as the run of the project, is.
    """
    if request.node.get_closest_marker("no_cover"):
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests, they are no run of GitHub Actions but where they say so."""
    for name in [name for name in os.environ if name.startswith(("GITHUB_", "RUNNER_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, run once, everything committed."""

    def run(folder: Path) -> None:
        root = copy_project(folder / "project")
        done = slipway(root, "repro")
        assert done.returncode == 0, done.stdout + done.stderr
        git(root, "add", "-A")
        git(root, "commit", "-qm", "run", "--allow-empty")
        git(root, "branch", "-M", "main")

    return made_once(tmp_path_factory, "ran", run) / "project"


@pytest.fixture
def pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as it is now, not run, in a repository of its own, with its data; the test runs in it."""
    root = copy_project(tmp_path / "project")
    monkeypatch.chdir(root)
    dvc(root, "pull", "-q", "data.dvc")
    return root


@pytest.fixture
def project(ran: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    root = tmp_path / "project"
    shutil.copytree(ran, root, symlinks=True)
    return root
