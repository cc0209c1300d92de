"""One review from beginning to end."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from slipway import layout
from slipway.errors import UserError
from slipway.files import console, read_report
from slipway.params import Split
from slipway.predictor import Predictor
from slipway.review import gates
from slipway.review.base import Base, NoModelError, base_model, digest, find_base
from slipway.review.candidate import Candidate, data_hash, load_candidate
from slipway.review.changes import find_changes
from slipway.review.compare import score
from slipway.review.curve import curve_of
from slipway.review.judge import Opponent, judge
from slipway.review.verdict import LastRun, Side, Verdict, conclude
from slipway.schema import Schema
from slipway.settings import describe, read_yaml
from slipway.signature import Signature


def review(revision: str | None = None, *, into: str | None = None, reproduce: bool = True) -> Verdict:
    """Compare the workspace's model with a revision's, and judge it by the gates of `params.yaml`.

    Args:
        revision: What to compare with; None is where this branch left the one that it goes into.
        into: That branch; None is the default branch.
        reproduce: Whether to run the base's pipeline where DVC does not have its model.

    Raises:
        UserError: The candidate is not in a state to be judged, or the revision cannot be found.
    """
    started = time.monotonic()
    base = find_base(revision, into)
    candidate = load_candidate()
    try:
        with base_model(base, reproduce=reproduce) as found:
            opponent = _opponent(base, candidate, found)
    except NoModelError as error:
        opponent = Opponent(_side(base, "none", str(error)), why=str(error))
    with console().status("comparing"):
        comparison, judged = judge(candidate, opponent)
    changes = find_changes(base, candidate)
    settings = candidate.params.gates
    now = datetime.now(UTC)
    every, verdict, reason = conclude(tuple(judged), settings.waivers, settings.on_undecided, now.date())
    if rules := [change.name for change in changes.settings if change.rule]:
        reason += gates.listed("judged by other rules than the base: ", rules)
    return Verdict(
        verdict=verdict,
        reason=reason,
        candidate=candidate.side,
        base=opponent.side,
        comparison=comparison,
        gates=every,
        suites={name: read_report(path)["checks"] for name, path in layout.SUITE_REPORTS.items()},
        changes=changes,
        curve=curve_of(candidate, opponent),
        run=last_run(),
        created=now.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - started, 3),
    )


def last_run() -> LastRun | None:
    """What the last `make repro` in this workspace did; None if it was not run here."""
    if not layout.RUN.is_dir():
        return None
    stages = {name: layout.RUN / f"{name}.json" for name in read_yaml(layout.PIPELINE)["stages"]}
    tracked = layout.RUN / "mlflow.json"
    found = read_report(tracked) if tracked.exists() else {}
    seconds = {name: read_report(path)["seconds"] if path.exists() else None for name, path in stages.items()}
    return LastRun(stages=seconds, mlflow=found.get("run"), mlflow_local=found.get("local", True))


def _side(base: Base, source: str, note: str = "", signature: Signature | None = None) -> Side:
    return Side.model_validate(
        {
            "revision": base.revision,
            "commit": base.commit,
            "source": source,
            "note": note,
            "model": signature.model.sha256 if signature and signature.model else None,
            "data": data_hash(base.read(layout.DATA_DVC)),
            "lock": digest(base.read(Path("dvc.lock"))),
        }
    )


def _opponent(base: Base, candidate: Candidate, found: tuple[Path, str] | None) -> Opponent:
    """Load the base's model and score the candidate's holdout with it, if the two can be compared."""
    if found is None:
        return Opponent(_side(base, "none", "it has no model"), why="the base has no model yet", first=True)
    folder, source = found
    try:
        predictor = Predictor(folder, trusted=candidate.params.export.trusted)
    except UserError as error:
        why = f"the base's model cannot be loaded: {str(error).replace(str(folder), layout.MODEL.as_posix())}"
        return Opponent(_side(base, source, why), why=why)
    signature = predictor.signature
    side, rows = _side(base, source, signature=signature), _training_rows(base)
    try:
        refuse_incomparable(base, candidate.schema, candidate.params.split, signature)
        prediction = score(predictor, candidate.holdout)
    except UserError as error:
        why = f"the base cannot be compared: {error}"
        return Opponent(side.model_copy(update={"note": why}), signature, rows=rows, why=why)
    return Opponent(side, signature, prediction, rows)


def _training_rows(base: Base) -> int:
    try:
        return int(json.loads(base.read(layout.TRAINING_REPORT) or b"")["rows"]["train"])
    except (ValueError, LookupError, TypeError):
        return 0


def refuse_incomparable(base: Base, schema: Schema, split: Split, signature: Signature) -> None:
    """Stop where the candidate's holdout may hold rows that the base was trained on, or other things are predicted.

    Raises:
        UserError: With what changed.
    """
    target = schema.target
    for what, old, new in (
        ("the target", signature.target, target.column),
        ("the task", signature.task, target.task),
        ("the classes", signature.classes, target.classes),
    ):
        if old != new:
            raise UserError(f"{what} changed from {_listed(old)} to {_listed(new)}")
    try:
        old_split = Split.model_validate(_split_of_the_run(base))
    except ValidationError as error:
        raise UserError(f"{layout.PARAMS} of {base.revision}: split.{describe(error)}") from None
    if old_split != split:
        changed = [name for name in Split.model_fields if getattr(old_split, name) != getattr(split, name)]
        raise UserError(f"split.{changed[0]} changed, so the base was trained on rows that are now held out")
    old_key, key = (_key(contract, split.strategy) for contract in (base.settings(layout.SCHEMA, Schema), schema))
    moved = sorted(set(old_key) ^ set(key)) or sorted(name for name in key if key[name] != old_key[name])
    if moved:
        raise UserError(
            f"column {moved[0]!r} changed, which decides on which side of the split a row is; an `id` in "
            f"{layout.SCHEMA} keeps rows on their side whatever becomes of the columns"
        )


def _split_of_the_run(base: Base) -> Any:
    """The settings by which the base's rows were divided when its model was trained."""
    for stage in (base.lock() or {}).values():
        settings = (stage.get("params") or {}).get(layout.PARAMS.name) or {}
        if "split" in settings:
            return settings["split"]
    raise UserError(f"dvc.lock of {base.revision} does not say how its rows were divided")


def _key(schema: Schema, strategy: str) -> dict[str, Any]:
    """What decides on which side a row is: its columns, and how they are read."""
    only = {"time": schema.time, "group": schema.group}.get(strategy)
    names = schema.key if only is None else (only,)
    columns = {name: (schema.columns[name].type, schema.columns[name].format) for name in names}
    return columns | {"missing": (schema.missing, schema.source.decimal, schema.source.encoding)}


def _listed(value: Any) -> str:
    return ", ".join(map(repr, value)) if isinstance(value, tuple) else repr(value)
