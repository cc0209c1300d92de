"""What differs between two revisions of a project, row by row and key by key."""

import polars as pl
import pytest
from helpers import schema_of

from slipway.errors import UserError
from slipway.review.changes import compare_rows
from slipway.review.verdict import Rows


def table(**columns):
    return pl.DataFrame(columns).lazy()


def plain(**rest):
    return schema_of({"name": "category", "size": "number"}, **rest)


OLD = {"name": ["a", "b", "c", "c"], "size": [1.0, 2.0, 3.0, 3.0], "y": ["no", "yes", "no", "no"]}


def test_the_same_rows_in_another_order_are_no_change():
    new = {name: values[::-1] for name, values in OLD.items()}
    assert compare_rows(table(**OLD), table(**new), plain(), plain()) == Rows(base=4, candidate=4, added=0, removed=0)


def test_without_an_id_a_changed_row_is_one_that_went_and_one_that_came():
    new = {**OLD, "size": [1.0, 2.5, 3.0, 3.0]}
    assert compare_rows(table(**OLD), table(**new), plain(), plain()) == Rows(base=4, candidate=4, added=1, removed=1)


def test_repeated_rows_are_counted_as_often_as_they_are_there():
    new = {name: values[:3] for name, values in OLD.items()}
    assert compare_rows(table(**OLD), table(**new), plain(), plain()) == Rows(base=4, candidate=3, added=0, removed=1)


def test_with_an_id_changed_rows_are_told_from_new_ones():
    old = {"name": ["a", "b", "c"], "size": [1.0, 2.0, None], "y": ["no", "yes", "no"]}
    new = {"name": ["b", "c", "d"], "size": [2.5, None, 4.0], "y": ["yes", "no", "no"]}
    found = compare_rows(table(**old), table(**new), plain(id="name"), plain(id="name"))
    assert found == Rows(base=3, candidate=3, added=1, removed=1, changed=1)


def test_columns_that_only_one_side_has_do_not_count():
    new = {**OLD, "colour": ["red"] * 4}
    schema = schema_of({"name": "category", "size": "integer", "colour": "category"})
    found = compare_rows(table(**OLD), table(**new), plain(), schema)
    assert found == Rows(base=4, candidate=4, added=0, removed=0)


def test_tables_without_a_common_column_cannot_be_compared():
    other = schema_of({"colour": "category"}, {"column": "z", "task": "binary", "classes": ["no", "yes"]})
    with pytest.raises(UserError, match="no column in common"):
        compare_rows(table(**OLD), table(colour=["red"], z=["no"]), plain(), other)
