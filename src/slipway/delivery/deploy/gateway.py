"""The gateway: HAProxy, which has the one address that callers know and gives the traffic to one of the two slots."""

import csv
import io
import os
import re
import shutil
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from slipway.delivery.deploy.state import Colour
from slipway.delivery.git import do, last_line
from slipway.errors import UserError
from slipway.files import write_text

CONFIG, PID = "gateway.cfg", "gateway.pid"
PATIENCE = 10.0  # seconds until it answers

# The slot that had the traffic before is a backup: should the other one crash, its requests go there at once, whether
# anybody watches or not. A prediction changes nothing, so one that did not get through is asked for again, for which it
# has to be here whole before it is passed on.
TEMPLATE = """\
global
    stats socket {socket} mode 600 level admin expose-fd listeners
    maxconn 4000
    pidfile {pid}

defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout queue 5s
    option redispatch 1
    option http-buffer-request
    retries 10
    retry-on conn-failure empty-response junk-response

frontend model
    bind {host}:{port}
    default_backend model

backend model
    option httpchk GET /readyz
    default-server check inter 500ms fall 2 rise 1 observe layer4 error-limit 1 on-error mark-down
{servers}
"""


@dataclass(frozen=True)
class Counts:
    """What the gateway has seen of a slot: whether its checks pass, all answers, and those with 5xx or none."""

    up: bool
    answered: int
    failed: int


class Gateway:
    """The gateway of a machine.

    Args:
        home: The machine's folder.
        port: Where callers ask; the slots listen on the two above it.
        host: On which address.
    """

    def __init__(self, home: Path, port: int, host: str = "127.0.0.1") -> None:
        self._home, self._port, self._host = home.resolve(), port, host
        # A socket's path may have 107 characters, fewer than some folders have.
        self._socket = Path(f"/tmp/slipway-{os.getuid()}-{port}.sock")  # noqa: S108  # mode 600, of this user

    def port_of(self, colour: Colour) -> int:
        """Where a slot listens."""
        return self._port + {"blue": 1, "green": 2}[colour]

    def give_to(self, active: Colour, backup: Colour | None) -> None:
        """Have it run, with the traffic on a slot: new requests at once, while those in work are finished.

        Args:
            active: The slot.
            backup: The slot that gets the traffic where the first one fails.

        Raises:
            UserError: HAProxy is missing, or does not start.
        """
        changed = self._configure(active, backup)
        alive = self.is_alive()
        if alive and not changed:
            return
        haproxy = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if haproxy is None:
            raise UserError("haproxy is missing; install it (Debian and Ubuntu: `apt install haproxy`)")
        # The new process gets the sockets of the old one, which finishes what it has in work.
        before = self._process() if alive else None
        taking_over = ["-x", str(self._socket), "-sf", str(before)] if before else []
        done = do([haproxy, "-D", "-f", str(self._home / CONFIG), *taking_over])
        if done.returncode:
            raise UserError(f"the gateway does not start: {last_line(done)}")
        end = time.monotonic() + PATIENCE
        while not self.is_alive() or self._process() == before:
            if time.monotonic() > end:
                raise UserError(f"the gateway does not answer on {self._socket}")
            time.sleep(0.05)

    def counts(self, colour: Colour) -> Counts:
        """What it has seen of a slot."""
        rows = csv.DictReader(io.StringIO(self._say("show stat").removeprefix("# ")))
        found = next(row for row in rows if row["pxname"] == "model" and row["svname"] == colour)
        answered = sum(int(found[f"hrsp_{kind}xx"] or 0) for kind in "12345")
        failed = int(found["hrsp_5xx"] or 0) + int(found["eresp"] or 0) + int(found["econ"] or 0)
        return Counts(found["status"].startswith("UP"), answered, failed)

    def is_alive(self) -> bool:
        """Whether it answers."""
        with suppress(OSError):
            return "Pid:" in self._say("show info")
        return False

    def stop(self) -> None:
        """End it, once the requests in work are done."""
        path = self._home / PID
        with suppress(OSError, ValueError, psutil.NoSuchProcess):
            process = psutil.Process(int(path.read_text().split()[0]))
            if process.name() == "haproxy":
                process.send_signal(signal.SIGUSR1)
                try:
                    process.wait(PATIENCE)
                except psutil.TimeoutExpired:
                    process.kill()
        path.unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)

    def _configure(self, active: Colour, backup: Colour | None) -> bool:
        """Write its configuration; whether that is another one than before."""
        slots = [(active, ""), *([(backup, " backup")] if backup else [])]
        servers = "\n".join(f"    server {slot} 127.0.0.1:{self.port_of(slot)}{kind}" for slot, kind in slots)
        names = {"host": self._host, "port": self._port, "socket": self._socket, "pid": self._home / PID}
        path, text = self._home / CONFIG, TEMPLATE.format(**names, servers=servers)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return False
        write_text(path, text)
        return True

    def _process(self) -> int | None:
        """The process that answers."""
        with suppress(OSError):
            found = re.search(r"^Pid: (\d+)$", self._say("show info"), re.MULTILINE)
            return int(found[1]) if found else None
        return None

    def _say(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as talking:
            talking.settimeout(5)
            talking.connect(str(self._socket))
            talking.sendall(f"{command}\n".encode())
            said = b""
            while part := talking.recv(65_536):
                said += part
        return said.decode(errors="replace")
