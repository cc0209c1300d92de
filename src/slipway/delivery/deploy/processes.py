"""A host without an engine for containers: services and gateway are processes of the user who deploys."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import psutil

from slipway.delivery.deploy.gateway import PATIENCE, Gateway, HAProxy, Place, Share
from slipway.delivery.deploy.host import Host, Ports, bracketed, listens, url
from slipway.delivery.deploy.slots import GRACE, Slot
from slipway.delivery.deploy.state import OTHER, Colour, Running
from slipway.delivery.deploy.unpack import unpack
from slipway.delivery.git import do, last_line
from slipway.delivery.release.lineage import Lineage
from slipway.errors import UserError

SERVICE, CONFIG = "slipway.service.start", "gateway.cfg"


def processes(home: Path, host: str, ports: Ports) -> Host:
    """The host whose folder is `home`.

    Args:
        home: The folder.
        host: The address that callers ask.
        ports: Of this machine.
    """
    haproxy = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    slots = {colour: ProcessSlot(home, colour, ports.of(colour)) for colour in OTHER}
    return ProcessHost(home, ProcessGateway(haproxy, home, host, ports) if haproxy else Direct(slots), slots)


class ProcessHost(Host):
    """Processes.

    Args:
        home: The machine's folder.
        gateway: The gateway.
        slots: The slots.
    """

    def __init__(self, home: Path, gateway: Gateway, slots: Mapping[Colour, Slot]) -> None:
        super().__init__("processes", gateway, slots)
        self._home = home.resolve()

    def close(self) -> None:
        """End what runs for this machine and nobody knows of, as when its state was lost."""
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            serves = SERVICE in words and any(word.startswith(f"{self._home}/") for word in words)
            if serves or str(self._home / CONFIG) in words:
                _end(process)


class ProcessSlot(Slot):
    """A slot whose service is a process, out of an image that was unpacked."""

    def start(self, lineage: Lineage) -> Running:
        """Unpack a release and start its service."""
        bento = unpack(lineage, self._folder).resolve()
        return self._spawn(bento, lineage.name, lineage.digest, lineage.version)

    def again(self, running: Running) -> Running:
        """Start the service of the release that is unpacked here."""
        found = next(self._folder.resolve().glob("**/bento.yaml"), None)
        if found is None:
            raise UserError(f"{self._folder} has gone")
        return self._spawn(found.parent, running.name, running.digest, running.version)

    def is_alive(self, running: Running) -> bool:
        """Whether that very process runs."""
        try:
            process = psutil.Process(int(running.process))
            return process.create_time() == running.began and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def stop(self, running: Running) -> None:
        """Let it finish, for as long as it may take."""
        if self.is_alive(running):
            _end(psutil.Process(int(running.process)))

    @property
    def _said(self) -> Path:
        return self._home / f"{self.colour}.log"

    def _log(self, running: Running) -> str:
        del running  # the file is the slot's
        return self._said.read_text(encoding="utf-8", errors="replace") if self._said.exists() else ""

    def _release(self, running: Running) -> Path:
        del running  # the folder is the slot's
        return next(self._folder.glob("**/src/release"))

    def _spawn(self, bento: Path, name: str, digest: str, version: str) -> Running:
        if listens(self.port):
            raise UserError(
                f"port {self.port}, where {self.colour} is to answer, is taken; say another --port, or, if it is this "
                "machine's own of before, --stop"
            )
        source = bento / "src"
        environment = {key: text for key, text in os.environ.items() if not key.startswith(("BENTOML_", "SLIPWAY_"))}
        environment |= {
            "PYTHONPATH": str(source),  # the release's own code, not the workspace's
            "SLIPWAY_RELEASE": str(source / "release"),
            "BENTOML_HOME": str((self._folder / "home").resolve()),
            "BENTOML_DO_NOT_TRACK": "True",
            "ORT_DISABLE_TELEMETRY": "1",
        }
        command = [sys.executable, "-m", SERVICE, str(bento), "--host", "127.0.0.1"]
        with self._said.open("ab") as log:
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


def _end(process: psutil.Process, sign: signal.Signals = signal.SIGTERM, grace: float = GRACE) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(sign)
        try:
            process.wait(grace)
        except psutil.TimeoutExpired:
            process.kill()


class Direct(Gateway):
    """No gateway, where HAProxy is not installed: callers ask the slots themselves, and have to be told which.

    Args:
        slots: The slots.
    """

    def __init__(self, slots: Mapping[Colour, Slot]) -> None:
        self._slots = slots

    def give_to(self, active: Colour, share: Share) -> None:
        """Nothing has to be done."""

    def is_up(self, colour: Colour, share: Share) -> bool:
        """Whether the slot says that it is ready."""
        del share
        return self._slots[colour].is_ready()

    def unanswered(self, colour: Colour, share: Share) -> int:
        """What nobody counts."""
        del colour, share
        return 0

    def is_alive(self) -> bool:
        """There is nothing that could end."""
        return True

    def address(self, active: Colour) -> str:
        """The slot's."""
        return f"http://127.0.0.1:{self._slots[active].port} (not one address for both slots, as haproxy is missing)"

    def stop(self) -> None:
        """Nothing has to be done."""


class ProcessGateway(HAProxy):
    """HAProxy as a process."""

    def __init__(self, haproxy: str, home: Path, host: str, ports: Ports) -> None:
        self._haproxy = haproxy
        # A socket's path may have 107 characters, fewer than some folders have.
        own = sha256(str(home.resolve()).encode()).hexdigest()[:12]
        self._socket = Path(f"/tmp/slipway-{os.getuid()}-{own}.sock")  # noqa: S108  # mode 600, of this user
        self._pid, self._ports = home.resolve() / "gateway.pid", ports
        # A port that somebody has is not to be shared with them.
        own = f"    noreuseport\n    stats socket {self._socket} mode 600 level admin expose-fd listeners\n"
        own += f'    pidfile "{self._pid}"\n'
        servers = {colour: f"127.0.0.1:{ports.of(colour)}" for colour in OTHER}
        place = Place(own, f"{bracketed(host)}:{ports.callers}", f"127.0.0.1:{ports.about}", servers)
        super().__init__(home, home.resolve() / CONFIG, place, url(host, ports.callers), ports.about)

    def stop(self) -> None:
        """End it, once the requests in work are done."""
        if (process := self._process()) is not None:
            _end(process, signal.SIGUSR1, PATIENCE)
        self._pid.unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)

    def _load(self) -> None:
        # The new process gets the sockets of the old one, which finishes what it has in work.
        before = self._process() if self.is_alive() and self._socket.exists() else None
        if before is None:
            self.stop()
            for port in (self._ports.callers, self._ports.about):
                if listens(port):
                    raise UserError(f"port {port}, where the gateway is to answer, is taken; say another --port")
        taking_over = ["-x", str(self._socket), "-sf", str(before.pid)] if before else []
        done = do([self._haproxy, "-D", "-f", str(self._config), *taking_over])
        if done.returncode:
            alerts = [line for line in done.stderr.splitlines() if "[ALERT]" in line]
            raise UserError(f"the gateway does not start: {(alerts or [last_line(done)])[0]:.200}")

    def _process(self) -> psutil.Process | None:
        with suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
            process = psutil.Process(int(self._pid.read_text(encoding="utf-8").split()[0]))
            return process if process.name() == "haproxy" else None
        return None
