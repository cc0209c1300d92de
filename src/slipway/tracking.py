"""Every training run in MLflow: a local SQLite file, or the server that MLFLOW_TRACKING_URI names.

Tracking mirrors what git and DVC hold and never decides anything, so nothing that goes wrong here fails a stage: a run
that the server did not take is recorded locally and kept until `make track` uploads it.
"""

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from rich.progress import track

from slipway import layout
from slipway.about import project_name
from slipway.errors import UserError, warn
from slipway.files import console, write_json
from slipway.params import Params
from slipway.settings import data_hash, flat

DATABASE = Path("mlflow.db")
PENDING = Path("mlruns/pending")
IDENTITY = "slipway.pipeline"  # the tag that says which trained pipeline a run is about


@dataclass(frozen=True)
class Run:
    """What is known of one training run. `model` is the folder of the exported model, once there is one."""

    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    model: str | None = None


def training_run(
    params: Params, training: Mapping[str, Any], holdout: Mapping[str, Any] | None = None, model: Path | None = None
) -> Run:
    """Describe the run of the workspace's trained pipeline.

    Args:
        params: The settings.
        training: The content of the training report.
        holdout: The holdout metrics by name, each with `value`, `low` and `high`.
        model: The folder of the exported model.
    """
    metrics = {
        f"cv_{name}_{part}": score[part] for name, score in training["cross_validation"].items() for part in score
    }
    for name, interval in (holdout or {}).items():
        metrics |= {name: interval["value"], f"{name}_low": interval["low"], f"{name}_high": interval["high"]}
    metrics |= {"threshold": training["threshold"], "train_rows": training["rows"]["train"]}
    commit, dirty = git_revision()
    tags = {
        IDENTITY: sha256((layout.TRAINED / "pipeline.skops").read_bytes()).hexdigest(),
        "mlflow.source.git.commit": commit,
        "slipway.git_dirty": str(dirty).lower(),
        "slipway.data": data_hash() or "none",
        "slipway.schema": sha256(layout.SCHEMA.read_bytes()).hexdigest(),
        "slipway.task": training["task"],
    }
    knobs = flat(params.model_dump(mode="json", include={"data", "split", "train", "export"}))
    knobs = {name: str(value) for name, value in knobs.items()}
    return Run(tags, knobs, {name: value for name, value in metrics.items() if value is not None}, _as_posix(model))


def record(run: Run, *, new: bool = False) -> None:
    """Log a run, to the configured server if it answers and locally otherwise; never raises.

    Args:
        run: What to log.
        new: Whether this is a run of its own; otherwise it completes the latest run of the same pipeline.
    """
    uri = tracking_uri()
    try:
        run_id = log(uri, run, new=new)
        write_json(layout.RUN / "mlflow.json", {"run": run_id, "local": uri == local_store()})
    except Exception as error:  # whatever the server or the network does, training goes on
        reason = " ".join(str(error).split())[:160]
    else:
        return
    if uri == local_store():
        warn("tracking", f"the run could not be recorded in {DATABASE}: {reason}")
        return
    try:
        folder = keep(run)
        log(local_store(), run, new=new)
    except Exception as error:
        warn("tracking", f"{uri} did not take the run, and it could not be recorded locally: {error}")
        return
    where = f"it is in {DATABASE} and {folder}: upload with `make track`"
    warn("tracking", f"{uri} did not take the run ({reason}); {where}")


def tracking_uri() -> str:
    """Where runs go: MLFLOW_TRACKING_URI, or the project's SQLite file."""
    return os.environ.get("MLFLOW_TRACKING_URI") or local_store()


def local_store() -> str:
    """The project's SQLite file as a URI; absolute, since MLflow keeps a store by its URI for the whole process."""
    return f"sqlite:///{quote(str(DATABASE.resolve()))}"


def log(uri: str, run: Run, *, new: bool) -> str:
    """Write a run to an MLflow store, and say by what id it is known there; raises what MLflow raises."""
    mlflow = mlflow_module()
    client = mlflow.MlflowClient(uri)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or project_name()
    experiment = client.get_experiment_by_name(name)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)
    same = f"tags.`{IDENTITY}` = '{run.tags[IDENTITY]}'"
    found = [] if new else client.search_runs([experiment_id], same, max_results=1, order_by=["start_time DESC"])
    run_id = (found[0] if found else client.create_run(experiment_id)).info.run_id
    entities, now = mlflow.entities, int(mlflow.utils.time.get_current_time_millis())
    known = found[0].data.params if found else {}
    client.log_batch(
        run_id,
        metrics=[entities.Metric(key, value, now, 0) for key, value in run.metrics.items()],
        params=[entities.Param(key, value) for key, value in run.params.items() if key not in known],
        tags=[entities.RunTag(key, value) for key, value in run.tags.items()],
    )
    if run.model is not None:
        _log_model(mlflow, uri, run_id, Path(run.model))
    client.set_terminated(run_id)
    return str(run_id)


