"""The two slots: each runs one release as a process that outlives the command which started it."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import psutil

from slipway.delivery.asking import Failed, ask, hold_golden
from slipway.delivery.deploy.state import Colour, Running
from slipway.delivery.deploy.unpack import unpack
from slipway.delivery.release.lineage import Lineage
from slipway.service.release import MODEL
from slipway.signature import GOLDEN, load_signature

GRACE = 35.0  # seconds, more than the service gives to requests in work
LAST_WORDS = 300  # characters of a log that a message has


class Slot:
    """A slot: a folder and a port.

    Args:
        home: The machine's folder.
        colour: Which of the two.
        port: Where its service listens, on loopback.
    """

    def __init__(self, home: Path, colour: Colour, port: int) -> None:
        self.colour, self.port = colour, port
        self._folder, self._log = home / colour, home / f"{colour}.log"

    def start(self, lineage: Lineage) -> Running:
        """Unpack a release and start its service; what the slot ran before must have been stopped.

        Raises:
            UserError: The image cannot be had.
        """
        bento = unpack(lineage, self._folder).resolve()
        return self._spawn(bento, lineage.name, lineage.digest, lineage.version)

    def again(self, running: Running) -> Running:
        """Start the service of a release that is unpacked here once more, as after a restart of the machine."""
        bento = next(self._folder.resolve().glob("**/bento.yaml")).parent
        return self._spawn(bento, running.name, running.digest, running.version)

    def _spawn(self, bento: Path, name: str, digest: str, version: str) -> Running:
        source = bento / "src"
        environment = {key: text for key, text in os.environ.items() if not key.startswith(("BENTOML_", "SLIPWAY_"))}
        environment |= {
            "PYTHONPATH": str(source),  # the release's own code, not the workspace's
            "SLIPWAY_RELEASE": str(source / "release"),
            "BENTOML_HOME": str((self._folder / "home").resolve()),
            "BENTOML_DO_NOT_TRACK": "True",
            "ORT_DISABLE_TELEMETRY": "1",
        }
        command = [sys.executable, "-m", "slipway.service.start", str(bento), "--host", "127.0.0.1"]
        with self._log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603
                [*command, "--port", str(self.port)],
                cwd=source,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        began = psutil.Process(process.pid).create_time()
        return Running(name=name, digest=digest, version=version, process=process.pid, began=began)

    def wait(self, running: Running, seconds: float) -> None:
        """Wait until the service is ready.

        Raises:
            Failed: It ended, or is not ready in time.
        """
        end = time.monotonic() + seconds
        while not self.is_ready():
            if not is_alive(running):
                raise Failed(f"it ended: {self._last_words()}")
            if time.monotonic() > end:
                raise Failed(f"it was not ready after {seconds:g} s: {self._last_words()}")
            time.sleep(0.1)

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
        release = next(self._folder.glob("**/src/release"))
        golden = json.loads((release / MODEL / GOLDEN).read_bytes())
        return hold_golden(self.port, load_signature(release / MODEL), golden, running.version)

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines() if self._log.exists() else []
        said = [line for line in lines[-20:] if line.strip()]
        return said[-1][-LAST_WORDS:] if said else "it said nothing"


def is_alive(running: Running) -> bool:
    """Whether that very process runs."""
    try:
        process = psutil.Process(running.process)
        return process.create_time() == running.began and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop(running: Running) -> None:
    """Let a service finish what it has in work, and end it."""
    if not is_alive(running):
        return
    process = psutil.Process(running.process)
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(GRACE)
        except psutil.TimeoutExpired:
            process.kill()
