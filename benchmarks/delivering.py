"""From a merge to what runs, and back: the figures of the test that plays it through, with requests all the time."""

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measure import run
from tables import ROOT

PLAY = "tests/slipway/test_delivery.py"
LIMITS = {"a bad release had the traffic": 15}  # seconds


def delivery() -> list[dict[str, Any]]:
    """Play it through once, on this tree; it needs Docker, Docker Compose, skopeo and docker-registry."""
    with TemporaryDirectory(prefix="slipway-bench-") as folder:
        out = Path(folder) / "figures.json"
        command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", PLAY]
        run(command, ROOT, os.environ | {"SLIPWAY_FIGURES": str(out)}, timeout=1800)
        found = json.loads(out.read_text("utf-8"))
    asked, lost = found.pop("requests", 0), found.pop("requests lost", 0)
    if not asked:
        sys.exit(f"error: {PLAY} was skipped; `pytest -rs {PLAY}` says what is missing")
    records: list[dict[str, Any]] = [{"what": what, "seconds": seconds} for what, seconds in found.items()]
    for entry in records:
        if limit := LIMITS.get(entry["what"]):
            entry["targets"] = {f"seconds <= {limit}": entry["seconds"] <= limit}
    return [*records, {"what": f"requests: {asked:,.0f}", "targets": {"none lost": lost == 0}}]
