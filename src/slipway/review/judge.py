"""Measuring a candidate beside its base, and going through the gates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from slipway import behaviour, layout
from slipway.calibration import CalibrationError
from slipway.delivery import lock
from slipway.drift import drift_from
from slipway.encoding import target_of
from slipway.errors import UserError
from slipway.fairness import RATES, Gaps, Grouping, Groups, by_group, sensitive_groups
from slipway.files import read_report, read_table, undamaged
from slipway.metrics import METRICS, Resampled
from slipway.params import NotWorse
from slipway.predictor import Prediction
from slipway.review import gates
from slipway.review.candidate import Candidate
from slipway.review.compare import Measured, OnSlice, differ, measure, scorer_of
from slipway.review.verdict import Comparison, Gate, Side, SliceDifference, Status
from slipway.settings_check import without_limits
from slipway.signature import Signature
from slipway.slices import slice_masks, slices_of

Found = Mapping[str, Measured]


@dataclass(frozen=True)
class Opponent:
    """The base's model as far as it can be had: `why` says what stands against comparing."""

    side: Side
    signature: Signature | None = None
    prediction: Prediction | None = None
    rows: int = 0  # that it was trained on, if its report says
    why: str = ""
    first: bool = False  # the base has no model at all


def judge(candidate: Candidate, opponent: Opponent) -> tuple[Comparison, list[Gate]]:
    """Measure everything that needs resamples in one bootstrap, then go through the gates."""
    sensitive = sensitive_groups(candidate.holdout, candidate.schema, candidate.params)
    groups = {column: found.groups for column, found in sensitive.items() if not found.why}
    measured = _measure(candidate, opponent, groups)
    comparison = _compared(measured, candidate)
    settings = candidate.params.gates
    judged = [
        *gates.metric_gates(settings.metrics, measured.candidate),
        *_not_worse(settings.not_worse, comparison, opponent),
        *gates.slice_gates(
            settings.worst_slice, [(part.column, part.value, part.rows, part.candidate) for part in measured.parts]
        ),
        *_fairness(candidate, sensitive, measured.fairness),
        *gates.calibration_gates(settings.calibration, measured.calibration),
    ]
    rows = behaviour.sample(candidate.holdout, settings.robustness.seed)
    with undamaged():
        judged += [
            *gates.robustness_gates(candidate.predictor, rows, target_of(rows, candidate.schema), settings),
            *(gates.suite_gate(name, read_report(path)["checks"]) for name, path in layout.SUITE_REPORTS.items()),
            gates.parity_gate(candidate.predictor, read_report(layout.EXPORT_REPORT)),
            *gates.budget_gates(candidate.predictor, rows, settings),
            gates.lock_gate(_lock_problems()),
            _drift(candidate, opponent),
        ]
    return comparison, judged


@dataclass(frozen=True)
class Part:
    """A slice of the holdout, and what was measured on it."""

    column: str
    value: str
    rows: int
    candidate: Found
    base: Found


@dataclass(frozen=True)
class Measurements:
    """Everything that was measured on the same resamples; what the base has not, is empty."""

    candidate: Found
    base: Found
    calibration: Measured | None
    parts: tuple[Part, ...]
    fairness: Mapping[str, Found]  # by sensitive column, the gap in each rate


def _measure(candidate: Candidate, opponent: Opponent, groups: Mapping[str, Groups]) -> Measurements:
    settings, truth = candidate.params.gates, candidate.truth
    sides = [(candidate.predictor.signature, candidate.prediction)]
    if opponent.signature is not None and opponent.prediction is not None:
        sides.append((opponent.signature, opponent.prediction))
    by_slice = tuple(settings.worst_slice or [next(iter(settings.metrics), METRICS[candidate.schema.target.task][0])])
    slices = [
        (column, value, mask)
        for column, value, mask in slice_masks(candidate.holdout, slices_of(candidate.schema, candidate.params))
        if mask.sum() >= candidate.params.evaluate.min_slice_rows
    ]
    scorers: list[Resampled] = [scorer_of(signature, truth, said) for signature, said in sides]
    scorers += [
        OnSlice(scorer_of(signature, truth, said, by_slice, mask), mask)
        for _, _, mask in slices
        for signature, said in sides
    ]
    scorers += [Gaps(*sides[0], truth, found) for found in groups.values()]
    scorers.append(CalibrationError(*sides[0], truth))
    how = settings.not_worse
    found = iter(measure(scorers, how.resamples, how.confidence, how.seed))

    def both() -> tuple[Found, Found]:
        return next(found), next(found) if len(sides) > 1 else {}

    whole = both()
    parts = tuple(Part(column, value, int(mask.sum()), *both()) for column, value, mask in slices)
    fairness = {column: next(found) for column in groups}
    return Measurements(*whole, next(found).get("calibration"), parts, fairness)


