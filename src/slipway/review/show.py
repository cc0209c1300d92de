"""A verdict for the person who asked for it, and for machines."""

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from slipway.files import write_json
from slipway.review.verdict import Verdict
from slipway.summary import printable

EXIT = {"pass": 0, "fail": 1, "undecided": 2}
VERDICT, SCHEMA = "verdict.json", Path("docs/verdict.schema.json")
STYLES = {"pass": "green", "fail": "bold red", "undecided": "yellow", "not applicable": "dim", "waived": "yellow"}


def write(verdict: Verdict, folder: Path) -> Path:
    """Write `verdict.json` whole or not at all, and say where."""
    path = folder / VERDICT
    write_json(path, verdict.model_dump(mode="json"))
    return path


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `verdict.json`."""
    schema = Verdict.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def show(verdict: Verdict) -> None:
    """Print the gates, the metrics beside the base's, and the verdict last."""
    console = Console(markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else 120)
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column("gate", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for gate in verdict.gates:
        status = "waived" if gate.waiver and gate.status != "pass" else gate.status
        reason = gate.reason
        if gate.waiver:
            reason += f"; waived until {gate.waiver.until}: {gate.waiver.reason}"
        table.add_row(printable(gate.name), status, printable(reason), style=STYLES[status])
    console.print(table)
    console.print(
        f"\nbase: {verdict.base.revision} {verdict.base.commit[:9]}, {verdict.base.note or verdict.base.source}"
    )
    console.print(f"verdict: {verdict.verdict}: {printable(verdict.reason)}", style=STYLES[verdict.verdict])
