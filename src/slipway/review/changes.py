"""What differs between base and candidate: settings, columns, rows, code, dependencies."""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel

from slipway import layout
from slipway.errors import UserError
from slipway.files import scratch_folder
from slipway.params import Params
from slipway.review.base import WORKSHOP, Base, changed_files, fetch
from slipway.review.candidate import Candidate
from slipway.review.verdict import Change, ChangedFile, Changes, Rows
from slipway.schema import Column, Schema
from slipway.settings import flat, pinned
from slipway.split import row_key

RULES = ("gates.", "suites.", "evaluate.", "split.", "export.tolerance", "sensitive")  # decide what is good enough
LOCKFILES = (Path("uv.lock"), Path("src/slipway/suites/environment/uv.lock"))


def find_changes(base: Base, candidate: Candidate) -> Changes:
    """Hold the workspace against the base; what cannot be read of the base is named, and stops nothing."""
    notes: list[str] = []
    settings = _settings(base, candidate.params, notes)
    columns = _columns(base, candidate.schema, notes)
    rows = _rows(base, candidate, notes)
    return Changes(
        settings=tuple(settings),
        columns=tuple(columns),
        rows=rows,
        files=tuple(ChangedFile(path=path, added=added, removed=gone) for path, added, gone in changed_files(base)),
        packages=tuple(_packages(base, notes)),
        notes=tuple(notes),
    )


def _differ(
    old: Mapping[str, Any], new: Mapping[str, Any], is_rule: Callable[[str], bool] = lambda name: name.startswith(RULES)
) -> Iterator[Change]:
    for name in [*old, *(name for name in new if name not in old)]:
        before, after = (_json(side[name]) if name in side else None for side in (old, new))
        if before != after:
            yield Change(name=name, base=before, candidate=after, rule=is_rule(name))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _dump(model: BaseModel) -> dict[str, Any]:
    return flat(model.model_dump(mode="json", by_alias=True, exclude_none=True))


def _settings(base: Base, params: Params, notes: list[str]) -> Iterator[Change]:
    if base.read(layout.PARAMS) is None:
        return
    try:
        old = _dump(base.settings(layout.PARAMS, Params))
    except UserError as error:
        notes.append(f"settings: {error}")
        return
    changes = list(_differ(old, _dump(params)))
    yield from sorted(changes, key=lambda change: not change.rule)


def _columns(base: Base, schema: Schema, notes: list[str]) -> Iterator[Change]:
    """Columns that came, went, or are described otherwise; and what the contract says besides."""
    if base.read(layout.SCHEMA) is None:
        return
    try:
        old = base.settings(layout.SCHEMA, Schema)
    except UserError as error:
        notes.append(f"contract: {error}")
        return
    said, now = ({name: _said(column) for name, column in side.columns.items()} for side in (old, schema))
    directions = [{name: column.get("monotonic") for name, column in side.items()} for side in (said, now)]
    # `monotonic` is a test of the model; what else a contract says of a column decides what the data is.
    yield from _differ(said, now, lambda name: directions[0].get(name) != directions[1].get(name))
    rest, current = (
        flat(side.model_dump(mode="json", exclude={"columns"}, exclude_none=True)) for side in (old, schema)
    )
    yield from _differ(rest, current)


def _said(column: Column) -> dict[str, Any]:
    return column.model_dump(mode="json", exclude_defaults=True) | {"type": column.type}


def _rows(base: Base, candidate: Candidate, notes: list[str]) -> Rows | None:
    old_hash = pinned(base.read(layout.DATA_DVC))
    if old_hash is None or old_hash == candidate.side.data:
        return None
    try:
        old_schema = base.settings(layout.SCHEMA, Schema)
        with scratch_folder(WORKSHOP) as folder:
            old = pl.scan_parquet(_tables(base, old_schema, folder))
            return compare_rows(old, pl.scan_parquet([layout.TRAIN, layout.HOLDOUT]), old_schema, candidate.schema)
    except (UserError, OSError, pl.exceptions.PolarsError) as error:
        notes.append(f"rows: {' '.join(str(error).split())[:300]}")
        return None


def _tables(base: Base, schema: Schema, folder: Path) -> list[Path]:
    """The base's prepared rows: as DVC has them, or from its raw data.

    Raises:
        UserError: Neither can be had.
    """
    tables = [folder / layout.TRAIN.name, folder / layout.HOLDOUT.name]
    if all(fetch(base, path, table) for path, table in zip((layout.TRAIN, layout.HOLDOUT), tables, strict=True)):
        return tables
    if not fetch(base, layout.DATA, folder / "data"):
        raise UserError(f"the data of {base.commit[:9]} is neither in DVC's cache nor in a remote")
    from slipway.stages.prepare import prepare  # half a second of imports, for when data has changed

    prepare(schema, base.settings(layout.PARAMS, Params), folder / "data", *tables)
    return tables


def compare_rows(old: pl.LazyFrame, new: pl.LazyFrame, old_schema: Schema, schema: Schema) -> Rows:
    """Count the rows that came, went and changed, by the columns that both contracts have with the same type.

    Args:
        old: The base's prepared rows.
        new: The candidate's.
        old_schema: The base's contract.
        schema: The candidate's.

    Raises:
        UserError: They have no such column.
    """
    old_types = {name: column.type for name, column in old_schema.columns.items()}
    common = [name for name, column in schema.columns.items() if old_types.get(name) == column.type]
    if not common:
        raise UserError("base and candidate have no column in common")
    id_column = schema.id if schema.id is not None and schema.id == old_schema.id else None
    values = row_key(schema, [name for name in common if name != id_column] or common)
    sides = [
        side.select(values.alias("values"), pl.col(id_column).alias("id") if id_column else values.alias("id"))
        for side in (old, new)
    ]
    if id_column:
        joined = sides[0].join(sides[1], on="id", how="full", coalesce=False, suffix="_new")
        counts = joined.select(
            base=pl.col("id").is_not_null().sum(),
            candidate=pl.col("id_new").is_not_null().sum(),
            added=pl.col("id").is_null().sum(),
            removed=pl.col("id_new").is_null().sum(),
            changed=(pl.col("values") != pl.col("values_new")).sum(),
        )
    else:
        both = pl.concat(
            [side.select("id", pl.lit(sign).alias("sign")) for side, sign in zip(sides, (-1, 1), strict=True)]
        )
        change = both.group_by("id").agg(
            pl.col("sign").sum().alias("net"),
            (pl.col("sign") < 0).sum().alias("old"),
            (pl.col("sign") > 0).sum().alias("new"),
        )
        counts = change.select(
            base=pl.col("old").sum(),
            candidate=pl.col("new").sum(),
            added=pl.col("net").clip(lower_bound=0).sum(),
            removed=-pl.col("net").clip(upper_bound=0).sum(),
        )
    return Rows.model_validate(counts.collect(engine="streaming").row(0, named=True))


def _packages(base: Base, notes: list[str]) -> Iterator[Change]:
    """Versions in the lock files that are others than the base's."""
    for path in LOCKFILES:
        try:
            old, new = (
                _versions(content) for content in (base.read(path), path.read_bytes() if path.exists() else None)
            )
        except (UserError, OSError, ValueError, LookupError, TypeError) as error:
            notes.append(f"dependencies: {path}: {error}")
            continue
        yield from _differ(old, new, lambda _: False)


def _versions(content: bytes | None) -> dict[str, str]:
    packages = tomllib.loads((content or b"").decode())["package"] if content else []
    found: dict[str, list[str]] = {}
    for package in packages:
        found.setdefault(str(package["name"]), []).append(str(package.get("version", "")))
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}
