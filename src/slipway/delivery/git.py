"""git where something is pushed: by whom, with which token, and without hooks."""

import os
import subprocess
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from slipway.errors import UserError

BOT = "github-actions[bot]"  # whom GITHUB_TOKEN belongs to
# Without hooks, which a pipeline's code could have planted to see the token.
GIT = ("git", "-c", "core.hooksPath=/dev/null")
AS_BOT = ("-c", f"user.name={BOT}", "-c", f"user.email=41898282+{BOT}@users.noreply.github.com")


def authorization() -> dict[str, str]:
    """What lets git push over HTTPS for this one command; the token gets into no file that others could read."""
    token, server = os.environ.get("GITHUB_TOKEN"), os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    if not token:
        return {}
    secret = b64encode(f"x-access-token:{token}".encode()).decode()
    header = {"KEY": f"http.{server}/.extraheader", "VALUE": f"AUTHORIZATION: basic {secret}"}
    return {"GIT_CONFIG_COUNT": "1"} | {f"GIT_CONFIG_{name}_0": text for name, text in header.items()}


def run(
    command: list[str], problem: str, environment: Mapping[str, str] | None = None, *, folder: Path | None = None
) -> str:
    """Run a command and give what it says.

    Raises:
        UserError: It failed; the message is `problem` and the command's last line.
    """
    done = do(command, environment, folder=folder)
    if done.returncode:
        raise UserError(f"{problem}: {last_line(done)}")
    return done.stdout.strip()


def do(
    command: list[str], environment: Mapping[str, str] | None = None, *, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command, whatever comes of it."""
    environment = os.environ | (environment or {})
    return subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, errors="replace", check=False, env=environment, cwd=folder
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a command said last, or what it called fatal."""
    said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    fatal = [line for line in said if line.startswith("fatal: ")]
    return (fatal or said or ["it said nothing"])[-1][:200]
