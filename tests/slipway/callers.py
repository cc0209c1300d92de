"""Callers that ask a service all the time, and remember every answer."""

import json
import threading
import time
from http.client import HTTPConnection
from select import select

RATE = 200.0  # requests a second
THREADS = 4


class Callers:
    """Asks an address so often a second: half of the threads keep their connection, as long as it is kept."""

    def __init__(self, port: int, body: bytes, rate: float = RATE) -> None:
        self._port, self._body, self._pause, self._over = port, body, THREADS / rate, threading.Event()
        self.answers: list[tuple[str, float]] = []  # which version, after how many seconds
        self.lost: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(bool(n % 2),)) for n in range(THREADS)]

    def __enter__(self) -> "Callers":
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join()

    def _ask(self, keep: bool) -> None:
        connection, due = HTTPConnection("127.0.0.1", self._port, timeout=20), time.monotonic()
        while not self._over.is_set():
            began = time.monotonic()
            try:
                # As clients do that keep connections: one that the other side has closed is not used again.
                if connection.sock is not None and (not keep or select([connection.sock], [], [], 0)[0]):
                    connection.close()
                connection.request("POST", "/predict", self._body, {"Content-Type": "application/json"})
                self.answers.append((version_of(connection), time.monotonic() - began))
            except Exception as error:  # whatever it is, the request is lost
                self.lost.append(f"{type(error).__name__}: {error}")
                connection.close()
            due += self._pause
            self._over.wait(max(0.0, due - time.monotonic()))

    @property
    def versions(self) -> set[str]:
        """Who has answered."""
        return {told for told, _ in self.answers}

    def slowest(self, share: float) -> float:
        """Seconds that all but a share of the answers took."""
        took = sorted(seconds for _, seconds in self.answers)
        return took[int((1 - share) * (len(took) - 1))]


def version_of(connection: HTTPConnection) -> str:
    """The version that answers what a connection has asked; the answer must be a model's."""
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, content[:200]
    found = json.loads(content)
    assert found["fallback"] is None
    return str(found["model_version"])
