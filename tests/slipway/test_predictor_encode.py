"""What happens to a row before the model: every type, every way of missing, and the same text for the same value."""

import math
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest
from helpers import schema_of
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import UserError
from slipway.predictor import Coded, encode
from slipway.signature import MISSING, OTHER, DatePart, Input, Signature
from slipway.tables import typed
from slipway.values import as_text

LIMIT = float(np.finfo(np.float32).max)


def signature(*inputs: Input) -> Signature:
    return Signature(task="regression", target="y", missing=("?", "NA"), inputs=inputs, prior=(0.0,))


def matrix(column: Input, values: Any) -> list[list[float]]:
    return encode(signature(column), {column.name: values}).tolist()


def column(kind: Any, values: Any, **options: Any) -> list[float]:
    """What one input with one matrix column becomes, NaN as None."""
    rows = matrix(Input(name="x", type=kind, **options), values)
    return [None if math.isnan(row[0]) else row[0] for row in rows]


NO_VALUES = [None, float("nan"), np.nan, np.datetime64("NaT"), "", "  ", "?", " NA "]
KINDS: dict[str, dict[str, Any]] = {
    "number": {},
    "integer": {},
    "boolean": {},
    "category": {"categories": ("a",)},
    "datetime": {"parts": ("year",)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_of_saying_nothing_is_missing(kind: str) -> None:
    nothing = float(MISSING) if kind == "category" else None

    assert column(kind, NO_VALUES, **KINDS[kind]) == [nothing] * len(NO_VALUES)


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("number", [1, 2.5, " -3 ", "1e3", True, np.float32(0.5), np.int64(7)], [1, 2.5, -3, 1000, 1, 0.5, 7]),
        ("number", [1e300, -1e300], [LIMIT, -LIMIT]),
        ("number", np.array([1.5, np.nan]), [1.5, None]),
        ("integer", [3, "3", "3.0", 3.0, np.int32(3)], [3] * 5),
        ("boolean", [True, "True", "yes", "T", "1", 1, 1.0, np.True_], [1] * 8),
        ("boolean", [False, "FALSE", "no", "n", "0", 0, 0.0, np.False_], [0] * 8),
        ("boolean", np.array([True, False]), [1, 0]),
    ],
)
def test_numbers_and_booleans_become_themselves(kind: str, values: Any, expected: list[float]) -> None:
    assert column(kind, values) == [None if value is None else np.float32(value) for value in expected]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("number", "tall"), ("number", "1,5"), ("number", "1_000"), ("number", "nan"), ("number", "inf"),
        ("number", math.inf), ("number", -math.inf), ("number", "1e400"), ("number", [1]), ("number", 10**400),
        ("integer", 3.5), ("integer", "3.5"), ("integer", "x"),
        ("boolean", "maybe"), ("boolean", 2), ("boolean", 0.5),
        ("datetime", "soon"), ("datetime", "2023-02-29"), ("datetime", 20240229), ("datetime", True),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_with_its_row(kind: str, value: Any) -> None:
    with pytest.raises(UserError, match=r"^input 'x', row 2: .* is not ") as caught:
        column(kind, [None, value, None], **KINDS[kind])
    assert repr(value)[:20] in str(caught.value)


def test_arrays_are_held_to_the_same_rules() -> None:
    with pytest.raises(UserError, match=r"row 2: .*inf.* is not of type number"):
        column("number", np.array([1.0, np.inf]))
    with pytest.raises(UserError, match=r"row 3: .*1\.5.* is not of type integer"):
        column("integer", np.array([1.0, np.nan, 1.5]))


def test_a_marker_says_where_a_number_is_missing() -> None:
    rows = np.array(matrix(Input(name="x", type="number", marker=True), [1.5, None, "?"]))

    np.testing.assert_array_equal(rows, [[1.5, 0], [np.nan, 1], [np.nan, 1]])
    assert Input(name="x", type="number", marker=True).features == ("x", "x:missing")


def test_categories_become_their_codes() -> None:
    given = ["b", " a ", "c", "", 3, 3.0, "3", True, "true", "True"]

    codes = column("category", given, categories=("a", "b", "3", "true"))

    assert codes == [3, 2, OTHER, MISSING, 4, 4, 4, 5, 5, OTHER]
    assert Input(name="x", type="category", categories=("a", "b")).codes == 4


def test_a_constant_column_becomes_no_column_whatever_it_holds() -> None:
    assert matrix(Input(name="x", type="number", constant=True), ["nonsense", None]) == [[], []]


PARTS = get_args(DatePart)


