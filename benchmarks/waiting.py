"""How long people wait: `make repro` in a clone of the last commit, again and again, and from nothing."""

import os
import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measure import Usage, record, run
from tables import ROOT, stages

# What an outer `make bench` sets, and the shell of somebody who types `make repro` does not.
FOREIGN = {"ARGS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MLFLOW_TRACKING_URI", "PYTHONPATH"}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in FOREIGN}
BOOTSTRAPPED = ".tools/uv/bin/uv"  # what the Makefile installs, and uses, where the PATH has no uv
INSTALLED = shutil.which("uv") or str(ROOT / BOOTSTRAPPED)


def repro(folder: Path, uv: str, goal: str = "repro", up_to: str = "") -> Usage:
    """Clone the last commit if that is not done yet, and `make repro`, all of it or up to a stage."""
    script = 'test -d project || git clone --quiet "$1" project && make -C project uv="$2" "$3" ARGS="$4"'
    return run(["sh", "-c", script, "sh", ROOT, uv, goal, up_to], folder, ENVIRONMENT)


def loop(repeat: int) -> list[dict[str, Any]]:
    """Measure the loop of daily work: nothing changed, one training parameter changed; and each stage alone."""
    with TemporaryDirectory(prefix="slipway-bench-") as name:
        folder = Path(name)
        unchanged = [repro(folder, INSTALLED) for _ in range(repeat + 2)]  # the first two install, run and compile
        params = folder / "project/params.yaml"
        changed: dict[str, list[Usage]] = {"evaluate": [], "": []}
        for number in range(2 * repeat + 2):
            text, count = re.subn(r"(?m)^(\s+strength:).*$", rf"\1 {1.5 + number / 10}", params.read_text("utf-8"))
            if count != 1:
                sys.exit(f"error: params.yaml has {count} lines `strength:`, not one")
            params.write_text(text, "utf-8")
            up_to = ("evaluate", "")[number % 2]
            changed[up_to].append(repro(folder, INSTALLED, up_to=up_to))
        alone = [stages(folder / "project", str(folder / "project/.venv/bin/python")) for _ in range(repeat)]
    return [
        record("nothing changed", unchanged[2:], limit=3),
        record("one training parameter changed, up to evaluate", changed["evaluate"][1:], limit=20),
        record("one training parameter changed, with the suites", changed[""][1:]),
        *(record(f"stage {name} alone", [costs[name] for costs in alone]) for name in alone[0]),
    ]


def fresh(repeat: int) -> list[dict[str, Any]]:
    """Measure from `git clone` to the end of the first `make repro`, with uv installed and without."""
    ways = {"uv installed": INSTALLED, "uv bootstrapped": BOOTSTRAPPED}
    runs: dict[str, list[Usage]] = {what: [] for what in ways}
    for number in range(repeat + 1):  # in turns, as disks get slower with all that is written; the first fill the cache
        for what, uv in ways.items():
            with TemporaryDirectory(prefix="slipway-bench-") as folder:
                runs[what].append(repro(Path(folder), uv, "repro" if number else "setup"))
    return [record(f"fresh clone, {what}", used[1:], limit=60) for what, used in runs.items()]
