"""The whole line, as people run it: in a clone of its own, through DVC, from raw data to the summary."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from examples import diabetes
from helpers import clone, copy_project

INTERRUPTED = "interrupted; `make repro` goes on where it stopped\n"
pytestmark = [pytest.mark.slow, pytest.mark.no_cover]


class Clone:
    """A project in a folder of its own; its commands run its own code in this environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def environment(self) -> dict[str, str]:
        """What its commands run with, which is the test's own: several tests share a clone."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "DVC", "GIT_"))
        }
        return inherited | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder / "src"),
            "NO_COLOR": "1",
        }

    def __call__(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    def commit(self, message: str) -> None:
        self("git", "add", "-A")
        self("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-qm", message)

    def repro(self, code: int = 0) -> str:
        return self.slipway("repro", code=code)

    def slipway(self, *words: str, code: int = 0) -> str:
        return self(sys.executable, "-m", "slipway", *words, code=code)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        (self.folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    def report(self, name: str) -> dict[str, dict[str, dict[str, float]]]:
        found: dict[str, dict[str, dict[str, float]]] = json.loads((self.folder / "reports" / name).read_text("utf-8"))
        return found


@pytest.fixture(scope="module")
def demo(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The demo, run once."""
    folder = tmp_path_factory.mktemp("demo") / "project"
    shutil.copytree(ran, folder, symlinks=True)
    return Clone(folder)


