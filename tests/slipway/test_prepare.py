from pathlib import Path
from typing import Any

import polars as pl
import pytest
from examples import CHURN, churn, churn_schema, quick

from slipway.errors import UserError
from slipway.params import Params
from slipway.stages.prepare import prepare
from slipway.stages.train import train


def source(**changes: Any) -> dict[str, Any]:
    return {"source": {"files": "*.parquet", "format": "parquet"}} | changes


def run(folder: Path, frame: pl.DataFrame, params: Params | None = None, **changes: Any) -> dict[str, Any]:
    """Prepare a table that lies in the folder's `data`; the sides lie beside it."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    frame.write_parquet(data / "rows.parquet")
    schema = churn_schema(**source(**changes))
    return prepare(schema, params or Params(), data, folder / "train.parquet", folder / "holdout.parquet")


def sides(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    return pl.read_parquet(folder / "train.parquet"), pl.read_parquet(folder / "holdout.parquet")


def test_every_row_is_on_one_side_in_the_order_of_the_file(tmp_path):
    frame = churn(20_000)
    report = run(tmp_path, frame)
    train, holdout = sides(tmp_path)
    assert report["rows"] == {"train": train.height, "holdout": holdout.height, "without target": 0}
    assert train.height + holdout.height == 20_000
    assert holdout.height / 20_000 == pytest.approx(0.2, abs=0.01)
    order = frame.with_row_index()
    for side in (train, holdout):
        places = side.join(order, on=frame.columns, how="left", nulls_equal=True, maintain_order="left")["index"]
        assert places.is_sorted()


def test_the_same_table_gives_the_same_bytes(tmp_path):
    frame = churn(5_000)
    run(tmp_path, frame)
    first = (tmp_path / "train.parquet").read_bytes()
    run(tmp_path, frame)
    assert (tmp_path / "train.parquet").read_bytes() == first


def test_growing_the_data_moves_no_row(tmp_path):
    small, grown = churn(500, seed=1), pl.concat([churn(700, seed=2), churn(500, seed=1)])
    run(tmp_path, small)
    held_before = sides(tmp_path)[1]
    run(tmp_path, grown)
    train, held = sides(tmp_path)
    assert held_before.join(held, on=held.columns, how="anti", nulls_equal=True).height == 0
    assert held_before.join(train, on=train.columns, how="semi", nulls_equal=True).height == 0


def test_another_salt_moves_rows(tmp_path):
    frame = churn(500)
    run(tmp_path, frame)
    before = sides(tmp_path)[1]
    run(tmp_path, frame, Params.model_validate({"split": {"salt": "other"}}))
    assert before.join(sides(tmp_path)[1], on=before.columns, how="anti", nulls_equal=True).height > 0


def test_equal_rows_never_straddle(tmp_path):
    frame = churn(200)
    run(tmp_path, pl.concat([frame, frame, frame]))
    train, holdout = sides(tmp_path)
    assert train.join(holdout, on=train.columns, how="semi", nulls_equal=True).height == 0


def test_a_corrected_label_does_not_move_its_row(tmp_path):
    frame = churn(300)
    run(tmp_path, frame)
    before = sides(tmp_path)[1].drop("churned")
    run(tmp_path, frame.with_columns(pl.col("churned").replace_strict({"yes": "no", "no": "yes"})))
    assert sides(tmp_path)[1].drop("churned").equals(before)


def test_later_rows_are_held_out_by_time(tmp_path):
    params = Params.model_validate({"split": {"strategy": "time", "cutoff": "2022-06-01"}})
    frame = churn(400).drop_nulls("joined")
    run(tmp_path, frame, params, time="joined")
    train, holdout = sides(tmp_path)
    assert train["joined"].max() < holdout["joined"].min()


def test_a_row_without_a_time_cannot_be_placed(tmp_path):
    params = Params.model_validate({"split": {"strategy": "time", "cutoff": "2022-06-01"}})
    with pytest.raises(UserError, match=r"'joined' decides the split but is missing in \d+ rows"):
        run(tmp_path, churn(400), params, time="joined")


def test_groups_stay_whole(tmp_path):
    params = Params.model_validate({"split": {"strategy": "group"}})
    run(tmp_path, churn(600), params, group="postcode")
    train, holdout = sides(tmp_path)
    assert not set(train["postcode"]) & set(holdout["postcode"])
    assert holdout.height > 0


def test_rows_without_a_target_are_dropped_and_counted_or_refused(tmp_path):
    frame = churn(300).with_columns(pl.when(pl.int_range(300) >= 10).then("churned").alias("churned"))
    assert run(tmp_path, frame)["rows"]["without target"] == 10
    refusing = Params.model_validate({"data": {"null_target": "refuse"}})
    with pytest.raises(UserError, match=r"missing in 10 rows; .*data\.null_target"):
        run(tmp_path, frame, refusing)


FOUR_ALIKE = pl.concat([churn(50).drop_nulls().head(1)] * 4).with_columns(churned=pl.Series(["no", "yes"] * 2))
AGE = pl.col("age (years)")
BROKEN = {
    "no rows": (churn(300).clear(), "no rows"),
    "no target": (churn(300).with_columns(churned=pl.lit(None, pl.String)), "no value in any row"),
    "one class": (churn(300).with_columns(churned=pl.lit("no")), "one class only, 'no'"),
    "empty column": (churn(300).with_columns(member=pl.lit(None, pl.Boolean)), "'member' holds no value at all"),
    "one side": (FOUR_ALIKE, "of 4 rows none is"),
    "missing column": (churn(300).drop("visits"), "column 'visits' is missing"),
    "renamed column": (churn(300).rename({"visits": "n_visits"}), "'n_visits' is there instead: was it renamed"),
    "wrong type": (churn(300).with_columns(visits=pl.lit("many")), "'visits', row 1: 'many' is not of type integer"),
    "infinite": (
        churn(300).with_columns(pl.lit(float("inf")).alias("age (years)")),
        "'age .years.', row 1: inf is not of type number",
    ),
    "out of range": (
        churn(300).with_columns(pl.when(pl.int_range(300) == 7).then(500.0).otherwise(AGE).alias("age (years)")),
        r"'age .years.', row 8: 500.0 is above the maximum 120",
    ),
    "unknown category": (churn(300).with_columns(city=pl.lit("Quito")), "unknown category 'Quito'"),
    "unknown class": (churn(300).with_columns(churned=pl.lit("maybe")), "unknown category 'maybe'"),
    "numbers for moments": (churn(300).with_columns(joined=pl.int_range(300)), "row 1: 0 is not of type datetime"),
    "moments for numbers": (churn(300).with_columns(visits="joined"), "'visits', row .* is not of type integer"),
    "missing value": (
        churn(300).with_columns(pl.when(pl.int_range(300) != 4).then("visits").alias("visits")),
        "'visits', row 5: a value is missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_table_that_breaks_the_contract_is_refused_in_one_line_and_leaves_the_old_results(tmp_path, fault):
    run(tmp_path, churn(300))
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.parquet")}
    frame, message = BROKEN[fault]
    with pytest.raises(UserError, match=message) as caught:
        run(tmp_path, frame)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.parquet")} == before
    assert not list(tmp_path.glob(".scratch-*"))


def test_an_id_that_names_two_rows_is_refused(tmp_path):
    frame = churn(300).with_columns(visits=pl.int_range(300))
    assert run(tmp_path, frame, id="visits")["rows"]["train"] > 0
    with pytest.raises(UserError, match="id column 'visits' repeats 1 values, such as 3 in 2 rows"):
        run(tmp_path, pl.concat([frame, frame[3:4]]), id="visits")


def test_columns_the_contract_does_not_know_are_left_out_and_said(tmp_path):
    report = run(tmp_path, churn(300).with_columns(surprise=pl.lit(1)))
    assert report["columns left out"] == ["surprise"]
    assert "surprise" not in sides(tmp_path)[0].columns


def test_what_a_killed_run_left_is_cleared(tmp_path):
    (tmp_path / ".scratch-dead").mkdir()
    run(tmp_path, churn(300))
    assert not list(tmp_path.glob(".scratch-*"))


def test_a_broken_file_is_named(tmp_path):
    run(tmp_path, churn(5_000))
    path = tmp_path / "data" / "rows.parquet"
    content = bytearray(path.read_bytes())
    schema = churn_schema(**source())
    out = tmp_path / "train.parquet", tmp_path / "holdout.parquet"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"rows\.parquet: cannot be read"):
        prepare(schema, Params(), path.parent, *out)
    content[4:400] = bytes(396)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"\.parquet: cannot be read"):
        prepare(schema, Params(), path.parent, *out)


def test_one_unknown_value_among_very_many_categories_is_found_every_time(tmp_path):
    rows, listed = 12_000, [f"c{number}" for number in range(12_000)]
    frame = churn(rows).with_columns(postcode=pl.Series(listed))
    contract = CHURN["columns"] | {"postcode": {"type": "category", "categories": listed}}
    assert run(tmp_path, frame, columns=contract)["rows"]["train"] > 0
    for row in (3, 11_000):
        other = frame.with_columns(
            pl.when(pl.int_range(rows) == row).then(pl.lit("new")).otherwise("postcode").alias("postcode")
        )
        with pytest.raises(UserError, match="unknown category 'new'"):
            run(tmp_path, other, columns=contract)


@pytest.mark.parametrize("name", ["count", "len", "rows", "value", "class", "literal", "slipway holdout", "share"])
@pytest.mark.parametrize("role", ["feature", "category", "target", "id"])
def test_no_column_name_is_taken(tmp_path, name, role):
    old = {"feature": "visits", "category": "city", "target": "churned", "id": "visits"}[role]
    columns = {name if key == old else key: value for key, value in CHURN["columns"].items()}
    changes = {"columns": columns, "sensitive": []}
    frame = churn(300).with_columns(visits=pl.int_range(300)).rename({old: name})
    if role == "target":
        changes["target"] = CHURN["target"] | {"column": name}
    if role == "id":
        changes["id"] = name
    run(tmp_path, frame, **changes)
    train_rows, holdout = sides(tmp_path)
    assert set(train_rows.columns) == set(holdout.columns) == set(columns)
    schema = churn_schema(**source(**changes))
    assert train(train_rows, schema, quick()).report["folds"] == 3
