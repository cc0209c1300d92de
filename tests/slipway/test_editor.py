"""What editors and GitHub's pages read: tasks, settings, the development container, the views of DVC's extension."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, copy_project, dvc, made_once

from slipway.settings import read_yaml

MAKEFILE = (ROOT / "Makefile").read_text()
PHONY = re.search(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)
# Headings of `make` whose targets somebody at an editor wants at hand; the others are for releases and workflows.
AT_HAND = ("Begin", "Make a model", "Judge it", "Serve it")


def read(path: str) -> Any:
    return json.loads((ROOT / path).read_text())


def tasks() -> dict[str, dict[str, Any]]:
    return {task["args"][0]: task for task in read(".vscode/tasks.json")["tasks"]}


def test_every_target_at_hand_is_a_task_and_every_task_a_target() -> None:
    groups = re.search(r"^groups := (.*;)$", MAKEFILE.replace("\\\n", ""), re.MULTILINE)
    assert groups is not None
    assert PHONY is not None
    targets = set(PHONY[1].split())
    listed = dict(part.split(":") for part in groups[1].split(";") if part)
    at_hand = {target for heading in listed if heading.strip() in AT_HAND for target in listed[heading].split()}

    assert (at_hand & targets) - {"help"} <= set(tasks()) <= targets


def test_tasks_run_what_they_are_called_and_ask_for_what_they_need() -> None:
    asked = {entry["id"] for entry in read(".vscode/tasks.json")["inputs"]}

    for target, task in tasks().items():
        assert (task["label"], task["command"]) == (f"make {target}", "make")
        words = [re.sub(r"\$\{input:\w+\}", "x", word) for word in task["args"]]
        done = subprocess.run(["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert set(re.findall(r"\$\{input:(\w+)\}", " ".join(task["args"]))) <= asked
    assert {f"${{input:{name}}}" in json.dumps(read(".vscode/tasks.json")["tasks"]) for name in asked} == {True}


def test_settings_name_what_is_there() -> None:
    settings = read(".vscode/settings.json")

    assert all((ROOT / folder).is_dir() for folder in settings["python.testing.pytestArgs"])
    assert all((ROOT / schema["url"]).is_file() for schema in settings["json.schemas"])
    assert settings["editor.rulers"] == [
        tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["line-length"]
    ]


def test_the_container_is_pinned_and_has_the_extensions() -> None:
    container = read(".devcontainer/devcontainer.json")
    assert PHONY is not None

    assert re.fullmatch(
        r"mcr\.microsoft\.com/devcontainers/python:\d+\.\d+\.\d+-3\.\d+-\w+@sha256:[0-9a-f]{64}", container["image"]
    )
    assert all(re.search(r":\d+$", feature) for feature in container["features"])
    assert container["customizations"]["vscode"]["extensions"] == read(".vscode/extensions.json")["recommendations"]
    command, target = container["postCreateCommand"].split()
    assert command == "make"
    assert target in PHONY[1].split()


def test_the_citation_is_one_and_of_this_version() -> None:
    check = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.citation-file-format"]
    done = subprocess.run([*check, "CITATION.cff"], cwd=ROOT, capture_output=True, text=True, check=False)
    cited, project = read_yaml(ROOT / "CITATION.cff"), tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert done.returncode == 0, done.stdout + done.stderr
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])


def test_the_changelog_has_the_form_that_it_names() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    first, *released = re.findall(r"^## (.*)", text, re.MULTILINE)

    assert first == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in released)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)", text, re.MULTILINE)) <= kinds


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it is in git; nobody may change it."""
    return made_once(tmp_path_factory, "at an editor", copy_project)


def declared(root: Path, kind: str) -> set[str]:
    stages = read_yaml(root / "dvc.yaml")["stages"].values()
    return {next(iter(out)) for stage in stages for out in stage.get(kind, [])}


def test_the_experiments_view_has_every_metric_and_parameter(tree: Path) -> None:
    workspace, last = json.loads(dvc(tree, "exp", "show", "--json"))

    for row in (workspace, last):
        assert row.get("error") is None
        assert set(row["data"]["metrics"]) == declared(tree, "metrics")
        assert row["data"]["metrics"]["reports/metrics.json"]["data"]["holdout"]["roc_auc"]["value"] > 0.5
        assert not [path for path, found in row["data"]["metrics"].items() if "error" in found]
        assert row["data"]["params"]["params.yaml"]["data"]["train"]["model"] == "linear"


def test_the_plots_view_can_fill_every_template(tree: Path) -> None:
    """The extension takes templates with their placeholders left, and what is to stand there, and draws them itself."""
    import vl_convert

    shown = json.loads(dvc(tree, "plots", "diff", "--split", "--json", "HEAD"))

    assert set(shown["data"]) == declared(tree, "plots")
    assert "errors" not in shown
    for (plot,) in shown["data"].values():
        text = json.dumps(plot["content"])
        for name, value in plot["anchor_definitions"].items():
            text = text.replace(json.dumps(name), json.dumps(value))
        assert "<DVC_" not in text
        assert vl_convert.vegalite_to_vega(json.loads(text))["marks"]
        assert len(plot["anchor_definitions"]["<DVC_METRIC_DATA>"]) > 1
        assert set(plot["revisions"]) == {"workspace", "HEAD"}


def test_parameters_and_metrics_that_differ_are_listed(tree: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "tree", symlinks=True))
    path = root / "params.yaml"
    path.write_text(re.sub(r"(?m)^(  seed: )\d+", r"\g<1>77", path.read_text()))

    (changed,) = json.loads(dvc(root, "params", "diff", "--json")).values()

    assert {"new": 77, "old": 0, "diff": 77} in changed.values()
    assert set(json.loads(dvc(root, "metrics", "show", "--json"))[""]["data"]) == declared(root, "metrics")