def repro_in(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the pipeline in another folder."""
    command = [sys.executable, "-m", "slipway", "repro"]
    return subprocess.run(
        command, cwd=folder, env=Clone(folder).environment, capture_output=True, text=True, check=False
    )


def test_a_clone_of_the_results_makes_the_same_bytes_again(demo, tmp_path):
    clone(demo.folder, tmp_path / "clone")
    again = repro_in(tmp_path / "clone")
    assert "Running stage 'train'" in again.stdout
    assert again.stderr == ""  # not that results are in no remote: they are made
    assert "git add dvc.lock" not in again.stdout  # the reports belong to the commit as well
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path / "clone", capture_output=True, check=True)
    assert changed.stdout == b""


def test_a_fresh_clone_becomes_a_tested_model(demo):
    assert demo.report("metrics.json")["holdout"]["roc_auc"]["value"] > 0.97
    assert (demo.folder / "artifacts/model/model.onnx").exists()
    told = demo.slipway("summary")
    assert "roc_auc" in told
    assert "Worst slice" in told
    assert demo.slipway("lock")


def test_in_a_terminal_nothing_is_asked_and_nothing_waits(demo, tmp_path):
    clone(demo.folder, tmp_path / "clone")
    (tmp_path / "clone/artifacts/trained").mkdir(parents=True)  # as a run that was killed leaves it
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "slipway", "repro", "train"],
        cwd=tmp_path / "clone",
        env=demo.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as running:
        os.close(theirs)
        told = b""
        with suppress(OSError):  # Linux says that nobody writes any more by an error
            while select.select([ours], [], [], 120)[0] and (some := os.read(ours, 65536)):
                told += some
        if running.poll() is None and b"[y/n]" in told:
            running.kill()
    assert b"[y/n]" not in told
    assert running.returncode == 0


def test_nothing_changed_means_nothing_runs(demo):
    assert "Running stage" not in demo.repro()


def test_a_training_parameter_runs_what_depends_on_it(demo):
    demo.edit("params.yaml", "strength: 1.0", "strength: 50.0")
    demo.slipway("lock", code=1)
    told = demo.repro()
    assert "Running stage 'train'" in told
    assert "Running stage 'prepare'" not in told
    assert demo.slipway("lock")
    changed = json.loads(demo(sys.executable, "-m", "dvc", "metrics", "diff", "--json"))
    assert "holdout.log_loss.value" in changed["reports/metrics.json"]
    knobs = json.loads(demo(sys.executable, "-m", "dvc", "params", "diff", "--json"))
    assert knobs["params.yaml"]["train.linear.strength"]["new"] == 50.0
    demo("git", "checkout", "-q", ".")
    assert "Running stage" not in demo.repro()  # DVC's run cache knows the old results


def test_an_experiment_tries_a_value_without_editing(demo):
    before = (demo.folder / "params.yaml").read_text(encoding="utf-8")
    told = demo(sys.executable, "-m", "dvc", "exp", "run", "-n", "stronger", "-S", "train.linear.strength=50.0")
    assert re.search("Running stage 'train'|Stage 'train' is cached", told)  # as the test above may have run it
    # DVC writes params.yaml anew, in its own style, which is therefore ours.
    assert (demo.folder / "params.yaml").read_text("utf-8") == before.replace("strength: 1.0", "strength: 50.0")
    shown = demo.slipway("exps")
    assert re.search(r"^ +roc_auc +log_loss +f1 +parameters that differ", shown)
    assert re.search(r"^workspace +[01]\.\d{4}.*  train\.linear\.strength=50 *$", shown, re.MULTILINE)
    assert re.search(r"^stronger +[01]\.\d{4}.*  train\.linear\.strength=50 *$", shown, re.MULTILINE)
    demo("git", "checkout", "-q", ".")
    assert "Running stage" not in demo.repro()


def test_a_gate_that_does_not_hold_fails_the_summary(demo):
    demo.edit("params.yaml", "roc_auc: {min: 0.97}", "roc_auc: {min: 0.9999}")
    assert "0.9999" in demo.repro(code=1)
    demo("git", "checkout", "-q", ".")
    demo.repro()
    demo.slipway("summary")


def test_bad_settings_and_bad_data_are_one_line_and_undone_by_undoing_them(demo):
    demo.edit("params.yaml", "folds: 5", "fold: 5")
    told = demo.repro(code=2)
    assert "error: params.yaml: train.fold: unknown key" in told
    assert "Traceback" not in told
    demo("git", "checkout", "-q", ".")
    demo.edit("src/model/schema.yaml", "mean radius:", "mean radios:")
    told = demo.repro(code=2)
    assert "column 'mean radios' is missing; 'mean radius' is there instead" in told
    assert "Traceback" not in told
    demo("git", "checkout", "-q", ".")
    demo.repro()
    demo.slipway("summary")


def test_data_that_is_not_versioned_is_never_taken_for_the_data(demo):
    extra = demo.folder / "data" / "more.parquet"
    extra.write_bytes(b"nothing")
    before = (demo.folder / "data.dvc").read_bytes()
    assert "is not the data that data.dvc names" in demo.repro(code=2)
    assert (demo.folder / "data.dvc").read_bytes() == before
    extra.unlink()
    demo.repro()


def test_without_dvc_s_cache_the_data_is_still_known_for_what_it_is(demo):
    (demo.folder / ".dvc/cache").rename(demo.folder / ".dvc/kept")
    assert "Running stage 'prepare'" in demo.slipway("repro", "prepare")  # whose results were there, and are made anew
    assert demo.slipway("lock")
    shutil.rmtree(demo.folder / ".dvc/cache")
    (table,) = (demo.folder / "data").iterdir()
    content = table.read_bytes()
    table.unlink()
    table.write_bytes(content + b"more")
    assert "is not the data that data.dvc names" in demo.repro(code=2)
    shutil.rmtree(demo.folder / "data")
    (demo.folder / ".dvc/kept").rename(demo.folder / ".dvc/cache")
    demo.repro()


def test_data_that_cannot_be_pulled_is_told(demo, tmp_path):
    clone(demo.folder, tmp_path / "clone")
    shutil.rmtree(tmp_path / "clone/.dvc/remote")
    done = repro_in(tmp_path / "clone")
    assert done.returncode == 2
    assert "Some of the cache files do not exist neither locally nor on remote" in done.stderr
    assert "failed to reproduce 'data.dvc'" in done.stderr


def test_outside_of_the_project_s_root_it_says_so(demo):
    done = subprocess.run(
        [sys.executable, "-m", "slipway", "repro"],
        cwd=demo.folder / "src",
        env=demo.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    root = demo.folder.resolve()
    assert (done.returncode, done.stderr) == (2, f"error: {root / 'src'} is a folder of the project; run from {root}\n")


def stopped(after: str, clone: Clone, sent: signal.Signals, delay: float, *command: str) -> tuple[int, str]:
    """Send a signal to a whole process group, as a terminal does, some seconds after a line.

    Returns:
        The exit code, and what was said after that line.
    """
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=clone.folder,
        env=clone.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout
        assert any(after in line for line in running.stdout)
        time.sleep(delay)
        os.killpg(running.pid, sent)
        told = running.stdout.read()
    return running.returncode, told


@pytest.mark.parametrize("stage", ["prepare", "train", "export", "evaluate"])
def test_a_stage_killed_half_way_loses_nothing(demo, stage):
    """Kill DVC and the stage at once, as a machine that goes down does, at several moments of the stage."""
    for delay in (0.0, 0.7, 1.5):
        begun = f"> python -m slipway.stages.{stage}"
        stopped(begun, demo, signal.SIGKILL, delay, "dvc", "repro", "--force", "--single-item", stage)
    demo.repro()
    demo.slipway("summary")
    assert demo.slipway("lock")
    demo("git", "checkout", "-q", ".")
    demo.repro()


@pytest.mark.parametrize("end", [0.0, 0.3, 0.99, b"hash: m"])
def test_a_lock_that_dvc_was_killed_in_writing_is_mended(demo, end):
    """The last text leaves what DVC takes for a lock, and would fail over."""
    lock = demo.folder / "dvc.lock"
    whole = lock.read_bytes()
    lock.write_bytes(whole[: int(len(whole) * end) if isinstance(end, float) else whole.rindex(end) + len(end)])
    demo.repro()
    assert lock.read_bytes() == whole


def test_a_merge_conflict_in_the_lock_is_left_to_who_merges(demo):
    lock = demo.folder / "dvc.lock"
    conflict = f"<<<<<<< ours\n{lock.read_text()}=======\n>>>>>>> theirs\n"
    lock.write_text(conflict)
    assert "dvc.lock: holds a merge conflict; resolve it, either side will do" in demo.repro(code=2)
    assert lock.read_text() == conflict
    demo("git", "checkout", "-q", ".")


def test_an_interrupted_run_says_so_in_one_line_and_goes_on_later(demo):
    for delay in (0.0, 1.5):  # while Python or the stage's imports begin, and in its work
        begun = "> python -m slipway.stages.train"
        code, told = stopped(begun, demo, signal.SIGINT, delay, "slipway", "repro", "--force", "train")
        assert (code, told[-len(INTERRUPTED) :]) == (130, INTERRUPTED)
        # Before a line of ours runs, Python says in its own way that it was stopped; nothing can be done about it.
        assert told == INTERRUPTED or (delay == 0.0 and told.startswith("Could not import runpy module"))
    demo.repro()
    demo.slipway("summary")
    assert demo.slipway("lock")
    demo("git", "checkout", "-q", ".")


def test_an_interrupt_of_dvc_itself_leaves_its_files_whole(demo):
    """It writes its locks in place, and would not start again after half of one."""
    for delay in (0.0, 0.02, 0.04, 0.06, 0.08, 0.1):
        code, told = stopped("Verifying data sources", demo, signal.SIGINT, delay, "slipway", "repro", "--force")
        assert (code, told[-len(INTERRUPTED) :]) == (130, INTERRUPTED)
        assert "ERROR" not in told
    demo.repro()
    demo("git", "checkout", "-q", ".")


def test_locks_that_dvc_was_killed_in_writing_do_not_stop_it_for_ever(demo):
    (demo.folder / ".dvc/tmp/rwlock").write_bytes(b"")
    demo.repro()


def test_a_table_of_ones_own_runs_after_adopting_it(tmp_path):
    own = Clone(copy_project(tmp_path / "project"))
    frame, _ = diabetes()
    frame.write_csv(tmp_path / "diabetes.csv", separator=";")
    own.slipway("adopt", str(tmp_path / "diabetes.csv"), "--target", "progression")
    own.repro()
    assert own.report("metrics.json")["holdout"]["r2"]["value"] > 0.2
    assert "rmse" in own.slipway("summary")
    assert re.search(r"^workspace +\d.*\(\d", own.slipway("exps"), re.MULTILINE)
    assert (own.folder / "reports/plots/residuals.csv").exists()
    assert not (own.folder / "reports/plots/roc.csv").exists()  # the demo's
    assert "not in git" in own.slipway("lock", code=1)
    own.commit("my data")
    assert own.slipway("lock")
    # What was committed is enough: another clone pulls the raw data from the repository itself.
    other = clone(own.folder, tmp_path / "other")
    subprocess.run([sys.executable, "-m", "dvc", "pull", "-q", "data"], cwd=other, env=own.environment, check=True)
    assert [path.name for path in (other / "data").iterdir()] == ["diabetes.csv"]
