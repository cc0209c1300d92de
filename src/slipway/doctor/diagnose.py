"""Running checks side by side, each for so long and no longer."""

from collections.abc import Mapping
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from slipway.doctor import asking, github, machine, repository, stores
from slipway.doctor.finding import Finding, Look, Outcome, from_error

CHECKS: Mapping[str, Look] = {
    "Python": machine.python,
    "uv": machine.uv,
    "packages": machine.packages,
    "deepchecks": machine.deepchecks,
    "disk": machine.disk,
    "git": repository.git,
    "identity": repository.identity,
    "origin": repository.origin,
    "hooks": repository.hooks,
    "dvc.lock": repository.lock,
    "DVC remote": stores.dvc,
    "MLflow": stores.mlflow,
    "containers": machine.containers,
    "kubectl": machine.kubectl,
    "GitHub": github.settings,
}
OPTIONAL = {"containers", "kubectl", "GitHub"}  # of which nothing is wrong but advice, missing or slow
LIMIT = 25.0  # seconds; what a check runs has its own, shorter limits


def diagnose(checks: Mapping[str, Look] = CHECKS, limit: float = LIMIT) -> list[Finding]:
    """What the checks find, in their order, whatever becomes of each.

    Args:
        checks: The checks by name.
        limit: Seconds after which those that are not done are given up.
    """
    done: SimpleQueue[str] = SimpleQueue()
    found: dict[str, list[Finding]] = {name: [] for name in checks}
    waiting, until = set(checks), monotonic() + limit

    def run(name: str, look: Look) -> None:
        try:
            for finding in look():
                found[name].append(finding)
        except Exception as error:  # of which the others must not hear
            found[name].append(from_error(name, error))
        done.put(name)

    for name, look in checks.items():
        Thread(target=run, args=(name, look), daemon=True).start()  # a daemon cannot hold up our end
    try:
        while waiting:
            waiting.remove(done.get(timeout=max(until - monotonic(), 0)))
    except Empty:
        for name in waiting:
            outcome: Outcome = "advice" if name in OPTIONAL else "wrong"
            found[name].append(Finding(name, outcome, f"no answer within {limit:g} s", "try again: make doctor"))
    finally:
        asking.end_all()
    return [finding for findings in found.values() for finding in findings]
