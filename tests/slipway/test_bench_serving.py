"""What puts servers under load: right answers count, anything else ends the benchmark, and no server outlives it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from helpers import ROOT, bench

needs_wrk = pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is missing (Debian: apt install wrk)")

# Answers every POST with a probability and a status, the first `right` ones with those expected.
PEER = """
import subprocess, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
port, right, status, answer = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
class Handler(BaseHTTPRequestHandler):
    protocol_version, asked = "HTTP/1.1", 0
    def do_GET(self):
        self.tell(200, "")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        Handler.asked += 1
        self.tell(*((200, "[0.5]") if Handler.asked <= right else (status, answer)))
    def tell(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *_):
        pass
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
ASK = """
import json, signal, sys, time
from pathlib import Path
import servers
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs lack
servers.GRACE = 0.5
folder, stays, command = Path(sys.argv[1]), sys.argv[2] == "stays", sys.argv[3:]
server = servers.Server("a peer", tuple(command), {}, "/", "/predict", list, list)
(folder / "requests.jsonl").write_text("[{}]\\n")
with servers.running(server, folder, [{}], [0.5]) as up:
    (folder / "pid").write_text(str(up.pid))
    time.sleep(60 * stays)
    print(json.dumps([up.seconds, up.memory(), up.load(folder / "requests.jsonl", 2, 1)]))
"""


def start(folder: Path, *command: str, stays: bool = False) -> "subprocess.Popen[str]":
    """Start a server from `servers.py`, and put it under load or let it stay idle."""
    given = [sys.executable, "-c", ASK, str(folder), "stays" if stays else "", *command]
    return subprocess.Popen(
        given,
        cwd=ROOT / "benchmarks",
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def peer(right: int, status: int, answer: str) -> list[str]:
    """A server that gives so many right answers, and then always the same other one."""
    return [sys.executable, "-c", PEER, "{port}", str(right), str(status), answer]


def left_in(folder: Path) -> list[int]:
    """The processes that run in a folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process.pid)
    return found


def nothing_is_left_in(folder: Path) -> bool:
    """Whether no process runs in a folder, or soon does not: one that is killed goes when the system finds time."""
    deadline = time.monotonic() + 5
    while (found := left_in(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not found


@needs_wrk
def test_a_server_under_load_is_measured_and_stopped(tmp_path: Path) -> None:
    # Given a server that answers rightly, ignores SIGTERM and has started a process of its own
    asked = start(tmp_path, *peer(10**9, 200, ""))
    # When it is put under load
    printed, said = asked.communicate(timeout=60)
    # Then all of it is measured, and nothing of it is left
    assert asked.returncode == 0, said
    seconds, (worker, everything), (rate, p50, p99, cpu, others) = json.loads(printed)
    assert 0 < seconds < 30
    assert 5 < worker < everything < 200
    assert rate > 10
    assert 0 < p50 <= p99 < 1_000
    assert 0 < cpu < 1_000
    assert 0 <= others < (os.cpu_count() or 1)
    assert nothing_is_left_in(tmp_path)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (peer(0, 200, "[0.6]"), "error: a peer answers 1 rows wrongly: 200 b'[0.6]'"),
        (peer(1, 500, "[0.5]"), "error: a peer answers 1 rows wrongly: 500 b'[0.5]'"),
        ([sys.executable, "-c", "print('one'); raise SystemExit('two')"], "error: a peer did not become ready: "),
        pytest.param(peer(30, 503, "[0.5]"), "were refused, and 0 connections broke", marks=needs_wrk),
    ],
)
def test_a_server_that_fails_or_answers_wrongly_ends_the_benchmark(
    tmp_path: Path, command: list[str], message: str
) -> None:
    asked = start(tmp_path, *command)
    _, said = asked.communicate(timeout=60)
    assert asked.returncode == 1
    assert message in said
    assert len(said.splitlines()) == 1
    assert nothing_is_left_in(tmp_path)


def test_an_interrupted_benchmark_leaves_no_server(tmp_path: Path) -> None:
    asked = start(tmp_path, *peer(10**9, 200, ""), stays=True)
    while not (tmp_path / "pid").exists():
        assert asked.poll() is None
        time.sleep(0.05)
    assert len(left_in(tmp_path)) == 2
    asked.send_signal(signal.SIGINT)
    asked.communicate(timeout=60)
    assert asked.returncode != 0
    assert nothing_is_left_in(tmp_path)


def test_without_wrk_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "git").symlink_to(str(shutil.which("git")))
    done = bench(tmp_path, "--only", "serving", PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: wrk, which puts the servers under load, is missing; install it (Debian: apt install wrk)"
    ]


@needs_wrk
@pytest.mark.no_cover
@pytest.mark.slow
def test_the_service_is_measured_beside_its_peers(tmp_path: Path) -> None:
    few = ("--rows", "1", "--rows", "1000", "--connections", "8", "--repeat", "1", "--seconds", "1")
    done = bench(tmp_path, "--only", "serving", *few)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())["serving"]["records"]
    records = {entry["what"]: entry for entry in results}
    servers = ["Slipway", "stock BentoML", "MLflow", "FastAPI", "the limit"]
    batches = [*servers, "Slipway, by columns", "the predictor alone"]
    cells = {"1 row, 8 at once, ": servers, "1,000 rows, 8 at once, ": batches, "start and memory, ": servers}
    assert list(records) == [where + name for where, names in cells.items() for name in names]
    for what, entry in records.items():
        assert what in done.stdout
        if what.startswith("start"):
            assert 0 < entry["start_seconds"] < 60
            assert 10 < entry["worker_mb"] <= entry["all_mb"] < 5_000
        else:
            assert entry["rows_per_second"] == entry["requests_per_second"] * entry["rows"] > 0
            assert 0 < entry["p50_ms"] <= entry["p99_ms"]
            assert entry["cpu_ms"] > 0
    targets = {what: list(entry["targets"]) for what, entry in records.items() if "targets" in entry}
    assert targets == {
        "1 row, 8 at once, stock BentoML": ["ratio >= 4", "ratio >= 8", "p99 <= 1/3"],
        "1 row, 8 at once, MLflow": ["ratio >= 3", "p99 <= 1/3"],
        "1 row, 8 at once, FastAPI": ["ratio >= 3", "p99 <= 1/3"],
        "1,000 rows, 8 at once, the predictor alone": ["ratio >= 0.7"],
        "start and memory, stock BentoML": ["ratio <= 0.5"],
    }
    assert done.stdout.count("target ") == 9
    assert nothing_is_left_in(tmp_path)
