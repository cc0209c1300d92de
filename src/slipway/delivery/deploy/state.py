"""What a machine remembers of itself between two commands: which slot has the traffic, and what was sent back."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from slipway.errors import UserError
from slipway.files import write_text

STATE = "state.json"

Colour = Literal["blue", "green"]
Kind = Literal["compose", "processes"]
OTHER: dict[Colour, Colour] = {"blue": "green", "green": "blue"}


class Running(BaseModel):
    """What a slot runs: a release, as which process or container, begun when.

    Its beginning, as the system tells it, tells a process from a later one of the same number, and a container from
    itself after a restart.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    digest: str
    version: str
    process: int | str
    began: float | str


class State(BaseModel):
    """`state.json`.

    Attributes:
        port: Where callers ask.
        kind: What the slots are.
        active: The slot with the traffic.
        slots: What the slots run.
        unproved: The digest of the release that has the traffic and was not watched to the end yet.
        rejected: Why a digest was sent back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int
    kind: Kind = "processes"
    active: Colour | None = None
    slots: dict[Colour, Running] = {}
    unproved: str | None = None
    rejected: dict[str, str] = {}


def load_state(home: Path) -> State | None:
    """Read the state; None if there is none.

    Raises:
        UserError: It is damaged.
    """
    path = home / STATE
    try:
        return State.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise UserError(f"{path}: is damaged; `slipway deploy --stop` ends what runs, then deploy anew") from None


def save_state(home: Path, state: State) -> None:
    """Write the state, whole or not at all."""
    write_text(home / STATE, state.model_dump_json(indent=1) + "\n")
