"""Every hook of `.pre-commit-config.yaml` passes on the project and stops what it is there to stop."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, copy_project, git, write
from ruamel.yaml import YAML

# Fixed ones, whatever data the project is about.
PARAMS = "train: {seed: 0}\nsplit: {holdout: 0.2}\ngates:\n  metrics: {f1: {min: 0.5}}\n"
SOUND = {
    "params.yaml": PARAMS,
    "src/model/schema.yaml": """\
source: {files: "*.csv", format: csv}
target: {column: y, task: binary, classes: ["no", "yes"]}
columns:
  y: {type: category}
  x: {type: number, min: 0}
""",
    "dvc.yaml": "stages: {one: {cmd: echo, params: [train.seed]}}\n",
    "dvc.lock": "schema: '2.0'\nstages: {one: {cmd: echo, params: {params.yaml: {train.seed: 0}}}}\n",
}
SCHEMA = SOUND["src/model/schema.yaml"]
LEAK = "AKIA" + "J7Q2XMPL5TZ4W3NB"  # in two parts, so that the hook lets this file pass

WORKFLOW = ".github/workflows/new.yaml"
JOB = """\
name: new
on: pull_request
permissions: {}
concurrency: {group: new, cancel-in-progress: true}
jobs:
  new:
    name: new
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    steps:
      - run: echo
"""
ACTION = ".github/actions/new/action.yaml"
STEPS = """\
name: new
description: new
inputs: {x: {description: x}}
runs:
    using: composite
    steps:
      - run: make
        shell: bash
"""

pytestmark = pytest.mark.slow

# Hook, file, what goes wrong in it, what the hook says.
VIOLATIONS = [
    ("ruff-check", "src/model/new.py", "import os\n", "F401"),
    ("ruff-format", "src/model/new.py", '"""New."""\n\nx = {  "a":1 }\n', "would be reformatted"),
    ("mypy", "src/model/new.py", '"""New."""\n\nx: int = "1"\n', "Incompatible types"),
    ("settings", "params.yaml", PARAMS.replace("holdout:", "hold_out:"), "split.hold_out: unknown key"),
    ("settings", "params.yaml", PARAMS.replace("f1", "f2"), "gates.metrics.f2: no metric of a binary task"),
    ("settings", "src/model/schema.yaml", SCHEMA.replace("min: 0", "min: many"), "x.min"),
    ("pipeline", "dvc.yaml", "stages: {prepare: {comand: python}}\n", "dvc.yaml' validation failed"),
    ("lock", "params.yaml", PARAMS.replace("seed: 0", "seed: 1"), "train.seed is 1, the run had 0"),
    ("zizmor", WORKFLOW, JOB.replace("echo", "echo ${{ github.head_ref }}"), "template-injection"),
    ("workflows", WORKFLOW, JOB.replace("steps:", "stepz:"), "Schema validation errors"),
    ("zizmor", ACTION, STEPS.replace("make", "make ${{ inputs.x }}"), "template-injection"),
    ("actions", ACTION, STEPS.replace("        shell: bash\n", ""), "Schema validation errors"),
    ("timeouts", WORKFLOW, JOB.replace("    timeout-minutes: 5\n", ""), "timeout-minutes"),
    ("dependabot", ".github/dependabot.yml", "version: 3\nupdates: []\n", "Schema validation errors"),
    (
        "issue-forms",
        ".github/ISSUE_TEMPLATE/new.yml",
        "name: new\ndescription: new\nbody: []\n",
        "Schema validation errors",
    ),
    ("issue-config", ".github/ISSUE_TEMPLATE/config.yml", "blank_issues: no\n", "Schema validation errors"),
    ("actionlint", WORKFLOW, JOB.replace("echo", "echo ${{ github.nothing }}"), 'property "nothing" is not defined'),
    ("check-yaml", "new.yaml", "a: [1\n", "while parsing"),
    ("check-json", "new.json", '{"a": 1,}\n', "Failed to json decode"),
    ("check-toml", "new.toml", "a = \n", "Invalid value"),
    ("secrets", "src/model/new.py", f'"""New."""\n\nKEY = "{LEAK}"\n', "AWS Access Key"),
    ("large-files", "new.txt", "0123456789\n" * 60_000, "new.txt (645 KB) exceeds 500 KB"),
    ("large-data", ".dvc/remote/files/md5/aa/bb", "0123456789\n" * 5_000_000, "bb (53711 KB) exceeds 50000 KB"),
    ("merge-conflicts", "README.md", "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n", "Merge conflict string"),
    ("end-of-file", "README.md", "text", "Fixing README.md"),
    ("trailing-whitespace", "README.md", "text \n", "Fixing README.md"),
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy_project(tmp_path_factory.mktemp("hooks") / "project")
    for path, text in SOUND.items():
        write(root, path, text)
    if (ROOT / ".mypy_cache").exists():  # spares mypy the libraries
        shutil.copytree(ROOT / ".mypy_cache", root / ".mypy_cache")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "sound")
    return root


def run_hook(root: Path, hook: str, file: str) -> tuple[int, str]:
    # The home of its own keeps pre-commit from finding anything it fetched before; the proxy leads nowhere.
    offline = {"PRE_COMMIT_HOME": str(root.parent / "home"), "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "run", hook, "--color=never", "--files", file],
        cwd=root, env=os.environ | offline, check=False, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("hook", "file", "text", "message"), VIOLATIONS, ids=[f"{v[0]}-{v[3]}" for v in VIOLATIONS])
def test_a_hook_stops_what_it_is_for_and_nothing_else(
    hook: str, file: str, text: str, message: str, repository: Path
) -> None:
    own = [*(ROOT / ".tools").glob("actionlint-*/actionlint")]
    if hook == "actionlint" and not (own or shutil.which("actionlint")):
        pytest.skip("actionlint is not here: `make lint` gets it where Go is")
    before, sound = run_hook(repository, hook, file)
    write(repository, file, text)
    git(repository, "add", "-A")
    try:
        after, broken = run_hook(repository, hook, file)
    finally:
        git(repository, "reset", "-q", "--hard")

    assert before == 0, sound
    assert after == 1, broken
    assert message in broken


def test_every_hook_is_tried_above() -> None:
    config = YAML(typ="safe").load(ROOT / ".pre-commit-config.yaml")

    hooks = {hook["id"] for repo in config["repos"] for hook in repo["hooks"]}
    assert hooks == {name for name, *_ in VIOLATIONS} | {"checkout"}


def test_data_follows_the_branch(repository: Path) -> None:
    def version(text: str) -> None:
        write(repository, "data/rows.csv", text)
        subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "data"], cwd=repository, check=True)
        git(repository, "add", "data.dvc")
        git(repository, "commit", "-qm", text, "--no-verify")

    (repository / "data.dvc").unlink()
    version("old")
    git(repository, "checkout", "-q", "-b", "branch")
    version("new")
    git(repository, "checkout", "-q", "-")
    without = (repository / "data/rows.csv").read_text()
    subprocess.run([sys.executable, "-m", "pre_commit", "install"], cwd=repository, check=True, capture_output=True)
    git(repository, "checkout", "-q", "branch")
    git(repository, "checkout", "-q", "-")

    assert without == "new"
    assert (repository / "data/rows.csv").read_text() == "old"
    assert (repository / ".git/hooks/pre-commit").exists()
