"""The gates: each looks at one side of the candidate and says pass, fail, undecided or not applicable, and why.

Absolute limits are held against the value on the holdout. What is compared with the base passes or fails only where its
interval says so. What is estimated from groups or bins passes where its value does, fails where its whole interval is
beyond the limit, and is undecided in between.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from slipway import behaviour
from slipway.errors import UserError
from slipway.files import read_report
from slipway.metrics import HIGHER_IS_BETTER, METRICS
from slipway.params import Bound, Gates
from slipway.predictor import Predictor
from slipway.review.compare import Measured
from slipway.review.verdict import Difference, Gate, Status
from slipway.signature import GOLDEN
from slipway.suites import Status as CheckStatus
from slipway.values import number_text

Found = Mapping[str, Measured]


def metric_gates(bounds: Mapping[str, Bound], found: Found) -> Iterator[Gate]:
    """The absolute thresholds of `gates.metrics`."""
    for name, bound in bounds.items():
        measured = found.get(name)
        yield _against_bound(f"metrics.{name}", f"{name} on the holdout", bound, measured)


def _against_bound(name: str, what: str, bound: Bound, measured: Measured | None) -> Gate:
    limit = bound.min if bound.min is not None else bound.max
    parameter = f"gates.{name}"
    if measured is None:
        reason = f"{what} is undefined: too few rows, or one class only"
        return Gate(name=name, status="undecided", reason=reason, parameter=parameter, limit=limit)
    status: Status = "pass" if bound.holds(measured.value) else "fail"
    reason = f"{what} is {_text(measured.value)} ({_text(measured.low)} to {_text(measured.high)}), expected {bound}"
    return Gate(name=name, status=status, reason=reason, parameter=parameter, limit=limit, **_numbers(measured))


def slice_gates(bounds: Mapping[str, Bound], slices: Sequence[tuple[str, str, int, Found]]) -> Iterator[Gate]:
    """The thresholds of `gates.worst_slice`: no slice of enough rows may miss them."""
    for name, bound in bounds.items():
        scored = [
            (f"{column} {value} ({rows:,} rows)", found[name]) for column, value, rows, found in slices if name in found
        ]
        gate = f"worst_slice.{name}"
        if not scored:
            reason = f"no slice has {name}: none is named, or each has too few rows or one class"
            limit = bound.min if bound.min is not None else bound.max
            yield Gate(name=gate, status="undecided", reason=reason, parameter=f"gates.{gate}", limit=limit)
            continue
        choose = min if bound.min is not None else max
        where, worst = choose(scored, key=lambda entry: entry[1].value)
        yield _against_bound(gate, f"{name} on the worst slice, {where},", bound, worst)


def not_worse_gates(margins: Mapping[str, float], differences: Mapping[str, Difference]) -> Iterator[Gate]:
    """Non-inferiority: the candidate may be worse than the base by no more than a margin.

    The whole paired interval must lie above the margin to pass and below it to fail (Piaggio et al., "Reporting of
    noninferiority and equivalence randomized trials", 2012, figure 1).
    """
    for name, margin in margins.items():
        found = differences[name]
        if found.difference is None or found.low is None or found.high is None:
            yield uncompared(name, margin, f"{name} is undefined on these rows", "undecided")
            continue
        gain = (found.low, found.high) if found.higher_is_better else (-found.high, -found.low)
        status: Status = "pass" if gain[0] >= -margin else "fail" if gain[1] < -margin else "undecided"
        said = {
            "pass": f"so it is not worse by more than {_text(margin)}",
            "fail": f"so it is worse by more than {_text(margin)}",
            "undecided": f"so these rows cannot tell whether it is worse by more than {_text(margin)}",
        }[status]
        change, *ends = (_text(number, sign=True) for number in (found.difference, found.low, found.high))
        change += f" ({' to '.join(ends)})"
        yield Gate(
            name=f"not_worse.{name}",
            status=status,
            reason=f"{name} went from {_text(found.base)} to {_text(found.candidate)}, a change of {change}, {said}",
            parameter=f"gates.not_worse.margins.{name}",
            value=found.difference,
            low=found.low,
            high=found.high,
            limit=margin,
        )


def uncompared(name: str, margin: float, why: str, status: Status) -> Gate:
    """A comparison that could not be made, or has nothing to be made with."""
    return Gate(
        name=f"not_worse.{name}", status=status, reason=why, parameter=f"gates.not_worse.margins.{name}", limit=margin
    )


def gap_gate(name: str, parameter: str, limit: float, rates: Mapping[str, float], gap: Measured | None) -> Gate:
    """How far the groups of a sensitive column lie apart in a rate."""
    least, greatest = (choose(rates, key=lambda group: rates[group], default="") for choose in (min, max))
    where = f"; {greatest!r} has {_text(rates[greatest])}, {least!r} {_text(rates[least])}" if rates else ""
    what = name.split(".")
    return _ceiling(
        name,
        f"the gap in {what[-1]} between the groups of {'.'.join(what[1:-1])!r}",
        parameter,
        limit,
        gap,
        where=where,
    )


def calibration_gates(limit: float | None, measured: Measured | None) -> Iterator[Gate]:
    """Whether predictions come about as they say."""
    parameter = "gates.calibration"
    if limit is None:
        yield not_applicable("calibration", parameter, f"{parameter} is not set")
    else:
        yield _ceiling("calibration", "the expected calibration error", parameter, limit, measured)


def _ceiling(name: str, what: str, parameter: str, limit: float, measured: Measured | None, *, where: str = "") -> Gate:
    """Something estimated that should be small: it fails where even the lower end of its interval is too large."""
    if measured is None:
        reason = f"{what} is undefined on these rows"
        return Gate(name=name, status="undecided", reason=reason, parameter=parameter, limit=limit)
    status: Status = "pass" if measured.value <= limit else "fail" if measured.low > limit else "undecided"
    unsure = "; so few rows cannot tell whether it is above" if status == "undecided" else ""
    ends = f"{_text(measured.low)} to {_text(measured.high)}"
    reason = f"{what} is {_text(measured.value)} ({ends}), expected ≤ {_text(limit)}{where}{unsure}"
    return Gate(name=name, status=status, reason=reason, parameter=parameter, limit=limit, **_numbers(measured))


def drift_gate(found: Mapping[str, tuple[float, float]], limit: float) -> Gate:
    """Whether any input has moved further from the base's training rows than the limit and chance allow."""
    moved = {name: index for name, (index, chance) in found.items() if index > limit + chance}
    worst = max(found, key=lambda name: found[name][0] - found[name][1], default=None)
    if worst is None:
        return not_applicable("drift", "gates.drift", "base and candidate have no input in common")
    index, chance = found[worst]
    status: Status = "fail" if moved else "pass"
    names = ", ".join(map(repr, sorted(moved, key=lambda name: -moved[name])[:3]))
    more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
    what = (
        f"{len(moved)} of {len(found)} inputs moved since the base was trained: {names}{more}"
        if moved
        else "no input moved"
    )
    allowed = f"{_text(limit)} and {_text(chance)} for chance"
    reason = f"{what}; the stability index of {worst!r} is {_text(index)}, allowed {allowed}"
    return Gate(name="drift", status=status, reason=reason, parameter="gates.drift", value=index, limit=limit + chance)


def limit_gate(name: str, what: str, parameter: str, value: float, limit: float) -> Gate:
    """Something measured that must not exceed a limit."""
    status: Status = "pass" if value <= limit else "fail"
    reason = f"{what} is {_text(value)}, expected ≤ {_text(limit)}"
    return Gate(name=name, status=status, reason=reason, parameter=parameter, value=value, limit=limit)


def listed(what: str, names: Sequence[str], shown: int = 3) -> str:
    """What to add to a reason where it leaves something out; nothing if there is none."""
    if not names:
        return ""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"; {what}{', '.join(map(repr, names[:shown]))}{more}"


def not_applicable(name: str, parameter: str, why: str) -> Gate:
    """A gate that this project does not have, or that has nothing to judge."""
    return Gate(name=name, status="not applicable", reason=why, parameter=parameter)


def _text(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "undefined"
    text = f"{value:.1e}" if 0 < abs(value) < 1e-5 else number_text(value, 4)
    return f"+{text}" if sign and value >= 0 else text


def _numbers(measured: Measured) -> dict[str, Any]:
    return {"value": measured.value, "low": measured.low, "high": measured.high}


def robustness_gates(
    predictor: Predictor, holdout: pl.DataFrame, truth: npt.NDArray[Any], gates: Gates
) -> Iterator[Gate]:
    """How much the model loses on a little noise, and on a few more missing values."""
    settings, inputs = gates.robustness, predictor.signature.inputs
    metric = METRICS[predictor.signature.task][0]
    lost = f"loss of {metric}" if metric in HIGHER_IS_BETTER else f"share by which {metric} grows"
    used = [column for column in inputs if not column.constant]
    cases = (
        ("noise", behaviour.with_noise, any(c.type in {"number", "integer"} for c in used), "no input is a number"),
        ("missing", behaviour.with_missing, any(c.nullable for c in used), "no input may be missing"),
    )
    for name, change, applies, why in cases:
        gate, parameter = f"robustness.{name}", "gates.robustness.max_drop"
        share = getattr(settings, name)
        if not applies or not share:
            yield not_applicable(gate, parameter, why if not applies else f"gates.robustness.{name} is 0")
            continue
        changed = change(holdout, inputs, share, settings.seed)
        value = behaviour.loss(predictor, holdout, changed, truth)
        what = f"the {lost} by {name} ({share:g} of {'the spread' if name == 'noise' else 'the values'})"
        if value != value:  # noqa: PLR0124  # NaN
            yield Gate(name=gate, status="undecided", reason=f"{what} is undefined", parameter=parameter)
        else:
            yield limit_gate(gate, what, parameter, value, settings.max_drop)


def budget_gates(predictor: Predictor, holdout: pl.DataFrame, gates: Gates) -> Iterator[Gate]:
    """What one prediction and the model file cost."""
    median, _ = behaviour.single_row_ms(predictor, holdout)
    size = predictor.file.stat().st_size / 1e6
    budget = gates.budget
    yield limit_gate(
        "latency", "the median time of one row in ms", "gates.budget.single_row_ms", median, budget.single_row_ms
    )
    yield limit_gate("size", "the size of the model file in MB", "gates.budget.file_mb", size, budget.file_mb)


def parity_gate(predictor: Predictor, export: Mapping[str, Any]) -> Gate:
    """Whether the model file answers as the fitted pipeline did: on the training rows at export, on golden rows now."""
    parity, golden = export["parity"], read_report(predictor.folder / GOLDEN)
    answers = np.asarray(golden["answers"], np.float64)
    told = predictor.predict(golden["rows"]).values
    # The scale of regression is that of export: the tolerance is in standard deviations of the predictions.
    scale = float(np.std(answers)) if predictor.signature.task == "regression" else 1.0
    now = float(np.max(np.abs(told - answers.reshape(told.shape)), initial=0.0)) / (scale or 1.0)
    rows = f"{parity['rows']:,} training rows and {len(answers)} golden ones"
    what = f"the greatest difference of the model file from the fitted pipeline on {rows}"
    worst = float(np.max([parity["difference"], now]))  # NaN if one is, which fails
    return limit_gate("parity", what, "export.tolerance", worst, parity["tolerance"])


def suite_gate(suite: str, checks: Sequence[Mapping[str, Any]]) -> Gate:
    """Whether every check of a suite passed; one that could not run, and must, leaves the suite undecided."""
    gate = parameter = f"suites.{suite}"
    if not all(check["status"] in get_args(CheckStatus) and isinstance(check["required"], bool) for check in checks):
        raise ValueError("a check of a suite has an outcome that is none")
    unable = [check for check in checks if check["status"] == "error"]
    for outcome, words, found in (
        ("fail", "failed", [check for check in checks if check["status"] == "failed"]),
        ("undecided", "could not run", [check for check in unable if check["required"]]),
    ):
        if found:
            more = f", and {len(found) - 1} more" if len(found) > 1 else ""
            reason = f"{len(found)} of {len(checks)} checks {words}: {found[0]['name']}{more}"
            return Gate.model_validate({"name": gate, "status": outcome, "reason": reason, "parameter": parameter})
    if not checks:
        return Gate(name=gate, status="undecided", reason="the suite holds no check", parameter=parameter)
    spared = ", ".join(check["name"] for check in unable)
    aside = f"; could not run, as suites.may_not_run allows: {spared}" if spared else ""
    return Gate(name=gate, status="pass", reason=f"none of {len(checks)} checks failed{aside}", parameter=parameter)


def lock_gate(problems: Iterable[Any] | UserError) -> Gate:
    """Whether dvc.lock belongs to the tree."""
    if isinstance(problems, UserError):
        return Gate(name="lock", status="undecided", reason=str(problems), parameter="dvc.lock")
    stale = list(problems)
    if not stale:
        return Gate(name="lock", status="pass", reason="dvc.lock belongs to this tree", parameter="dvc.lock")
    more = f" (and {len(stale) - 1} more)" if len(stale) > 1 else ""
    reason = f"dvc.lock does not belong to this tree: {stale[0].stage}: {stale[0].message}{more}; {stale[0].fix}"
    return Gate(name="lock", status="fail", reason=reason, parameter="dvc.lock")
