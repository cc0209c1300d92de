"""`slipway doctor` as a whole: how checks are run, what is printed, and what it takes to stop it."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from helpers import ROOT, copy_project, git, slipway, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.doctor.asking import ask
from slipway.doctor.diagnose import CHECKS, diagnose
from slipway.doctor.finding import LONGEST, Finding, Look, short, without_secrets
from slipway.doctor.show import document, show
from slipway.errors import UserError

LOGIN = "me:secret"  # apart from the URLs that it is put into, so that no hook takes them for leaks

FINE = Finding("fine", "ok", "as it should be")
ADVISED = Finding("hooks", "advice", "not installed", "make hooks")
BROKEN = Finding("git", "wrong", "missing", "sudo apt install git")
BROKE = "the check itself broke"


def check(*findings: Finding | Exception, seconds: float = 0) -> Look:
    def look() -> Iterator[Finding]:
        time.sleep(seconds)
        for finding in findings:
            if isinstance(finding, Exception):
                raise finding
            yield finding

    return look


def test_a_check_that_breaks_is_said_and_ends_no_other():
    """given a check that has a mistake and one that the user can mend, when all run, then each is told in its place"""
    found = diagnose(
        {
            "first": check(FINE, ZeroDivisionError("by zero")),
            "second": check(UserError("dvc.lock: half of it; `git checkout dvc.lock`")),
            "third": check(),
            "damaged": check(UserError("dvc.yaml: cannot be read")),
            "fourth": check(ADVISED),
        }
    )
    assert [(each.name, each.outcome) for each in found] == [
        ("fine", "ok"),
        ("first", "wrong"),
        ("second", "wrong"),
        ("damaged", "wrong"),
        ("hooks", "advice"),
    ]
    assert found[1].found == f"{BROKE}: ZeroDivisionError: by zero"
    assert (found[2].found, found[2].mend) == ("dvc.lock: half of it", "`git checkout dvc.lock`")
    assert (found[3].found, found[3].mend[:10]) == ("dvc.yaml: cannot be read", "git status")


def test_checks_wait_side_by_side_and_no_longer_than_the_limit():
    started = time.monotonic()
    slow = {"c": check(seconds=30), "kubectl": check(seconds=30)}  # of which the latter is optional
    found = diagnose({"a": check(FINE, seconds=0.4), "b": check(FINE, seconds=0.4)} | slow, limit=2)
    assert time.monotonic() - started < 6
    assert [each.outcome for each in found] == ["ok", "ok", "wrong", "advice"]
    assert {each.found for each in found[2:]} == {"no answer within 2 s"}


def test_what_does_not_answer_is_ended_with_all_that_it_started(tmp_path):
    """given a program that waits for another, when it is not done in time, then both are gone"""
    script = write(tmp_path, "wait", f"#!/bin/sh\nsleep 60 & echo $! >{tmp_path}/child; wait\n")
    script.chmod(0o755)
    with pytest.raises(UserError, match=r"wait did not answer within 0\.5 s"):
        ask(str(script), patience=0.5)
    child = int((tmp_path / "child").read_text())
    gone = not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    assert gone


def test_what_is_asked_has_no_terminal_to_ask_a_person_on():
    """given a person at a terminal, when a program is run, then it has none, neither as its input nor by name"""
    asking = "from slipway.doctor.asking import ask; print(ask('sh', '-c', 'cat; tty; : </dev/tty', patience=5))"
    at_terminal = "import pty, sys; pty.spawn([sys.executable, '-c', sys.argv[1]])"
    command = [sys.executable, "-c", at_terminal, asking]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert "stdout='not a tty\\n'" in done.stdout
    assert re.search("stderr=.*/dev/tty: No such device", done.stdout)


def test_what_is_asked_knows_that_nobody_is_there():
    assert ask("sh", "-c", "echo $GIT_TERMINAL_PROMPT").stdout == "0\n"


def test_what_is_asked_speaks_english(monkeypatch):
    """given somebody whose programs speak German, when one is asked, then it is told not to"""
    monkeypatch.setenv("LANGUAGE", "de")
    assert ask("sh", "-c", "echo $LANGUAGE").stdout == "C\n"


def test_long_messages_keep_their_beginning_and_the_cause_at_their_end():
    """given a message of the longest length, then all of it is shown; of a longer one what matters, and no secret"""
    assert short("a" * LONGEST) == "a" * LONGEST
    said = short(f"API request to http://host failed: {'again, ' * 50}\n(Caused by: Connection refused)")
    assert said.startswith("API request to http://host failed: ")
    assert " ... " in said
    assert said.endswith("(Caused by: Connection refused)")
    assert len(said) <= LONGEST
    for length in range(LONGEST):  # wherever the cut is
        assert "cret" not in short(f"{'a' * length} https://{LOGIN}@host/ {'b' * LONGEST}")


def test_urls_are_shown_without_tokens():
    said = f"fatal: https://{LOGIN}@host/a and ssh://git@host/b, not git@host:c"
    assert without_secrets(said) == "fatal: https://host/a and ssh://host/b, not git@host:c"


def test_what_mends_can_be_copied_from_a_pipe(capsys):
    """given a command longer than any terminal is wide, when it is printed, then it is in one line, without colours"""
    long = "gh " + "word " * 60
    show([FINE, Finding("gate", "wrong", "no\x1b[31m rule", long.strip())])
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "ok      fine  as it should be",
        "wrong   gate  no?[31m rule",
        f"{'':14}-> {long}".rstrip(),
        "",
        "1 ok, 1 wrong",
    ]


def test_machines_get_all_of_it():
    assert document([FINE, ADVISED]) == {
        "sound": True,
        "findings": [
            {"name": "fine", "outcome": "ok", "found": "as it should be", "mend": ""},
            {"name": "hooks", "outcome": "advice", "found": "not installed", "mend": "make hooks"},
        ],
    }
    assert not document([FINE, ADVISED, BROKEN])["sound"]


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project in a repository of its own, with nothing of this machine's settings."""
    root = copy_project(tmp_path / "project")
    for name, text in {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(tmp_path),
        "GIT_AUTHOR_NAME": "Test",
        "GIT_AUTHOR_EMAIL": "test@example.org",
    }.items():
        monkeypatch.setenv(name, text)
    for name in ("MLFLOW_TRACKING_URI", "UV_PROJECT_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(root)
    return root


def told(done: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    assert "Traceback" not in done.stderr
    return {each["name"]: each["outcome"] for each in json.loads(done.stdout)["findings"]}


@pytest.mark.slow
def test_a_new_clone_is_sound_and_one_without_an_identity_is_not(alone, monkeypatch):
    """given a tree before its first run, when it is looked at, then the exit code is 0; without an identity it is 2"""
    first = slipway(alone, "doctor", "--json")
    found = told(first)
    assert first.returncode == 0, first.stdout
    assert {"Python", "uv", "packages", "deepchecks", "git", "identity", "dvc.lock", "DVC remote"} <= {
        name for name, outcome in found.items() if outcome == "ok"
    }
    assert (found["origin"], found["hooks"]) == ("advice", "advice")
    assert not git(alone, "status", "--porcelain")  # it left nothing behind

    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    git(alone, "config", "user.useConfigOnly", "true")
    second = slipway(alone, "doctor")
    assert second.returncode == 2
    assert "wrong   identity" in second.stdout
    assert "\x1b" not in second.stdout


@pytest.mark.parametrize("words", [(), ("--json",), ("--update",)])
def test_a_folder_that_holds_no_project_is_one_line(tmp_path, words):
    done = slipway(tmp_path, "doctor", *words)
    said = f"error: {tmp_path} holds no project (no dvc.yaml); run from the folder of one\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_in_an_empty_project_without_any_program_all_is_said(tmp_path):
    """given a project that holds nothing else, when it is looked at, then it says so, without a traceback"""
    write(tmp_path, "dvc.yaml", "stages: {}\n")
    done = subprocess.run(
        [sys.executable, "-m", "slipway", "doctor", "--json"],
        cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = told(done)
    assert done.returncode == 2
    assert BROKE not in done.stdout
    wrong = {name for name, outcome in found.items() if outcome == "wrong"}
    assert wrong == {"Python", "uv", "packages", "deepchecks", "git", "DVC remote"}
    assert found.keys() - wrong == {"disk", "dvc.lock", "MLflow", "containers"}  # of git all is said in one place


PARTS = (".git", ".dvc", "dvc.yaml", "dvc.lock", "data.dvc", "src/model/schema.yaml", "params.yaml", "pyproject.toml",
         "uv.lock", "Makefile", "deploy", ".github", ".pre-commit-config.yaml")  # fmt: skip
DAMAGES = ("gone", "empty", "no text", "a folder")
LOCAL = {name: look for name, look in CHECKS.items() if name not in {"DVC remote", "containers", "kubectl"}}


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.dictionaries(st.sampled_from(PARTS), st.sampled_from(DAMAGES), max_size=4),
    st.sampled_from(["", "nowhere", "git", None]),
)
def test_whatever_is_broken_no_check_breaks(alone, tmp_path_factory, damage, path):
    """given a project of which parts are gone or damaged, and a machine that lacks programs, when it is looked at,
    then every check says what is wrong, in a line"""
    root = tmp_path_factory.mktemp("broken") / "project"
    for part in PARTS:
        (root / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(alone / part, root / part) if (alone / part).is_dir() else shutil.copy(
            alone / part, root / part
        )
    for part, kind in damage.items():
        shutil.rmtree(root / part) if (root / part).is_dir() else (root / part).unlink()
        if kind == "a folder":
            (root / part).mkdir()
        elif kind != "gone":
            (root / part).write_bytes(b"" if kind == "empty" else b"\xff{:\n")
    programs = root.parent / "bin"
    programs.mkdir()
    (programs / "git").symlink_to(str(shutil.which("git")))
    paths = {"": "", "nowhere": str(root / "nowhere"), "git": str(programs), None: os.environ["PATH"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("PATH", paths[path])
        found = diagnose(LOCAL)
    assert not [each for each in found if BROKE in each.found]
    assert not [each for each in found if each.outcome != "ok" and not each.mend]
    shutil.rmtree(root.parent)


def test_the_command_starts_as_fast_as_the_others():
    """given the command line, when it shows its help, then nothing of the doctor's was imported"""
    code = "import sys, slipway.cli; sys.exit(any(name.startswith('slipway.doctor') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
