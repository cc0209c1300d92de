"""The data contract: every rule between its keys, and what follows from it."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import schema_of, write
from pydantic import ValidationError

from slipway.errors import UserError
from slipway.schema import Column, Source, Target, load_schema

CONTRACT = """
source: {files: "*.csv", format: csv, separator: ";", decimal: ","}
missing: ["?", 999, NA]
target: {column: good, task: binary, classes: [false, true]}
id: key
time: seen
group: site
sensitive: [site]
columns:
  good: {type: boolean}
  key: {type: integer}
  seen: {type: datetime, format: "%d.%m.%Y"}
  site: {type: category}
  dose: {type: number, min: 0, max: 10, nullable: true}
  kind: {type: category, categories: [1, 2.0, true, x]}
  note: {type: text, use: false, note: free text}
"""


def test_a_contract_is_read_with_values_as_the_tables_write_them(tmp_path: Path) -> None:
    schema = load_schema(write(tmp_path, "schema.yaml", CONTRACT))

    assert schema.missing == ("?", "999", "NA")
    assert schema.target.classes == ("false", "true")
    assert schema.target.positive == "true"
    assert schema.columns["kind"].categories == ("1", "2", "true", "x")
    assert list(schema.features) == ["dose", "kind"]
    assert schema.key == ("key",)


def test_a_typo_is_an_error_with_its_path(tmp_path: Path) -> None:
    file = write(tmp_path, "schema.yaml", CONTRACT.replace("nullable", "nulable"))

    with pytest.raises(UserError, match=r"schema\.yaml: columns\.dose\.nulable: unknown key"):
        load_schema(file)


def test_without_an_id_the_key_is_every_column_but_the_target_in_name_order() -> None:
    assert schema_of({"b": "number", "a": "category", "C": {"type": "text", "use": False}}).key == ("C", "a", "b")


@pytest.mark.parametrize(
    ("kind", "polars_type"),
    [
        ("number", pl.Float64()), ("integer", pl.Int64()), ("boolean", pl.Boolean()), ("category", pl.String()),
        ("datetime", pl.Datetime("us")),
    ],
)  # fmt: skip
def test_a_column_has_one_type_in_the_prepared_table(kind: str, polars_type: pl.DataType) -> None:
    assert schema_of({"x": kind}).polars_type("x") == polars_type


def test_targets_are_text_or_numbers_whatever_the_file_holds() -> None:
    classes = {"column": "y", "task": "binary", "classes": [0, 1]}

    assert schema_of({"x": "number", "y": "integer"}, classes).polars_type("y") == pl.String()
    assert (
        schema_of({"x": "number", "y": "integer"}, {"column": "y", "task": "regression"}).polars_type("y")
        == pl.Float64()
    )


UNSOUND_COLUMNS = [
    ({"type": "category", "min": 0}, "min and max belong to"),
    ({"type": "number", "min": 2, "max": 1}, r"min \(2\) is greater than max \(1\)"),
    ({"type": "number", "categories": ["a"]}, "categories belong to category"),
    ({"type": "category", "categories": ["a", "a"]}, "categories repeat a value"),
    ({"type": "category", "categories": [1, 1.0]}, "categories repeat a value"),
    ({"type": "text"}, "set `use: false`"),
    ({"type": "float"}, "'number', 'integer'"),
]
SOUND_COLUMNS = [
    {"type": "integer", "min": 0},
    {"type": "number", "min": 1, "max": 1},
    {"type": "category", "categories": ["a", "b"]},
    {"type": "text", "use": False},
]


@pytest.mark.parametrize(("content", "message"), UNSOUND_COLUMNS)
def test_unsound_columns_are_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Column.model_validate(content)


@pytest.mark.parametrize("content", SOUND_COLUMNS)
def test_sound_columns_are_taken(content: dict[str, Any]) -> None:
    assert Column.model_validate(content).type == content["type"]


UNSOUND_TARGETS = [
    ({"task": "binary", "classes": ["a"]}, "two classes, the positive one last"),
    ({"task": "binary"}, "two classes"),
    ({"task": "multiclass", "classes": ["a", "b"]}, "three classes or more"),
    ({"task": "multiclass", "classes": ["a", "b", "b"]}, "classes repeat"),
    ({"task": "regression", "classes": ["a"]}, "has no classes"),
    ({"task": "ranking"}, "'binary', 'multiclass'"),
]


@pytest.mark.parametrize(("content", "message"), UNSOUND_TARGETS)
def test_unsound_targets_are_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Target.model_validate({"column": "y", **content})


def test_only_a_binary_target_has_a_positive_class() -> None:
    assert Target(column="y", task="binary", classes=("a", "b")).positive == "b"
    assert Target(column="y", task="multiclass", classes=("a", "b", "c")).positive is None
    assert Target(column="y", task="regression").positive is None


UNSOUND: list[tuple[dict[str, Any], str]] = [
    ({"id": "z"}, "id: there is no column 'z'"),
    ({"time": "z"}, "time: there is no column 'z'"),
    ({"group": "z"}, "group: there is no column 'z'"),
    ({"sensitive": ["z"]}, "sensitive: there is no column 'z'"),
    ({"time": "x"}, "'x' is not of type datetime"),
    ({"id": "y"}, "must be different columns"),
    ({"id": "t", "time": "t"}, "must be different columns"),
    ({"target": {"column": "t", "task": "regression"}}, "regression needs a numeric column, 't' is datetime"),
    ({"target": {"column": "x", "task": "binary", "classes": [0, 1]}}, "classification needs .* 'x' is number"),
    ({"target": {"column": "t", "task": "binary", "classes": [0, 1]}}, "'t' is datetime"),
    ({"columns": {"y": {"type": "category"}, "x": {"type": "number", "use": False}}}, "no column is left"),
    ({"columns": {"x": {"type": "number"}}}, "target.column: there is no column 'y'"),
]


@pytest.mark.parametrize(("change", "message"), UNSOUND)
def test_roles_that_do_not_fit_their_columns_are_refused(change: dict[str, Any], message: str) -> None:
    sound = schema_of({"x": "number", "t": "datetime"})

    with pytest.raises(ValidationError, match=message):
        type(sound).model_validate(sound.model_dump(exclude_unset=True) | change)


@pytest.mark.parametrize("change", [{"separator": ";;"}, {"separator": ""}, {"quote": "''"}, {"encoding": "utf-16"}])
def test_a_source_that_cannot_be_read_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Source.model_validate({"files": "*.csv", "format": "csv", **change})
    assert Source(files="*.csv", format="csv", separator="\t").separator == "\t"
