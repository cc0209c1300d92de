"""Telling the person who adopted a table what was decided, and why."""

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from slipway import layout
from slipway.adopt.decide import Adoption
from slipway.schema import Column
from slipway.values import number_text

PIPE_WIDTH = 120
FEW = 5  # values that are listed


def show(adoption: Adoption, *, goes_on: bool = False) -> None:
    """Print every decision on standard output; `goes_on` if a run of the pipeline comes next by itself."""
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, markup=False, highlight=False)
    console.print(columns_table(adoption))
    for line in decisions(adoption):
        console.print(line, soft_wrap=True)
    for warning in adoption.warnings:
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)
    console.print("\n" + "\n".join(outcome(adoption, goes_on=goes_on)), soft_wrap=True)


def document(adoption: Adoption) -> dict[str, Any]:
    """Every decision for machines."""
    return {
        "origin": adoption.origin,
        "rows": adoption.rows,
        "schema": adoption.schema.model_dump(mode="json", exclude_none=True),
        "left_out": dict(adoption.left_out),
        "decisions": decisions(adoption),
        "warnings": adoption.warnings,
        "written": adoption.written,
        "removed": adoption.removed,
        "undo": adoption.undo,
    }


def columns_table(adoption: Adoption) -> Table:
    """What every column was found to be, in the order of the file."""
    schema = adoption.schema
    roles = {schema.group: "group", schema.time: "time", schema.id: "id", schema.target.column: "target"}
    table = Table(title=f"{adoption.origin}: {adoption.rows:,} rows", title_justify="left")
    for heading in ("column", "type", "role", "may hold", "missing", "note"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "missing" else "left")
    for name, column in schema.columns.items():
        finding = adoption.findings[name]
        missing = 1 - finding.present / adoption.rows
        role = roles.get(name, "input" if column.use else "not used")
        role += ", sensitive" if name in schema.sensitive else ""
        held = may_hold(column, schema.target.classes if name == schema.target.column else ())
        note = "; ".join(filter(None, [column.note, finding.remark]))
        table.add_row(name, column.type, role, held, f"{missing:.1%}" if missing else "", note)
    for name, why in adoption.left_out.items():
        table.add_row(name, "", "left out", "", "", why)
    return table


def may_hold(column: Column, classes: Sequence[str] = ()) -> str:
    """The values that the contract allows, in a few words."""
    if known := column.categories or classes:
        return ", ".join(known[:FEW]) + (f", ... ({len(known)})" if len(known) > FEW else "")
    if column.min is not None and column.max is not None:
        return f"{number_text(column.min, 12)} to {number_text(column.max, 12)}"
    return column.format or ""


def decisions(adoption: Adoption) -> list[str]:
    """One line for each decision about the table as a whole."""
    schema, proposal = adoption.schema, adoption.proposal
    target, source, split = schema.target, schema.source, proposal.split
    found = adoption.findings[target.column]
    csv = f", separator {source.separator!r}, decimal {source.decimal!r}, {source.encoding}"
    lines = [
        f"format: {source.format}{csv if source.format == 'csv' else ''}",
        f"target: {target.column!r}, {target.task}"
        + (f"; the positive class is {target.positive!r} (--positive)" if target.positive else ""),
    ]
    if counts := [f"{name!r} {rows:,} ({rows / found.present:.1%})" for name, rows in found.classes.items()]:
        rest = f", and {len(counts) - FEW} more down to {counts[-1]}" if len(counts) > FEW else ""
        lines.append(f"classes: {', '.join(counts[:FEW])}{rest}")
    lines += [
        "missing: empty" + "".join(f", {text!r}" for text in schema.missing),
        f"split: {split.strategy}"
        + (f" from {split.cutoff} on" if split.cutoff else f" of {schema.group!r}" if split.strategy == "group" else "")
        + (f", salt {split.salt!r} (the first that leaves every class in the training rows)" if split.salt else "")
        + _other_split(adoption),
        "slices: " + (", ".join(repr(cut.column) for cut in proposal.slices) or "none"),
    ]
    for kind, gates in (("metrics", proposal.metrics), ("worst_slice", proposal.worst_slice)):
        for name, (bound, reason) in gates.items():
            limit = f"≥ {number_text(bound.min, 6)}" if bound.min is not None else f"≤ {number_text(bound.max or 0, 6)}"
            lines.append(f"gate: {kind}.{name} {limit}: {reason}")
    lines += [f"gate: not_worse.{name} by {limit.value:g}: {limit.reason}" for name, limit in proposal.margins.items()]
    lines += [f"gate: fairness.{name} ≤ {limit.value:g}: {limit.reason}" for name, limit in proposal.fairness.items()]
    lines += [f"gate: {reason}" for reason in proposal.no_fairness]
    lines.append(f"gate: calibration ≤ {proposal.calibration.value:g}: {proposal.calibration.reason}")
    lines.append(f"gate: robustness.max_drop ≤ {proposal.robustness.value:g}: {proposal.robustness.reason}")
    if not proposal.worst_slice:
        lines.append("gate: none for slices; with so few rows the worst cannot be told from a guess")
    return lines


def _other_split(adoption: Adoption) -> str:
    """Which column could hold out the latest rows, where rows are held out at random."""
    columns, findings = adoption.schema.columns, adoption.findings
    dates = [name for name, column in columns.items() if column.type == "datetime" and not column.nullable]
    dates = [name for name in dates if findings[name].distinct > 1 and adoption.proposal.split.strategy == "hash"]
    return f"; --time {' or '.join(map(repr, dates[:FEW]))} would hold out the latest rows" if dates else ""


def outcome(adoption: Adoption, *, goes_on: bool = False) -> list[str]:
    """What was written, how to go on and how to go back."""
    objects = [name for name in adoption.written if "/files/md5/" in name]
    files = [f"{layout.DATA}/", *(name for name in adoption.written if name not in objects)]
    git = f", and for git to carry {len(objects)} objects of the remote" if objects else ""
    lines = [f"Written: {', '.join(files)}{git}", "Look them over, then run: make repro"]
    if goes_on:
        lines[1] = "The run goes on with them; look them over when it has ended"
    if adoption.removed:
        lines.insert(1, f"Removed, to be made anew by a run: {', '.join(adoption.removed)}")
    return [*lines, f"To go back to the last commit: {adoption.undo}"] if adoption.undo else lines
