"""Bringing a machine to what git says: the new release beside the old one, proved, given the traffic, and watched."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from http.client import HTTPException
from pathlib import Path

from slipway.delivery.asking import Failed, ask
from slipway.delivery.deploy.gateway import Share
from slipway.delivery.deploy.host import Host
from slipway.delivery.deploy.state import OTHER, Colour, Running, State, load_state, save_state
from slipway.delivery.release.lineage import Lineage
from slipway.errors import UserError

PAUSE = 0.25  # seconds between looks at a release that is being watched
ENOUGH = 20  # requests, before a share of them says something
MOST_FAILED = 0.02  # of the requests
MOST_FALLBACK = 0.01  # of the requests
SERIES = re.compile(r"^(slipway_\w+_total)\{([^}]*)\} ([0-9.e+]+)$", re.MULTILINE)
BROKEN = (Failed, OSError, HTTPException, LookupError, ValueError)  # what a release does that is sent back

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What came of a deployment: what runs now, and why the release that git names does not, if it does not."""

    running: Running | None
    rejected: str | None = None


@dataclass(frozen=True)
class _Seen:
    """Whether a slot is ready, and how many requests to it got no answer."""

    up: bool
    unanswered: int


@dataclass(frozen=True)
class _Told:
    """Requests to a service, and those that it answered with 5xx, or by its fallback."""

    requests: float
    failed: float
    fallback: float


