"""How the container starts BentoML's command line: as its first process, which the kernel treats unlike any other.

A first process does not end by a signal that it has no handler for. BentoML has its handlers once it serves; until then
SIGTERM would be lost, and whoever stops the container would have to wait and kill it.
"""

import signal
import sys


def main() -> None:
    """Run BentoML's command line; SIGTERM ends it from the first moment on."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    from bentoml_cli.cli import cli

    cli(prog_name="bentoml")


if __name__ == "__main__":
    main()
