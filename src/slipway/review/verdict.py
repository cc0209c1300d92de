"""What a review concludes, for machines: `verdict.json`. Its JSON Schema is `docs/verdict.schema.json`.

Within one `version` keys are only added, so a reader of today understands the files of tomorrow.
"""

from datetime import date
from typing import Literal

from slipway import layout
from slipway.params import Waiver
from slipway.settings import Frozen

Outcome = Literal["pass", "fail", "undecided"]
Status = Literal["pass", "fail", "undecided", "not applicable"]


class Gate(Frozen):
    """One condition for a model to replace another.

    `status` is what was found; `blocks` is whether it stands against the merge, which a waiver and
    `gates.on_undecided` can change.
    """

    name: str
    status: Status
    reason: str
    parameter: str  # the key of params.yaml that sets it
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    blocks: bool = False
    waiver: Waiver | None = None


class Difference(Frozen):
    """One metric of base and candidate on the same rows; the difference is candidate less base.

    `worse` is the share of the resamples in which the candidate is worse, whichever direction that is for the metric.
    """

    metric: str
    higher_is_better: bool
    base: float | None
    candidate: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    worse: float | None = None


class SliceDifference(Frozen):
    """The same on a part of the holdout, for the metric that the slices are judged by."""

    column: str
    value: str
    rows: int
    difference: Difference


class Comparison(Frozen):
    """Base and candidate scored on the candidate's holdout with a paired bootstrap."""

    rows: int
    resamples: int
    confidence: float
    seed: int
    metrics: tuple[Difference, ...]
    slices: tuple[SliceDifference, ...] = ()


class Side(Frozen):
    """One of the two models: the commit it belongs to, and where its file came from.

    `source` is `workspace` for the candidate, `dvc` for a base that its cache or remote had, `reproduced` for one that
    was made again from its own commit, and `none` for a base that has no model or could not be had; `note` says why.
    """

    revision: str
    commit: str
    dirty: bool = False
    source: Literal["workspace", "dvc", "reproduced", "none"]
    note: str = ""
    model: str | None = None  # SHA-256 of the model file
    data: str | None = None  # DVC's hash of data/
    lock: str | None = None  # SHA-256 of dvc.lock


class Change(Frozen):
    """A value that is another one than the base's, both as JSON; None where there is none.

    `rule` says that it decides what is good enough, so the candidate is judged by other rules than the base was.
    """

    name: str
    base: str | None
    candidate: str | None
    rule: bool = False


class Rows(Frozen):
    """How many rows the data has, and how many came, went and changed.

    Where the contract names an `id`, `changed` are those with an id that both have and other values; without one a row
    that changed is one that went and one that came.
    """

    base: int
    candidate: int
    added: int
    removed: int
    changed: int | None = None


class ChangedFile(Frozen):
    """A file that git tracks; lines are None where it is binary."""

    path: str
    added: int | None
    removed: int | None


class Changes(Frozen):
    """Everything that differs. `rows` is None where the data is the same or cannot be compared; `notes` say why."""

    settings: tuple[Change, ...] = ()
    columns: tuple[Change, ...] = ()
    rows: Rows | None = None
    files: tuple[ChangedFile, ...] = ()
    packages: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def rules(self) -> tuple[Change, ...]:
        """What decides what is good enough, of the settings and of the contract."""
        contract = [each.model_copy(update={"name": f"{layout.SCHEMA.name}: {each.name}"}) for each in self.columns]
        return tuple(change for change in (*self.settings, *contract) if change.rule)


class Curve(Frozen):
    """A curve of base and candidate over the same points of x, small enough for a comment.

    `roc` is the receiver operating characteristic, of three classes and more the mean of each against the rest; `error`
    is the mean absolute error by tenth of the true value.
    """

    kind: Literal["roc", "error"]
    x: tuple[float, ...]
    base: tuple[float, ...] = ()
    candidate: tuple[float, ...]


class LastRun(Frozen):
    """What the last `make repro` did: by stage its seconds, None where nothing had changed; and its MLflow run."""

    stages: dict[str, float | None]
    mlflow: str | None = None
    mlflow_local: bool = True


class SuiteCheck(Frozen):
    """One check of a suite as its stage left it; see `slipway.suites.Check`."""

    name: str
    status: Literal["passed", "failed", "warned", "error"]
    condition: str
    value: float | None
    message: str
    parameter: str
    required: bool


class Verdict(Frozen):
    """The whole review."""

    version: Literal[1] = 1
    verdict: Outcome
    reason: str
    candidate: Side
    base: Side
    comparison: Comparison | None
    gates: tuple[Gate, ...]
    suites: dict[str, tuple[SuiteCheck, ...]]
    changes: Changes
    curve: Curve | None = None
    run: LastRun | None = None
    created: str  # ISO 8601, UTC
    seconds: float


def conclude(
    found: tuple[Gate, ...], waivers: tuple[Waiver, ...], on_undecided: Literal["block", "pass"], today: date
) -> tuple[tuple[Gate, ...], Outcome, str]:
    """Judge the gates together.

    Args:
        found: The gates with their status; the rest is decided here.
        waivers: Of `params.yaml`. One that has expired, or names no gate, is itself a gate that fails.
        on_undecided: Whether an undecided gate stands against the merge.
        today: The day on which waivers must still hold.

    Returns:
        The gates with what blocks, the verdict, and the one reason that matters.
    """
    valid = {waiver.gate: waiver for waiver in waivers if waiver.until >= today}
    gates = []
    for gate in found:
        against = gate.status == "fail" or (gate.status == "undecided" and on_undecided == "block")
        waiver = valid.get(gate.name) if gate.status in {"fail", "undecided"} else None
        gates.append(gate.model_copy(update={"waiver": waiver, "blocks": against and waiver is None}))
    for number, waiver in enumerate(waivers):
        known = any(gate.name == waiver.gate for gate in found)
        if waiver.until < today or not known:
            why = f"expired on {waiver.until}" if known else "names a gate that there is not"
            gates.append(
                Gate(
                    name=f"waiver.{waiver.gate}",
                    status="fail",
                    reason=f"the waiver of {waiver.gate} {why}; mend what it was for, or renew it",
                    parameter=f"gates.waivers.{number}",
                    blocks=True,
                )
            )
    for status in ("fail", "undecided"):
        blocking = [gate for gate in gates if gate.blocks and gate.status == status]
        if blocking:
            more = f" (and {len(blocking) - 1} more)" if len(blocking) > 1 else ""
            return tuple(gates), status, f"{blocking[0].name}: {blocking[0].reason}{more}"
    judged = [gate for gate in gates if gate.status != "not applicable"]
    passed = sum(gate.status == "pass" for gate in judged)
    spared = len(judged) - passed
    aside = f"; {spared} did not pass and are waived or let through" if spared else ""
    return tuple(gates), "pass", f"{passed} of {len(judged)} gates pass{aside}"
