"""What a tab gives: in bash, as people have it, and soon enough."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import git, write

BIN = Path(sys.executable).parent
HEAVY = {"dvc", "mlflow", "numpy", "polars", "requests", "ruamel", "scipy", "sklearn"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two environments, two releases and a branch; `slipway` is on the path."""
    for name in ("staging", "production"):
        write(tmp_path, f"deploy/kubernetes/overlays/{name}/kustomization.yaml", "{}")
    write(tmp_path, "dvc.yaml", "stages: {}\n")
    write(tmp_path, "my table.csv", "a\n1\n")
    git(tmp_path, "init", "-qb", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "branch", "better-features")
    for tag in ("model-v1", "model-v2", "other"):
        git(tmp_path, "tag", tag)
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path


def bash(root: Path, script: str) -> str:
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def tab(root: Path, typed: str, setup: str = 'eval "$(slipway --show-completion)"') -> set[str]:
    """What bash proposes after some words, of which the last is the one that is typed."""
    words = typed.split(" ")
    return set(
        bash(
            root,
            f"""{setup}
complete -p slipway | grep -q _slipway_completion
COMP_WORDS=({" ".join(map(shlex.quote, words))}) COMP_CWORD={len(words) - 1}
_slipway_completion slipway
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
        ).split()
    )


@pytest.mark.parametrize(
    ("typed", "proposed"),
    [
        ("slipway rep", {"repro"}),
        ("slipway ro", {"rollback"}),
        ("slipway promote ", {"production", "staging"}),
        ("slipway promote staging p", {"production"}),
        ("slipway deploy s", {"staging"}),
        ("slipway rollback production --to ", {"model-v1", "model-v2"}),
        ("slipway lineage ", {"production", "staging", "model-v1", "model-v2"}),
        ("slipway review --base b", {"better-features"}),
        ("slipway review --base HEAD", {"HEAD", "HEAD~1"}),
        ("slipway serve --fallback o", {"other"}),
        ("slipway lineage production --format ", {"table", "markdown"}),
        ("slipway image --engine p", {"podman"}),
        ("slipway lock --j", {"--json"}),
        ("slipway adopt my", set()),  # bash itself completes files where nothing is proposed
    ],
)
def test_bash_proposes_verbs_and_values(project: Path, typed: str, proposed: set[str]) -> None:
    assert tab(project, typed) == proposed


def test_files_are_left_to_bash(project: Path) -> None:
    assert "-o default" in bash(project, 'eval "$(slipway --show-completion)"; complete -p slipway')


def test_an_installed_completion_is_there_in_the_next_shell(project: Path) -> None:
    bash(project, "slipway --install-completion")

    assert tab(project, "slipway promote st", "source ~/.bashrc") == {"staging"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_get_a_script_and_its_answers(project: Path, shell: str) -> None:
    def asked(**variables: str) -> str:
        done = subprocess.run(
            ["slipway"], cwd=project, env=os.environ | variables, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert re.search(r"compdef|complete --command", asked(_SLIPWAY_COMPLETE=f"source_{shell}"))
    typed = {"_TYPER_COMPLETE_ARGS": "slipway promote s", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    said = asked(_SLIPWAY_COMPLETE=f"complete_{shell}", **typed)
    assert "staging" in said
    assert "production" not in said


def test_nothing_is_imported_that_one_would_wait_for(project: Path) -> None:
    """In bash a tab takes 0.2 s of a processor, nearly all of it Python's and Typer's own."""
    variables = {"_SLIPWAY_COMPLETE": "complete_bash", "COMP_WORDS": "slipway lineage ", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(BIN / "slipway")],
        cwd=project, env=os.environ | variables, capture_output=True, text=True, check=True,
    )  # fmt: skip

    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "slipway" in imported
    assert not imported & HEAVY


def test_outside_of_a_project_there_is_nothing_to_propose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    assert tab(tmp_path, "slipway lineage ") == set()
