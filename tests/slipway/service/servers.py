"""Real servers for the tests: `bentoml serve` over a release, on a free port, ended with the block."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from slipway.delivery.serve import command, environment


@dataclass
class Server:
    """A server and where it is."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, content: Any, **options: Any) -> requests.Response:
        """Send a request to `/predict`."""
        return requests.post(f"{self.url}/predict", json=content, timeout=30, **options)

    def get(self, path: str) -> requests.Response:
        """Read something."""
        return requests.get(f"{self.url}{path}", timeout=30)

    def metrics(self) -> dict[str, float]:
        """Every series with its value."""
        lines = [line for line in self.get("/metrics").text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def workers(self) -> list[int]:
        """The processes below the server that answer requests."""
        listed = subprocess.run(
            ["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        return [int(process) for process in listed]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    release: Path, home: Path, *, wait: str | None = "/readyz", start: list[str] | None = None, **variables: str
) -> Iterator[Server]:
    """Serve a release until the block ends; `start` is another command than ours, to which the port is added."""
    port = free_port()
    home.mkdir(parents=True, exist_ok=True)
    log = home / "server.log"
    env = environment(release) | {"BENTOML_HOME": str(home / "bentoml")} | variables
    (home / "bentoml").mkdir(exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*start, "--port", str(port)] if start else command("127.0.0.1", port),
            env=env,
            cwd=home,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        if wait is not None:
            until(server, wait)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def until(server: Server, path: str, seconds: float = 60) -> None:
    """Wait until a path answers with 200."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.process.poll() is not None:
            raise AssertionError(f"the server ended: {server.log.read_text()}")
        try:
            if requests.get(f"{server.url}{path}", timeout=2).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{path} did not answer with 200: {server.log.read_text()}")
