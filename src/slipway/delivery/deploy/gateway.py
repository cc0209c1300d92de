"""The gateway: HAProxy, which has the one address that callers know and gives the traffic to one of the two slots.

Its configuration knows every way to share the traffic, and a variable of its process says which one is taken. So a
change takes no other process, and no connection that a caller keeps is cut.
"""

import csv
import io
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from secrets import token_hex
from typing import Literal

from slipway.delivery.asking import ask
from slipway.delivery.deploy.state import OTHER, Colour
from slipway.errors import UserError
from slipway.files import write_text

PATIENCE = 10.0  # seconds until it answers
TOKEN = "gateway.token"  # noqa: S105 the file of it

# How much the other slot takes part. Alone: not at all. Helped: as a backup, to which requests go at once should the
# first one crash, whether anybody watches or not. Watched: the first one is still to show what it is worth, and what it
# answers with 500 is not passed on, but the other one is asked, which for that must be no backup; so it has the least
# of the traffic.
Share = Literal["alone", "helped", "watched"]
OTHERS: dict[Share, str | None] = {"alone": None, "helped": "backup", "watched": "weight 1"}

# A prediction changes nothing, so one that did not get through is asked for again, for which it has to be here whole
# before it is passed on. What does not fit into a buffer is passed on as it comes, and cannot be asked for again.
TEMPLATE = """\
# Callers ask {address}.
global
    maxconn 1000
    tune.bufsize 131072
    set-var proc.share str({chosen})
{own}
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout queue 5s
    option redispatch 1
    option http-buffer-request
    retries 10

frontend model
    bind {model}
    use_backend %[var(proc.share)]

frontend about
    bind {about}
    acl owner req.hdr(x-owner) -m str {token}
{shares}
    http-request return status 204 if owner {{ path_beg /share/ }}
    http-request return status 200 content-type text/plain lf-string "{mark} %[var(proc.share)]" if {{ path /share }}
{exporter}    stats enable
    stats uri /slots

{backends}
"""
SHARE = "    http-request set-var(proc.share) str({name}) if owner {{ path /share/{name} }}"
BACKEND = """\
backend {name}
    retry-on conn-failure empty-response junk-response{retried}
    option httpchk GET /readyz
    default-server check inter 1s fastinter 200ms downinter 200ms fall 2 rise 1 observe layer4 error-limit 1 \
on-error mark-down {found}
{servers}
"""


@dataclass(frozen=True)
class Place:
    """What a configuration says of where the gateway is.

    Attributes:
        own: Lines of its own, for `global` and after it.
        model: The address that callers ask.
        about: The address that tells of the gateway itself.
        servers: The slots' addresses.
        found: How a server's name is looked up.
        exporter: Whether it gives metrics to Prometheus, which not every build of HAProxy can.
    """

    own: str
    model: str
    about: str
    servers: dict[Colour, str]
    found: str = ""
    exporter: bool = False


class Gateway(ABC):
    """What is between callers and slots."""

    @abstractmethod
    def give_to(self, active: Colour, share: Share) -> None:
        """Have it run, with the traffic on a slot: new requests at once, while those in work are finished.

        Raises:
            UserError: It does not start.
        """

    @abstractmethod
    def is_up(self, colour: Colour, share: Share) -> bool:
        """Whether it finds a slot ready.

        Raises:
            OSError: It does not answer.
        """

    @abstractmethod
    def unanswered(self, colour: Colour, share: Share) -> int:
        """How many requests to a slot got no answer since the gateway was started.

        Raises:
            OSError: It does not answer.
        """

    @abstractmethod
    def is_alive(self) -> bool:
        """Whether it answers."""

    @abstractmethod
    def address(self, active: Colour) -> str:
        """Where callers ask while a slot has the traffic."""

    @abstractmethod
    def stop(self) -> None:
        """End it, once the requests in work are done."""


