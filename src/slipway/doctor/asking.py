"""Programs that are asked something: none may wait for a person, and each can be ended."""

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress

from slipway.errors import UserError

PATIENCE = 8.0  # seconds that a program has to answer
GRACE = 2.0  # seconds that one which is ended has to tidy up
# They ask nobody, and speak English, in which what they say is looked through.
UNATTENDED = {
    "GIT_TERMINAL_PROMPT": "0",
    "SSH_ASKPASS_REQUIRE": "never",
    "GH_PROMPT_DISABLED": "1",
    "LANGUAGE": "C",
}

_running: set["subprocess.Popen[str]"] = set()


def ask(
    *command: str, patience: float | None = None, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program, whatever comes of it.

    Args:
        command: Its name and arguments.
        patience: Seconds that it has to answer; `PATIENCE` if None.
        variables: Those that it has besides ours.

    Raises:
        UserError: It is not here, or does not answer in time.
    """
    patience = PATIENCE if patience is None else patience
    try:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **UNATTENDED, **(variables or {})},
            start_new_session=True,  # it has no terminal to ask for a password on, and ends with all that it started
        )
    except OSError as error:
        raise UserError(f"{command[0]} cannot be run: {error.strerror}; install it") from None
    _running.add(process)
    with process:
        try:
            out, err = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            _end(process)
            again = " ".join(command)
            raise UserError(f"{command[0]} did not answer within {patience:g} s; try again: {again}") from None
        finally:
            _running.discard(process)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def end_all() -> None:
    """End what still runs."""
    for process in list(_running):
        _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    for sign, grace in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
