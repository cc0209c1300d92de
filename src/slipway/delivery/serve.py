"""Serving the workspace's model on this machine, and asking it something."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from slipway import layout
from slipway.delivery.ship import ship
from slipway.errors import UserError
from slipway.service.release import example, load_golden
from slipway.signature import load_signature


def environment(release: Path) -> dict[str, str]:
    """The environment in which a release is served: a store of its own, and nothing told to anybody."""
    return os.environ | {
        "SLIPWAY_RELEASE": str(release.resolve()),
        "BENTOML_HOME": str(layout.BENTOML.resolve()),
        "BENTOML_DO_NOT_TRACK": "True",
    }


def command(host: str, port: int) -> list[str]:
    """The command that serves."""
    return [sys.executable, "-m", "slipway.service.start", "--host", host, "--port", str(port)]


def serve(host: str, port: int, fallback: str | None) -> int:
    """Assemble the release and serve it until interrupted; returns the exit code."""
    release = ship(fallback=fallback)
    asking = f"`make predict{_asking(host, port)}`"
    print(f"model {release.version} on http://{host}:{port}; {asking} asks it, Ctrl-C stops it")  # noqa: T201
    with subprocess.Popen(command(host, port), env=environment(layout.RELEASE)) as server:  # noqa: S603
        for sign in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(sign, lambda *_: server.terminate())
        code = server.wait()
    return 0 if code in {0, -signal.SIGINT, -signal.SIGTERM} else code


def _asking(host: str, port: int) -> str:
    """What `make predict` has to be told."""
    return "" if (host, port) == ("127.0.0.1", 3000) else f' ARGS="--url http://{host}:{port}"'


def predict(url: str, file: Path | None) -> Any:
    """Send a request, the example of the workspace's model unless there is a file, and return the answer.

    Raises:
        UserError: Nothing answers there, or it refuses.
    """
    if file is None:
        body = json.dumps([example(load_signature(layout.MODEL), load_golden(layout.MODEL))]).encode()
    else:
        try:
            body = file.read_bytes()
        except OSError as error:
            raise UserError(f"{file}: cannot be read ({error.strerror}); name a JSON file with a request") from None
    try:
        answer = requests.post(f"{url}/predict", data=body, headers={"content-type": "application/json"}, timeout=60)
        content = answer.json()
    except requests.ConnectionError:
        raise UserError(f"{url}: nothing answers there; run `make serve` in another terminal") from None
    except (requests.RequestException, ValueError) as error:
        raise UserError(f"{url}: {' '.join(str(error).split())[:200]}") from None
    if not answer.ok:
        raise UserError(f"{url}: refused with {answer.status_code}: {content.get('detail', content)}")
    return content
