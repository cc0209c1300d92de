"""What `slipway doctor` says of a machine, on real programs where they are here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from helpers import ROOT, write

from slipway import deepchecks
from slipway.doctor import asking, machine
from slipway.errors import UserError
from slipway.tools import find_uv

SUITES = """\
[project]
name = "suites"
version = "0"
requires-python = ">=3.11,<3.13"
dependencies = ["deepchecks"]

[tool.uv]
package = false

[tool.uv.sources]
deepchecks = { path = "deepchecks-1-py3-none-any.whl" }
"""
ABOUT = "deepchecks-1.dist-info"
FILES = {
    "deepchecks/__init__.py": "raise ImportError('it is found, and not imported')\n",
    f"{ABOUT}/METADATA": "Metadata-Version: 2.1\nName: deepchecks\nVersion: 1\n",
    f"{ABOUT}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
KUBECTL = """#!/bin/sh
fail() { echo "$1" >&2; exit 1; }
case "$*" in
    "config current-context") [ -z "$CONTEXT" ] && fail "error: current-context is not set"; echo "$CONTEXT" ;;
    "get --raw /version --request-timeout 5s") [ -z "$VERSION" ] && fail "Unable to connect to the server"
        echo "{\\"gitVersion\\": \\"$VERSION\\"}" ;;
    *) exit 64 ;;
esac
"""
PATH = os.environ["PATH"]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, with one for programs that is alone on the path; uv is the one that is here."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "desk").mkdir()
    monkeypatch.setenv("UV", find_uv())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("DOCKER_HOST", "SLIPWAY_ENGINE", "UV_PYTHON_DOWNLOADS", "UV_OFFLINE", "UV_PROJECT_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path / "desk")
    return tmp_path / "desk"


def program(desk: Path, name: str, script: str) -> None:
    write(desk.parent, f"bin/{name}", script).chmod(0o755)


@pytest.mark.parametrize(("wanted", "outcome"), [(">=3.11", "ok"), (">=3.99", "wrong")])
def test_python_is_one_that_the_project_is_for(desk, wanted, outcome):
    write(desk, "pyproject.toml", f'[project]\nrequires-python = "{wanted}"\n')
    (found,) = machine.python()
    assert found.outcome == outcome
    assert wanted in (found.mend if outcome == "wrong" else found.found)


@pytest.mark.parametrize("text", [None, "[project]\n", "=", "project = 1\n"])
def test_a_project_that_names_no_python_is_one_line(desk, text):
    if text is not None:
        write(desk, "pyproject.toml", text)
    with pytest.raises(UserError, match=r"^pyproject\.toml names no Python .*; git checkout HEAD -- pyproject\.toml$"):
        list(machine.python())


@pytest.mark.parametrize(("known", "outcome"), [("0.1.0", "ok"), ("99.0.0", "advice"), (None, "ok")])
def test_uv_is_no_older_than_the_makefile_says(desk, known, outcome):
    if known:
        write(desk, "Makefile", f"A := b\nUV_VERSION := {known}\n")
    (found,) = machine.uv()
    assert (found.outcome, found.mend) == (outcome, "uv self update" if outcome == "advice" else "")


def test_without_uv_the_makefile_installs_it(desk, monkeypatch):
    monkeypatch.delenv("UV")
    with pytest.raises(UserError, match="uv is missing; `make setup` installs it"):
        list(machine.uv())


def test_packages_are_those_of_the_lock(desk, monkeypatch):
    """given this environment, then it is as locked; given an empty one, then it is not"""
    monkeypatch.chdir(ROOT)
    (found,) = machine.packages()
    assert found.outcome == "ok"
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", str(desk / "empty"))
    (found,) = machine.packages()
    assert (found.outcome, found.mend) == ("wrong", "make setup")
    assert not (desk / "empty").exists()


@pytest.fixture
def suites(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment of its own, whose one package is here."""
    monkeypatch.setenv("PATH", PATH)
    monkeypatch.delenv("UV_PYTHON_PREFERENCE", raising=False)
    write(desk, "environment/pyproject.toml", SUITES)
    with ZipFile(desk / "environment/deepchecks-1-py3-none-any.whl", "w") as wheel:
        for name, text in FILES.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{ABOUT}/RECORD", "".join(f"{name},,\n" for name in (*FILES, f"{ABOUT}/RECORD")))
    subprocess.run([find_uv(), "lock", "--quiet", "--offline", "--project", "environment"], check=True)
    monkeypatch.setattr(deepchecks, "ENVIRONMENT", desk / "environment")
    return desk


