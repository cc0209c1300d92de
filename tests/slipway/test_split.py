"""Which rows are held out: the documented hash, written once more here in plain Python, and what follows from it."""

import struct
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
import xxhash
from helpers import schema_of
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import UserError
from slipway.params import Split
from slipway.schema import Schema
from slipway.split import is_holdout, row_key

SCHEMA = schema_of({"number": "number", "whole": "integer", "flag": "boolean", "kind": "category", "at": "datetime"})
EPOCH = datetime(1970, 1, 1)  # the prepared table's times have no zone

ROWS = st.fixed_dictionaries(
    {
        "number": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
        "flag": st.none() | st.booleans(),
        "kind": st.none() | st.text(st.characters(codec="utf-8"), min_size=1),
        "at": st.none() | st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)),
        "y": st.sampled_from(["no", "yes"]),
    }
)


def table(rows: list[dict[str, Any]], schema: Schema = SCHEMA) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={name: schema.polars_type(name) for name in schema.columns})


def keys(rows: list[dict[str, Any]], schema: Schema = SCHEMA, salt: str = "") -> list[int]:
    return table(rows, schema).select(row_key(schema, schema.key, salt)).to_series().to_list()


def sides(rows: list[dict[str, Any]], split: Split, schema: Schema = SCHEMA) -> list[bool]:
    return table(rows, schema).select(is_holdout(schema, split)).to_series().to_list()


def documented_key(row: dict[str, Any], columns: tuple[str, ...], salt: str = "") -> int:
    """The algorithm as the module documents it."""
    total = 0
    for name in columns:
        hashed = blake2b(name.encode(), digest_size=8, key=blake2b(salt.encode()).digest() if salt else b"")
        multiplier = int.from_bytes(hashed.digest(), "little") | 1
        match row[name]:
            case None:
                code = 0
            case str() as text:
                code = xxhash.xxh64_intdigest(text.encode(), seed=0)
            case datetime() as moment:
                code = (moment - EPOCH) // timedelta(microseconds=1)
            case int() as whole if abs(whole) > 2**53:
                code = whole % 2**64
            case number:
                (code,) = struct.unpack("<Q", struct.pack("<d", float(number) + 0.0))
        total += multiplier * code
    z = total % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


GOLDEN_ROWS: list[dict[str, Any]] = [
    {"number": None, "whole": None, "flag": None, "kind": None, "at": None},
    {"number": 1.5, "whole": -7, "flag": True, "kind": "a", "at": datetime(2024, 2, 29, 12, 30, 0, 1)},
    {"number": -0.0, "whole": 0, "flag": False, "kind": "Größe 🚀", "at": datetime(1969, 12, 31, 23)},
    {"number": 1e300, "whole": 2**53 + 1, "flag": None, "kind": "x" * 100, "at": None},
]
GOLDEN = {
    "": [0x0, 0xEF82BDEBC684F45E, 0x5ED317C1CF577EFD, 0xD5CE6C8E709BFC9E],
    "2024": [0x0, 0x2059967C274A320F, 0xC90E8F358DC2802A, 0xAA2C8C3940D58E7C],
}


@pytest.mark.parametrize("salt", GOLDEN)
def test_keys_have_the_values_they_always_had(salt: str) -> None:
    assert keys(GOLDEN_ROWS, salt=salt) == GOLDEN[salt]


@given(rows=st.lists(ROWS, min_size=1, max_size=20), salt=st.text(max_size=5))
def test_keys_are_those_the_documentation_describes(rows: list[dict[str, Any]], salt: str) -> None:
    assert keys(rows, salt=salt) == [documented_key(row, SCHEMA.key, salt) for row in rows]


@given(old=st.lists(ROWS, min_size=1), new=st.lists(ROWS), split=st.builds(Split, holdout=st.floats(0.01, 0.99)))
def test_growing_data_moves_no_row(old: list[dict[str, Any]], new: list[dict[str, Any]], split: Split) -> None:
    grown = [*new, *old]

    assert sides(grown, split)[len(new) :] == sides(old, split)


@given(row=ROWS, target=st.sampled_from(["no", "yes"]))
def test_equal_rows_share_a_side_whatever_their_target(row: dict[str, Any], target: str) -> None:
    first, second = keys([row, row | {"y": target}])

    assert first == second


@given(row=ROWS, other=ROWS)
def test_rows_that_differ_have_other_keys(row: dict[str, Any], other: dict[str, Any]) -> None:
    # Missing, zero and the epoch share a code; all numbers count as floats.
    alike = {"number": 0.0, "whole": 0, "flag": False, "kind": None, "at": EPOCH}
    facts = [[float(v) if isinstance(v := r[name] or alike[name], int) else v for name in alike] for r in (row, other)]

    first, second = keys([row, other])

    assert (first == second) == (facts[0] == facts[1])


