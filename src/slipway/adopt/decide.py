"""From a table and what its owner says about it to everything that is to be written; nothing is written here."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from slipway.adopt.infer import Finding, Wishes, find_columns, find_id
from slipway.adopt.propose import (
    Proposal,
    propose_calibration,
    propose_class_auc,
    propose_fairness,
    propose_gain,
    propose_gates,
    propose_margins,
    propose_robustness,
    propose_slice_gate,
    propose_slices,
    propose_split,
)
from slipway.adopt.sniff import sniff
from slipway.adopt.target import find_target
from slipway.adopt.texts import Table, with_missing
from slipway.adopt.trial import LEAK_ROWS, leaking, run_trial, sample_rows, single_scores
from slipway.errors import UserError
from slipway.files import console
from slipway.params import Params, Split
from slipway.schema import Schema
from slipway.settings import describe
from slipway.split import is_holdout
from slipway.stages.train import RARE
from slipway.tables import readable, scan_raw, typed

LEAST_ROWS = 20  # with a target, below which nothing can be told about a model
HOLDOUT_ROWS = 50  # that the data gate asks for, unless the table is small


@dataclass(frozen=True)
class Adoption:
    """What was decided about a table, and what its owner should know. `undo` is a command.

    `removed` are the reports that the last commit has and the folder has no more.
    """

    origin: str
    files: tuple[Path, ...]
    rows: int
    schema: Schema
    findings: Mapping[str, Finding]
    left_out: Mapping[str, str]
    proposal: Proposal
    warnings: tuple[str, ...]
    written: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    undo: str = ""


def decide(path: Path, wishes: Wishes, params: Params, scratch: Path) -> Adoption:
    """Look at a table and decide what its contract and its part of the settings are, by trying out the project's model.

    Raises:
        UserError: The table cannot be read or learned from, or a wish cannot be met.
    """
    with console().status(f"reading {path}"), readable(path):
        table, files, left_out, wishes = _read(path, wishes, scratch)
        target, found = find_target(table, wishes)
        others, unfit = find_columns(table, wishes)
    findings = {name: found if name == target.column else others[name] for name in table.types if name not in unfit}
    if named := wishes.id or find_id(others, table.rows):
        findings[named] = _used(findings[named], True)
    roles = {"target": target, "id": named, "time": wishes.time, "group": wishes.group, "sensitive": wishes.sensitive}
    contract = {"source": table.source, "missing": table.missing} | roles
    schema = _contract(contract, findings)
    warned = _warnings(table, schema, found, wishes)
    warned += [
        f"{name!r} {finding.doubt}; if it stands for no value, empty those cells or remove those rows, and adopt again"
        for name, finding in findings.items()
        if finding.doubt
    ]
    if params.suites.data.max_string_variants is not None:
        warned += _variants(schema)
    rows = table.raw.select(typed(name, table.types[name], schema).alias(name) for name in schema.columns)
    rows = rows.drop_nulls(target.column)
    chosen = pl.Series(sample_rows(found.present)).implode()
    frame = rows.filter(pl.int_range(pl.len()).is_in(chosen)).collect(engine="streaming")
    scores = single_scores(schema, frame[sample_rows(frame.height, LEAK_ROWS)])
    for name, what in leaking(schema, scores).items():
        if name in wishes.keep:
            warned.append(f"{name!r} {what}; kept as asked")
        else:
            warned.append(f"{name!r} {what}; left out of the model, --keep {name!r} uses it")
            findings[name] = _used(findings[name], False, what)
    schema = _contract(contract, findings)
    proposal, doubts = _propose(schema, rows, frame, scores, params)
    return Adoption(
        path.name, tuple(files), table.rows, schema, findings, left_out | unfit, proposal, (*warned, *doubts)
    )


def _propose(
    schema: Schema, rows: pl.LazyFrame, frame: pl.DataFrame, scores: Mapping[str, float], params: Params
) -> tuple[Proposal, list[str]]:
    """The part of the settings that depends on the table, and warnings."""
    split, held = propose_split(schema, rows, params.split)
    slices = propose_slices(schema, frame, scores)
    sliced = params.evaluate.model_copy(update={"slices": slices})
    params = params.model_copy(update={"split": split, "evaluate": sliced})
    trial = run_trial(schema, frame, params)
    metrics, warned = propose_gates(schema.target.task, trial, len(schema.target.classes), held)
    worst = propose_slice_gate(schema, frame, trial, params, held)
    fairness, unfair = propose_fairness(schema, frame, trial, params, _held_out(schema, rows, split))
    if held < 2 * HOLDOUT_ROWS:
        warned.append(f"only {held} rows are held out, so intervals will be wide and gates coarse")
    proposal = Proposal(
        split=split,
        slices=slices,
        metrics=metrics,
        worst_slice=worst,
        margins=propose_margins(schema.target.task, trial),
        fairness=fairness,
        no_fairness=tuple(unfair),
        calibration=propose_calibration(schema, trial, held),
        robustness=propose_robustness(trial),
        min_gain=propose_gain(schema.target.task, trial),
        min_class_auc=propose_class_auc(schema.target.task, trial, len(schema.target.classes), held),
        min_holdout_rows=max(1, min(HOLDOUT_ROWS, held // 2)),
    )
    return proposal, warned


def _held_out(schema: Schema, rows: pl.LazyFrame, split: Split) -> pl.DataFrame:
    """The target and the sensitive columns of the rows that are held out."""
    names = list(dict.fromkeys([schema.target.column, *schema.sensitive]))
    return rows.filter(is_holdout(schema, split)).select(names).collect(engine="streaming")


def _read(path: Path, wishes: Wishes, scratch: Path) -> tuple[Table, list[Path], dict[str, str], Wishes]:
    """The table, its files, the columns that no contract can describe, with the reason, and the wishes by its names."""
    source, files = sniff(path, wishes.target)
    folder, pattern = (path, source.files) if path.is_dir() else (path.parent, escape(path.name))
    raw = scan_raw(source.model_copy(update={"files": pattern}), scratch, folder)
    types = dict(raw.collect_schema())
    wishes = wishes.matched(list(types))
    if source.format == "jsonl":
        nested = {
            name
            for file in files
            for name, dtype in pl.scan_ndjson(file, infer_schema_length=None).collect_schema().items()
            if dtype.is_nested()
        }
        types |= dict.fromkeys(nested, pl.Object())
        raw.sink_parquet(scratch / "lines.parquet")  # or every look at a column would parse them all
        raw = pl.scan_parquet(scratch / "lines.parquet")
    left_out = {name: reason for name, dtype in types.items() if (reason := _undescribable(name, dtype, raw))}
    for name in (wishes.target, wishes.id, wishes.time, wishes.group, *wishes.sensitive, *wishes.keep):
        if name in left_out:
            raise UserError(f"{path}: column {name!r} {left_out[name]}")
    raw = raw.select(name for name in types if name not in left_out)
    rows = raw.select(pl.len()).collect(engine="streaming").item()
    if not rows:
        raise UserError(f"{path}: has columns but no rows; give a table with rows")
    table = with_missing(Table(raw, source, rows, raw.collect_schema()), wishes.target)
    return table, files, left_out, wishes


def _undescribable(name: str, dtype: pl.DataType, raw: pl.LazyFrame) -> str | None:
    if dtype.is_nested() or dtype == pl.Object():
        return "holds objects or lists; flatten it to use it"
    if isinstance(dtype, pl.Binary | pl.Time | pl.Duration):
        return f"holds values of type {type(dtype).__name__.lower()}; turn them into numbers or texts to use it"
    if not name:
        return "has no name; give it one to use it"
    if name == "*" or (name.startswith("^") and name.endswith("$")):
        return "has a name that means something else to Polars; rename it to use it"
    if dtype.is_float() and (count := raw.select(pl.col(name).is_infinite().sum()).collect(engine="streaming").item()):
        return f"holds {count} infinite numbers; replace them to use it"
    return None


def _used(finding: Finding, use: bool, note: str | None = None) -> Finding:
    return replace(finding, column=finding.column.model_copy(update={"use": use, "note": note}))


def _contract(contract: Mapping[str, Any], findings: Mapping[str, Finding]) -> Schema:
    columns = {name: finding.column for name, finding in findings.items()}
    try:
        return Schema(columns=columns, **contract)
    except ValidationError as error:
        notes = "; ".join(f"{name!r} {column.note}" for name, column in columns.items() if column.note)
        raise UserError(describe(error) + (f" (--keep COLUMN does): {notes[:300]}" if notes else "")) from None


def _variants(schema: Schema) -> list[str]:
    """What the suite of the data will refuse: categories that are written in two ways."""
    warned = []
    for name, column in schema.features.items():
        written: dict[str, list[str]] = {}
        for value in column.categories or ():
            written.setdefault("".join(filter(str.isalnum, value)).lower() or value, []).append(value)
        if alike := next((values for values in written.values() if len(values) > 1), None):
            warned.append(
                f"{name!r} has {' and '.join(map(repr, alike[:3]))}, alike but for case or punctuation, which a check "
                "of the data refuses; write them alike and adopt again, or allow it by suites.data.max_string_variants"
            )
    return warned


def _warnings(table: Table, schema: Schema, found: Finding, wishes: Wishes) -> list[str]:
    target, warned = schema.target, []
    if found.present < LEAST_ROWS:
        raise UserError(f"only {found.present} rows have a target; a model needs {LEAST_ROWS} or more")
    if missing := table.rows - found.present:
        warned.append(f"{missing} rows have no {target.column!r}; `prepare` drops them (data.null_target)")
    if rare := [(name, count) for name, count in found.classes.items() if count < RARE]:
        name, count = rare[-1]
        if count < 3 and target.task == "binary":
            raise UserError(f"class {name!r} of {target.column!r} has {count} rows; a model needs more of both classes")
        some = ", ".join(f"{name!r} {count}" for name, count in rare[:3]) + ", ..." * (len(rare) > 3)
        what = f"class {name!r} has {count} row{'s' * (count > 1)}"
        if len(rare) > 1:
            what = f"{len(rare)} classes have fewer than {RARE} rows ({some})"
        warned.append(f"{what}: too few to learn it or to judge it; add rows, or merge it with another class")
    if target.task == "multiclass" and found.column.type == "integer" and wishes.task is None:
        warned.append(f"the whole numbers of {target.column!r} are taken for classes; --task regression predicts them")
    if table.source.encoding == "latin-1":
        warned.append("the text is not UTF-8 and was read as Latin-1; check letters with accents")
    return warned
