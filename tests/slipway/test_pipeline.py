"""dvc.yaml against the code: a stage that does not list what it runs would not be run again when that changes."""

import ast
import json
from pathlib import Path

import pytest
from helpers import write
from ruamel.yaml import YAML

from slipway.errors import UserError
from slipway.params import Params
from slipway.repro import refuse_unlisted_code

ROOT = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]

# These decide nothing that is in a result: paths, errors, atomic writing, reading YAML, the answers that made the
# project, and the mirror in MLflow.
PLUMBING = {"__init__", "answers", "errors", "files", "layout", "settings", "tools", "tracking"}


def imported(path: Path) -> set[Path]:
    """The project's own modules that a module imports, at its top or where it uses them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            file = ROOT / "src" / Path(*name.split("."))
            found |= {candidate for candidate in (file.with_suffix(".py"), file / "__init__.py") if candidate.exists()}
    return found


def closure(path: Path) -> set[str]:
    """Everything of the project that runs when a module runs, plumbing aside, and in deepchecks' environment."""
    seen, waiting = set(), [path]
    while waiting:
        module = waiting.pop()
        name = module.relative_to(ROOT / "src").with_suffix("").as_posix()
        if module in seen or name.removeprefix("slipway/") in PLUMBING or name == "model/__init__":
            continue
        seen.add(module)
        waiting.extend(imported(module))
    if ROOT / "src/slipway/deepchecks.py" in seen:
        seen |= {*(ROOT / "src/slipway/suites/environment").glob("*.py")}
    return {module.relative_to(ROOT).as_posix() for module in seen}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_code_it_runs(stage):
    module = STAGES[stage]["cmd"].removeprefix("python -m ").replace(".", "/")
    listed = {path for path in STAGES[stage]["deps"] if path.endswith(".py")}
    own_estimators = {"src/model/pipeline.py"}  # a stage that loads a pipeline may run them without importing them
    assert listed - own_estimators == closure(ROOT / "src" / f"{module}.py") - own_estimators


def test_an_import_is_seen_wherever_it_stands(tmp_path):
    module = tmp_path / "some.py"
    module.write_text("def f():\n    from slipway import metrics\n    import slipway.split\n", encoding="utf-8")
    assert {path.name for path in imported(module)} == {"__init__.py", "metrics.py", "split.py"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_reads_settings_names_them(stage):
    for key in STAGES[stage]["params"]:
        value = Params()
        for step in key.split("."):
            value = getattr(value, step)


def test_every_setting_belongs_to_a_stage():
    named = {key for stage in STAGES.values() for key in stage["params"]}
    for section, field in Params.model_fields.items():
        if section in {"gates", "image", "rebuild", "service"}:  # read whenever somebody asks, not by a stage
            continue
        keys = {f"{section}.{key}" for key in field.annotation.model_fields}
        assert section in named or keys <= named, f"{section}: a change to it would run nothing"


def test_results_in_git_are_not_in_the_cache_and_the_rest_is():
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()]
    for stage in STAGES.values():
        for out in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            path, cached = (out, True) if isinstance(out, str) else (next(iter(out)), out[next(iter(out))]["cache"])
            assert cached == any(path == line or path.startswith(f"{line}/") for line in ignored)


def test_every_stage_can_use_the_run_cache():
    """DVC passes over a stage with an uncached output that is neither metric nor plot."""
    for stage in STAGES.values():
        assert all(isinstance(out, str) for out in stage.get("outs", []))


@pytest.mark.parametrize(
    ("module", "deps", "lacking"),
    [
        ("features.py", [], "train and export must list src/model/features.py"),
        ("features.py", ["src/model/features.py"], None),
        ("features.py", ["src/model"], None),
        ("parts/dates.py", [], "train and export must list src/model/parts/dates.py"),
        ("parts/__init__.py", [], None),
    ],
)
def test_code_of_ones_own_that_no_stage_lists_is_refused(tmp_path, monkeypatch, module, deps, lacking):
    stages = {name: {"cmd": "x", "deps": ["src/model/pipeline.py", *deps]} for name in ("train", "export")}
    write(tmp_path, "dvc.yaml", json.dumps({"stages": stages | {"prepare": {"cmd": "x"}}}))
    write(tmp_path, "src/model/pipeline.py", "x = 1\n")
    write(tmp_path, f"src/model/{module}", "x = 1\n")
    monkeypatch.chdir(tmp_path)
    if lacking is None:
        refuse_unlisted_code()
    else:
        with pytest.raises(UserError, match=lacking):
            refuse_unlisted_code()
