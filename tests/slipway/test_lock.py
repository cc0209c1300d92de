"""`slipway lock` against real DVC: what it finds is there, and `dvc status`, which sees the data too, agrees."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from helpers import dvc, git, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.delivery.lock import check, report
from slipway.errors import UserError

PIPELINE = """\
stages:
  clean:
    cmd: >-
      cat data/rows.csv code/clean.py
      > clean.txt
    deps: [data, code]
    params: [split, train.seed, {other.yaml: null}, {more.json: [deep.key]}]
    outs: [clean.txt]
  fit:
    cmd: [cp clean.txt model.txt, mkdir -p plots, echo 3 > plots/p.csv, echo 1 > metrics.json]
    deps: [clean.txt, tool.py]
    params: [train]
    outs: [model.txt]
    metrics: [metrics.json: {cache: false}]
    plots: [plots: {cache: false}]
"""
FILES = {
    "dvc.yaml": PIPELINE,
    "params.yaml": "split: {holdout: 0.2, when: '2020-01-01', note: null}\ntrain: {seed: 0, steps: [1, 2.5]}\n",
    "other.yaml": "rate: 1.0e-4\n",
    "more.json": '{"deep": {"key": 1}}',
    "code/clean.py": "a\r\n",
    "code/sub/b.py": "b\n",
    "code/.cache/junk": "never the same",
    ".dvcignore": ".cache\n",
    ".gitignore": ".cache\n",
    "tool.py": "tool\n",
    "data/rows.csv": "1,2\n",
}


def edit(path: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / path).read_bytes().decode()
        assert old in text
        write(root, path, text.replace(old, new, 1))

    return change


def drop_entry(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        lines = (root / "dvc.lock").read_text().splitlines(keepends=True)
        start = lines.index(f"  {name}:\n")
        end = next((i for i in range(start + 1, len(lines)) if lines[i][:3].strip()), len(lines))
        write(root, "dvc.lock", "".join(lines[:start] + lines[end:]))

    return change


def add_code(root: Path) -> None:
    write(root, "code/new.py", "new\n")
    git(root, "add", "code/new.py")


def repin_data(root: Path) -> None:
    write(root, "data/more.csv", "3,4\n")
    dvc(root, "add", "data")


def remove(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pipeline")
    for path, text in FILES.items():
        write(root, path, text)
    git(root, "init", "-q")
    dvc(root, "init", "-q")
    write(root, ".dvcignore", FILES[".dvcignore"])
    dvc(root, "config", "core.analytics", "false")
    dvc(root, "add", "-q", "data")
    dvc(root, "repro", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first run")
    return root


@pytest.fixture
def project(pipeline: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pipeline, tmp_path / "project", symlinks=True))


def stale_by_dvc(root: Path) -> set[str]:
    """The stages that DVC finds changed; a changed `data.dvc` is the change of the stage that reads it."""
    with Repo(str(root)) as repo:
        names = {name.rpartition("/")[2].removeprefix("dvc.yaml:") for name in repo.status()}
    return {"clean" if name == "data.dvc" else name for name in names}


def found(root: Path) -> set[tuple[str, str, str]]:
    return {(problem.stage, problem.kind, problem.path) for problem in check(root)}


# What is changed, what must be found, of which DVC sees the same stages.
EDITS: dict[str, tuple[Callable[[Path], None], set[tuple[str, str, str]]]] = {
    "command": (
        edit("dvc.yaml", "cp clean.txt model.txt", "cat clean.txt >model.txt"),
        {("fit", "command", "dvc.yaml")},
    ),
    "value": (edit("params.yaml", "0.2", "0.3"), {("clean", "parameter", "params.yaml:split")}),
    "null": (edit("params.yaml", "note: null", "note: ''"), {("clean", "parameter", "params.yaml:split")}),
    "shared value": (
        edit("params.yaml", "seed: 0", "seed: 1"),
        {("clean", "parameter", "params.yaml:train.seed"), ("fit", "parameter", "params.yaml:train")},
    ),
    "lost key": (
        edit("params.yaml", "seed", "sede"),
        {("clean", "parameter", "params.yaml:train.seed"), ("fit", "parameter", "params.yaml:train")},
    ),
    "whole file": (edit("other.yaml", "1.0e-4", "2.0e-4"), {("clean", "parameter", "other.yaml:rate")}),
    "new key": (edit("other.yaml", "rate", "pace: 2\nrate"), {("clean", "parameter", "other.yaml:pace")}),
    "JSON": (edit("more.json", "1", "2"), {("clean", "parameter", "more.json:deep.key")}),
    "new parameter": (
        edit("dvc.yaml", "[train]", "[train, split.holdout]"),
        {("fit", "parameter", "params.yaml:split.holdout")},
    ),
    "code": (edit("tool.py", "tool", "tool2"), {("fit", "dependency", "tool.py")}),
    "line endings": (edit("code/clean.py", "\r\n", "\n"), {("clean", "dependency", "code")}),
    "code below": (edit("code/sub/b.py", "b", "c"), {("clean", "dependency", "code")}),
    "added code": (add_code, {("clean", "dependency", "code")}),
    "removed code": (remove("code/sub/b.py"), {("clean", "dependency", "code")}),
    "removed dependency": (remove("tool.py"), {("fit", "dependency", "tool.py")}),
    "new dependency": (edit("dvc.yaml", "tool.py]", "tool.py, other.yaml]"), {("fit", "dependency", "other.yaml")}),
    "new output": (
        edit("dvc.yaml", "outs: [model.txt]", "outs: [model.txt, data.txt]"),
        {("fit", "output", "data.txt")},
    ),
    "data": (repin_data, {("clean", "dependency", "data")}),
    "output": (edit("metrics.json", "1", "2"), {("fit", "output", "metrics.json")}),
    "output folder": (edit("plots/p.csv", "3", "4"), {("fit", "output", "plots")}),
    "entry": (drop_entry("fit"), {("fit", "entry", "dvc.lock")}),
}


def test_a_lock_that_dvc_wrote_is_honest(pipeline: Path) -> None:
    assert check(pipeline) == []
    assert stale_by_dvc(pipeline) == set()
    assert report([]) == "dvc.lock belongs to this tree"


def test_a_clone_without_data_is_enough(pipeline: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(pipeline), "clone")

    assert not (tmp_path / "clone/data").exists()
    assert check(tmp_path / "clone") == []


@pytest.mark.parametrize("name", EDITS)
def test_every_change_is_found_where_it_is_and_dvc_agrees(name: str, project: Path) -> None:
    change, expected = EDITS[name]

    change(project)

    assert found(project) == expected
    assert stale_by_dvc(project) == {stage for stage, _, _ in expected}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(st.sampled_from(["command", "value", "new parameter", "code", "code below", "data", "entry"])))
def test_several_changes_are_found_together(names: set[str], pipeline: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "project", ignore_errors=True)
    project = Path(shutil.copytree(pipeline, tmp_path / "project", symlinks=True))
    for name in sorted(names):
        EDITS[name][0](project)

    expected = set().union(*(EDITS[name][1] for name in names))
    if "entry" in names:  # without an entry there is nothing else to say of the stage
        expected = {fact for fact in expected if fact[0] != "fit"} | EDITS["entry"][1]
    assert found(project) == expected
    assert stale_by_dvc(project) == {stage for stage, _, _ in expected}


def test_repro_mends_what_was_found(project: Path) -> None:
    for name in ("command", "value", "code"):
        EDITS[name][0](project)
    assert check(project)

    dvc(project, "repro", "-q")

    assert check(project) == []


# What dvc.yaml no longer says: DVC keeps such an entry and calls it up to date, but no run of this tree wrote it.
LEFTOVERS: dict[str, tuple[Callable[[Path], None], tuple[str, str, str]]] = {
    "dependency": (edit("dvc.yaml", "clean.txt, tool.py", "clean.txt"), ("fit", "dependency", "tool.py")),
    "parameter": (edit("dvc.yaml", "train.seed, ", ""), ("clean", "parameter", "params.yaml:train.seed")),
    "output": (edit("dvc.yaml", "plots: [plots: {cache: false}]", ""), ("fit", "output", "plots")),
}


@pytest.mark.parametrize("name", LEFTOVERS)
def test_leftovers_in_the_lock_are_found_and_force_mends_them(name: str, project: Path) -> None:
    change, expected = LEFTOVERS[name]

    change(project)
    problems = check(project)

    assert [(problem.stage, problem.kind, problem.path) for problem in problems] == [expected]
    assert stale_by_dvc(project) == set()
    stage = problems[0].stage
    assert problems[0].fix == f'make repro ARGS="--force {stage}"'
    dvc(project, "repro", "--force", stage)
    assert check(project) == []


def test_an_entry_without_a_stage_is_found(project: Path) -> None:
    edit("dvc.yaml", "  fit:", "  fit2:")(project)

    assert found(project) == {("fit", "entry", "dvc.lock"), ("fit2", "entry", "dvc.lock")}
    assert "delete its entry from dvc.lock" in report(check(project))


def test_a_hash_of_an_upstream_output_edited_by_hand_is_found(project: Path) -> None:
    lock = (project / "dvc.lock").read_text()
    position = lock.rindex("md5: ", 0, lock.index("  fit:"))  # the last output of the first stage
    write(project, "dvc.lock", lock[: position + 5] + "0" * 32 + lock[position + 37 :])

    assert found(project) == {("fit", "dependency", "clean.txt")}


def test_an_output_outside_of_git_and_of_the_cache_is_found_unless_it_is_ignored(project: Path) -> None:
    git(project, "rm", "-q", "--cached", "metrics.json")
    assert [problem.fix for problem in check(project)] == ["git add metrics.json"]

    write(project, ".gitignore", ".cache\n/data\n/clean.txt\n/model.txt\n/metrics.json\n")
    assert check(project) == []


def test_a_lock_that_is_not_there_is_stale(project: Path) -> None:
    (project / "dvc.lock").unlink()

    assert found(project) == {("", "entry", "dvc.lock")}


def test_a_frozen_stage_says_how_to_thaw(project: Path) -> None:
    edit("dvc.yaml", "    outs: [model.txt]", "    frozen: true\n    outs: [model.txt]")(project)
    EDITS["code"][0](project)

    assert [problem.fix for problem in check(project)] == ["uv run dvc unfreeze fit && make repro"]


def test_paths_are_relative_to_the_stage_s_folder(project: Path) -> None:
    stage = "  more:\n    wdir: code\n    cmd: cp clean.py ../copy.py\n    deps: [clean.py]\n    outs: [../copy.py]\n"
    write(project, "dvc.yaml", PIPELINE + stage)
    dvc(project, "repro", "-q", "more")
    assert check(project) == []

    write(project, "code/clean.py", "changed")
    assert ("more", "dependency", "code/clean.py") in found(project)


CANNOT_TELL: dict[str, tuple[Callable[[Path], None], str]] = {
    "template": (edit("dvc.yaml", "cp clean.txt model.txt", "'cp ${name} model.txt'"), "template"),
    "foreach": (edit("dvc.yaml", "    cmd: [", "    foreach: [a]\n    cmd: ["), "template"),
    "part of data": (edit("dvc.yaml", "[data, code]", "[data/rows.csv, code]"), "depend on all of it"),
    "mixed folder": (edit("dvc.yaml", "outs: [clean.txt]", "outs: [code/clean.txt]"), "depend on its parts"),
    "url": (edit("dvc.yaml", "tool.py]", "'s3://bucket/tool.py']"), "outside of the project"),
    "elsewhere": (edit("dvc.yaml", "tool.py]", "/etc/hosts]"), "outside of the project"),
    "Python": (edit("dvc.yaml", "[train]", "[{settings.py: [a]}]"), "settings.py: not a mapping"),
    "broken YAML": (edit("dvc.lock", "stages:", "stages: ["), "dvc.lock, line .*: not valid YAML"),
    "conflict": (
        edit("dvc.lock", "stages:", "<<<<<<< ours\nstages:"),
        "dvc.lock: holds a merge conflict",
    ),
    "not a mapping": (edit("params.yaml", "split", "- split"), "params.yaml"),
    "no stage": (edit("dvc.yaml", PIPELINE, "stages: {clean: 1}"), "not a mapping"),
    "old schema": (edit("dvc.lock", "schema: '2.0'", "schema: '1.0'"), "has schema '1.0', only '2.0' is known"),
    "no schema": (edit("dvc.lock", "schema: '2.0'", "schema:"), "has schema None"),
    "old hash": (edit("dvc.lock", "      hash: md5\n", ""), "no MD5"),
    "untracked": (lambda root: git(root, "rm", "-q", "--cached", "params.yaml"), "not in git"),
    "no repository": (lambda root: shutil.rmtree(root / ".git"), "git"),
    "no pipeline": (remove("dvc.yaml"), "dvc.yaml: no such file"),
}


@pytest.mark.parametrize("name", CANNOT_TELL)
def test_what_cannot_be_told_is_no_pass(name: str, project: Path) -> None:
    change, message = CANNOT_TELL[name]
    write(project, "settings.py", "a = 1\n")
    git(project, "add", "settings.py")
    assert check(project) == []

    change(project)

    with pytest.raises(UserError, match=message):
        check(project)


def run_lock(root: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from slipway.cli import main; main()", "lock", *options]
    return subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)


def test_the_command_exits_with_0_1_or_2(project: Path) -> None:
    honest = run_lock(project)
    EDITS["shared value"][0](project)
    EDITS["code"][0](project)
    stale = run_lock(project)
    as_json: dict[str, Any] = json.loads(run_lock(project, "--json").stdout)
    (project / "dvc.yaml").unlink()
    untold = run_lock(project)

    assert (honest.returncode, honest.stdout) == (0, "dvc.lock belongs to this tree\n")
    assert stale.returncode == 1
    assert stale.stdout.splitlines() == [
        "clean: params.yaml:train.seed is 1, the run had 0 -> make repro",
        "fit: params.yaml:train.seed is 1, the run had 0; tool.py changed -> make repro",
        "(then commit dvc.lock and reports/)",
    ]
    assert not as_json["honest"]
    assert [problem["stage"] for problem in as_json["problems"]] == ["clean", "fit", "fit"]
    assert untold.returncode == 2
    assert untold.stderr.startswith("error: dvc.yaml: no such file")


def test_from_a_folder_of_the_project_it_says_where_to_run_from(project: Path) -> None:
    inside = run_lock(project / "code")
    assert (inside.returncode, inside.stdout) == (2, "")
    assert inside.stderr == f"error: {project / 'code'} is a folder of the project; run from {project}\n"
    assert "Usage" in run_lock(project / "code", "--help").stdout
