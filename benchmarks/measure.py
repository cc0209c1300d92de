"""Running a command as a child process, and what it cost.

The benchmark's own process stays small on purpose: Linux hands a process' peak memory on to what it starts, so whatever
needs a large library or a table is a child too.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL
from statistics import median
from tempfile import TemporaryFile
from threading import Timer
from typing import Any, NamedTuple

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Usage(NamedTuple):
    """What a command and all that it started cost: seconds, seconds, and bytes of the largest process."""

    wall: float
    cpu: float
    peak: int


def run(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None, timeout: float = 900
) -> Usage:
    """Run a command in a folder, in a session of its own of which no process is left afterwards.

    Raises:
        SystemExit: It failed, or was killed after `timeout` seconds; the message ends with what it printed last.
    """
    with TemporaryFile() as printed:
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": printed, "stderr": subprocess.STDOUT}
        start = time.perf_counter()
        child = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **streams)  # noqa: S603
        timer = Timer(timeout, os.killpg, (child.pid, SIGKILL))
        timer.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        finally:
            timer.cancel()
            with suppress(ProcessLookupError):
                os.killpg(child.pid, SIGKILL)
        wall = time.perf_counter() - start
        if child.returncode:
            printed.seek(0)
            last = " | ".join(printed.read().decode(errors="replace").splitlines()[-5:])
            how = f"took more than {timeout:g} s" if wall >= timeout else f"ended with {child.returncode}"
            sys.exit(f"error: `{' '.join(map(str, command))}` {how}: {last}")
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * MAXRSS_UNIT)


def record(what: str, runs: Sequence[Usage], rows: int | None = None, limit: float | None = None) -> dict[str, Any]:
    """Medians over some runs and the peak of all of them; `limit` is the target for the seconds."""
    wall, cpu, peak = zip(*runs, strict=True)
    found: dict[str, Any] = {"what": what, "runs": len(runs), "seconds": median(wall), "seconds_min": min(wall)}
    found |= {"seconds_max": max(wall), "cpu_seconds": median(cpu), "peak_mb": max(peak) / 1e6}
    if rows is not None:
        found |= {"rows": rows, "rows_per_second": rows / found["seconds"]}
    if limit is not None:
        found["targets"] = {f"seconds <= {limit:g}": found["seconds"] <= limit}
    return found
