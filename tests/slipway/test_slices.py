import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import UserError
from slipway.params import Slice
from slipway.slices import slice_masks

TABLE = pl.DataFrame(
    {
        "kind": ["b", "a", None, "a"],
        "sick": [True, False, None, True],
        "area": [499.5, 500.0, float("nan"), 782.0],
        "grade": [1, 2, 1, None],
        "day": pl.Series([0, 1, 2, 3]).cast(pl.Datetime("us")),
    }
)


def cut(*slices: Slice) -> dict[tuple[str, str], list[int]]:
    return {(column, label): np.flatnonzero(mask).tolist() for column, label, mask in slice_masks(TABLE, slices)}


def test_slices_are_the_values_of_a_column_and_missing() -> None:
    found = cut(Slice(column="kind"), Slice(column="sick"), Slice(column="grade"))
    assert found == {
        ("kind", "a"): [1, 3],
        ("kind", "b"): [0],
        ("kind", "(missing)"): [2],
        ("sick", "false"): [1],
        ("sick", "true"): [0, 3],
        ("sick", "(missing)"): [2],
        ("grade", "1"): [0, 2],
        ("grade", "2"): [1],
        ("grade", "(missing)"): [3],
    }


def test_slices_of_numbers_are_the_intervals_that_hold_rows() -> None:
    found = cut(Slice(column="area", bins=(100, 500, 782)))
    assert found == {
        ("area", "100 \u2013 500"): [0],
        ("area", "500 \u2013 782"): [1],
        ("area", "≥ 782"): [3],
        ("area", "(missing)"): [2],
    }
    assert cut(Slice(column="grade", bins=(2,)))["grade", "< 2"] == [0, 2]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.lists(st.integers(-1000, 1000), min_size=1, unique=True))
def test_intervals_hold_every_number_exactly_once(values: list[float], edges: list[int]) -> None:
    frame = pl.DataFrame({"x": values})
    masks = [mask for *_, mask in slice_masks(frame, [Slice(column="x", bins=tuple(sorted(edges)))])]
    assert (np.sum(masks, axis=0) == 1).all()


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        (Slice(column="aera"), r"params\.yaml: evaluate\.slices\.0\.column: 'aera' is not a column"),
        (Slice(column="kind", bins=(1,)), "does not hold numbers"),
        (Slice(column="sick", bins=(1,)), "does not hold numbers"),
        (Slice(column="day"), "holds dates"),
    ],
)
def test_slices_that_cannot_be_cut_are_named(piece: Slice, message: str) -> None:
    with pytest.raises(UserError, match=message):
        cut(piece)


def test_many_different_numbers_need_bins() -> None:
    frame = pl.DataFrame({"x": range(21)})
    with pytest.raises(UserError, match="21 different numbers; give `bins`"):
        list(slice_masks(frame, [Slice(column="x")]))
    assert len(list(slice_masks(frame.head(20), [Slice(column="x")]))) == 20
