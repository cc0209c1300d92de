"""A verdict for the person who asked for it, and for machines."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from slipway import layout
from slipway.files import printable, write_json, write_text
from slipway.review.base import Base
from slipway.review.verdict import Comparison, Verdict
from slipway.schema import load_schema
from slipway.summary import screen
from slipway.values import number_text

EXIT = {"pass": 0, "fail": 1, "undecided": 2}
VERDICT, REPORT, PAGE = layout.REVIEW
UNDECIDED = (
    "undecided: these rows cannot tell. More of them held out, or a wider margin, can; a waiver or gates.on_undecided, "
    "both in params.yaml, lets it through"
)
FAILED = f"fail: {PAGE} shows all of it; `gates` in params.yaml says what is allowed, and can waive a gate until a day"
SCHEMA = Path("docs/verdict.schema.json")
STYLES = {"pass": "green", "fail": "bold red", "undecided": "yellow", "not applicable": "dim", "waived": "yellow"}


def write(verdict: Verdict, folder: Path) -> None:
    """Write `verdict.json`, `review.md` and `review.html`, each whole or not at all."""
    from slipway.review.report import as_markdown
    from slipway.review.report.page import as_page

    write_json(folder / VERDICT, verdict.model_dump(mode="json"))
    write_text(folder / REPORT, as_markdown(verdict))
    base = Base(verdict.base.revision, verdict.base.commit)
    write_text(folder / PAGE, as_page(verdict, base, load_schema().target.task))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `verdict.json`."""
    schema = Verdict.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def show(verdict: Verdict) -> None:
    """Print the gates, the metrics beside the base's, and the verdict last."""
    with screen() as console:
        _print(console, verdict)


def _print(console: Console, verdict: Verdict) -> None:
    if verdict.base.source != "none" and verdict.comparison is not None:
        console.print(_differences(verdict.comparison), "")
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column("gate", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for gate in sorted(verdict.gates, key=lambda gate: not gate.blocks):  # what stands against it first
        status = "waived" if gate.waiver and gate.status != "pass" else gate.status
        reason = gate.reason
        if gate.blocks and gate.parameter and gate.parameter not in reason:
            reason += f" ({gate.parameter})"
        if gate.waiver:
            reason += f"; waived until {gate.waiver.until}: {gate.waiver.reason}"
        table.add_row(printable(gate.name), status, printable(reason), style=STYLES[status])
    console.print(table)
    for change in verdict.changes.rules:
        said = f"other rule: {change.name}: {change.base or 'not set'} -> {change.candidate or 'not set'}"
        console.print(printable(said), style=STYLES["undecided"])
    console.print(
        f"\nbase: {printable(verdict.base.revision)} {verdict.base.commit[:9]}, "
        f"{printable(verdict.base.note or verdict.base.source)}"
    )
    if verdict.verdict == "undecided":
        console.print(UNDECIDED, style=STYLES["undecided"])
    if verdict.verdict == "fail":
        console.print(FAILED, style=STYLES["undecided"])
    console.print(f"verdict: {verdict.verdict}: {printable(verdict.reason)}", style=STYLES[verdict.verdict])


def _differences(comparison: Comparison) -> Table:
    """The metrics of both models on the same rows."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in (
        f"{comparison.rows:,} rows",
        "base",
        "candidate",
        "change",
        f"{comparison.confidence:.0%} interval",
    ):
        table.add_column(heading, justify="left" if not table.columns else "right", no_wrap=True)
    for found in comparison.metrics:
        numbers = (found.base, found.candidate, found.difference)
        ends = (
            "" if found.low is None or found.high is None else f"{number_text(found.low)} to {number_text(found.high)}"
        )
        table.add_row(found.metric, *("" if n is None else number_text(n, 4) for n in numbers), ends)
    return table
