"""The Makefile on machines that lack something: one clear line, or the missing thing in a folder of the project."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers import ROOT, git, write

MAKEFILE = (ROOT / "Makefile").read_text()

# Stands in for Python on a machine without uv: it is new enough, and its pip, or that of environments that it makes,
# installs a uv that says what it is told.
PYTHON = """#!/bin/sh
case "$*" in
    "-m pip help") [ -z "$PIP" ] || echo "  --python <python>" ;;
    "-m pip --python "*) bin=$(dirname "$4"); cp "$(dirname "$0")/pip" "$bin/ours"; shift 4; "$bin/ours" "$@" ;;
    "-m venv --without-pip "*) echo without; mkdir -p "$4/bin" ;;
    "-m venv "*) mkdir -p "$3/bin"; cp "$(dirname "$0")/pip" "$3/bin/pip" ;;
    --version) echo "Python 3.9.6" ;;
    -c*) exit "${TOO_OLD:-0}" ;;
esac
"""
PIP = """#!/bin/sh
[ -z "$OFFLINE" ] || { echo "no network" >&2; exit 1; }
echo "pip $*"
cat >"$(dirname "$0")/uv" <<'END'
#!/bin/sh
echo "uv $* ${PYTHONDONTWRITEBYTECODE-unset} ${VIRTUAL_ENV-unset}"
[ "$FAILING" != "$*" ]
END
chmod +x "$(dirname "$0")/uv"
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A project beside a `bin` that has no more than Python, git, make and what every system has."""
    for tool in ("git", "awk", "rm", "touch", "mkdir", "cp", "cat", "chmod", "dirname", "grep", "sh"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    for name, text in {"python3": PYTHON, "pip": PIP}.items():
        write(tmp_path, f"bin/{name}", text).chmod(0o755)
    write(tmp_path, "project/Makefile", MAKEFILE)
    git(tmp_path / "project", "init", "-q")
    return tmp_path


def make(machine: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    # Nothing is inherited: these tests may themselves be run by make.
    environment = {"PATH": str(machine / "bin"), "PYTHONDONTWRITEBYTECODE": "1", "VIRTUAL_ENV": "/other"}
    return subprocess.run(
        [str(shutil.which("make")), *arguments],
        cwd=machine / "project", env=environment | variables, check=False, capture_output=True, text=True,
    )  # fmt: skip


def test_help_is_the_default_and_has_every_target_under_a_heading(machine: Path) -> None:
    texts = [MAKEFILE]
    for path in sorted(ROOT.glob("*/*.mk")):
        texts.append(path.read_text())
        write(machine, f"project/{path.relative_to(ROOT)}", texts[-1])
    phony = [
        name for text in texts for line in re.findall(r"^\.PHONY: (.*)", text, re.MULTILINE) for name in line.split()
    ]
    targets = {*phony} - {"ready"}

    _, *sections = make(machine).stdout.split("\n\n")

    assert all(len(line) <= 79 for section in sections for line in section.splitlines())
    assert not any(section.startswith("Others\n") for section in sections), "a target is in no group of the Makefile"
    listed = [name for section in sections for name in re.findall(r"^  ([a-z-]+) +\S", section, re.MULTILINE)]
    assert sorted(listed) == sorted(targets)


def test_help_says_what_the_makefile_says_and_lists_also_what_is_in_no_group(machine: Path) -> None:
    path = machine / "project/Makefile"
    path.write_text(MAKEFILE.replace("\nscan: ", "\nlook: ").replace("\nsummary: ", "\nsum: "))

    said = make(machine, "help").stdout

    assert "  help       List the targets\n" in said
    assert said.rpartition("\n\n")[2].startswith("Others\n  sum        Show the last run: ")
    assert "\n  look       List what" in said
    assert "summary  " not in said
    flat = " ".join(said.split())
    for text in re.findall(r"^[a-z-]+:.*## (.*)", MAKEFILE, re.MULTILINE):
        assert text in flat


@pytest.mark.parametrize("pip", ["", "has --python"])
def test_uv_is_installed_into_the_project_once(machine: Path, pip: str) -> None:
    first, second = make(machine, "setup", PIP=pip), make(machine, "setup")
    assert ("without" in first.stdout) == bool(pip)

    assert re.search(r"^pip install .*uv==\d+\.\d+\.\d+$", first.stdout, re.MULTILINE)
    assert first.stdout.splitlines()[-1] == "uv sync --frozen unset unset"
    assert second.stdout == "uv sync --frozen unset unset\n"
    assert (machine / "project/.tools/uv/bin/uv").exists()


def test_an_interrupted_installation_is_done_over(machine: Path) -> None:
    broken = make(machine, "setup", OFFLINE="1")
    assert broken.returncode == 2
    assert (machine / "project/.tools/uv").exists()

    assert make(machine, "setup").stdout.splitlines()[-1] == "uv sync --frozen unset unset"


def test_a_uv_on_the_path_is_used(machine: Path) -> None:
    write(machine, "bin/uv", '#!/bin/sh\necho "own uv $*"\n').chmod(0o755)

    assert make(machine, "setup").stdout == "own uv sync --frozen\n"
    assert not (machine / "project/.tools").exists()


def test_arguments_reach_the_run_and_its_failure_reaches_the_shell(machine: Path) -> None:
    passed = make(machine, "repro", "ARGS=--force train")
    failed = make(machine, "repro", FAILING="run --frozen slipway repro")

    assert "uv run --frozen slipway repro --force train" in passed.stdout
    assert (passed.returncode, failed.returncode) == (0, 2)


def test_arguments_reach_every_verb(machine: Path) -> None:
    recipes = re.findall(r"^\t@\$\(run\) slipway .*$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    told = {line.split("slipway ")[1].split()[0] for line in recipes if not line.endswith("$(ARGS)")}
    assert told == {"comment", "outdated", "allowed", "join", "publish"}  # which workflows alone run
    assert "slipway summary --json" in make(machine, "summary", "ARGS=--json").stdout


def test_adopt_says_what_it_needs(machine: Path) -> None:
    assert "slipway adopt a.csv unset" in make(machine, "adopt", "FILE=a.csv").stdout  # which asks for more
    said = make(machine, "adopt", "FILE=my table.csv", "TARGET=y", "ARGS=--id a").stdout
    assert "slipway adopt my table.csv --target y --id a" in said


def first_error(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_an_old_python_is_one_line(machine: Path) -> None:
    said = first_error(make(machine, "setup", TOO_OLD="1"))

    assert said.startswith("error: python3 must be 3.11 or newer and have venv")
    assert said.endswith("this one is: Python 3.9.6")


def test_a_missing_git_is_one_line(machine: Path) -> None:
    (machine / "bin/git").unlink()

    assert first_error(make(machine, "setup")) == "error: git is missing; install it"


def test_a_folder_that_is_no_repository_is_one_line(machine: Path) -> None:
    shutil.rmtree(machine / "project/.git")

    said = first_error(make(machine, "setup", GIT_CEILING_DIRECTORIES=str(machine)))
    assert said == "error: this folder is not a git repository; run: git init"


def test_a_git_that_refuses_is_heard(machine: Path) -> None:
    with (machine / "project/.git/config").open("a") as file:
        file.write("[broken\n")
    assert "bad config line" in first_error(make(machine, "setup"))