@given(
    moment=st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)), form=st.sampled_from(["datetime", "text", "numpy"])
)
def test_date_parts_are_those_of_the_calendar(moment: datetime, form: str) -> None:
    given = {"datetime": moment, "text": moment.isoformat(), "numpy": np.datetime64(moment, "us")}[form]

    (parts,) = matrix(Input(name="x", type="datetime", parts=PARTS), [given])

    assert dict(zip(PARTS, parts, strict=True)) == {
        "days": (moment.date() - date(1970, 1, 1)).days,
        "year": moment.year,
        "month": moment.month,
        "day": moment.day,
        "weekday": moment.weekday(),
        "hour": moment.hour,
    }


@given(
    moment=st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),
    offset=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_times_with_a_zone_count_in_utc(moment: datetime, offset: timezone) -> None:
    aware = moment.replace(tzinfo=offset)
    utc = aware.astimezone(UTC).replace(tzinfo=None)
    times = Input(name="x", type="datetime", parts=PARTS)

    assert matrix(times, [aware, aware.isoformat()]) == matrix(times, [utc, utc])


def test_dates_are_midnights_and_an_array_of_times_is_read_like_a_list() -> None:
    times = Input(name="x", type="datetime", parts=PARTS)
    moments = [datetime(2024, 2, 29, 13, 59, 59), None]

    assert matrix(times, [date(2024, 2, 29)]) == matrix(times, [datetime(2024, 2, 29)])
    np.testing.assert_array_equal(matrix(times, np.array(moments, "datetime64[ns]")), matrix(times, moments))
    assert times.features == tuple(f"x:{part}" for part in PARTS)


@given(data=st.data(), kind=st.sampled_from(list(KINDS)))
def test_coded_columns_become_what_plain_ones_do(data: st.DataObject, kind: str) -> None:
    values = {
        "number": [None, "?", 1.5, "2"], "integer": [None, 1, "2"], "boolean": [None, True, "no"],
        "category": [None, "a", "b", 3.0], "datetime": [None, "2024-02-29", datetime(1969, 7, 20, 20, 17)],
    }[kind]  # fmt: skip
    codes = data.draw(st.lists(st.integers(0, len(values) - 1)))
    options = {"marker": True} if kind == "number" else KINDS[kind]
    one = Input(name="x", type=kind, **options)  # type: ignore[arg-type]

    coded = encode(signature(one), {"x": Coded(np.array(codes, np.int64), values)})

    np.testing.assert_array_equal(coded, encode(signature(one), {"x": [values[code] for code in codes]}))


def test_columns_follow_the_signature_and_others_are_ignored() -> None:
    both = signature(Input(name="b", type="number"), Input(name="a", type="number", marker=True))

    encoded = encode(both, {"z": ["nonsense"], "a": [1], "b": [2]})

    assert encoded.dtype == np.float32
    assert encoded.tolist() == [[2, 1, 0]]
    assert both.features == ("b", "a", "a:missing")
    assert encode(both, {"a": [], "b": []}).shape == (0, 3)


def test_an_input_that_is_absent_or_of_another_length_is_refused() -> None:
    both = signature(Input(name="a", type="number"), Input(name="b", type="number"))

    with pytest.raises(UserError, match="input 'b' is missing; the model needs 2 inputs"):
        encode(both, {"a": [1]})
    with pytest.raises(UserError, match="input 'b' has 2 rows, the inputs before it 1"):
        encode(both, {"a": [1], "b": [1, 2]})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"), (np.False_, "false"), (3, "3"), (3.0, "3"), (-0.0, "0"), (0.1, "0.1"),
        (1e16, "10000000000000000"),
        (1e-7, "0.0000001"), (np.float32(0.1), "0.1"), (np.int8(4), "4"), (" a b ", "a b"), ("3.0", "3.0"),
    ],
)  # fmt: skip
def test_the_text_of_a_value_is_one_whoever_writes_it(value: Any, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (pl.Float64(), st.floats(allow_nan=False, allow_infinity=False)),
        (pl.Float32(), st.floats(allow_nan=False, allow_infinity=False, width=32)),
        (pl.Int64(), st.integers(-(2**63), 2**63 - 1)),
        (pl.Boolean(), st.booleans()),
        # To Python, but not to Unicode, the separators \x1c to \x1f are white space.
        (pl.String(), st.text(st.characters(codec="utf-8", exclude_characters="\x1c\x1d\x1e\x1f"), max_size=5)),
    ],
)
def test_tables_and_predictor_give_a_category_the_same_text(dtype: pl.DataType, values: Any) -> None:
    schema = schema_of({"x": "category"})

    @given(st.lists(st.none() | values))
    def hold(given: list[Any]) -> None:
        series = pl.Series("x", given, dtype)
        texts = series.to_frame().select(typed("x", dtype, schema)).to_series().to_list()
        numbers = series.to_numpy() if dtype == pl.Float32() else given  # Python has no float of 32 bits
        assert texts == [
            None if v is None or as_text(n) == "" else as_text(n) for v, n in zip(given, numbers, strict=True)
        ]

    hold()