@pytest.mark.parametrize("left", [False, True])
def test_deepchecks_whose_files_are_gone_is_wrong(suites, monkeypatch, left):
    """given an environment of which uv says that it is as locked, when the package is not in it, or a folder is left
    of it, then that is wrong, and what mends it mends it"""
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", str(suites / ".tools/deepchecks"))
    sync = [find_uv(), "sync", "--quiet", "--offline", "--project", "environment"]
    subprocess.run(sync, check=True)
    assert [found.outcome for found in machine.deepchecks()] == ["ok"]
    (package,) = (suites / ".tools/deepchecks/lib").glob("python3*/site-packages/deepchecks")
    shutil.rmtree(package)
    if left:
        package.mkdir()
    (found,) = machine.deepchecks()
    assert (found.outcome, found.mend) == ("wrong", "rm -r .tools/deepchecks")
    assert found.found.startswith(".tools/deepchecks has lost the package")
    subprocess.run(found.mend, shell=True, check=True)  # noqa: S602
    subprocess.run(sync, check=True)
    assert [found.outcome for found in machine.deepchecks()] == ["ok"]


def test_deepchecks_is_installed_as_its_lock_lists_it(suites, monkeypatch):
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", str(suites / ".tools/deepchecks"))
    subprocess.run([find_uv(), "sync", "--quiet", "--offline", "--project", "environment"], check=True)
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", "elsewhere")
    (found,) = machine.deepchecks()
    assert (found.outcome, found.found) == ("ok", "as its lock lists it, in .tools/deepchecks")
    shutil.rmtree(suites / ".tools/deepchecks/bin")
    (found,) = machine.deepchecks()
    assert found.found.startswith("not as its lock lists it; the next `make repro` sees to it")


def test_deepchecks_needs_a_python_of_its_own_versions(suites, monkeypatch):
    """given no Python that it can be built with, then uv will download one, unless it may not"""
    monkeypatch.setenv("UV_PYTHON_PREFERENCE", "only-managed")
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(suites / "none"))
    (found,) = machine.deepchecks()
    assert (found.outcome, found.mend) == ("advice", "uv python install 3.12")
    assert "no Python >=3.11,<3.13 is here; uv will download one" in found.found
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    (found,) = machine.deepchecks()
    assert found.outcome == "wrong"


def test_deepchecks_that_is_not_there_yet_is_built_by_the_next_run(suites):
    (found,) = machine.deepchecks()
    assert found.outcome == "ok"
    assert found.found.startswith("not installed yet; the next `make repro` sees to it, with Python 3.1")


def test_room_on_the_disk(desk, monkeypatch):
    monkeypatch.setattr(machine, "ROOM", 0)
    assert [found.outcome for found in machine.disk(desk)] == ["ok"]
    monkeypatch.setattr(machine, "ROOM", 2**62)
    (found,) = machine.disk(desk)
    assert (found.outcome, found.mend) == ("advice", "uv cache prune && make gc")


def test_an_engine_that_answers(desk):
    program(desk, "podman", "#!/bin/sh\nexit 0\n")
    assert [(found.outcome, found.found) for found in machine.containers()] == [("ok", "podman answers")]


def test_no_engine(desk):
    (found,) = machine.containers()
    assert (found.outcome, found.found) == ("advice", "no container engine: none is installed")
    assert found.mend.startswith("https://")


@pytest.mark.parametrize(
    ("chosen", "mend"),
    [("foo", "unset SLIPWAY_ENGINE"), ("podman", "unset SLIPWAY_ENGINE"), ("buildah", "unset SLIPWAY_ENGINE"),
     ("docker", "start"), ("", "start")],
)  # fmt: skip
def test_an_engine_that_was_chosen_and_is_none_is_not_docker_that_sleeps(desk, monkeypatch, chosen, mend):
    """given docker, whose daemon does not run, when something else was chosen, then that is to be unset"""
    program(desk, "docker", "#!/bin/sh\nexit 1\n")
    program(desk, "buildah", "#!/bin/sh\nexit 0\n")
    monkeypatch.setenv("SLIPWAY_ENGINE", chosen)
    (found,) = machine.containers()
    start = "open -a Docker" if sys.platform == "darwin" else "sudo systemctl start docker"
    assert (found.outcome, found.mend) == ("advice", start if mend == "start" else mend)


