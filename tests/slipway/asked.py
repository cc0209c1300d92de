"""A tool that runs while it is asked, and the answers of Prometheus and Alertmanager."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from monitoring import where
from servers import Server, until

Sample = tuple[dict[str, str], float]


@contextmanager
def running(folder: Path, name: str, *options: str, url: str, path: str = "/-/ready") -> Iterator[None]:
    """Run a tool until the block ends; it is ready once a path answers."""
    tool, log = where(name), folder / f"{name}.log"
    assert tool is not None
    with log.open("wb") as out:
        process = subprocess.Popen([tool, *options], stdout=out, stderr=out, cwd=folder)
    try:
        until(Server(url, process, log), path, 30)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class QueryError(Exception):
    """An expression that cannot be evaluated."""


class Prometheus:
    """The API of a Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, query: str, moment: float | None = None) -> list[Sample]:
        """What an expression is now, or was at a moment."""
        time_of = {} if moment is None else {"time": str(moment)}
        answer = requests.post(f"{self._url}/api/v1/query", {"query": query, **time_of}, timeout=10).json()
        if answer["status"] != "success":
            raise QueryError(answer["error"])
        return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]

    def get(self, path: str) -> Any:
        return requests.get(f"{self._url}/api/v1/{path}", timeout=10).json()["data"]


def wait_for(what: Callable[[], Any], about: str, seconds: float = 20) -> Any:
    """Wait until something is true, and give it."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"never: {about}"
        time.sleep(0.1)
    return found


def alerts_at(alertmanager: str) -> list[dict[str, Any]]:
    """The alerts that Alertmanager has."""
    found: list[dict[str, Any]] = requests.get(f"{alertmanager}/api/v2/alerts", timeout=10).json()
    return found


def arrive(alertmanager: str, name: str, seconds: float = 20) -> list[dict[str, Any]]:
    """Wait for an alert, but not for ever, and give all that are there."""
    end = time.monotonic() + seconds
    while name not in {each["labels"]["alertname"] for each in alerts_at(alertmanager)} and time.monotonic() < end:
        time.sleep(0.1)
    return alerts_at(alertmanager)
