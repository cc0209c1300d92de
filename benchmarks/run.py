"""`make bench`: how fast the line is and how much memory it takes, as a table and as JSON.

A missed target is marked; the exit code is 1 only if something that was to be measured failed.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import delivering
import judging
import serving
import tables
import waiting
from rich.console import Console
from rich.table import Table

PARTS = {
    "loop": "make repro again and again, and each stage alone, on a clone",
    "fresh": "from git clone to the end of make repro, packages from a warm cache",
    "prepare": "prepare against a bare Polars copy of the same table",
    "scale": "every stage on a large table",
    "review": "the verdict on the demo and on a long holdout, and its bootstrap against a loop over scikit-learn",
    "delivery": "from a merge to what runs, and back from a bad release, with 200 requests a second all the time",
    "serving": "the service under load, beside other servers of the same model",
}
COLUMNS = (  # header, what it shows, how
    ("median s", "seconds", "{:.2f}"),
    ("min", "seconds_min", "{:.2f}"),
    ("max", "seconds_max", "{:.2f}"),
    ("CPU s", "cpu_seconds", "{:.1f}"),
    ("peak MB", "peak_mb", "{:,.0f}"),
    ("rows/s", "rows_per_second", "{:,.0f}"),
)
SERVED = (
    ("requests/s", "requests_per_second", "{:,.0f}"),
    ("p50 ms", "p50_ms", "{:,.2f}"),
    ("p99 ms", "p99_ms", "{:,.2f}"),
    ("CPU ms", "cpu_ms", "{:,.2f}"),
    ("others", "others", "{:.2f}"),
    ("rows/s", "rows_per_second", "{:,.0f}"),
    ("start s", "start_seconds", "{:.2f}"),
    ("worker MB", "worker_mb", "{:,.0f}"),
)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parts = "; ".join(f"{name}: {what}" for name, what in PARTS.items())
    parser = argparse.ArgumentParser(
        description=f"Measure speed and memory. {parts}. Clones are of the last commit and lie in TMPDIR."
    )
    sizes = "rows of prepare (otherwise 1e4 to 1e7), of scale and review (1e6), of a request (1 and 1e3); repeatable"
    connections = "clients that ask at once in serving (otherwise 1, 8 and 32); repeatable"
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part; repeatable")
    parser.add_argument("--rows", action="append", type=lambda text: int(float(text)), help=sizes)
    parser.add_argument("--connections", action="append", type=int, help=connections)
    parser.add_argument("--seconds", type=int, default=2, help="how long each run of serving asks (2)")
    parser.add_argument("--repeat", type=int, default=3, help="runs after the warm-up (3); twice that on small tables")
    parser.add_argument("--out", type=Path, default=tables.ROOT / ".bench", help="folder of results.json and tables")
    return parser.parse_args()


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    git: list[str | Path] = ["git", "-C", tables.ROOT, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "polars": version("polars"),
    }


def show(console: Console, part: str, records: list[dict[str, Any]]) -> None:
    """Print one part: its figures as a table, and below what was compared and aimed at."""
    table = Table(title=f"\n{part}: {PARTS[part]}", title_justify="left", box=None, pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    columns = SERVED if part == "serving" else COLUMNS
    for header, _, _ in columns:
        table.add_column(header, justify="right", no_wrap=True)
    said = []
    for entry in records:
        table.add_row(entry["what"], *(form.format(entry[key]) if key in entry else "" for _, key, form in columns))
        notes = [f"target {target} {'met' if met else 'MISSED'}" for target, met in entry.get("targets", {}).items()]
        if growth := entry.get("growth"):
            notes.insert(0, f"rows x{growth['rows']:g}: time x{growth['seconds']:.2f}, memory x{growth['peak_mb']:.2f}")
        if ratios := entry.get("ratios"):
            notes.insert(0, f"{entry['ratio']:.2f} ({min(ratios):.2f} to {max(ratios):.2f}) {entry['ratio_of']}")
        if notes:
            said.append(f"{entry['what']}: {'; '.join(notes)}")
    console.print(table, *said, sep="\n", markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Measure, print and write part by part."""
    given = arguments()
    console = Console(width=None if sys.stdout.isatty() else 120)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # children and temporary folders go first
    given.out = given.out.resolve()
    given.out.mkdir(parents=True, exist_ok=True)
    results = given.out / "results.json"
    measures = {
        "loop": lambda: waiting.loop(given.repeat),
        "fresh": lambda: waiting.fresh(given.repeat),
        "prepare": lambda: tables.prepare(given.repeat, given.rows or tables.SIZES, given.out),
        "review": lambda: judging.review(given.repeat, given.rows or (10**6,), given.out),
        "scale": lambda: tables.scale(given.rows or (10**6,), given.out),
        "delivery": delivering.delivery,
        "serving": lambda: serving.serving(
            given.repeat,
            given.rows or serving.SIZES,
            given.connections or serving.CONNECTIONS,
            given.seconds,
            given.out,
        ),
    }
    for part in given.only or PARTS:
        facts = machine()
        with Console(stderr=True).status(f"measuring {part}"):
            records = measures[part]()
        show(console, part, records)
        console.print(", ".join(f"{name} {value}" for name, value in facts.items()), style="dim", highlight=False)
        known = json.loads(results.read_text("utf-8")) if results.exists() else {}
        known[part] = {"machine": facts, "records": records}
        results.write_text(json.dumps(known, indent=2) + "\n", "utf-8")
    console.print(f"\nWritten to {results}", soft_wrap=True)


if __name__ == "__main__":
    main()
