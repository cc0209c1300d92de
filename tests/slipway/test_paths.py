"""One row, two ways to the model: through files and `prepare`, and as JSON to the predictor. They must be one."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from examples import churn, churn_schema, quick
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.encoding import columns_of, fit_inputs
from slipway.params import Params
from slipway.predictor import encode
from slipway.schema import Schema
from slipway.signature import Signature
from slipway.stages.prepare import prepare
from slipway.stages.train import train


def prepared(folder: Path, rows: list[dict[str, str]], schema: Schema) -> pl.DataFrame:
    """What prepare makes of the rows as a CSV file, both sides together, in the order of the file."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    with (data / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["order", *schema.columns])
        writer.writeheader()
        writer.writerows({"order": str(number), **row} for number, row in enumerate(rows))
    ordered = schema.model_copy(
        update={"columns": {"order": schema.columns["visits"].model_copy(update={"use": False}), **schema.columns}}
    )
    sides = folder / "train.parquet", folder / "holdout.parquet"
    prepare(Schema.model_validate(ordered.model_dump()), Params(), data, *sides)
    return pl.concat([pl.read_parquet(side) for side in sides]).sort("order").drop("order")


def as_json(row: dict[str, str]) -> dict[str, Any]:
    """The row as a client would send it: numbers as numbers, truth values as such, the rest as text."""
    sent: dict[str, Any] = {}
    for name, text in row.items():
        column = churn_schema().columns[name]
        missing = text.strip() in {"", "?", "NA"}
        if missing:
            sent[name] = None if len(text) % 2 else text
        elif column.type in {"number", "integer"}:
            sent[name] = json.loads(text)
        elif column.type == "boolean":
            sent[name] = text == "true"
        else:
            sent[name] = text
    return sent


def texts(frame: pl.DataFrame) -> list[dict[str, str]]:
    """A typed table as the cells of a CSV file."""
    written = frame.with_columns(pl.col("joined").dt.to_string("%Y-%m-%d %H:%M:%S"))
    cells = written.with_columns(pl.all().cast(pl.String).fill_null("?"))
    return [dict(row) for row in cells.iter_rows(named=True)]


def test_training_and_serving_encode_the_same_rows_alike(tmp_path):
    frame, schema = churn(300), churn_schema()
    signature = train(frame, schema, quick()).signature
    rows = texts(frame)
    by_file = encode(signature, columns_of(prepared(tmp_path, rows, schema), list(schema.features)))
    records = [as_json(row) for row in rows]
    by_json = encode(signature, {name: [record[name] for record in records] for name in schema.features})
    assert by_file.shape == (300, len(signature.features))
    assert np.isnan(by_file).any()
    np.testing.assert_array_equal(by_file, by_json)


CELLS = {
    "age (years)": st.one_of(st.sampled_from(["?", "", "NA"]), st.floats(0, 120).map(repr)),
    "visits": st.integers(0, 2**40).map(str),
    "city": st.sampled_from(["Athens", " Lima ", "Oslo", "?", ""]),
    "postcode": st.one_of(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1),
        st.sampled_from(["P001", "1", "1.0", "true"]),
    ).filter(lambda text: text.strip() not in {"", "?", "NA"}),
    "member": st.sampled_from(["true", "false", "?"]),
    "joined": st.one_of(
        st.just("NA"),
        st.datetimes().map(lambda moment: moment.replace(year=max(moment.year, 1000)).strftime("%Y-%m-%d %H:%M:%S")),
    ),
    "note": st.just(""),
    "country": st.just("XX"),
    "churned": st.sampled_from(["no", "yes"]),
}
TRAINED = fit_inputs(churn_schema(), churn(200), 10)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=5))
def test_any_row_takes_both_ways_to_the_same_numbers(tmp_path_factory, rows):
    schema = churn_schema()
    signature = Signature(task="binary", target="churned", missing=schema.missing, inputs=TRAINED, prior=())
    both = [{**rows[0], "churned": "no", "visits": "1"}, {**rows[0], "churned": "yes", "visits": "2"}]
    # Twenty fillers on either side, or a table this small has an empty side or a column without a value.
    fillers = texts(churn(40))
    table = [*rows, *both, *fillers]
    frame = prepared(tmp_path_factory.mktemp("rows"), table, schema)
    by_file = encode(signature, columns_of(frame, list(schema.features)))
    records = [as_json(row) for row in table]
    by_json = encode(signature, {name: [record[name] for record in records] for name in schema.features})
    np.testing.assert_array_equal(by_file, by_json)


def test_the_comparison_notices_a_second_implementation():
    """The twin: an encoder that treats one marker differently would not be equal."""
    signature = Signature(task="binary", target="churned", missing=("?",), inputs=TRAINED, prior=())
    other = signature.model_copy(update={"missing": ()})
    row = {name: ["?"] if name == "city" else [None] for name in churn_schema().features}
    assert not np.array_equal(encode(signature, row), encode(other, row), equal_nan=True)


@pytest.mark.parametrize(("sent", "meaning"), [(math.nan, None), ("", None), ("  ", None), ("?", None), ("45.0", 45.0)])
def test_the_predictor_knows_every_form_of_missing(sent, meaning):
    signature = Signature(task="binary", target="churned", missing=("?",), inputs=TRAINED[:1], prior=())
    (value, marker) = encode(signature, {"age (years)": [sent]})[0]
    assert marker == (meaning is None)
    assert np.isnan(value) if meaning is None else value == meaning
