"""The Bento: the service, its release and its locked requirements, and by construction nothing else."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Literal

from slipway import layout
from slipway.errors import UserError
from slipway.signature import ModelFile, load_signature
from slipway.tools import find_uv

SOURCES = Path("src")
BENTOFILE = Path("bentofile.yaml")
RELEASE = "release"  # what the release's folder is called beside the code

# The service and all that it may import. Whatever else it comes to import stops the build.
SERVICE = "slipway.service"
SHIPS = {f"slipway.{name}" for name in ("predictor", "signature", "errors", "moments", "values")}
SHIPS_WITH_SKOPS = {"slipway.pipeline_file", "slipway.layout"}

RELEASED = {"release.json", *(f"{part}/{name}" for part in ("model", "fallback") for name in (
    "model.onnx", "model.skops", "signature.json", "golden.json"
))}  # fmt: skip

Group = Literal["serve", "serve-skops"]


def assemble(release: Path, into: Path) -> Group:
    """Fill an empty folder with what ships, for `bentoml build`.

    Args:
        release: The release's folder, with `release.json`, `model/` and perhaps `fallback/`.
        into: The folder; `bentofile.yaml`, `requirements.txt`, `release/` and the modules go there.

    Returns:
        The group of uv.lock that the requirements are from.

    Raises:
        UserError: The service imports what does not ship, or the release is not one or needs a package that is not
            locked for it.
    """
    models = _models(release)
    skops = any(model.format == "skops" for model in models)
    group: Group = "serve-skops" if skops else "serve"
    locked = requirements(group)
    own = {module for model in models for module in _modules_of_types(model, locked)}
    for _, file in sorted(closure(own, skops=skops).items()):
        target = into / file.relative_to(SOURCES)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    for name in sorted(RELEASED):
        if (release / name).is_file():
            (into / RELEASE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(release / name, into / RELEASE / name)
    (into / "requirements.txt").write_text(locked, encoding="utf-8")
    shutil.copyfile(BENTOFILE, into / BENTOFILE.name)
    return group


def requirements(group: Group) -> str:
    """What uv.lock has for a group, as pip takes it: exact versions with the hashes of their files.

    Raises:
        UserError: uv cannot tell, as when uv.lock is older than pyproject.toml.
    """
    command = [find_uv(), "export", "--locked", "--offline", "--only-group", group]
    command += ["--no-emit-project", "--no-annotate", "--no-header", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise UserError(f"uv.lock: the group {group} cannot be exported: {said[-1].strip()[:200]}")
    return done.stdout


def closure(roots: set[str], *, skops: bool) -> dict[str, Path]:
    """The modules of the service and of `roots`, and those of this project that they import, with their files.

    Args:
        roots: Modules of `src/model` that a skops file names.
        skops: Whether what loads skops files ships.

    Raises:
        UserError: One of them is not on the list of what ships.
    """
    service = [_module(file) for file in sorted((SOURCES / "slipway/service").rglob("*.py"))]
    if not service:
        raise UserError(f"{SOURCES / 'slipway/service'}: there is no service here")
    allowed = SHIPS | (SHIPS_WITH_SKOPS if skops else set()) | roots
    found: dict[str, Path] = {}
    waiting = [(module, module) for module in (*service, *sorted(roots))]
    while waiting:
        module, by = waiting.pop()
        if module in found or (module in SHIPS_WITH_SKOPS and not skops):
            continue
        file = _file(module)
        package = file.name == "__init__.py" and any(f"{name}.".startswith(f"{module}.") for name in (by, *found))
        if not (module in allowed or module == SERVICE or module.startswith(f"{SERVICE}.") or package):
            raise UserError(
                f"{_file(by)}: imports {module}, which does not ship; a service imports nothing of training"
            )
        found[module] = file
        waiting += [(name, module) for name in _imported(file) if name not in found]
        parent = module.rpartition(".")[0]
        waiting += [(parent, module)] if parent else []
    return found


def _imported(file: Path) -> Iterator[str]:
    """The modules of this project that a file imports, at its top or within functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = _module(file).split(".")
            base = above[: len(above) - node.level + (file.name == "__init__.py")] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names = [stem, *(f"{stem}.{alias.name}" for alias in node.names)]
        yield from (name for name in names if name.split(".")[0] in {"slipway", "model"} and _exists(name))


def _exists(module: str) -> bool:
    path = SOURCES.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _file(module: str) -> Path:
    path = SOURCES.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _module(file: Path) -> str:
    parts = file.relative_to(SOURCES).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _models(release: Path) -> list[ModelFile]:
    found = [load_signature(release / part).model for part in ("model", "fallback") if (release / part).is_dir()]
    models = [model for model in found if model is not None]
    if not models or not (release / "release.json").is_file():
        raise UserError(f"{release}: is no release; run `make repro`, then `make image`")
    return models


def _modules_of_types(model: ModelFile, locked: str) -> Iterator[str]:
    """The modules of `src/model` that a skops file names.

    Raises:
        UserError: It names a package that is not locked for the service.
    """
    for name in model.types:
        top, module = name.split(".")[0], name.rpartition(".")[0]
        if top == "model":
            while module and not _exists(module):  # a class within a class
                module = module.rpartition(".")[0]
            yield module
        elif not any(_is_locked(package, locked) for package in packages_distributions().get(top, [top])):
            raise UserError(f"{model.file}: holds {name}; add {top} to the group serve-skops in pyproject.toml")


def _is_locked(package: str, locked: str) -> bool:
    return re.search(rf"(?mi)^{re.escape(re.sub('[-_.]+', '-', package))}==", locked) is not None


def build_bento(context: Path, name: str, version: str, created: str) -> Path:
    """Build the Bento of an assembled folder into the project's own store.

    Args:
        context: What `assemble` filled.
        name: The Bento's name.
        version: Its version; an earlier Bento of the same is replaced.
        created: The moment it says that it was created, in ISO 8601: that of the commit, so that the same commit
            gives the same Bento.

    Returns:
        The Bento's folder.

    Raises:
        UserError: BentoML refuses it.
    """
    folder = layout.BENTOML / "bentos" / name / version
    shutil.rmtree(folder, ignore_errors=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("BENTOML_", "SLIPWAY_"))}
    environment |= {
        "BENTOML_HOME": str(layout.BENTOML.resolve()),
        "BENTOML_DO_NOT_TRACK": "True",
        "PATH": os.pathsep.join([str(Path(find_uv()).resolve().parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": str(context.resolve()),  # the copies, not the project's own modules
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "bentoml", "build", ".", "--name", name, "--version", version, "--output", "tag"]
    done = subprocess.run(  # noqa: S603
        command, cwd=context, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode or not folder.is_dir():
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()] or ["it said nothing"]
        raise UserError(f"{BENTOFILE}: the Bento cannot be built: {said[-1].strip()[:300]}")
    manifest = folder / "bento.yaml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(
        re.sub(r"(?m)^creation_time: .*$", f"creation_time: {json.dumps(created)}", text, count=1), encoding="utf-8"
    )
    return folder
