"""The gateway: HAProxy, which has the one address that callers know and gives the traffic to one of the two slots."""

import csv
import io
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path

from slipway.delivery.asking import ask
from slipway.delivery.deploy.state import Colour
from slipway.errors import UserError
from slipway.files import write_text

PATIENCE = 10.0  # seconds until it answers

# The slot that had the traffic before is a backup: should the other one crash, its requests go there at once, whether
# anybody watches or not. A prediction changes nothing, so one that did not get through is asked for again, for which it
# has to be here whole before it is passed on. Of a release that is being watched, an answer of 500 is not passed on
# either: the other slot is asked, which then is no backup to HAProxy, but gets the least of the traffic.
TEMPLATE = """\
global
    maxconn 4000
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
    retry-on conn-failure empty-response junk-response{retried}

frontend model
    bind {model}
    default_backend model

frontend about
    bind {about}
    http-request return status 200 content-type text/plain string {mark} if {{ path /configuration }}
{exporter}    stats enable
    stats uri /slots

backend model
    option httpchk GET /readyz
    default-server check inter 500ms fall 2 rise 1 observe layer4 error-limit 1 on-error mark-down {found}
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


@dataclass(frozen=True)
class Counts:
    """What the gateway has seen of a slot: whether its checks pass, and how many requests it left without an answer."""

    up: bool
    unanswered: int


class Gateway(ABC):
    """The gateway of a machine.

    Args:
        config: The file for its configuration.
        place: Where it is.
        about: The port, on this machine, that tells of the gateway itself.
    """

    def __init__(self, config: Path, place: Place, about: int) -> None:
        self._config, self._place, self._about = config, place, about

    def give_to(self, active: Colour, backup: Colour | None, *, watched: bool = False) -> None:
        """Have it run, with the traffic on a slot: new requests at once, while those in work are finished.

        Args:
            active: The slot.
            backup: The slot that gets the traffic where the first one fails.
            watched: Whether the first one is still to show what it is worth.

        Raises:
            UserError: HAProxy is missing, or does not start.
        """
        text, mark = self._configuration(active, backup, watched=watched)
        if not self._config.exists() or self._config.read_text(encoding="utf-8") != text:
            write_text(self._config, text)
        if self._runs_with() == mark:
            return
        self._load()
        end = time.monotonic() + PATIENCE
        while self._runs_with() != mark:
            if time.monotonic() > end:
                raise UserError(f"the gateway does not answer on port {self._about} of this machine")
            time.sleep(0.05)

    def counts(self, colour: Colour) -> Counts:
        """What it has seen of a slot since it was last changed.

        Raises:
            OSError: It does not answer.
        """
        answer = ask(self._about, "GET", "/slots;csv", timeout=5)
        rows = csv.DictReader(io.StringIO(str(answer.body).removeprefix("# ")))
        found = next((row for row in rows if (row.get("pxname"), row.get("svname")) == ("model", colour)), None)
        if found is None:
            raise OSError(f"what answers on port {self._about} of this machine knows no {colour}")
        return Counts(found["status"].startswith("UP"), int(found["eresp"] or 0) + int(found["econ"] or 0))

    def is_alive(self) -> bool:
        """Whether it answers."""
        return self._runs_with() is not None

    @abstractmethod
    def stop(self) -> None:
        """End it, once the requests in work are done."""

    @abstractmethod
    def _load(self) -> None:
        """Start it, or have it take its configuration anew, without a request lost."""

    def _runs_with(self) -> str | None:
        """The mark of the configuration that it runs with."""
        with suppress(OSError, HTTPException):
            answer = ask(self._about, "GET", "/configuration", timeout=2)
            return str(answer.body) if answer.status == 200 else None
        return None

    def _configuration(self, active: Colour, backup: Colour | None, *, watched: bool) -> tuple[str, str]:
        place = self._place
        slots = {active: "weight 256"} | ({backup: "weight 1" if watched else "backup"} if backup else {})
        servers = "\n".join(f"    server {slot} {place.servers[slot]} {kind}" for slot, kind in slots.items())
        exporter = "    http-request use-service prometheus-exporter if { path /metrics }\n" if place.exporter else ""
        values = {
            "own": place.own, "model": place.model, "about": place.about, "exporter": exporter, "found": place.found,
            "servers": servers, "retried": " 500" if watched and backup else "",
        }  # fmt: skip
        # Not a number: asked for as JSON, it would come back as one.
        mark = "c" + sha256(TEMPLATE.format(**values, mark="").encode()).hexdigest()[:15]
        return TEMPLATE.format(**values, mark=mark), mark