def test_an_engine_that_is_no_program_is_advice(desk):
    program(desk, "docker", "\x7fELF of another machine")
    (found,) = machine.containers()
    assert (found.outcome, found.mend) == ("advice", "docker info")
    assert "Exec format error" in found.found


def test_an_engine_that_hangs_is_not_waited_for(desk, monkeypatch):
    program(desk, "podman", "#!/bin/sh\nexec /bin/sleep 60\n")
    monkeypatch.setattr(machine, "PATIENCE", 0.5)
    (found,) = machine.containers()
    assert (found.outcome, found.mend) == ("advice", "podman info")
    assert found.found.endswith("podman does not answer within 0.5 s")


DOCKER = shutil.which("docker")


@pytest.mark.skipif(DOCKER is None, reason="needs docker's command line")
def test_docker_whose_daemon_is_nowhere(desk, monkeypatch):
    (desk.parent / "bin/docker").symlink_to(str(DOCKER))
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    (found,) = machine.containers()
    assert (found.outcome, found.mend) == ("advice", "unset DOCKER_HOST")
    assert "docker does not work here (" in found.found


@pytest.mark.parametrize(
    ("context", "version", "found"),
    [
        ("kind", "v1.33.1", "kind answers, with v1.33.1"),
        ("", "v1.33.1", "points to no cluster: error: current-context is not set"),
        ("kind", "", "kind does not answer: Unable to connect to the server"),
    ],
)
def test_kubectl_points_to_a_cluster_that_answers(desk, monkeypatch, context, version, found):
    (desk / "deploy/kubernetes").mkdir(parents=True)
    program(desk, "kubectl", KUBECTL)
    monkeypatch.setenv("CONTEXT", context)
    monkeypatch.setenv("VERSION", version)
    (said,) = machine.kubectl()
    fine = bool(context and version)
    assert (said.outcome, said.found, bool(said.mend)) == ("ok" if fine else "advice", found, not fine)


@pytest.mark.parametrize("said", ["not JSON", "[]", '"v1.33.1"', "{}", '{"gitVersion": {"major": 1}}'])
def test_an_answer_that_no_cluster_gives_is_advice(desk, said):
    """given a proxy, or a page to log in at, in place of a cluster, then what it said is told"""
    (desk / "deploy/kubernetes").mkdir(parents=True)
    program(desk, "kubectl", f"#!/bin/sh\n[ $1 = config ] && echo kind || echo '{said}'\n")
    (found,) = machine.kubectl()
    assert (found.outcome, found.found) == ("advice", f"kind does not answer as a cluster does, but: {said}")
    assert found.mend.startswith("kubectl config ")


@pytest.mark.parametrize("script", ["exec /bin/sleep 60", "[ $1 = config ] && echo kind || exec /bin/sleep 60"])
def test_a_kubectl_that_hangs_is_advice(desk, monkeypatch, script):
    (desk / "deploy/kubernetes").mkdir(parents=True)
    program(desk, "kubectl", f"#!/bin/sh\n{script}\n")
    monkeypatch.setattr(asking, "PATIENCE", 1.0)
    (found,) = machine.kubectl()
    assert (found.outcome, found.found) == ("advice", "kubectl did not answer within 1 s")
    assert found.mend.startswith("try again: kubectl ")


def test_kubectl_matters_only_where_it_is_deployed_to(desk):
    assert not list(machine.kubectl())
    (desk / "deploy/kubernetes").mkdir(parents=True)
    assert [found.outcome for found in machine.kubectl()] == ["advice"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_the_real_kubectl_is_asked_in_words_that_it_knows(desk, monkeypatch):
    """given a cluster that is nowhere, then kubectl says so, and not that it knows no such option"""
    (desk / "deploy/kubernetes").mkdir(parents=True)
    monkeypatch.setenv("PATH", os.defpath)
    config = write(
        desk,
        "config",
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "contexts: [{name: far, context: {cluster: c, user: u}}]\nusers: [{name: u}]\n",
    )
    monkeypatch.setenv("KUBECONFIG", str(config))
    assert ["points to no cluster" in found.found for found in machine.kubectl()] == [True]
    with config.open("a") as file:
        file.write("current-context: far\n")
    (found,) = machine.kubectl()
    assert "far does not answer: " in found.found
    assert "127.0.0.1:1" in found.found
