"""The prepared rows keep the data contract, src/model/schema.yaml."""

from datetime import UTC, datetime, timedelta

import pytest
from pandera.errors import SchemaErrors

import project
from slipway import layout
from slipway.contract import pandera_schema
from slipway.split import row_key

SCHEMA = project.schema()
MAX_AGE = project.params().suites.data.max_age_days


@pytest.mark.parametrize("side", ["train", "holdout"])
@pytest.mark.parametrize("column", SCHEMA.columns)
def test_column_keeps_the_contract(column, side):
    frame = getattr(project, side)()
    try:
        pandera_schema(SCHEMA, [column]).validate(frame.select(column), lazy=True)
    except SchemaErrors as errors:
        first = errors.failure_cases.row(0, named=True)
        pytest.fail(
            f"{first['failure_case']!r} breaks {first['check']} in {errors.failure_cases.height} rows of {side}; "
            f"mend the data, or columns.{column} in {layout.SCHEMA}"
        )


def test_target_is_never_missing():
    for side in (project.train(), project.holdout()):
        assert side[SCHEMA.target.column].null_count() == 0


def test_every_class_is_on_both_sides_of_the_split():
    for side in (project.train(), project.holdout()):
        absent = set(SCHEMA.target.classes) - set(side[SCHEMA.target.column])
        assert not absent, f"no row is of class {sorted(absent)}; add rows, or change split in {layout.PARAMS}"


def test_no_row_is_on_both_sides_of_the_split():
    keys = [side.select(row_key(SCHEMA, SCHEMA.key)).to_series() for side in (project.train(), project.holdout())]
    shared = int(keys[1].is_in(keys[0].implode()).sum())
    assert shared == 0, f"{shared} rows of the holdout are training rows too; see split in {layout.PARAMS}"


if SCHEMA.time is not None and MAX_AGE is not None:

    def test_newest_row_is_fresh():
        newest = max(side[SCHEMA.time].max() for side in (project.train(), project.holdout()))
        age = datetime.now(UTC).replace(tzinfo=None) - newest
        assert age <= timedelta(days=MAX_AGE), (
            f"the newest row is of {newest}, {age.days} days ago, more than {MAX_AGE:g}; "
            f"bring newer data, or change suites.data.max_age_days in {layout.PARAMS}"
        )


def test_time_splits_hold_out_the_later_rows():
    if project.params().split.strategy == "time":
        assert project.train()[SCHEMA.time].max() < project.holdout()[SCHEMA.time].min()
