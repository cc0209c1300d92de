"""Servers of the same model as child processes: started, asked, put under load, looked at, and always stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import psutil

PEERS = Path(__file__).parent / "peers"
GRACE = 10.0  # seconds to end when told to
PATIENCE = 60.0  # seconds to become ready, and to answer one request
TOLERANCE = 1e-4  # of a probability; what `export.tolerance` allows
Rows = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Server:
    """How a server is started, and how it is spoken to.

    Attributes:
        name: What the table calls it.
        command: What starts it; `{port}` stands for the port.
        environment: Variables it needs besides those of the benchmark.
        ready: The path that answers 200 once it can predict.
        path: The path that predicts.
        body: The JSON it takes for some rows.
        answers: From its JSON the probability of the positive class of each row.
    """

    name: str
    command: tuple[str | Path, ...]
    environment: Mapping[str, str]
    ready: str
    path: str
    body: Callable[[Rows], Any]
    answers: Callable[[Any], Sequence[float]]


class Load(NamedTuple):
    """What one run of the load generator found."""

    rate: float  # requests a second
    p50: float  # milliseconds
    p99: float
    cpu: float  # milliseconds of the server's processes per request
    others: float  # cores that were busy with neither the server nor the load: how noisy the machine was


class Running:
    """A server that is up.

    Args:
        server: What was started.
        pid: Its first process.
        port: Where on the loopback interface it listens.
        seconds: From its start to its first right answer.
    """

    def __init__(self, server: Server, pid: int, port: int, seconds: float) -> None:
        self.server, self.pid, self.port, self.seconds = server, pid, port, seconds
        self._process = psutil.Process(pid)

    def memory(self) -> tuple[float, float]:
        """Megabytes of the largest process, which is the worker, and of all together; shared pages are split."""
        sizes = []
        for process in self._processes():
            full = process.memory_full_info()
            sizes.append(getattr(full, "pss", full.rss) / 1e6)  # only Linux tells the proportional size
        return max(sizes), sum(sizes)

    def load(self, bodies: Path, connections: int, seconds: int) -> Load:
        """Post the lines of a file over some connections for some seconds, as fast as answers come.

        Raises:
            SystemExit: An answer was not 2xx, or a connection failed.
        """
        busy, before = busy_seconds(), self._cpu()
        found = wrk(f"http://127.0.0.1:{self.port}{self.server.path}", bodies, connections, seconds)
        spent, busy = self._cpu() - before, busy_seconds() - busy
        if found["refused"] or found["broken"] or not found["requests"]:
            sys.exit(
                f"error: {self.server.name}, {connections} connections, {bodies.name}: of {found['requests']} requests "
                f"{found['refused']} were refused, and {found['broken']} connections broke or timed out"
            )
        rate = found["requests"] / found["seconds"]
        others = max(busy - spent, 0) / found["seconds"]
        return Load(rate, found["p50_ms"], found["p99_ms"], 1e3 * spent / found["requests"], others)

    def _processes(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def _cpu(self) -> float:
        times = [process.cpu_times() for process in self._processes()]
        return sum(spent.user + spent.system for spent in times)


def busy_seconds() -> float:
    """CPU seconds of the whole machine since it started, without those of what this process ran and waited for."""
    whole, children = psutil.cpu_times(), os.times()
    idle = whole.idle + getattr(whole, "iowait", 0) + getattr(whole, "guest", 0) + getattr(whole, "guest_nice", 0)
    return sum(whole) - idle - children.children_user - children.children_system


def wrk(url: str, bodies: Path, connections: int, seconds: int) -> dict[str, float]:
    """Run wrk with one thread, which keeps a server busy many times over."""
    command: list[str] = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--timeout", f"{PATIENCE:g}s", "--script", str(PEERS / "load.lua"), url, "--", str(bodies)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    last = done.stdout.splitlines()[-1:]
    if done.returncode or not last or not last[0].startswith("{"):
        sys.exit(
            f"error: wrk ended with {done.returncode}: {' | '.join((done.stdout + done.stderr).splitlines()[-5:])}"
        )
    found: dict[str, float] = json.loads(last[0])
    return found


@contextmanager
def running(server: Server, folder: Path, asked: Rows, expected: Sequence[float]) -> Iterator[Running]:
    """Start a server on a free port, wait until it has answered rightly, and stop it and all that it started.

    Raises:
        SystemExit: It ended, did not become ready, or answered wrongly.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    printed = folder / f"{server.name.replace(' ', '-')}.log"
    command = [str(word).format(port=port) for word in server.command]
    with printed.open("wb") as log:
        start = time.perf_counter()
        child = subprocess.Popen(  # noqa: S603
            command, cwd=folder, env={**os.environ, **server.environment}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        while request(port, "GET", server.ready)[0] != 200:
            if child.poll() is not None or time.perf_counter() - start > PATIENCE:
                last = " | ".join(printed.read_text("utf-8", errors="replace").splitlines()[-5:])
                sys.exit(f"error: {server.name} did not become ready: {last}")
            time.sleep(0.01)
        check(server, port, asked[:1], expected[:1])
        seconds = time.perf_counter() - start
        check(server, port, asked, expected)
        yield Running(server, child.pid, port, seconds)
    finally:
        stop(child)


def check(server: Server, port: int, asked: Rows, expected: Sequence[float]) -> None:
    """Ask for rows of which the answers are known.

    Raises:
        SystemExit: These are not the answers.
    """
    status, content = request(port, "POST", server.path, json.dumps(server.body(asked)).encode())
    if status == 200:
        found = server.answers(json.loads(content))
        gaps = [abs(one - other) for one, other in zip(found, expected, strict=True)]
    if status != 200 or max(gaps) > TOLERANCE:
        sys.exit(f"error: {server.name} answers {len(asked)} rows wrongly: {status} {content[:200]!r}")


def request(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and content of an answer; the status is 0 if there is none."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()


def stop(child: "subprocess.Popen[bytes]") -> None:
    """Ask a process to end, wait for a while, and then end it and whatever is left of its session."""
    try:
        child.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE)
    finally:  # an impatient second Ctrl-C included
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