class Machine:
    """A machine that runs an environment.

    Args:
        home: Its folder, which keeps what it runs.
        host: Where its slots and its gateway are.
        port: Where callers ask.
        say: Is told each step.

    Raises:
        UserError: It runs on another port, or as something else.
    """

    def __init__(self, home: Path, host: Host, port: int, say: Say) -> None:
        self._home, self._say = home, say
        home.mkdir(parents=True, exist_ok=True)
        known = load_state(home)
        if known and (known.active or known.slots) and (known.port, known.kind) != (port, host.kind):
            raise UserError(
                f"{home} runs as {known.kind} on port {known.port}; say --to {known.kind} --port {known.port}, "
                "or --stop first"
            )
        self._state = (known or State(port=port)).model_copy(update={"port": port, "kind": host.kind})
        self._host, self._gateway, self._slots = host, host.gateway, host.slots
        self._patience = 0.0  # seconds that a service has to get ready

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
        self._patience = patience
        self._send_back_ended()
        active = self._heal()
        if active is not None and (problem := self._watch_on(active, observe)) is not None:
            active = self._state.active
            if self._state.rejected.get(lineage.digest) == problem:
                return Outcome(self._running(), problem)
        if active is not None and self._state.slots[active].digest == lineage.digest:
            return Outcome(self._state.slots[active])
        if (why := self._state.rejected.get(lineage.digest)) and not retry:
            return Outcome(self._running(), f"it was sent back before: {why}")
        colour: Colour = OTHER[active] if active else "blue"
        if (left := self._state.slots.get(colour)) is not None:
            if active is not None:
                self._gateway.give_to(active, "alone")
            self._clear(colour, left)
        self._say(f"{lineage.name} starts in {colour}")
        running = self._slots[colour].start(lineage)
        self._keep(colour, running)
        try:
            self._slots[colour].wait(running, patience)
            self._say(f"{lineage.name} is ready; golden rows: {self._slots[colour].prove(running)}")
            self._switch(colour)
            self._watch(colour, running, observe)
        except BROKEN as problem:
            return self._send_back(running, colour, active, f"{problem}")
        self._proved(colour)
        self._say(f"{lineage.name} runs")
        return Outcome(running)

    @property
    def address(self) -> str:
        """Where callers ask."""
        return self._gateway.address(self._state.active or "blue")

    def stop(self) -> None:
        """End the gateway, then the services."""
        self._gateway.stop()
        for colour, running in self._state.slots.items():
            self._slots[colour].stop(running)
        self._host.close()
        self._update(active=None, slots={}, unproved=None)

    def _heal(self) -> Colour | None:
        """Have the gateway and both slots' services run, as after a crash; gives the active slot, if it can be had."""
        active = self._state.active
        if active is None:
            return None
        if not self._revive(active):
            active = OTHER[active] if self._revive(OTHER[active]) else None
            self._update(active=active, unproved=None)
        if active is not None:
            self._revive(OTHER[active])
            self._give_to(active)
            self._until_up(active, self._share(active))
        return active

    def _revive(self, colour: Colour) -> bool:
        """Start again what a slot ran, if it has ended; whether it runs."""
        running = self._state.slots.get(colour)
        if running is None or self._slots[colour].is_alive(running):
            return running is not None
        self._say(f"{running.name} has ended, and is started again")
        try:
            again = self._slots[colour].again(running)
            self._keep(colour, again)
            self._slots[colour].wait(again, self._patience)
        except (Failed, UserError) as problem:
            self._say(f"{running.name} does not start again: {problem}")
            return False
        return True

    def _switch(self, colour: Colour) -> None:
        if self._gateway.is_alive():
            self._until_up(colour, "watched")
        self._gateway.give_to(colour, "watched")
        self._update(active=colour, unproved=self._state.slots[colour].digest)
        self._say(f"{colour} has the traffic")

    def _is_alive(self, colour: Colour) -> bool:
        running = self._state.slots.get(colour)
        return running is not None and self._slots[colour].is_alive(running)

    def _send_back_ended(self) -> None:
        """Send back a release that ended before it was watched to the end, while the one before still runs."""
        active = self._state.active
        if active is None or self._state.slots[active].digest != self._state.unproved or self._is_alive(active):
            return
        if self._is_alive(OTHER[active]):
            self._send_back(self._state.slots[active], active, OTHER[active], "it ended under traffic")

    def _watch_on(self, colour: Colour, observe: float) -> str | None:
        """Watch a release to the end that has the traffic since a command which was killed; why it was sent back."""
        running = self._state.slots[colour]
        if running.digest != self._state.unproved:
            return None
        self._say(f"{running.name} was not watched to the end, and is watched again")
        other = OTHER[colour]
        try:
            self._watch(colour, running, observe)
        except BROKEN as problem:
            return self._send_back(running, colour, other, f"{problem}").rejected
        self._proved(colour)
        return None

    def _proved(self, colour: Colour) -> None:
        digest = self._state.slots[colour].digest
        rejected = {each: why for each, why in self._state.rejected.items() if each != digest}
        self._update(unproved=None, rejected=rejected)
        self._give_to(colour)

    def _give_to(self, colour: Colour) -> None:
        """Give a slot the traffic, with the other one for help if that runs."""
        self._gateway.give_to(colour, self._share(colour))

    def _share(self, colour: Colour) -> Share:
        if self._state.slots[colour].digest == self._state.unproved:
            return "watched"
        return "helped" if self._is_alive(OTHER[colour]) else "alone"

    def _until_up(self, colour: Colour, share: Share) -> None:
        """Wait until the gateway has seen for itself that a slot is ready."""
        end = time.monotonic() + 10
        while not self._gateway.is_up(colour, share):
            if time.monotonic() > end:
                raise UserError(f"the gateway does not reach {colour}")
            time.sleep(0.1)

    def _watch(self, colour: Colour, running: Running, seconds: float) -> None:
        end, before = time.monotonic() + seconds, self._seen(colour).unanswered
        while time.monotonic() < end:
            time.sleep(min(PAUSE, max(0.0, end - time.monotonic())))
            if not self._slots[colour].is_alive(running):
                raise Failed("it ended under traffic")
            seen, told = self._seen(colour), self._told(colour)
            before = min(before, seen.unanswered)  # of a gateway that was started again
            requests = told.requests + seen.unanswered - before
            failed = told.failed + seen.unanswered - before
            if requests >= ENOUGH and failed > MOST_FAILED * requests:
                raise Failed(f"{failed:g} of {requests:g} requests failed")
            if requests >= ENOUGH and told.fallback > MOST_FALLBACK * requests:
                raise Failed(f"{told.fallback:g} of {requests:g} answers were the fallback's")
            if not seen.up:
                raise Failed("it is not ready any more")

    def _seen(self, colour: Colour) -> "_Seen":
        """What the gateway sees of a slot; it is started again if it ended, which is no fault of the release."""

        def look() -> _Seen:
            return _Seen(self._gateway.is_up(colour, "watched"), self._gateway.unanswered(colour, "watched"))

        with suppress(OSError, HTTPException):
            return look()
        self._say("the gateway has ended, and is started again")
        self._give_to(colour)
        self._until_up(colour, "watched")
        return look()

    def _told(self, colour: Colour) -> "_Told":
        """What a service has counted itself."""
        try:
            text = str(ask(self._slots[colour].port, "GET", "/metrics", timeout=5).body)
        except (OSError, HTTPException) as error:
            raise Failed(f"it does not answer: {type(error).__name__}") from None
        series = [(name, labels, float(value)) for name, labels, value in SERIES.findall(text)]
        asked = [each for each in series if each[0] == "slipway_requests_total" and 'path="/predict"' in each[1]]
        return _Told(
            requests=sum(value for *_, value in asked),
            failed=sum(value for _, labels, value in asked if 'code="5' in labels),
            fallback=sum(value for name, _, value in series if name == "slipway_fallback_total"),
        )

    def _send_back(self, running: Running, colour: Colour, back: Colour | None, why: str) -> Outcome:
        if back is not None and not self._revive(back):
            back = None
        if back is not None and self._state.active == colour:
            self._gateway.give_to(back, "alone")
            self._update(active=back)
            self._say(f"{back} has the traffic again")
        elif back is None:
            self._gateway.stop()
            self._update(active=None)
        self._update(unproved=None, rejected={**self._state.rejected, running.digest: why})
        self._clear(colour, running)
        return Outcome(self._running(), why)

    def _running(self) -> Running | None:
        return self._state.slots[self._state.active] if self._state.active else None

    def _keep(self, colour: Colour, running: Running) -> None:
        self._update(slots={**self._state.slots, colour: running})

    def _clear(self, colour: Colour, running: Running) -> None:
        self._slots[colour].stop(running)
        self._update(slots={name: each for name, each in self._state.slots.items() if name != colour})

    def _update(self, **changed: object) -> None:
        self._state = self._state.model_copy(update=changed)
        save_state(self._home, self._state)


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Keep other commands from a machine's folder.

    Raises:
        UserError: One is at work there.
    """
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)  # who reads the gateway's configuration could change who has the traffic
    with (home / "lock").open("w") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{home}: another `slipway deploy` is at work there") from None
        yield
