"""The image without an engine: what gets into its Bento, which trees it is refused for, and what it says of itself."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, git, slipway, write

from slipway import layout
from slipway.delivery.asking import Failed
from slipway.delivery.image import bento
from slipway.delivery.image import build as image
from slipway.delivery.image.engine import Engine, ImageFacts, find_engine
from slipway.delivery.image.trial import _labels, _user, _variables
from slipway.errors import UserError

TRAINING = {"dvc", "mlflow", "onnx", "pandas", "pandera", "polars", "pyarrow", "scikit-learn", "skl2onnx", "slipway"}
FACTS = ImageFacts("sha256:1", "sha256:2", 350_000_000, {}, "10001:10001", ("python",), ("PATH=/bin",))


def names(requirements: str) -> set[str]:
    return set(re.findall(r"(?m)^([\w.-]+)==", requirements))


def release(root: Path, model: str = "onnx", types: tuple[str, ...] = ()) -> Path:
    """A release's folder, with things beside it that must not ship."""
    folder = root / "release"
    named = {"file": f"model.{model}", "format": model, "sha256": "0", "types": types}
    signature = {"task": "regression", "target": "y", "inputs": [], "prior": [0.0], "model": named}
    for name in ("release.json", "model/golden.json", "train.parquet", "model/model.pkl", "model/.env", "notes.md"):
        write(folder, name, "{}")
    write(folder, "model/signature.json", json.dumps(signature))
    write(folder, f"model/model.{model}", "")
    return folder


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sources, to be changed."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("bentofile.yaml", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "src"


def test_the_bento_holds_what_ships_and_nothing_else(sources, tmp_path):
    """given a release with a table, a pickle and notes in it, when assembled, then only what is listed is there"""
    out = tmp_path / "context"
    group = bento.assemble(release(tmp_path), out)
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    service = {
        path.relative_to(sources).as_posix() for path in (sources / "slipway/service").rglob("*.py")
    }  # all of it, as BentoML finds modules by name
    modules = {f"{name.replace('.', '/')}.py" for name in bento.SHIPS} | {"slipway/__init__.py"} | service
    files = {"bentofile.yaml", "requirements.txt", "release/release.json"}
    assert group == "serve"
    assert found == modules | files | {
        f"release/model/{name}" for name in ("model.onnx", "signature.json", "golden.json")
    }


def test_what_ships_runs_by_itself(sources, tmp_path):
    """given the assembled folder, when the service is imported from it, then no module of this project is missing,
    and none of training comes along"""
    out = tmp_path / "context"
    bento.assemble(release(tmp_path), out)
    code = (
        f"import sys; sys.path = [{str(out)!r}, *(p for p in sys.path if p and not p.endswith('/src'))]\n"
        "import slipway.service.main, json\n"
        "print(json.dumps({n: getattr(m, '__file__', None) for n, m in sys.modules.items()}))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"BENTOML_HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])
    own = {name: file for name, file in loaded.items() if name.split(".")[0] == "slipway" and file}
    assert "slipway.predictor" in own
    assert all(Path(file).is_relative_to(out) for file in own.values())
    assert not {"pandas", "polars", "sklearn", "mlflow", "dvc", "model"} & set(loaded)


@pytest.mark.parametrize(
    "line",
    ["from slipway.tables import load", "import slipway.stages.train", "from slipway import metrics", "import model"],
)
def test_a_service_that_imports_training_is_not_built(sources, tmp_path, line):
    """given a service that imports, even within a function, what does not ship, when assembled, then that is said"""
    file = sources / "slipway/service/http.py"
    file.write_text(f"{file.read_text()}\n\ndef late():\n    {line}\n")
    with pytest.raises(UserError, match=r"service/http\.py: imports (slipway\.[\w.]+|model), which does not ship"):
        bento.assemble(release(tmp_path), tmp_path / "context")


def test_a_skops_model_brings_what_loads_it(sources, tmp_path):
    out = tmp_path / "context"
    group = bento.assemble(release(tmp_path, "skops", ("sklearn.linear_model._base.LinearRegression",)), out)
    assert group == "serve-skops"
    assert (out / "slipway/pipeline_file.py").is_file()
    assert {"scikit-learn", "skops"} <= names((out / "requirements.txt").read_text())


