"""Bringing a machine to what git says: the new release beside the old one, proved, given the traffic, and watched."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from http.client import HTTPException
from pathlib import Path

from slipway.delivery.asking import Failed, ask
from slipway.delivery.deploy.gateway import Gateway
from slipway.delivery.deploy.slots import Slot, is_alive, stop
from slipway.delivery.deploy.state import OTHER, Colour, Running, State, load_state, save_state
from slipway.delivery.release.lineage import Lineage
from slipway.errors import UserError

PAUSE = 0.25  # seconds between looks at a release that is being watched
ENOUGH = 20  # requests, before a share of them says something
MOST_FAILED = 0.02  # of the requests
MOST_FALLBACK = 0.01  # of the requests
FALLBACK = re.compile(r"^slipway_fallback_total\{[^}]*\} ([0-9.e+]+)$", re.MULTILINE)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What came of a deployment: what runs now, and why the release that git names does not, if it does not."""

    running: Running | None
    rejected: str | None = None


class Machine:
    """A machine that runs an environment.

    Args:
        home: Its folder, which keeps what it runs.
        port: Where callers ask; the slots listen on the two above it.
        say: Is told each step.
    """

    def __init__(self, home: Path, port: int, say: Say) -> None:
        self._home, self._say = home, say
        home.mkdir(parents=True, exist_ok=True)
        self._state = load_state(home) or State(port=port)
        if self._state.port != port and self._state.active:
            raise UserError(f"{home} runs on port {self._state.port}; say --port {self._state.port}, or --stop first")
        self._gateway = Gateway(home, port)
        self._slots = {colour: Slot(home, colour, self._gateway.port_of(colour)) for colour in OTHER}

    def bring_to(self, lineage: Lineage, *, patience: float, observe: float, retry: bool = False) -> Outcome:
        """Run a release.

        What ran before keeps the traffic until the new one is ready and has answered its golden rows rightly; it gets
        it back if the new one fails while it is watched, and stays beside it.

        Args:
            lineage: The release.
            patience: Seconds that it has to get ready.
            observe: Seconds that it is watched under traffic.
            retry: Try a release again that was sent back before.

        Raises:
            UserError: The image cannot be had, or the gateway does not work.
        """
        active = self._heal(patience)
        if active is not None and self._state.slots[active].digest == lineage.digest:
            return Outcome(self._state.slots[active])
        if (why := self._state.rejected.get(lineage.digest)) and not retry:
            return Outcome(self._running(), f"it was sent back before: {why}")
        colour: Colour = OTHER[active] if active else "blue"
        if (left := self._state.slots.get(colour)) is not None:
            if active is not None:
                self._gateway.give_to(active, None)
            self._clear(colour, left)
        self._say(f"{lineage.name} starts in {colour}")
        running = self._slots[colour].start(lineage)
        self._keep(colour, running)
        try:
            self._slots[colour].wait(running, patience)
            self._say(f"{lineage.name} is ready; golden rows: {self._slots[colour].prove(running)}")
            self._switch(colour)
            self._watch(colour, running, observe)
        except (Failed, OSError, HTTPException, LookupError, ValueError) as problem:
            return self._send_back(lineage, colour, running, active, f"{problem}")
        self._say(f"{lineage.name} runs")
        return Outcome(running)

    def stop(self) -> None:
        """End the gateway, then the services."""
        self._gateway.stop()
        for running in self._state.slots.values():
            stop(running)
        self._state = self._state.model_copy(update={"active": None, "slots": {}})
        save_state(self._home, self._state)

    def _heal(self, patience: float) -> Colour | None:
        """Have the gateway and the active slot's service run, as after a crash; gives the active slot."""
        active = self._state.active
        if active is not None and not is_alive(self._state.slots[active]):
            self._say(f"{self._state.slots[active].name} has ended, and is started again")
            running = self._slots[active].again(self._state.slots[active])
            self._keep(active, running)
            try:
                self._slots[active].wait(running, patience)
            except Failed as problem:
                raise UserError(f"{running.name}, which ran, does not start again: {problem}") from None
        if active is not None:
            other = OTHER[active]
            beside = self._state.slots.get(other)
            self._gateway.give_to(active, other if beside and is_alive(beside) else None)
            self._until_up(active)
        return active

    def _switch(self, colour: Colour) -> None:
        self._gateway.give_to(colour, self._state.active)
        self._state = self._state.model_copy(update={"active": colour})
        save_state(self._home, self._state)
        self._say(f"{colour} has the traffic")

    def _until_up(self, colour: Colour) -> None:
        """Wait until the gateway has seen for itself that a slot is ready."""
        end = time.monotonic() + 10
        while not self._gateway.counts(colour).up:
            if time.monotonic() > end:
                raise UserError(f"the gateway does not reach {colour}")
            time.sleep(0.1)

    def _watch(self, colour: Colour, running: Running, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(PAUSE, max(0.0, end - time.monotonic())))
            counts = self._gateway.counts(colour)
            answered, failed = counts.answered, counts.failed
            if not is_alive(running):
                raise Failed("it ended under traffic")
            if not counts.up:
                raise Failed("it is not ready any more")
            if answered >= ENOUGH and failed > MOST_FAILED * answered:
                raise Failed(f"{failed} of {answered} requests failed")
            if answered >= ENOUGH and (fallback := self._fallback(colour)) > MOST_FALLBACK * answered:
                raise Failed(f"{fallback:g} of {answered} answers were the fallback's")

    def _fallback(self, colour: Colour) -> float:
        try:
            text = str(ask(self._slots[colour].port, "GET", "/metrics", timeout=5).body)
        except (OSError, HTTPException) as error:
            raise Failed(f"it does not answer: {type(error).__name__}") from None
        return sum(float(found[1]) for found in FALLBACK.finditer(text))

    def _send_back(
        self, lineage: Lineage, colour: Colour, running: Running, active: Colour | None, why: str
    ) -> Outcome:
        if active is not None and self._state.active == colour:
            self._gateway.give_to(active, None)
            self._state = self._state.model_copy(update={"active": active})
            self._say(f"{active} has the traffic again")
        elif active is None:
            self._gateway.stop()
            self._state = self._state.model_copy(update={"active": None})
        rejected = {**self._state.rejected, lineage.digest: why}
        self._state = self._state.model_copy(update={"rejected": rejected})
        save_state(self._home, self._state)
        self._clear(colour, running)
        return Outcome(self._running(), why)

    def _running(self) -> Running | None:
        return self._state.slots[self._state.active] if self._state.active else None

    def _keep(self, colour: Colour, running: Running) -> None:
        self._state = self._state.model_copy(update={"slots": {**self._state.slots, colour: running}})
        save_state(self._home, self._state)

    def _clear(self, colour: Colour, running: Running) -> None:
        stop(running)
        slots = {name: each for name, each in self._state.slots.items() if name != colour}
        self._state = self._state.model_copy(update={"slots": slots})
        save_state(self._home, self._state)


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Keep other commands from a machine's folder.

    Raises:
        UserError: One is at work there.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{home}: another `slipway deploy` is at work there") from None
        yield
