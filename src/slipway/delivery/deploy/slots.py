"""The two slots: each runs one release, which goes on running when the command that started it has ended."""

import json
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

from slipway.delivery.asking import Failed, ask, hold_golden
from slipway.delivery.deploy.state import Colour, Running
from slipway.delivery.release.lineage import Lineage
from slipway.service.release import MODEL
from slipway.signature import GOLDEN, load_signature

GRACE = 35  # seconds, more than the service gives to requests in work
LAST_WORDS = 300  # characters of a log that a message has


class Slot(ABC):
    """A slot: a folder and a port.

    Args:
        home: The machine's folder.
        colour: Which of the two.
        port: Where its service answers, on loopback.
    """

    def __init__(self, home: Path, colour: Colour, port: int) -> None:
        self.colour, self.port = colour, port
        self._home, self._folder = home, home / colour

    @abstractmethod
    def start(self, lineage: Lineage) -> Running:
        """Start a release; what the slot ran before must have been stopped.

        Raises:
            UserError: The image cannot be had.
        """

    @abstractmethod
    def again(self, running: Running) -> Running:
        """Start once more what this slot ran, as after a restart of the machine."""

    @abstractmethod
    def is_alive(self, running: Running) -> bool:
        """Whether that very process, or container without a restart since, runs."""

    @abstractmethod
    def stop(self, running: Running) -> None:
        """Let the service finish what it has in work, and end it."""

    @abstractmethod
    def _log(self, running: Running) -> str:
        """The end of what the service said."""

    @abstractmethod
    def _release(self, running: Running) -> Path:
        """A folder with the release's model."""

    def wait(self, running: Running, seconds: float) -> None:
        """Wait until the service is ready.

        Raises:
            Failed: It ended, or is not ready in time.
        """
        end = time.monotonic() + seconds
        while not self.is_ready():
            if not self.is_alive(running):
                break
            if time.monotonic() > end:
                raise Failed(f"it was not ready after {seconds:g} s: {self._last_words(running)}")
            time.sleep(0.1)
        if not self.is_alive(running):  # whoever may have answered
            raise Failed(f"it ended: {self._last_words(running)}")

    def is_ready(self) -> bool:
        """Whether the service says so."""
        with suppress(OSError, HTTPException):
            return ask(self.port, "GET", "/readyz", timeout=2).status == 200
        return False

    def prove(self, running: Running) -> str:
        """Hold the service's answers against the golden rows that came with it.

        Raises:
            Failed: They differ, or are another release's.
        """
        model = self._release(running) / MODEL
        golden = json.loads((model / GOLDEN).read_bytes())
        return hold_golden(self.port, load_signature(model), golden, running.version)

    def _last_words(self, running: Running) -> str:
        said = [line for line in self._log(running).splitlines()[-20:] if line.strip()]
        return said[-1][-LAST_WORDS:] if said else "it said nothing"