class HAProxy(Gateway):
    """HAProxy, wherever it runs.

    Args:
        home: The machine's folder.
        config: The file for its configuration.
        place: Where it is.
        address: Where callers ask.
        about: The port, on this machine, that tells of the gateway itself.
    """

    def __init__(self, home: Path, config: Path, place: Place, address: str, about: int) -> None:
        self._home, self._config, self._place, self._address, self._about = home, config, place, address, about

    def give_to(self, active: Colour, share: Share) -> None:
        """Have it run, with the traffic on a slot, by a variable if it runs already."""
        name = f"{active}-{share}"
        text, mark = self._configuration(name)
        if not self._config.exists() or self._config.read_text(encoding="utf-8") != text:
            write_text(self._config, text)  # should it be started again, it goes on where it was
            self._config.chmod(0o644)  # a container of HAProxy has a user of its own
        wanted = [mark, name]
        running = self._share()
        if running and running[0] == mark:
            self._choose(name)
        else:
            self._load()
        end = time.monotonic() + PATIENCE
        while self._share() != wanted:
            if time.monotonic() > end:
                raise UserError(f"the gateway does not answer on port {self._about} of this machine")
            time.sleep(0.05)

    def is_up(self, colour: Colour, share: Share) -> bool:
        """Whether its checks of a slot pass."""
        return self._row(colour, share)["status"].startswith("UP")

    def unanswered(self, colour: Colour, share: Share) -> int:
        """How many requests to a slot got no answer since HAProxy was started."""
        row = self._row(colour, share)
        return int(row["eresp"] or 0) + int(row["econ"] or 0)

    def is_alive(self) -> bool:
        """Whether it answers."""
        return self._share() is not None

    def address(self, active: Colour) -> str:
        """Its own, whoever has the traffic."""
        del active
        return self._address

    @abstractmethod
    def _load(self) -> None:
        """Start it, or have it take its configuration anew, without a request lost."""

    def _row(self, colour: Colour, share: Share) -> dict[str, str]:
        answer = ask(self._about, "GET", "/slots;csv", timeout=5)
        rows = csv.DictReader(io.StringIO(str(answer.body).removeprefix("# ")))
        for row in rows:
            if (row.get("pxname"), row.get("svname")) == (f"{colour}-{share}", colour):
                return row
        raise OSError(f"what answers on port {self._about} of this machine knows no {colour}-{share}")

    def _share(self) -> list[str] | None:
        """The mark of the configuration that it runs with, and who has the traffic."""
        with suppress(OSError, HTTPException):
            answer = ask(self._about, "GET", "/share", timeout=2)
            return str(answer.body).split() if answer.status == 200 else None
        return None

    def _choose(self, name: str) -> None:
        with suppress(OSError, HTTPException):  # then it is not what is wanted, which is seen
            connection = HTTPConnection("127.0.0.1", self._about, timeout=5)
            connection.request("PUT", f"/share/{name}", headers={"X-Owner": self._token()})
            connection.getresponse().read()
            connection.close()

    def _token(self) -> str:
        """What tells the owner of the gateway from others on this machine."""
        path = self._home / TOKEN
        if not path.exists():
            write_text(path, token_hex(16))  # into a folder that is its owner's alone, as the configuration is
        return path.read_text(encoding="utf-8")

    def _configuration(self, chosen: str) -> tuple[str, str]:
        place, names = self._place, {f"{colour}-{share}": (colour, share) for colour in OTHER for share in OTHERS}
        exporter = "    http-request use-service prometheus-exporter if { path /metrics }\n" if place.exporter else ""
        values = {
            "own": place.own, "model": place.model, "about": place.about, "exporter": exporter, "token": self._token(),
            "address": self._address,
            "shares": "\n".join(SHARE.format(name=name) for name in names),
            "backends": "\n".join(self._backend(name, *slots) for name, slots in names.items()),
        }  # fmt: skip
        mark = sha256(TEMPLATE.format(**values, mark="", chosen="").encode()).hexdigest()[:16]
        return TEMPLATE.format(**values, mark=mark, chosen=chosen), mark

    def _backend(self, name: str, colour: Colour, share: Share) -> str:
        slots = {colour: "weight 256"} | ({OTHER[colour]: other} if (other := OTHERS[share]) else {})
        servers = "\n".join(f"    server {slot} {self._place.servers[slot]} {kind}" for slot, kind in slots.items())
        retried = " 500" if share == "watched" else ""
        return BACKEND.format(name=name, retried=retried, found=self._place.found, servers=servers)
