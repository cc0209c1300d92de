"""`slipway deploy`: a machine asks git what it is to run, once or again and again."""

import re
import signal
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from slipway.delivery.deploy.compose import compose, compose_command
from slipway.delivery.deploy.host import Host, Ports
from slipway.delivery.deploy.machine import Machine, Outcome, Say, alone
from slipway.delivery.deploy.processes import processes
from slipway.delivery.deploy.state import STATE, Kind, State, load_state
from slipway.delivery.release.branch import checked_out, fetch, tip_of
from slipway.delivery.release.lineage import Lineage
from slipway.delivery.release.overlay import deployed, folder_of
from slipway.delivery.release.promote import propose_rollback, push_now
from slipway.errors import UserError

HOME, PORT = Path(".deploy"), 8080


@dataclass(frozen=True)
class Wishes:
    """How a machine is to be run; `slipway deploy --help` says what each of them does."""

    environment: str
    to: Kind | None
    branch: str
    host: str
    port: int | None
    patience: float
    observe: float
    watch: float
    retry: bool
    revert: bool
    monitoring: bool = True


def follow(wishes: Wishes, say: Say) -> int:
    """Run what git says; gives the exit code: 1 if the last release was sent back.

    Raises:
        UserError: Nothing is released there, its image cannot be had, or another such command is at work.
    """
    home = _home(wishes.environment)
    if not home.exists():
        folder_of(wishes.environment)  # a slip of the pen leaves nothing behind
    with alone(home):
        known = load_state(home)
        port = wishes.port or (known.port if known else PORT)
        host = _host(home, wishes, known, port, say)
        machine = Machine(home, host, port, say)
        if not wishes.watch:
            return _once(machine, host, wishes, say)
        code, news, over = 0, _News(say), Event()
        signal.signal(signal.SIGINT, lambda *_: over.set())  # what has been begun is brought to its end
        while not over.is_set():
            news.turn()
            try:
                code = _once(machine, host, wishes, news)
            except (UserError, OSError) as error:  # such as an image that cannot be had: what runs runs on
                news(f"warning: {error}")
            over.wait(wishes.watch)
        return code


def _home(environment: str) -> Path:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", environment):
        raise UserError(f"{environment!r} is no name of an environment")
    return HOME / environment


class _News:
    """Says nothing twice in a row of looks that find the same."""

    def __init__(self, say: Say) -> None:
        self._say, self._last, self._now = say, set[str](), set[str]()

    def __call__(self, text: str) -> None:
        self._now.add(text)
        if text not in self._last:
            self._say(text)

    def turn(self) -> None:
        """Begin another look."""
        self._last, self._now = self._now, set()


def document(environment: str) -> dict[str, Any]:
    """What a machine runs, as JSON's types.

    Raises:
        UserError: Its state is damaged.
    """
    known = load_state(_home(environment))
    return {"environment": environment, **(known.model_dump(mode="json") if known else {})}


def end(environment: str, say: Say) -> None:
    """End what a machine runs.

    Raises:
        UserError: Nothing runs, or another such command is at work.
    """
    home = _home(environment)
    if not home.is_dir():
        raise UserError(f"{home}: nothing runs here")
    with alone(home):
        try:
            known = load_state(home)
        except UserError:  # it is damaged, and what runs is found without it
            (home / STATE).unlink()
            known = None
        if known is None:
            known = State(port=PORT, kind="compose" if (home / "compose").is_dir() else "processes")
        host = _made(known.kind, home, environment, "127.0.0.1", known.port, monitoring=True)
        Machine(home, host, known.port, say).stop()
    say(f"{environment}: the gateway and its services have ended")


def _host(home: Path, wishes: Wishes, known: State | None, port: int, say: Say) -> Host:
    kind = wishes.to or (known.kind if known and (known.active or known.slots) else None)
    if kind is None and compose_command() is None:
        kind = "processes"
        say("Docker Compose is not here, so the services are processes of this user (--to processes says the same)")
    return _made(kind or "compose", home, wishes.environment, wishes.host, port, monitoring=wishes.monitoring)


def _made(kind: Kind, home: Path, environment: str, host: str, port: int, *, monitoring: bool) -> Host:
    if kind == "compose":
        return compose(home, environment, host, Ports(port), monitoring=monitoring)
    return processes(home, host, Ports(port))


def _once(machine: Machine, host: Host, wishes: Wishes, say: Say) -> int:
    try:
        fetch()
    except UserError as error:
        say(f"warning: {error}; what was fetched last counts")
    with checked_out(tip_of(wishes.branch)) as root:
        wanted = deployed(wishes.environment, root)
        if wanted is None:
            raise UserError(
                f"nothing is released to {wishes.environment} yet; `slipway release` or `slipway promote` does"
            )
        host.prepare(root)
    outcome = machine.bring_to(wanted, patience=wishes.patience, observe=wishes.observe, retry=wishes.retry)
    if outcome.rejected is None:
        if problem := host.accompany():
            say(f"warning: {problem}")
        say(f"{wishes.environment} runs {wanted.name} ({wanted.version}) on {machine.address}")
        return 0
    _tell(outcome, wanted, wishes, say)
    return 1


def _tell(outcome: Outcome, wanted: Lineage, wishes: Wishes, say: Say) -> None:
    runs = f"{outcome.running.name} runs" if outcome.running else "nothing runs"
    say(f"{wanted.name} was sent back: {outcome.rejected}; {runs}")
    if outcome.running is None:
        say("--retry tries it again")
        return
    if wishes.revert:
        proposal = propose_rollback(wishes.environment, outcome.running.digest, wishes.branch)
        say(f"{proposal.title}: {push_now(proposal, wishes.branch)}")
    else:
        back = f"slipway rollback {wishes.environment} --to {outcome.running.name} --now"
        say(f"git still says {wanted.name}: `{back}` has it say what runs; --retry tries again")
