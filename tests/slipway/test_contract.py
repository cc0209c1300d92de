"""The contract over whole tables: the verdict from a few witnesses is that over every row, and a bad row is named."""

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import schema_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.contract import explain, holds, inspect, readable_values
from slipway.schema import Schema

SCHEMA = schema_of(
    {
        "size": {"type": "number", "min": 0, "max": 10, "nullable": True},
        "count": {"type": "integer", "min": 1},
        "kind": {"type": "category", "categories": ["a", "b"], "nullable": True},
        "free": {"type": "category"},
        "flag": {"type": "boolean", "nullable": True},
        "at": {"type": "datetime", "nullable": True},
    }
)
SOUND: dict[str, Any] = {"size": 5.0, "count": 3, "kind": "a", "free": "x", "flag": True, "at": None, "y": "yes"}
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "below": ({"size": -0.5}, "column 'size', row 3: -0.5 is below the minimum 0.0"),
    "above": ({"size": 11.0}, "column 'size', row 3: 11.0 is above the maximum 10.0"),
    "integer below": ({"count": 0}, "column 'count', row 3: 0 is below the minimum 1"),
    "null": ({"count": None}, "column 'count', row 3: a value is missing in a column that is not `nullable`"),
    "null category": ({"free": None}, "column 'free', row 3: a value is missing"),
    "unknown category": ({"kind": "c"}, "column 'kind', row 3: unknown category 'c' (known: "),
    "unknown class": ({"y": "maybe"}, "column 'y', row 3: unknown category 'maybe'"),
    "infinite": ({"size": float("inf")}, "column 'size', row 3: inf is not of type number"),
}
ALLOWED = [{"size": None}, {"size": 0.0}, {"size": 10.0}, {"kind": None}, {"flag": None}, {"y": None}, {"count": 2**60}]


def table(rows: list[dict[str, Any]], schema: Schema = SCHEMA) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={name: schema.polars_type(name) for name in schema.columns})


def sound(frame: pl.DataFrame, folder: Path, schema: Schema = SCHEMA) -> bool:
    """The verdict as `prepare` reaches it: over the written sides, here two files."""
    files = [folder / "train.parquet", folder / "holdout.parquet"]
    for file, part in zip(files, (frame[: len(frame) // 2], frame[len(frame) // 2 :]), strict=True):
        part.write_parquet(file)
    return readable_values(frame.lazy(), schema) and holds(inspect(files, schema), schema)


@pytest.mark.parametrize("change", ALLOWED)
def test_what_the_contract_allows_passes(change: dict[str, Any], tmp_path: Path) -> None:
    assert sound(table([SOUND, SOUND, SOUND | change, SOUND]), tmp_path)


@pytest.mark.parametrize("name", FAULTS)
def test_one_bad_value_breaks_the_contract_and_is_named(name: str, tmp_path: Path) -> None:
    change, message = FAULTS[name]
    frame = table([SOUND, SOUND, SOUND | change, SOUND])

    assert not sound(frame, tmp_path)
    said = str(explain(frame.lazy(), SCHEMA))
    assert said.startswith(f"data: {message}")
    assert said.endswith("mend the data, or widen the contract in src/model/schema.yaml")
    assert "\n" not in said


def test_like_faults_are_counted_and_the_first_row_is_named() -> None:
    bad = SOUND | {"size": 99.0}

    said = str(explain(table([SOUND, bad, SOUND, bad, bad]).lazy(), SCHEMA))

    assert "row 2: 99.0 is above the maximum 10.0, and 2 more like it nearby" in said


def test_every_column_that_breaks_the_contract_is_named_at_once() -> None:
    frame = table([SOUND, SOUND | {"size": 99.0}, SOUND | {"size": None, "kind": "zzz"}])

    said = str(explain(frame.lazy(), SCHEMA))

    assert "column 'size', row 2: 99.0 is above the maximum 10.0; column 'kind', row 3: unknown category 'zzz'" in said
    assert said.count("column") == 2


def test_a_fault_far_into_the_table_has_its_own_row_number() -> None:
    frame = pl.concat([table([SOUND] * 150_000), table([SOUND | {"kind": "zzz"}])])

    assert "row 150001: unknown category 'zzz'" in str(explain(frame.lazy(), SCHEMA))


def test_text_that_is_no_number_is_named_with_its_row() -> None:
    raw = table([SOUND] * 3).with_columns(size=pl.Series(["1", "2", "tall"]), kind=pl.Series(["a", None, "b"]))

    assert not readable_values(raw.lazy(), SCHEMA)
    assert "column 'size', row 3: 'tall' is not of type number" in str(explain(raw.lazy(), SCHEMA))
    assert readable_values(raw[:2].lazy(), SCHEMA)


VALUES = st.fixed_dictionaries(
    {
        "size": st.sampled_from([None, -1.0, 0.0, 5.0, 10.0, 10.5, float("inf"), float("nan")]),
        "count": st.sampled_from([None, 0, 1, 2]),
        "kind": st.sampled_from([None, "a", "b", "c"]),
        "free": st.sampled_from([None, "x"]),
        "flag": st.sampled_from([None, True]),
        "at": st.none(),
        "y": st.sampled_from([None, "no", "yes", "maybe"]),
    }
)


def allowed(row: dict[str, Any]) -> bool:
    """The contract above, said once more in plain Python."""
    size, missing = row["size"], row["size"] is None or row["size"] != row["size"]
    return (
        (missing or 0 <= size <= 10)
        and row["count"] is not None
        and row["count"] >= 1
        and row["kind"] in {None, "a", "b"}
        and row["free"] is not None
        and row["y"] in {None, "no", "yes"}
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.one_of(st.just(SOUND), VALUES), min_size=1, max_size=6))
def test_the_verdict_is_that_over_every_row(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    raw = table(rows)
    prepared = raw.with_columns(pl.col("size").fill_nan(None))
    bad = [number for number, row in enumerate(rows, start=1) if not allowed(row)]

    assert sound(prepared, tmp_path) == (not bad)
    if bad:
        named = re.search(r"row (\d+): ", str(explain(raw.lazy(), SCHEMA)))
        assert named is not None
        assert int(named[1]) in bad


def test_findings_count_rows_missing_values_and_classes(tmp_path: Path) -> None:
    frame = table([SOUND, SOUND | {"size": None}, SOUND | {"y": "no"}, SOUND | {"y": None}])
    frame[:3].write_parquet(tmp_path / "a")
    frame[3:].write_parquet(tmp_path / "b")

    findings = inspect([tmp_path / "a", tmp_path / "b"], SCHEMA)

    assert findings.rows == 4
    assert {name: count for name, count in findings.nulls.items() if count} == {"size": 1, "y": 1, "at": 4}
    assert {name: count for name, count in findings.classes.items() if name} == {"yes": 2, "no": 1}
