import contextlib
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import bentoml
import pytest
import requests
from releases import with_settings
from servers import Server, free_port, serving

from slipway.service.release import MODEL, example, load_golden
from slipway.signature import load_signature

Releases = Callable[[str], Path]


def row_of(release: Path) -> dict[str, Any]:
    return example(load_signature(release / MODEL), load_golden(release / MODEL))


@pytest.fixture(scope="module")
def churn(releases: Releases) -> Path:
    return releases("churn")


@pytest.fixture(scope="module")
def server(churn: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(churn, tmp_path_factory.mktemp("server")) as running:
        yield running


def test_the_probes_the_model_and_the_document_are_there(server: Server, churn: Path) -> None:
    assert server.get("/livez").status_code == 200
    assert server.get("/readyz").status_code == 200
    model = server.get("/model").json()
    assert (model["version"], model["ready"], model["commit"]) == ("1", True, "0" * 40)
    assert [column["name"] for column in model["signature"]["inputs"]] == load_signature(churn / MODEL).names
    document = server.get("/openapi.json").json()
    fields = document["components"]["schemas"]["Record"]["properties"]
    assert fields["visits"] == {"type": "integer", "minimum": 0.0}
    assert fields["age (years)"] == {"type": ["number", "null"]}  # clipped, so whatever comes is taken
    assert fields["country"]["enum"] == ["XX"]
    assert "examples" in fields["city"]
    assert "enum" not in fields["city"]


def test_the_example_of_the_document_works(server: Server) -> None:
    examples = server.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["content"]
    for content in examples["application/json"]["examples"].values():
        answer = server.ask(content["value"])
        assert answer.status_code == 200, answer.text
        assert answer.json()["model_version"] == "1"


def test_a_request_id_comes_back_and_a_bad_one_does_not(server: Server, churn: Path) -> None:
    row = row_of(churn)
    assert server.ask(row, headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    answer = server.ask(row, headers={"X-Request-ID": "a b<script>"})
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/predict", 405),
        ("PUT", "/predict", 405),
        ("POST", "/model", 405),
        ("GET", "/nosuch", 404),
        ("GET", "/../etc/passwd", 404),
        ("GET", "/", 404),
        ("GET", "/docs.json", 404),
        ("OPTIONS", "/predict", 405),
    ],
)
def test_other_paths_and_methods_are_refused_as_problems(server: Server, method: str, path: str, status: int) -> None:
    answer = requests.request(method, server.url + path, timeout=30)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    if status == 405:
        assert answer.headers["allow"]


def test_head_has_no_body(server: Server) -> None:
    answer = requests.head(f"{server.url}/model", timeout=30)
    assert answer.status_code == 200
    assert not answer.content


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/vnd.bentoml+pickle"])
def test_another_content_type_is_refused(server: Server, churn: Path, kind: str) -> None:
    body = json.dumps(row_of(churn))
    assert requests.post(f"{server.url}/predict", body, headers={"content-type": kind}, timeout=30).status_code == 415
    kind = "application/json; charset=utf-8"
    assert requests.post(f"{server.url}/predict", body, headers={"content-type": kind}, timeout=30).status_code == 200


def test_bentoml_s_own_client_works(server: Server, churn: Path) -> None:
    with bentoml.SyncHTTPClient(server.url) as client:
        answer = client.predict(records=[row_of(churn)])
    assert answer["predictions"][0]["prediction"] in {"no", "yes"}


