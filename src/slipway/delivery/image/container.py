"""An image as a container, for its test: started as strictly as a cluster would, asked over HTTP, stopped."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any

from slipway.delivery.asking import Answer, ask
from slipway.delivery.image.engine import Engine
from slipway.errors import UserError

PORT = 3000  # the one that the image exposes
OTHER_USER = "54321:54321"  # not the one that the image names: any must do
PATIENCE = 60.0  # seconds until the service is given up
LOADERS = 8


@dataclass
class Load:
    """What became of the requests of a load.

    Attributes:
        answered: Those that got an answer with status 200.
        in_flight: Those that were sent before the stop and answered after it.
        lost: Those that were sent before the stop and never answered, or not with status 200.
        turned_away: Those that came after the stop and were not answered.
    """

    answered: int = 0
    in_flight: int = 0
    lost: int = 0
    turned_away: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Container:
    """A container that runs.

    Args:
        engine: What runs it.
        name: Its id.
        port: Where it answers, on 127.0.0.1.
        started: When it was started, by `time.monotonic`.
    """

    def __init__(self, engine: Engine, name: str, port: int, started: float) -> None:
        self.engine, self.name, self.port, self.started = engine, name, port, started

    def wait(self, patience: float = PATIENCE) -> float | None:
        """Wait until it is ready; gives the seconds since its start, or None if it is not within `patience` seconds."""
        while (passed := time.monotonic() - self.started) < patience:
            try:
                if self.ask("GET", "/readyz", timeout=1).status == 200:
                    return time.monotonic() - self.started
            except (OSError, HTTPException):
                if self.state()["Status"] not in {"running", "created", "configured", "initialized"}:
                    return None
            time.sleep(0.02 if passed < 10 else 0.2)
        return None

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, kind: str = "application/json", timeout: float = 30
    ) -> Answer:
        """Send a request over a connection of its own."""
        return ask(self.port, method, path, body, kind=kind, timeout=timeout)

    def state(self) -> dict[str, Any]:
        """What the engine says of its state, such as `Status`, `ExitCode` and `OOMKilled`."""
        said = self.engine.call("inspect", "--format", "{{json .State}}", self.name, problem="the container is gone")
        found: dict[str, Any] = json.loads(said)
        return found

    def last_words(self) -> str:
        """The last line of its log."""
        said = self.engine.call("logs", "--tail", "20", self.name, problem="it has no log", errors=True)
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return (lines or ["it said nothing"])[-1][:300]

    def memory(self) -> str:
        """How much memory it uses, as the engine says it."""
        said = self.engine.call("stats", "--no-stream", "--format", "{{.MemUsage}}", self.name, problem="no figures")
        return said.partition("/")[0].strip()

    def stop_under_load(self, body: bytes, seconds: float, grace: int) -> Load:
        """Send requests without pause over several connections, stop the container with SIGTERM, and see it end.

        Args:
            body: What is posted to `/predict`.
            seconds: How long the load lasts before the stop.
            grace: Seconds until it is killed.
        """
        load, stopped = Load(), threading.Event()
        moment: list[float] = []

        def send() -> None:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=grace + 30)
            while not stopped.is_set():
                sent = 0.0
                try:
                    connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
                    sent = time.monotonic()
                    answer = connection.getresponse()
                    answer.read()
                    fine = answer.status == 200
                except (OSError, HTTPException):
                    fine = False
                before = bool(sent) and (not moment or sent < moment[0])
                with load.lock:
                    load.answered += fine
                    load.in_flight += fine and before and bool(moment)
                    load.lost += before and not fine
                    load.turned_away += not before and not fine
                if not fine:
                    break
            connection.close()

        threads = [threading.Thread(target=send, daemon=True) for _ in range(LOADERS)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        moment.append(time.monotonic())
        self.engine.call("stop", "--time", str(grace), self.name, problem="the container cannot be stopped")
        stopped.set()
        for thread in threads:
            thread.join(timeout=grace + 30)
        return load


@contextmanager
def running(engine: Engine, image: str, *, memory_mb: int, network: str | None = None) -> Iterator[Container]:
    """Run an image: nothing but /tmp can be written, no capability, another user than its own, little memory.

    Args:
        engine: What runs it.
        image: Its name.
        memory_mb: The limit of its memory.
        network: `host`, where the engine has no bridge; otherwise its port is published on 127.0.0.1.

    Raises:
        UserError: It does not start at all.
    """
    words = ["run", "--detach", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    words += ["--user", OTHER_USER, "--tmpfs", "/tmp:rw,noexec,nosuid,size=64m"]  # noqa: S108 its own /tmp
    words += ["--memory", f"{memory_mb}m", "--pids-limit", "256"]
    port = _free_port()  # chosen here: of a container that has ended already, the engine tells none
    if network == "host":
        words += ["--network", "host", "--env", f"BENTOML_PORT={port}", "--env", "BENTOML_HOST=127.0.0.1"]
    else:
        words += ["--publish", f"127.0.0.1:{port}:{PORT}"]
    name = ""
    try:
        started = time.monotonic()
        name = engine.call(*words, image, problem=f"{image} does not start").strip().splitlines()[-1]
        yield Container(engine, name, port, started)
    except IndexError:
        raise UserError(f"{engine.name} does not say what it calls the container of {image}") from None
    finally:
        if name:
            engine.quietly("rm", "--force", "--volumes", name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
