"""Whether `params.yaml` and the contract fit together; each alone is checked when it is read."""

from datetime import date
from difflib import get_close_matches

from slipway import layout
from slipway.errors import UserError
from slipway.metrics import METRICS
from slipway.params import Params, Slice
from slipway.schema import Schema
from slipway.split import deciding_column


def check_settings(params: Params, schema: Schema) -> None:
    """Hold the settings against the contract they are used with.

    Raises:
        UserError: With all that does not fit, each with its path in `params.yaml`.
    """
    deciding_column(schema, params.split)
    task, known = schema.target.task, METRICS[schema.target.task]
    margins = params.gates.not_worse.margins
    gates = {
        "metrics": [*params.gates.metrics],
        "worst_slice": [*params.gates.worst_slice],
        "not_worse.margins": [*margins],
    }
    faults = [
        f"gates.{kind}.{name}: no metric of a {task} task; there are {', '.join(known)}"
        for kind, bounds in gates.items()
        for name in bounds
        if name not in known
    ]
    if "mape" in margins:
        faults.append("gates.not_worse.margins.mape: its intervals are too narrow where the target is near 0; use mae")
    rates = params.gates.fairness
    if task != "binary":
        faults += [
            f"gates.fairness.{rate}: belongs to a binary task; `error` is there for all"
            for rate in ("selection_rate", "true_positive_rate", "false_positive_rate")
            if getattr(rates, rate) is not None
        ]
    for number, piece in enumerate(params.evaluate.slices):
        fault = _slice_fault(piece, schema)
        faults += [f"evaluate.slices.{number}: {fault}"] if fault else []
    if faults:
        raise UserError(f"{layout.PARAMS}: {'; '.join(faults)}")


def without_limits(params: Params, schema: Schema) -> str | None:
    """That sensitive columns have no limit for a review to judge their groups by; None if it is not so."""
    limits = params.gates.fairness.model_dump(exclude={"min_rows"}, exclude_none=True)
    if limits or not schema.sensitive:
        return None
    names = " and ".join(map(repr, schema.sensitive))
    are = "is" if len(schema.sensitive) == 1 else "are"
    return f"{names} {are} sensitive, but gates.fairness in {layout.PARAMS} has no limit"


def check_waivers(params: Params, schema: Schema, today: date) -> None:
    """Hold the waivers against the gates that there can be, and the calendar.

    Raises:
        UserError: One has expired, or names no gate; a review would fail by it.
    """
    gates, faults = gate_names(params, schema), []
    for number, waiver in enumerate(params.gates.waivers):
        where = f"gates.waivers.{number}: the waiver of {waiver.gate}"
        if waiver.gate not in gates:
            near = get_close_matches(waiver.gate, gates, 1) or sorted(gates)
            faults.append(f"{where} names a gate that there is not; there are {', '.join(near)}")
        elif waiver.until < today:
            faults.append(f"{where} expired on {waiver.until}; mend what it was for, or renew it")
    if faults:
        raise UserError(f"{layout.PARAMS}: {'; '.join(faults)}")


def gate_names(params: Params, schema: Schema) -> set[str]:
    """The gates that a review of such a project may hold."""
    gates = params.gates
    rates = {f"{column}.{rate}" for column in schema.sensitive for rate in type(gates.fairness).model_fields}
    families = {
        "metrics": [*gates.metrics],
        "worst_slice": [*gates.worst_slice],
        "not_worse": [*gates.not_worse.margins],
        "fairness": [name for name in rates if not name.endswith(".min_rows")],
        "robustness": ["noise", "missing"],
        "suites": [*layout.SUITE_REPORTS],
    }
    alone = {"not_worse", "fairness", "calibration", "parity", "latency", "size", "lock", "drift"}
    return alone | {f"{family}.{name}" for family, names in families.items() for name in names}


def _slice_fault(piece: Slice, schema: Schema) -> str | None:
    if piece.column not in schema.columns:
        return f"{layout.SCHEMA} has no column {piece.column!r}"
    kind = schema.columns[piece.column].type
    if kind in {"datetime", "text"}:
        return f"{piece.column!r} is {kind}; slice by a category, a boolean or a number"
    if piece.bins is not None and kind in {"category", "boolean"}:
        return f"{piece.column!r} is {kind}; remove its `bins`"
    return None