@given(rows=st.lists(ROWS, min_size=1))
def test_neither_the_order_of_columns_nor_a_new_empty_one_moves_a_row(rows: list[dict[str, Any]]) -> None:
    columns = {name: column.type for name, column in reversed(SCHEMA.columns.items())}
    wider = schema_of({"before": "number", **columns, "after": "category"})

    assert keys([{**row, "before": None, "after": None} for row in rows], wider) == keys(rows)


def test_a_new_column_with_values_does_move_rows() -> None:
    wider = schema_of({name: column.type for name, column in SCHEMA.columns.items()} | {"after": "category"})
    rows = [{**GOLDEN_ROWS[1], "whole": number, "after": "x"} for number in range(50)]

    assert sides(rows, Split(), wider) != sides(rows, Split())


@pytest.mark.parametrize("holdout", [0.05, 0.2, 0.5])
def test_the_holdout_is_as_large_as_asked(holdout: float) -> None:
    n = 20_000
    rows = [{**GOLDEN_ROWS[0], "whole": number} for number in range(n)]

    share = sum(sides(rows, Split(holdout=holdout))) / n

    assert abs(share - holdout) < 4 * (holdout * (1 - holdout) / n) ** 0.5


def test_a_larger_holdout_holds_the_smaller_one() -> None:
    rows = [{**GOLDEN_ROWS[0], "whole": number} for number in range(500)]

    held = [sides(rows, Split(holdout=share)) for share in (0.1, 0.2, 0.5)]

    for smaller, larger in pairwise(held):
        assert all(b for a, b in zip(smaller, larger, strict=True) if a)
        assert smaller != larger


def test_another_salt_draws_another_split() -> None:
    rows = [{**GOLDEN_ROWS[0], "whole": number} for number in range(500)]

    assert sides(rows, Split(salt="a")) != sides(rows, Split(salt="b"))
    assert sides(rows, Split(salt="a")) == sides(rows, Split(salt="a"))


def test_an_id_alone_decides_where_there_is_one() -> None:
    schema = schema_of({"key": "integer", "x": "number"}, id="key")
    rows = [{"key": number, "x": 0.0, "y": "no"} for number in range(200)]
    corrected = [{**row, "x": row["key"] / 7, "y": "yes"} for row in rows]

    assert sides(rows, Split(), schema) == sides(corrected, Split(), schema)
    assert 0 < sum(sides(rows, Split(), schema)) < 200


@settings(max_examples=30)
@given(members=st.lists(st.tuples(st.integers(0, 5), st.floats(-10, 10)), min_size=1))
def test_a_group_is_never_parted(members: list[tuple[int, float]]) -> None:
    schema = schema_of({"team": "category", "x": "number"}, group="team")
    rows = [{"team": f"team {team}", "x": x, "y": "no"} for team, x in members]

    held = sides(rows, Split(strategy="group", holdout=0.5), schema)

    assert len({(row["team"], side) for row, side in zip(rows, held, strict=True)}) == len(
        {row["team"] for row in rows}
    )


def test_groups_are_on_both_sides() -> None:
    schema = schema_of({"team": "category", "x": "number"}, group="team")
    rows = [{"team": f"team {number}", "x": 1.0, "y": "no"} for number in range(50)]

    assert set(sides(rows, Split(strategy="group"), schema)) == {True, False}


@pytest.mark.parametrize(
    "cutoff",
    [datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC), "2024-01-01", "2024-01-01T02:00:00+02:00"],
)
def test_time_holds_out_from_the_cutoff_on(cutoff: Any) -> None:
    schema = schema_of({"at": "datetime", "x": "number"}, time="at")
    moments = ["2023-12-31T23:59:59.999999", "2024-01-01T00:00:00", "2024-06-01T00:00:00"]
    rows = [{"at": datetime.fromisoformat(moment), "x": 1.0, "y": "no"} for moment in moments]

    split = Split.model_validate({"strategy": "time", "cutoff": cutoff})

    assert sides(rows, split, schema) == [False, True, True]


@pytest.mark.parametrize("split", [Split(strategy="group"), Split(strategy="time", cutoff=EPOCH)])
def test_a_strategy_without_its_column_is_refused(split: Split) -> None:
    with pytest.raises(UserError, match=rf"split.strategy: `{split.strategy}` needs a column to go by"):
        is_holdout(SCHEMA, split)


def test_ids_beyond_what_a_float_can_tell_apart_are_told_apart() -> None:
    schema = schema_of({"key": "integer", "x": "number"}, id="key")
    rows = [{"key": 2**60 + number, "x": 0.0, "y": "no"} for number in range(2_000)]

    share = sum(sides(rows, Split(), schema)) / len(rows)

    assert 0.15 < share < 0.25
