import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import mlflow
import numpy as np
import pytest
from examples import churned, quick

from slipway import layout, tracking
from slipway.about import project_licence, project_name
from slipway.encoding import columns_of
from slipway.errors import UserError
from slipway.params import Export
from slipway.pipeline_file import pipeline_bytes
from slipway.predictor import encode
from slipway.stages.export import export
from slipway.stages.train import train

HOLDOUT = {"roc_auc": {"value": 0.9, "low": 0.8, "high": 0.95}}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in git whose line has run as far as export."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "trial")
    frame, schema = churned()
    trained = train(frame, schema, quick())
    layout.TRAINED.mkdir(parents=True)
    (layout.TRAINED / "pipeline.skops").write_bytes(pipeline_bytes(trained.pipeline))
    names = trained.signature.names
    export(trained.pipeline, trained.signature, encode(trained.signature, columns_of(frame, names)), Export())
    layout.SCHEMA.parent.mkdir(parents=True)
    layout.SCHEMA.write_text("schema", encoding="utf-8")
    layout.DATA_DVC.write_text("outs:\n- md5: abc.dir\n  path: data\n", encoding="utf-8")
    Path("training.json").write_text(json.dumps(trained.report), encoding="utf-8")
    (tmp_path / ".gitignore").write_text("mlflow.db\nmlruns\nartifacts\n", encoding="utf-8")
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all"]):
        subprocess.run(["git", *words], check=True)
    return tmp_path


def described(*, whole: bool = False) -> tracking.Run:
    training = json.loads(Path("training.json").read_text(encoding="utf-8"))
    return tracking.training_run(quick(), training, *((HOLDOUT, layout.MODEL) if whole else ()))


def runs(uri: str) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(uri)
    return client.search_runs([client.get_experiment_by_name("trial").experiment_id])


def test_a_run_says_where_it_came_from(workspace):
    tracking.record(described(), new=True)
    (run,) = runs(tracking.local_store())
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert run.data.tags["mlflow.source.git.commit"] == head
    assert run.data.tags["slipway.git_dirty"] == "false"
    assert run.data.tags["slipway.data"] == "abc.dir"
    assert len(run.data.tags["slipway.schema"]) == 64
    assert run.data.params["train.model"] == "linear"
    assert 0.5 < run.data.metrics["cv_roc_auc_mean"] < 1
    assert run.info.status == "FINISHED"


def test_uncommitted_work_is_flagged_but_the_results_are_not(workspace):
    layout.REPORTS.mkdir()
    (layout.REPORTS / "metrics.json").write_text("{}", encoding="utf-8")
    assert tracking.git_revision()[1] is False
    layout.SCHEMA.write_text("changed", encoding="utf-8")
    assert tracking.git_revision()[1] is True


def test_evaluation_completes_the_run_of_its_training(workspace):
    tracking.record(described(), new=True)
    tracking.record(described(whole=True))
    (run,) = runs(tracking.local_store())
    assert run.data.metrics["roc_auc"] == 0.9
    assert run.data.metrics["roc_auc_low"] == 0.8
    client = mlflow.MlflowClient(tracking.local_store())
    (model,) = client.search_logged_models([run.info.experiment_id])
    assert model.source_run_id == run.info.run_id
    loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    assert loaded.metadata.signature.inputs.inputs[0].shape[0] == -1
    width = loaded.metadata.signature.inputs.inputs[0].shape[1]
    assert np.asarray(loaded.predict(np.zeros((3, width), np.float32))["probabilities"]).shape == (3, 2)


def test_every_training_run_is_a_run_of_its_own(workspace):
    tracking.record(described(), new=True)
    tracking.record(described(), new=True)
    assert len(runs(tracking.local_store())) == 2


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_that_is_down_costs_seconds_and_loses_nothing(workspace, monkeypatch, capsys):
    uri = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    start = time.monotonic()
    tracking.record(described(whole=True), new=True)
    assert time.monotonic() - start < 30
    told = capsys.readouterr().err
    assert uri in told
    assert "make track" in told
    (run,) = runs(tracking.local_store())
    assert run.data.metrics["roc_auc"] == 0.9
    (kept,) = tracking.PENDING.iterdir()
    assert (kept / "model" / "model.onnx").exists()
    with pytest.raises(UserError, match="did not take"):
        tracking.upload()
    assert kept.exists()


def test_an_upload_needs_a_server(workspace):
    assert tracking.upload() == []
    tracking.keep(described())
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI is not set"):
        tracking.upload()


def test_a_store_that_cannot_be_written_does_not_fail_training(workspace, capsys):
    Path("mlflow.db").write_bytes(b"no database")
    tracking.record(described(), new=True)
    assert "could not be recorded" in capsys.readouterr().err


@pytest.mark.no_cover
@pytest.mark.slow
def test_kept_runs_arrive_when_the_server_is_back(workspace, monkeypatch):
    port = closed_port()
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    tracking.record(described(), new=True)
    tracking.record(described(whole=True))
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", "sqlite:///server.db", "--artifacts-destination", str(workspace / "kept")]
    with Path("server.log").open("w") as log, subprocess.Popen([*command, *store], stdout=log, stderr=log) as server:
        try:
            answering(f"{uri}/health")
            assert len(tracking.upload()) == 1
            (run,) = runs(uri)
            assert run.data.metrics["roc_auc"] == 0.9
            assert run.data.params["train.model"] == "linear"
            assert not list(tracking.PENDING.iterdir())
            tracking.record(described(), new=True)  # and now the server takes runs at once
            assert len(runs(uri)) == 2
            assert not list(tracking.PENDING.iterdir())
        finally:
            server.terminate()


def test_where_a_server_has_the_runs_its_address_is_told(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://runs.example.org")
    tracking.serve(5000)
    assert capsys.readouterr().out == "the runs are on https://runs.example.org: open that\n"


def test_a_port_that_is_taken_is_one_line(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"http://127.0.0.1:{port} cannot be had: Address already in use; try"):
            tracking.serve(port)


@pytest.mark.slow
def test_the_runs_can_be_looked_at_until_an_interrupt(workspace):
    tracking.record(described(), new=True)
    port = closed_port()
    command = [sys.executable, "-m", "slipway", "mlflow", "--port", str(port)]
    with Path("server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            answering(f"http://127.0.0.1:{port}/health")
        finally:
            os.killpg(server.pid, signal.SIGINT)
            code = server.wait(60)
    said = Path("server.log").read_text(encoding="utf-8")
    assert said.startswith(f"open http://127.0.0.1:{port} in some seconds; Ctrl-C ends it\n")
    assert (code, "Traceback" in said) == (0, False)
    with pytest.raises(OSError, match="refused"), urlopen(f"http://127.0.0.1:{port}", timeout=2):
        pass


def answering(url: str) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=2) as answer:  # noqa: S310  # loopback
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"{url} does not answer; {os.linesep}{Path('server.log').read_text(encoding='utf-8')[-2000:]}")


def test_a_project_is_called_what_it_says_and_outside_of_one_there_is_still_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert project_name() == tmp_path.name
    assert project_licence() == "NOASSERTION"
    Path("pyproject.toml").write_text('[project]\nname = "tides"\nlicense = "MIT"\n', encoding="utf-8")
    assert project_name() == "tides"
    assert project_licence() == "MIT"
    assert tracking.git_revision() == ("none", True)
