"""A host: where the slots and the gateway of a machine are."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway.delivery.deploy.gateway import Gateway
from slipway.delivery.deploy.slots import Slot
from slipway.delivery.deploy.state import Colour, Kind


@dataclass(frozen=True)
class Ports:
    """The ports of this machine: the callers', and three more above it."""

    callers: int

    def of(self, colour: Colour) -> int:
        """Where a slot answers, on loopback."""
        return self.callers + {"blue": 1, "green": 2}[colour]

    @property
    def about(self) -> int:
        """Where the gateway tells of itself, on loopback."""
        return self.callers + 3


def listens(port: int) -> bool:
    """Whether somebody listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def bracketed(host: str) -> str:
    """An address as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def url(host: str, port: int) -> str:
    """Where a port is asked."""
    return f"http://{bracketed(host)}:{port}"


class Host:
    """A gateway and two slots, of a kind.

    Args:
        kind: Which.
        gateway: The gateway.
        slots: The slots.
    """

    def __init__(self, kind: Kind, gateway: Gateway, slots: Mapping[Colour, Slot]) -> None:
        self.kind, self.gateway, self.slots = kind, gateway, slots

    def prepare(self, root: Path) -> None:
        """Get what the host itself needs from a tree as git has it."""

    def accompany(self) -> str | None:
        """Start what goes along with the model; gives what went wrong with that, which holds nothing up."""
        return None

    def close(self) -> None:
        """End what is left once gateway and slots have."""
