"""Starts the service as one process: `python -m slipway.service.start`. The container and `make serve` come this way.

`bentoml serve slipway.service.main:Slipway` does as well, with a supervisor above the worker. In a container that one
restarts nothing, but doubles the time to start and the memory; here the worker is run by itself.
"""

import argparse
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from tempfile import mkdtemp

SERVICE = "slipway.service.main:Slipway"
BACKLOG = 2048
# A container's network goes with its first process, and with it what is still on its way through the engine's proxy.
LINGER = 1.0  # seconds


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; requests in work are finished first."""
    # A first process of a container does not end by a signal that it has no handler for, and uvicorn's come late.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))  # of a terminal that was closed
    words = _words()
    home = Path(os.environ.setdefault("BENTOML_HOME", str(Path.home() / "bentoml")))
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    try:
        home.mkdir(parents=True, exist_ok=True)
        listening = _listen(words.host, words.port)
        # Of this process alone: BentoML's own folder is wiped by whichever service starts next.
        counters = mkdtemp(prefix="metrics-", dir=home)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = counters  # before anything imports Prometheus's client
    from click import Abort  # what click makes of Ctrl-C

    try:
        from _bentoml_impl.worker.service import main as worker

        from slipway.service.main import check

        check()
        options = ["--fd", str(listening.detach()), "--service-name", "slipway", "--worker-id", "1"]
        options += ["--backlog", str(BACKLOG), "--timeout-graceful-shutdown", str(words.timeout_graceful_shutdown)]
        worker([words.service, *options], standalone_mode=False)
    except (KeyboardInterrupt, Abort):
        sys.exit(0)
    finally:
        shutil.rmtree(counters, ignore_errors=True)
        if os.getpid() == 1:
            time.sleep(LINGER)


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="slipway.service.start", description="Serve a release.")
    parser.add_argument("service", nargs="?", default=SERVICE, help="a Bento's folder, if not the module")
    parser.add_argument("--host", default=os.environ.get("BENTOML_HOST", "0.0.0.0"))  # noqa: S104
    parser.add_argument("--port", type=_port, default=os.environ.get("BENTOML_PORT", "3000"))
    parser.add_argument("--timeout-graceful-shutdown", type=int, default=30, help="seconds that requests in work have")
    return parser.parse_args()


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; BENTOML_PORT and --port take 1 to 65535")
    return int(text)


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        OSError: The port is taken, or the host is none of this machine's; the message names both.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port") from None
    return listening


if __name__ == "__main__":
    main()