def _compared(measured: Measurements, candidate: Candidate) -> Comparison:
    how = candidate.params.gates.not_worse
    return Comparison(
        rows=candidate.holdout.height,
        resamples=how.resamples,
        confidence=how.confidence,
        seed=how.seed,
        metrics=tuple(
            differ(name, measured.base, measured.candidate, how.confidence)
            for name in METRICS[candidate.schema.target.task]
        ),
        slices=tuple(
            SliceDifference(
                column=part.column,
                value=part.value,
                rows=part.rows,
                difference=differ(name, part.base, part.candidate, how.confidence),
            )
            for part in measured.parts
            for name in part.candidate
        ),
    )


def _not_worse(settings: NotWorse, comparison: Comparison, opponent: Opponent) -> Iterator[Gate]:
    if opponent.prediction is not None:
        yield from gates.not_worse_gates(settings.margins, {found.metric: found for found in comparison.metrics})
        return
    for name, margin in settings.margins.items():
        yield gates.uncompared(name, margin, opponent.why, "not applicable" if opponent.first else "undecided")
    if not settings.margins and not opponent.first:  # that nothing can be compared counts even where no metric is
        where = "gates.not_worse.margins"
        yield Gate(name="not_worse", status="undecided", reason=opponent.why, parameter=where)


def _fairness(candidate: Candidate, sensitive: Mapping[str, Grouping], found: Mapping[str, Found]) -> Iterator[Gate]:
    settings = candidate.params.gates.fairness
    limits = {name: limit for name in (*RATES, "error") if (limit := getattr(settings, name)) is not None}
    if not candidate.schema.sensitive or not limits:
        why = without_limits(candidate.params, candidate.schema)
        yield gates.not_applicable("fairness", "gates.fairness", why or f"{layout.SCHEMA} names no sensitive column")
        return
    for column, grouping in sensitive.items():
        rates = by_group(candidate.predictor.signature, candidate.prediction, candidate.truth, grouping.groups)
        for name, limit in limits.items():
            gate, parameter = f"fairness.{column}.{name}", f"gates.fairness.{name}"
            if grouping.why:
                yield Gate(name=gate, status="undecided", reason=grouping.why, parameter=parameter, limit=limit)
                continue
            judged = gates.gap_gate(gate, parameter, limit, rates.get(name, {}), found[column].get(name))
            aside = gates.listed("too few rows to be judged: ", grouping.small)
            yield judged.model_copy(update={"reason": judged.reason + aside})


def _lock_problems() -> list[lock.Problem] | UserError:
    try:
        return lock.check()
    except UserError as error:
        return error


def _drift(candidate: Candidate, opponent: Opponent) -> Gate:
    """Whether the training rows still look like those that the base was trained on."""
    limit = candidate.params.gates.drift
    if limit is None:
        return gates.not_applicable("drift", "gates.drift", "gates.drift is not set")
    if opponent.signature is None:
        status: Status = "not applicable" if opponent.first else "undecided"
        return Gate(name="drift", status=status, reason=opponent.why, parameter="gates.drift", limit=limit)
    columns, inputs = candidate.schema.columns, opponent.signature.inputs
    known = [c for c in inputs if c.name in columns and columns[c.name].type == c.type]
    train = read_table(layout.TRAIN, [column.name for column in known])
    rows = opponent.rows or train.height
    judged = gates.drift_gate({c.name: drift_from(c, rows, train[c.name]) for c in known}, limit)
    aside = gates.listed("gone or of another type, so not compared: ", [c.name for c in inputs if c not in known])
    return judged.model_copy(update={"reason": judged.reason + aside})