def _log_model(mlflow: Any, uri: str, run_id: str, folder: Path) -> None:
    from slipway.signature import load_signature

    signature = load_signature(folder)
    client = mlflow.MlflowClient(uri)
    if signature.model is None or signature.model.format != "onnx":
        client.log_artifacts(run_id, str(folder), "model")
        return
    import numpy as np
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    kind, width = np.dtype(np.float32), len(signature.features)
    outputs = (-1, 1) if signature.task == "regression" else (-1, len(signature.classes))
    with _pointed_at(mlflow, uri), mlflow.start_run(run_id=run_id):
        mlflow.onnx.log_model(
            onnx.load(str(folder / signature.model.file)),
            name="model",
            signature=ModelSignature(Schema([TensorSpec(kind, (-1, width))]), Schema([TensorSpec(kind, outputs)])),
            pip_requirements=["onnxruntime", "numpy"],  # given, or MLflow runs the model to find out
            extra_files=[str(folder / "signature.json")],
        )


@contextmanager
def _pointed_at(mlflow: Any, uri: str) -> Iterator[None]:
    """Make a store MLflow's own for a while; MLflow writes that into the environment, where it would stay."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
        if before is None:
            os.environ.pop("MLFLOW_TRACKING_URI", None)


@cache
def mlflow_module() -> Any:
    """MLflow, quiet, and soon done with a server that does not answer."""
    # The server's absence must be noticed in seconds; MLflow's own default is seven tries of two minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    return mlflow


def keep(run: Run, root: Path = PENDING) -> Path:
    """Keep a run for a later upload, its model file with it; a later record of the same pipeline replaces it."""
    folder = root / run.tags[IDENTITY][:16]
    draft = folder.with_name(f"{folder.name}.{uuid4().hex}")
    draft.mkdir(parents=True)
    content = asdict(run)
    if run.model is not None:
        shutil.copytree(run.model, draft / "model")
        content["model"] = "model"
    write_json(draft / "run.json", content)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    return folder


def upload(root: Path = PENDING) -> list[str]:
    """Send every kept run to MLFLOW_TRACKING_URI, and forget those that arrived.

    Returns:
        The names of the runs that were sent.

    Raises:
        UserError: No server is configured, or it does not take a run; that run and the later ones stay kept.
    """
    waiting = sorted(path.parent for path in root.glob("*/run.json"))
    uri = tracking_uri()
    if waiting and uri == local_store():
        raise UserError("MLFLOW_TRACKING_URI is not set; set it to the server that the kept runs are for")
    for folder in track(waiting, "uploading", console=console(), transient=True):
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if content["model"] is not None:
            content["model"] = str(folder / content["model"])
        try:
            log(uri, Run(**content), new=False)
        except Exception as error:
            reason = " ".join(str(error).split())[:160]
            raise UserError(f"{uri} did not take {folder.name}: {reason}; it stays in {root}") from None
        shutil.rmtree(folder)
    return [folder.name for folder in waiting]


def serve(port: int) -> None:
    """Show the runs in MLflow's UI until interrupted; where they are on a server, say so.

    Raises:
        UserError: The port is taken, or the UI ended by itself.
    """
    uri, address = tracking_uri(), f"http://127.0.0.1:{port}"
    if uri.startswith(("http://", "https://")):
        print(f"the runs are on {uri}: open that")  # noqa: T201
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(
                f'{address} cannot be had: {error.strerror}; try `make mlflow ARGS="--port 5001"`'
            ) from None
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--uvicorn-opts", "--log-level warning", "--backend-store-uri", uri]
    # Its job runner, of seven processes, is for services that this UI has no use for.
    quiet = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONWARNINGS": "ignore",
    }
    print(f"open {address} in some seconds; Ctrl-C ends it", flush=True)  # noqa: T201
    # A session of its own: an interrupt would have each of its processes print a traceback.
    with subprocess.Popen(  # noqa: S603
        command, env=os.environ | quiet, stdout=subprocess.DEVNULL, start_new_session=True
    ) as server:
        # Polars, once imported, makes Python deaf to interrupts while it waits; this makes it hear them again.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            code = server.wait()
        except KeyboardInterrupt:
            os.killpg(server.pid, signal.SIGTERM)
            return
    raise UserError(f"MLflow's UI ended with exit code {code}; it says why above")


def git_revision() -> tuple[str, bool]:
    """The commit of the workspace, and whether anything but the pipeline's own results differs from it."""
    commit = _git("rev-parse", "HEAD") or "none"
    changed = _git("status", "--porcelain", "--", ".", f":!{layout.REPORTS}", ":!dvc.lock")
    return commit, bool(changed) or commit == "none"


def _git(*words: str) -> str:
    # Asking must not take git's lock, which would stay if a stage were killed at that moment.
    command = ["git", "--no-optional-locks", *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    except OSError:  # no git
        return ""


def _as_posix(path: Path | None) -> str | None:
    return None if path is None else path.as_posix()
