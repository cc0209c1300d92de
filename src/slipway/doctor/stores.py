"""Stores that are elsewhere: DVC's remote, MLflow's server. This is also the process that asks them.

Their libraries take seconds to import and may wait for minutes, so each runs in a process that can be ended, and that
prints what came of it in a line of JSON.
"""

import json
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

from slipway.delivery.git import last_line
from slipway.doctor.asking import ask
from slipway.doctor.finding import Finding, Outcome, from_error, short, without_secrets
from slipway.doctor.repository import refused
from slipway.errors import UserError

IMPORTING = 15.0  # seconds, with what is asked
PROBE = b"slipway doctor tried to write here, and was killed before it could remove this\n"
DRIVERS = {"s3": "s3", "gs": "gcs", "azure": "azure", "ssh": "ssh"}  # groups of pyproject.toml by protocol
LOGINS = {"s3": "aws sso login", "gs": "gcloud auth application-default login", "azure": "az login"}
FOLDERS = {"local", "ssh"}  # where a folder is more than the beginning of names, and stays when it is empty

Said = tuple[Outcome, str, str]


def dvc() -> Iterator[Finding]:
    """Whether DVC's remote takes an object, gives it back and lets it go."""
    if not Path(".dvc").is_dir():
        yield Finding("DVC remote", "wrong", "DVC is not set up here", "uv run dvc init")
    elif refusal := refused("DVC remote"):  # DVC would take it for no repository
        yield refusal
    else:
        yield _asked("DVC remote")


def mlflow() -> Iterator[Finding]:
    """Whether MLflow's server answers, if there is to be one."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri and uri.startswith(("http://", "https://")):
        yield _asked("MLflow")
    else:
        yield Finding("MLflow", "ok", f"no server: runs go to {without_secrets(uri or 'mlflow.db')}")


def _asked(name: str) -> Finding:
    try:
        done = ask(sys.executable, "-m", __name__, name, patience=IMPORTING)
    except UserError:
        return Finding(name, "wrong", f"no answer within {IMPORTING:g} s", "try again: make doctor")
    try:
        return Finding(**json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, LookupError, TypeError):
        raise UserError(f"it could not be tried: {last_line(done)}; make setup") from None


def _main(name: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing that was written stays
    logging.disable()
    try:
        found = Finding(name, *{"DVC remote": _try_dvc, "MLflow": _try_mlflow}[name]())
    except UserError as error:
        found = from_error(name, error)
    print(json.dumps(asdict(found)))  # noqa: T201


def _try_dvc() -> Said:
    from dvc.repo import Repo

    from slipway.delivery.data import default_remote

    os.environ.setdefault("AWS_MAX_ATTEMPTS", "1")  # five, which is usual, take longer than we wait
    where, protocol, mend = ".dvc/config", "", "git checkout HEAD -- .dvc/config"
    try:
        name, _ = default_remote(Path())
        with Repo() as repo:
            url = str(repo.config["remote"][name]["url"])
            where, protocol = f"{name} ({without_secrets(url)})", url.partition("://")[0] if "://" in url else "local"
            mend = f"uv run dvc remote modify {name} url URL"
            if protocol in {"http", "https"}:
                return "advice", f"{where}: DVC removes nothing over HTTP, so nothing was written", "uv run dvc push"
            remote = repo.cloud.get_remote(name)
            return _write(remote.fs, remote.odb.path, where)
    except UserError:
        raise
    except Exception as error:  # whatever its library raises
        group = DRIVERS.get(protocol)
        if group and re.search("to be installed|missing dependencies", str(error)):
            mend = f'add "{group}" to default-groups in pyproject.toml, then: make setup'
            return "wrong", f"{where} needs a driver that is not installed", mend
        mend = f"{LOGINS[protocol]} # or: {mend}" if protocol in LOGINS else mend
        return "wrong", f"{where} cannot be used: {_reason(error)}", mend


def _write(fs: Any, folder: str, where: str) -> Said:
    """Write an object where DVC writes them, read it, and remove it."""
    path = fs.join(folder, f"slipway-doctor-{uuid4().hex}")  # no name of an object, so DVC passes over it
    left = ""
    with _made(fs, folder):
        try:
            fs.pipe_file(path, PROBE)
            same = fs.cat_file(path) == PROBE
        finally:
            try:
                fs.rm_file(path)
            except FileNotFoundError:  # it was not written
                pass
            except Exception as error:  # of a role that may write but not delete
                left = _reason(error)
    if not same:
        return "wrong", f"{where} gives back something else than was written", "uv run dvc push --verbose"
    if left:
        return "advice", f"{where} can be written, but {path} stays: {left}", "allow whoever you are there to delete"
    return "ok", f"{where} can be written", ""


@contextmanager
def _made(fs: Any, folder: str) -> Iterator[None]:
    """Have a folder for as long as the block lasts, with those above it; what was there before stays."""
    missing = []
    while fs.protocol in FOLDERS and not fs.exists(folder):
        missing.append(folder)
        folder = fs.parent(folder)
    try:
        if missing:
            fs.makedirs(missing[0], exist_ok=True)
        yield
    finally:
        for made in missing:
            with suppress(OSError):  # it was not made, or somebody has put something there
                fs.rmdir(made)


def _try_mlflow() -> Said:
    from slipway.tracking import mlflow_module

    os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
    uri = os.environ["MLFLOW_TRACKING_URI"]
    try:
        mlflow_module().MlflowClient(uri).search_experiments(max_results=1)
    except Exception as error:  # whatever the server or the network does
        mend = "start that server, or keep runs here: unset MLFLOW_TRACKING_URI"
        return "wrong", f"{without_secrets(uri)} does not answer: {_reason(error)}", mend
    return "ok", f"{without_secrets(uri)} answers", ""


def _reason(error: Exception) -> str:
    return short(error) or type(error).__name__


if __name__ == "__main__":
    _main(sys.argv[1])
