"""One module per DVC stage: a pure function, and a thin `main` that reads and writes files."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import TracebackType

from slipway import layout
from slipway.errors import UserError

# The threads of boosted trees would spin while they wait for each other, and training beside any other work then takes
# five times as long. OpenMP reads this when scikit-learn is imported, which the stages do after this package.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _quiet_when_interrupted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Leave it to `slipway repro` to say so; Python still ends as interrupted."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


# Set here, since half of the time of a short stage passes while its modules are imported.
sys.excepthook = _quiet_when_interrupted


@contextmanager
def started(stage: str) -> Iterator[None]:
    """Run a stage's body; a UserError becomes one line on standard error and exit code 2.

    Linear algebra gets one thread: its threads outnumber the cores beside those of the learners and slow long tables
    down, and the last digits of a model would depend on how many cores there are.
    """
    from threadpoolctl import threadpool_limits

    from slipway.files import write_json

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a suite takes deepchecks with it
    began = monotonic()
    try:
        with threadpool_limits(1, "blas"):
            yield
        write_json(layout.RUN / f"{stage}.json", {"seconds": round(monotonic() - began, 3)})
    except (UserError, OSError) as error:  # such as a full disk; nothing is half-written
        print(f"error: {stage}: {error}", file=sys.stderr)  # noqa: T201  # a stage speaks to whoever runs `dvc repro`
        sys.exit(2)