def test_a_skops_model_brings_the_project_s_own_class(sources, tmp_path):
    """given a skops file with a class of src/model, when assembled, then the class's module ships, and no other"""
    write(sources, "model/clip.py", "import numpy\n\n\nclass Clip:\n    pass\n")
    bento.assemble(release(tmp_path, "skops", ("model.clip.Clip",)), tmp_path / "context")
    assert {path.name for path in (tmp_path / "context/model").iterdir()} == {"__init__.py", "clip.py"}


@pytest.mark.parametrize(
    ("types", "message"),
    [
        (("model.pipeline.Anything",), r"model/pipeline\.py: imports slipway\.\w+, which does not ship"),
        (("xgboost.sklearn.XGBClassifier",), "holds xgboost.*add xgboost to the group serve-skops"),
        (("polars.DataFrame",), "holds polars"),
    ],
)
def test_a_skops_model_that_could_not_be_loaded_is_not_built(sources, tmp_path, types, message):
    with pytest.raises(UserError, match=message):
        bento.assemble(release(tmp_path, "skops", types), tmp_path / "context")


def test_no_release_no_bento(sources, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is no release"):
        bento.assemble(tmp_path / "empty", tmp_path / "context")


@pytest.mark.parametrize("group", ["serve", "serve-skops"])
def test_requirements_are_locked_with_hashes_and_hold_nothing_of_training(group, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = bento.requirements(group)
    entries = re.split(r"\n(?=\S)", found.strip())
    assert all(re.match(r"[\w.-]+==\S+.*--hash=sha256:[0-9a-f]{64}", entry, re.DOTALL) for entry in entries), found
    assert {"bentoml", "onnxruntime", "numpy"} <= names(found)
    allowed = {"scikit-learn"} if group == "serve-skops" else set()
    assert not names(found) & (TRAINING - allowed)


def test_requirements_of_a_lock_that_is_too_old_are_refused(sources, tmp_path):
    """given a package that was added to the group and not locked, when exported, then that is said"""
    file = tmp_path / "pyproject.toml"
    file.write_text(file.read_text().replace('"httptools>=0.7"', '"httptools>=0.7", "left-pad>=1"'))
    with pytest.raises(UserError, match=r"uv\.lock: the group serve cannot be exported"):
        bento.requirements("serve")


@pytest.fixture
def there(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that was run, everything committed; the test runs in it."""
    monkeypatch.chdir(project)
    return project


@pytest.mark.slow
def test_only_a_tree_that_is_all_in_git_becomes_an_image(there):
    assert image.refuse_unproven(allow_dirty=False) is False
    write(there, "src/model/new.py", "")
    with pytest.raises(UserError, match=r"the tree is dirty: src/model/new\.py; commit it, or say --allow-dirty"):
        image.refuse_unproven(allow_dirty=False)
    assert image.refuse_unproven(allow_dirty=True) is True


@pytest.mark.slow
def test_a_lock_of_another_tree_becomes_no_image(there):
    params = there / "params.yaml"
    params.write_text(params.read_text().replace("model: linear", "model: random_forest"))
    git(there, "commit", "-qam", "another model, not run")
    with pytest.raises(UserError, match=r"dvc\.lock does not belong to this tree \(train: "):
        image.refuse_unproven(allow_dirty=False)
    assert image.refuse_unproven(allow_dirty=True) is True


@pytest.mark.slow
def test_another_model_than_the_lock_s_becomes_no_image(there):
    model = there / layout.MODEL / "model.onnx"
    content = model.read_bytes()
    model.unlink()  # it may be a link into the cache
    model.write_bytes(content + b"\0")
    with pytest.raises(UserError, match=r"is not what dvc\.lock names"):
        image.refuse_unproven(allow_dirty=False)


def test_without_a_commit_there_is_no_image(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no commit"):
        image.refuse_unproven(allow_dirty=True)


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://github.com/owner/name.git", "https://github.com/owner/name"),
        ("https://user:s3cret@example.org/a/b/c", "https://example.org/a/b/c"),  # pragma: allowlist secret
        ("git@github.com:owner/name.git", "https://github.com/owner/name"),
        ("ssh://git@example.org:2222/owner/name.git", "https://example.org/owner/name"),
        ("/srv/repositories/name.git", None),
        ("../name", None),
        ("file:///srv/name.git", None),
    ],
)
def test_the_source_shows_no_credentials(tmp_path, monkeypatch, remote, url):
    git(tmp_path, "init", "-q")
    git(tmp_path, "remote", "add", "origin", remote)
    monkeypatch.chdir(tmp_path)
    assert image.source() == url


def test_in_github_actions_the_source_is_the_repository(monkeypatch):
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.example.org")
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/name")
    assert image.source() == "https://github.example.org/owner/name"


def test_without_an_engine_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no container engine: none is installed; install docker .* or podman"):
        find_engine()
    with pytest.raises(UserError, match="podman is not installed"):
        find_engine("podman")
    with pytest.raises(UserError, match="'kaniko' is no engine"):
        find_engine("kaniko")


def program(folder: Path, name: str, script: str) -> None:
    write(folder, name, f"#!/bin/sh\n{script}\n").chmod(0o755)


def test_an_engine_that_does_not_answer_is_passed_over(monkeypatch, tmp_path):
    """given a docker without its daemon, and podman, when one is looked for, then it is podman; alone, docker's own
    words are given"""
    program(tmp_path, "docker", "echo 'Cannot connect to the daemon' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"docker does not work here \(Cannot connect to the daemon\)"):
        find_engine()
    program(tmp_path, "podman", "exit 0")
    assert find_engine().name == "podman"


def test_buildah_builds_but_does_not_run(monkeypatch, tmp_path):
    program(tmp_path, "buildah", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_engine().name == "buildah"
    with pytest.raises(UserError, match="buildah builds images but runs none"):
        find_engine(runs=True)


def test_a_build_that_fails_is_one_line(monkeypatch, tmp_path):
    """given an engine that fails, when it builds, then the error has its last line and the file with all of it"""
    program(tmp_path, "docker", "echo step 1; echo 'no space left' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    log = tmp_path / "image.log"
    with pytest.raises(UserError, match=r"a:1 cannot be built: no space left \(all of it is in .*image\.log\)"):
        Engine("docker").build(tmp_path, Path("Dockerfile"), "a:1", labels={}, arguments={}, log=log)
    assert log.read_text() == "step 1\nno space left\n"


@pytest.mark.parametrize("user", ["", "0", "0:0", "root", "bentoml"])
def test_root_and_names_are_no_user(user):
    with pytest.raises(Failed, match="not a number other than 0"):
        _user(ImageFacts("1", "2", 1, {}, user, (), ()))
    assert _user(FACTS) == "USER 10001:10001"


def test_labels_that_are_missing_are_named():
    with pytest.raises(Failed, match=r"no label org\.opencontainers\.image\.revision"):
        _labels(FACTS)


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY=x", "github_token=x", "DB_PASSWORD=x"])
def test_secrets_in_variables_are_found(variable):
    assert _variables(FACTS) == "1 variables"
    with pytest.raises(Failed, match=variable.partition("=")[0]):
        _variables(ImageFacts("1", "2", 1, {}, "1", (), (variable,)))
    with pytest.raises(Failed, match=variable.partition("=")[0]):
        _variables(ImageFacts("1", "2", 1, dict([variable.split("=")]), "1", (), ()))


def test_building_from_this_folder_packs_nothing_of_it():
    """given the project's folder as the context, then it is ignored, and `bentoml build` finds no requirements"""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines == ["*"]
    assert not (ROOT / "requirements.txt").exists()


def test_on_the_command_line_an_error_is_one_line(tmp_path):
    git(tmp_path, "init", "-q")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    done = slipway(tmp_path, "image", "--engine", "kaniko")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: git has no commit here")
