"""Whether `params.yaml` and the contract fit together; each alone is checked when it is read."""

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


def _slice_fault(piece: Slice, schema: Schema) -> str | None:
    if piece.column not in schema.columns:
        return f"{layout.SCHEMA} has no column {piece.column!r}"
    kind = schema.columns[piece.column].type
    if kind in {"datetime", "text"}:
        return f"{piece.column!r} is {kind}; slice by a category, a boolean or a number"
    if piece.bins is not None and kind in {"category", "boolean"}:
        return f"{piece.column!r} is {kind}; remove its `bins`"
    return None