def test_what_happens_is_counted_with_bounded_labels(server: Server, churn: Path) -> None:
    before = server.metrics()
    for path in ("/a", "/b", "/c"):
        server.get(path)
    server.ask([row_of(churn)] * 3)
    server.ask({})
    after = server.metrics()

    def grown(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert grown('slipway_requests_total{code="404",path="other"}') == 3
    assert grown('slipway_requests_total{code="200",path="/predict"}') == 1
    assert grown('slipway_requests_total{code="422",path="/predict"}') == 1
    assert grown("slipway_rows_total") == 3
    assert sum(grown(f'slipway_predictions_total{{class="{label}"}}') for label in ("no", "yes")) == 3
    assert grown('slipway_request_seconds_count{code="200"}') == 1
    assert after["slipway_ready"] == 1
    assert any(name.startswith("slipway_model_info{") and 'version="1"' in name for name in after)
    assert not any("/nosuch" in name or "pid=" in name for name in after if name.startswith("slipway_"))


def test_every_request_is_a_line_of_json_without_values_of_features(server: Server, churn: Path) -> None:
    server.ask([row_of(churn) | {"postcode": "secret place"}], headers={"X-Request-ID": "told-1"})
    server.ask([row_of(churn) | {"visits": "secret"}], headers={"X-Request-ID": "told-2"})
    told: dict[str, Any] = {}
    end = time.monotonic() + 20
    while "told-2" not in told:  # the line follows the answer
        assert time.monotonic() < end
        lines = [line for line in server.log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
        told = {line["request_id"]: line for line in map(json.loads, lines) if "request_id" in line}
    assert (told["told-1"]["status"], told["told-1"]["rows"], told["told-1"]["path"]) == (200, 1, "/predict")
    assert told["told-2"]["status"] == 422
    assert "secret" not in server.log.read_text()
    # What BentoML says is in the same form, from the moment when it hands over.
    said = server.log.read_text().splitlines()
    assert all(line.startswith("{") for line in said), said[:5]
    assert any('"logger":"bentoml' in line for line in said)


def raw(server: Server, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send bytes as they are, and read what comes back."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        return connection.recv(65_536)


HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
def strict(releases: Releases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with little patience."""
    import shutil

    folder = tmp_path_factory.mktemp("strict")
    release = folder / "release"
    shutil.copytree(releases("wide"), release)
    with_settings(release, limits={"body_mb": 2, "rows": 100_000, "seconds": 0.7, "waiting": 1})
    with serving(release, folder / "home") as running:
        yield running


def test_a_body_that_is_too_large_is_refused_before_it_is_read(strict: Server) -> None:
    assert b" 413 " in raw(strict, HEAD + b"content-length: 3000000\r\n\r\n")
    chunk = b"80000\r\n" + b" " * 0x80000 + b"\r\n"
    assert b" 413 " in raw(strict, HEAD + b"transfer-encoding: chunked\r\n\r\n", *[chunk] * 5)


def test_a_body_that_does_not_come_is_not_waited_for(strict: Server) -> None:
    began = time.monotonic()
    assert b" 408 " in raw(strict, HEAD + b"content-length: 100\r\n\r\n{")
    assert time.monotonic() - began < 5


def test_an_encoded_body_is_refused(server: Server, churn: Path) -> None:
    body = gzip.compress(json.dumps(row_of(churn)).encode())
    head = {"content-type": "application/json", "content-encoding": "gzip"}
    assert requests.post(f"{server.url}/predict", body, headers=head, timeout=30).status_code == 415


def test_bodies_that_do_not_end_take_no_more_memory_than_there_is(strict: Server) -> None:
    # Given many clients that announce large bodies, and send nothing: others are answered all the same
    host, port = strict.url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(socket.create_connection((host, int(port)), timeout=20)) for _ in range(40)]
        for connection in waiting:
            connection.sendall(HEAD + b"content-length: 2000000\r\n\r\n{")
        assert b" 422 " in raw(strict, HEAD + b"content-length: 2\r\n\r\n{}")
        # When all send almost the whole of it, then there is no room for some, and still for who sends little
        for connection in waiting:
            with contextlib.suppress(ConnectionError):
                connection.sendall(b" " * 1_900_000)
        assert b" 422 " in raw(strict, HEAD + b"content-length: 2\r\n\r\n{}")
        answers = []
        for connection in waiting:
            with contextlib.suppress(ConnectionError):
                answers.append(connection.recv(65_536).split()[1])
    assert b"429" in answers
    assert set(answers) <= {b"408", b"429"}


def test_a_websocket_is_refused_and_leaves_no_series_behind(server: Server) -> None:
    head = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    key = b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    assert b" 403 " in raw(server, b"GET /evil HTTP/1.1\r\nhost: x\r\n" + head + key)
    assert "evil" not in server.get("/metrics").text


def test_a_client_that_goes_away_does_no_harm(strict: Server) -> None:
    host, port = strict.url.removeprefix("http://").split(":")
    for _ in range(20):
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(HEAD + b"content-length: 100\r\n\r\n{")
    assert strict.get("/livez").ok
    assert "Traceback" not in strict.log.read_text()


def test_too_much_at_once_is_refused_for_now(strict: Server, releases: Releases) -> None:
    # Given requests that take the whole time allowed
    names = load_signature(releases("wide") / MODEL).names
    big = {"columns": {name: [0] * 4_500 for name in names}}
    body = json.dumps(big, separators=(",", ":"))
    # When several come at the same time, with room for one
    answers: list[requests.Response] = []

    def send() -> None:
        head = {"content-type": "application/json"}
        answers.append(requests.post(f"{strict.url}/predict", body, headers=head, timeout=60))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Then some are told to come again, none fails otherwise, and the service is well afterwards
    found = {answer.status_code for answer in answers}
    assert 429 in found
    assert found <= {200, 429, 504}
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 429)
    assert strict.ask(dict.fromkeys(names, 0)).status_code == 200


def test_an_answer_that_takes_too_long_is_not_waited_for(release: Releases, tmp_path: Path) -> None:
    folder = with_settings(release("wide"), limits={"seconds": 0.02, "rows": 100_000})
    names = load_signature(folder / MODEL).names
    with serving(folder, tmp_path / "home") as slow:
        answer = slow.ask({"columns": {name: [0.5] * 8_000 for name in names}})
        assert answer.status_code in {504, 408}
        assert slow.ask(dict.fromkeys(names, 0)).status_code == 200


@pytest.mark.slow
def test_requests_in_work_are_answered_when_the_server_is_told_to_stop(churn: Path, tmp_path: Path) -> None:
    row = row_of(churn)
    with serving(churn, tmp_path) as server:
        lost, answered, stop = [], [], threading.Event()

        def load() -> None:
            with requests.Session() as session:
                while not stop.is_set():
                    try:
                        answer = session.post(f"{server.url}/predict", json=[row] * 200, timeout=20)
                    except requests.ConnectionError as error:
                        # Not accepted any more, or closed between two requests. Cut within an answer, it is lost.
                        if not any(word in str(error) for word in ("RemoteDisconnected", "refused", "reset")):
                            lost.append(str(error))
                        return
                    if answer.status_code != 200:
                        lost.append(answer.text)
                    answered.append(answer.status_code)

        threads = [threading.Thread(target=load) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(1.5)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        stop.set()
        for thread in threads:
            thread.join()
    assert not lost
    assert len(answered) > 8


def test_requests_that_came_before_the_stop_and_are_not_read_yet_are_answered(churn: Path, tmp_path: Path) -> None:
    body = json.dumps(row_of(churn)).encode()
    with serving(churn, tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
        kept = [HTTPConnection("127.0.0.1", port, timeout=20) for _ in range(8)]
        for each in kept:
            each.request("POST", "/predict", body, {"Content-Type": "application/json"})
            assert each.getresponse().read()
        # Given requests on kept connections of a server that gets no time, as beside others on a busy machine
        server.process.send_signal(signal.SIGSTOP)
        for each in kept:
            each.request("POST", "/predict", body, {"Content-Type": "application/json"})
        time.sleep(0.3)
        # When it is told to stop, and gets time again
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGCONT)
        # Then each has its answer, which says that the connection ends with it
        answers = [each.getresponse() for each in kept]
        assert [answer.status for answer in answers] == [200] * len(kept)
        assert all(answer.read() for answer in answers)
        assert {answer.headers["Connection"] for answer in answers} == {"close"}
        assert server.process.wait(10) == 0


def test_the_service_imports_nothing_of_training() -> None:
    code = "import slipway.service.main, sys; print(' '.join(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = "dvc mlflow pandas polars sklearn skops pandera pyarrow ruamel typer scipy model"
    assert not {name.split(".")[0] for name in loaded} & set(heavy.split())
    own = {name for name in loaded if name.startswith("slipway.") and not name.startswith("slipway.service")}
    assert own == {"slipway.errors", "slipway.moments", "slipway.predictor", "slipway.signature", "slipway.values"}


def test_bentoml_serve_does_as_well(churn: Path, tmp_path: Path) -> None:
    start = [sys.executable, "-m", "bentoml", "serve", "slipway.service.main:Slipway"]
    (tmp_path / "bentoml").mkdir()
    with serving(churn, tmp_path, start=start) as server:
        assert server.ask(row_of(churn)).json()["fallback"] is None
        assert server.metrics()["slipway_ready"] == 1


def test_a_port_that_is_taken_is_one_line(server: Server, churn: Path, tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]
    command = [sys.executable, "-m", "slipway.service.start", "--host", "127.0.0.1", "--port", port]
    env = os.environ | {"SLIPWAY_RELEASE": str(churn), "BENTOML_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: cannot listen on 127.0.0.1:{port}: Address already in use; choose another --port\n"


@pytest.mark.parametrize(
    ("variables", "words", "said"),
    [
        ({"BENTOML_PORT": "abc"}, [], "'abc' is no port; BENTOML_PORT and --port take 1 to 65535"),
        ({}, ["--port", "99999"], "'99999' is no port"),
        ({}, ["--host", "203.0.113.1"], "error: cannot listen on 203.0.113.1:3000: "),
        ({"SLIPWAY_PREDICTIONS": "weird://x/y"}, ["--port", "0"], "is no port"),
        ({"SLIPWAY_PREDICTIONS": "weird://x/y", "BENTOML_PORT": "free"}, [], "error: predictions to weird://x/y: "),
    ],
)
def test_what_cannot_be_started_says_why_and_leaves_nothing(
    churn: Path, tmp_path: Path, variables: dict[str, str], words: list[str], said: str
) -> None:
    if variables.get("BENTOML_PORT") == "free":
        variables = variables | {"BENTOML_PORT": str(free_port())}
    env = os.environ | {"SLIPWAY_RELEASE": str(churn), "BENTOML_HOME": str(tmp_path / "home")} | variables
    command = [sys.executable, "-m", "slipway.service.start", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "home").glob("metrics-*"))


@pytest.mark.parametrize("sign", [signal.SIGHUP, signal.SIGINT])
def test_a_closed_terminal_and_ctrl_c_end_it(churn: Path, tmp_path: Path, sign: signal.Signals) -> None:
    with serving(churn, tmp_path) as server:
        server.process.send_signal(sign)
        assert server.process.wait(20) == 0
        assert "Traceback" not in server.log.read_text()
    assert not list((tmp_path / "bentoml").glob("metrics-*"))


def test_a_release_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with serving(tmp_path / "empty", tmp_path / "home", wait=None) as server:
        assert server.process.wait(60) == 2
    said = server.log.read_text()
    assert said.count("error: ") == 1
    assert "release.json: cannot be read; SLIPWAY_RELEASE must name a release folder" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_after_a_kill_it_starts_again_and_the_log_of_predictions_is_whole(churn: Path, tmp_path: Path) -> None:
    log, row = tmp_path / "predictions", row_of(churn)
    with serving(churn, tmp_path / "home", SLIPWAY_PREDICTIONS=str(log)) as server:
        for _ in range(20):
            assert server.ask(row).ok
        time.sleep(1)
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
    assert list(log.glob("*.part"))
    with serving(churn, tmp_path / "home", SLIPWAY_PREDICTIONS=str(log)) as server:
        assert server.ask(row).ok
    assert not list(log.glob("*.part"))
    lines = [json.loads(line) for file in log.glob("*.jsonl") for line in file.read_text().splitlines()]
    assert len(lines) == 21
    assert {line["version"] for line in lines} == {"1"}
