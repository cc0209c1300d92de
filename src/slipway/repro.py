"""`make repro`: DVC runs what changed, and the run ends with what it found."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from slipway import layout
from slipway.colours import plain_log
from slipway.deepchecks import install_ahead
from slipway.delivery.data import killed_adoption
from slipway.delivery.gittree import path_hash
from slipway.errors import UserError, warn
from slipway.files import write_text
from slipway.params import load_params
from slipway.schema import load_schema
from slipway.settings import read_yaml
from slipway.settings_check import check_settings

LOCKS = Path(".dvc/tmp/rwlock")


def repro(words: Sequence[str] = ()) -> None:
    """Pull the data and run what changed.

    Args:
        words: Further arguments for `dvc repro`, such as a stage or `--force`.

    Raises:
        UserError: The data is not what `data.dvc` says, or a stage or DVC itself failed, which it has said.
        KeyboardInterrupt: The run was interrupted, in whichever process.
    """
    # Stages are started as `python`; it must be this one even where the environment's folder is not on the path.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if not layout.PIPELINE.exists():
        raise UserError(f"{layout.PIPELINE}: no such file; run from the project's root")
    check_settings(load_params(), load_schema())  # before DVC removes the results of a stage that cannot run
    refuse_unlisted_code()
    if LOCKS.exists() and not LOCKS.stat().st_size:
        LOCKS.unlink()  # DVC was killed while it wrote this, and would never start again
    if not Path(".dvc/cache").exists():  # DVC would not replace results that it does not have, and they are made again
        for path in outputs(layout.PIPELINE, cached=True):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    mend_lock()
    with _listening() as heard:
        refuse_unversioned_data()
        shutil.rmtree(layout.RUN, ignore_errors=True)
        _dvc(heard, "repro", "--pull", *words)
        # With --pull, DVC takes a stage whose results are missing for unchanged and brings back what its cache holds,
        # but not the reports that git holds: after a stage was killed they would stay away. Without it misses them.
        if not all(path.exists() for path in outputs(layout.PIPELINE, cached=False)):
            _dvc(heard, "repro", *words)


def refuse_unlisted_code() -> None:
    """Stop where a change of the project's own code would run nothing, since `dvc.yaml` does not know of it.

    Raises:
        UserError: With the module and the stages that have to list it.
    """
    stages = read_yaml(layout.PIPELINE)["stages"]
    using = {name: {*map(Path, stage.get("deps", []))} for name, stage in stages.items()}
    using = {name: listed for name, listed in using.items() if layout.ESTIMATOR in listed}
    for module in sorted(layout.ESTIMATOR.parent.rglob("*.py")):
        lacking = [name for name, listed in using.items() if not listed & {module, *module.parents}]
        if lacking and module.read_bytes().strip() and module.name != "__init__.py":
            raise UserError(
                f"{layout.PIPELINE}: {' and '.join(lacking)} must list {module} under deps, or a change to it would "
                "run nothing"
            )


def mend_lock() -> None:
    """Put `dvc.lock` back as the last commit has it where DVC was killed while it wrote it, and would not start again.

    What the commit lacks, DVC's run cache brings back. A merge conflict is somebody's to resolve.

    Raises:
        UserError: It holds one.
    """
    if not layout.LOCK.exists():
        return
    try:
        _refuse_damaged_lock()
    except Exception as error:
        if "merge conflict" in str(error):
            raise
        committed = subprocess.run(["git", "show", f"HEAD:./{layout.LOCK}"], capture_output=True, check=False)  # noqa: S603, S607
        if committed.returncode:
            layout.LOCK.unlink()
        else:
            write_text(layout.LOCK, committed.stdout.decode())
        warn("repro", f"{layout.LOCK} was damaged, as by a run that was killed; it is as the last commit has it again")


def _refuse_damaged_lock() -> None:
    """Refuse what is no lock, and what DVC takes for one and fails over without a word, as half of its last line is.

    Raises:
        Exception: It is; DVC's validation raises its library's own.
    """
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA

    COMPILED_LOCKFILE_SCHEMA(read_yaml(layout.LOCK))
    if not layout.LOCK.read_bytes().endswith(b"\n"):
        raise ValueError(f"{layout.LOCK} ends within a line")


def refuse_unversioned_data() -> None:
    """Stop where DVC would write another hash into `data.dvc` by itself.

    After a switch to another branch that is the old branch's data; after an edit it is data that no remote has.

    Raises:
        UserError: `data/` is there and differs from `data.dvc`.
    """
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo() as project:
            found = project.status(targets=[str(layout.DATA_DVC)]) if layout.DATA.exists() else {}
    except DvcException as error:
        mend = "`git checkout .dvc`" if isinstance(error, NotDvcRepoError) else "see .dvc/config"
        raise UserError(f"{' '.join(str(error).split()).rstrip('.')}; {mend}") from None
    if found and path_hash(layout.DATA) != read_yaml(layout.DATA_DVC)["outs"][0]["md5"]:  # or only the cache lacks it
        raise UserError(
            killed_adoption()
            or f"{layout.DATA}/: is not the data that {layout.DATA_DVC} names; `make data` versions what is there; "
            f"to have back what was versioned, delete {layout.DATA}/ and run `make repro`"
        )


def outputs(pipeline: Path, *, cached: bool) -> list[Path]:
    """The results that `dvc.yaml` gives to DVC's cache, or those that it leaves to git."""
    stages = read_yaml(pipeline)["stages"].values()
    outs = [out for stage in stages for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
    named = [next(iter(out.items())) if isinstance(out, dict) else (out, {}) for out in outs]
    return [Path(path) for path, options in named if options.get("cache", True) is cached]


class _Heard(logging.Filter):
    """Hears interrupts and what DVC says, and passes on all but what only looks like trouble.

    Attributes:
        interrupted: Whether DVC or a stage was.
    """

    interrupted = False
    _ahead: Sequence[subprocess.Popen[bytes]] = ()
    _since = 0.0  # seconds
    _stopped = False
    _raw = False  # raw data is being pulled, which nothing can make

    def interrupt(self, *_: object) -> None:
        """Have DVC stop when it next says something: half-way in its own files, it would leave them damaged.

        A second interrupt ends it at once.
        """
        if self.interrupted and monotonic() - self._since > 1:  # sooner, it is the same again: uv passes it on
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        elif not self.interrupted:
            self.interrupted, self._since = True, monotonic()

    def end(self) -> None:
        """End what was started and is not needed any more."""
        for process in self._ahead:
            process.terminate()
            process.wait()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown: not how an interrupt ends, nor what DVC advises that is not so here."""
        said = record.getMessage()
        if not self.interrupted and said.endswith(
            f"exited with -{signal.SIGINT.value}"
        ):  # the stage heard it before us
            self.interrupt()
        if self.interrupted:
            if not (record.exc_info or self._stopped):
                self._stopped = True
                raise KeyboardInterrupt
            return False
        if said.startswith("Pulling data for"):
            self._raw = said.endswith(".dvc'")
        if said.startswith("Running stage 'prepare'"):  # for data that is new here, and that deepchecks sees next
            installing = install_ahead()
            self._ahead = [installing] if installing else []
        if said.startswith("Running stage 'check-data'") and self._ahead:  # a first run: nothing is compiled yet
            self._ahead = [*self._ahead, compile_ahead()]
        if said.strip().startswith(("To track the changes with git", "To enable auto staging")):
            return False  # the reports, of which this does not know, belong to the commit as well
        return self._raw or not said.startswith(("Some of the cache files do not exist", "Unable to pull data for"))


def compile_ahead() -> subprocess.Popen[bytes]:
    """Have Python compile, beside deepchecks, what the stages after it import: that takes longer than their work."""
    used = "mlflow.onnx, mlflow.store.tracking.sqlalchemy_store, slipway.stages.evaluate, slipway.stages.export"
    nowhere = subprocess.DEVNULL
    command = [sys.executable, "-c", f"import {used}, slipway.stages.train"]
    return subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere)  # noqa: S603


@contextmanager
def _listening() -> Iterator[_Heard]:
    import dvc  # sets up its logging  # noqa: F401

    plain_log()
    heard = _Heard()
    for handler in logging.getLogger("dvc").handlers:
        handler.addFilter(heard)
    usual = signal.signal(signal.SIGINT, heard.interrupt)
    try:
        yield heard
    finally:
        heard.end()
        signal.signal(signal.SIGINT, signal.SIG_IGN if heard.interrupted else usual)


def _dvc(heard: _Heard, *words: str) -> None:
    from dvc import prompt
    from dvc.cli import main
    from dvc.ui import ui

    def say(*objects: Any, **how: Any) -> None:
        if not "".join(map(str, objects)).startswith("Use `dvc push`"):  # to a remote in this folder it shares nothing
            tell(*objects, **how)

    tell, ui.write = ui.write, say
    # In a terminal DVC would ask whether to lose results that no cache has, and that it makes again next.
    prompt.ask = lambda *_, **__: None
    # In the main thread, DVC makes the process deaf to interrupts while a stage runs.
    with ThreadPoolExecutor(1) as thread:
        failed = thread.submit(main, list(words)).result()
    if heard.interrupted:
        raise KeyboardInterrupt
    if failed:
        raise UserError(
            f"dvc {' '.join(words)} did not finish; mend what it says above, if anything, and run `make repro` again"
        )
