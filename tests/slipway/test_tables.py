"""From files to a typed table: what is read, and what is said of files that cannot be."""

import csv
import gzip
import io
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from helpers import schema_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.errors import UserError
from slipway.schema import Source
from slipway.tables import check_columns, scan_raw, typed, unread


def read(folder: Path, content: str | bytes, file_format: str = "csv", **options: Any) -> dict[str, list[Any]]:
    """The cells of one file as `scan_raw` gives them."""
    (folder / f"a.{file_format}").write_bytes(content if isinstance(content, bytes) else content.encode())
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    source = Source.model_validate({"files": f"*.{file_format}", "format": file_format, **options})
    return scan_raw(source, scratch, folder).collect().to_dict(as_series=False)


def refusal(folder: Path, content: str | bytes, file_format: str = "csv", **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, content, file_format, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{folder}/")


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("a,b\n1,x\n", {}),
        ("a,b\n1,x", {}),
        ("a,b\r\n1,x\r\n", {}),
        ("\ufeffa,b\n1,x\n", {}),
        ('"a","b"\n"1","x"\n', {}),
        ("a;b\n1;x\n", {"separator": ";"}),
        ("a\tb\n1\tx\n", {"separator": "\t"}),
        ("a,b\n\n1,x\n\n", {}),
        ("a,b\n'1','x'\n", {"quote": "'"}),
    ],
)
def test_common_ways_of_writing_csv_are_read_alike(content: str, options: dict[str, str], tmp_path: Path) -> None:
    assert read(tmp_path, content, **options) == {"a": ["1"], "b": ["x"]}


def test_latin_1_is_read_where_the_contract_says_so_and_refused_where_not(tmp_path: Path) -> None:
    content = "größe,b\n1,Zürich\n".encode("latin-1")

    assert read(tmp_path, content, encoding="latin-1") == {"größe": ["1"], "b": ["Zürich"]}
    assert refusal(tmp_path, content).startswith("a.csv: cannot be read: ")
    assert refusal(tmp_path, "a,b\n1,Zürich\n".encode("latin-1")).startswith("a.csv: cannot be read: ")


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5), separator=st.sampled_from(",;\t|"))
def test_every_cell_of_a_csv_file_arrives_as_written(
    rows: list[tuple[str, str]], separator: str, tmp_path: Path
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *rows])

    cells = read(tmp_path, text.getvalue(), separator=separator)

    assert list(zip(cells["a"], cells["b"], strict=True)) == rows


def test_a_cell_may_hold_lines_quotes_and_separators(tmp_path: Path) -> None:
    assert read(tmp_path, 'a,b\n1,"x ""y""\n,z"\n') == {"a": ["1"], "b": ['x "y"\n,z']}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "a.csv: cannot be read: Empty CSV file"),
        ("a,b\n1,2\n3", "a.csv: cannot be read: CSV parse error: Expected 2 columns, got 1: 3"),
        ("a,b\n1,2,3\n", "a.csv: cannot be read: CSV parse error: Expected 2 columns, got 3: 1,2,3"),
        ('a,b\n1,"2\n3,4\n', "a.csv: a quoted cell never ends; the file is cut off or has a stray \""),
        ("a,b,a\n1,2,3\n", "a.csv: the header names column 'a' twice"),
        ("a,b\n1,2\n".encode("utf-16"), "a.csv: cannot be read: "),
        (gzip.compress(b"a,b\n1,2\n" * 99, mtime=0), "a.csv: "),
    ],
)  # fmt: skip
def test_a_broken_csv_file_is_named_with_what_is_wrong(content: str | bytes, message: str, tmp_path: Path) -> None:
    said = refusal(tmp_path, content).replace("Row #2: ", "").replace("Row #3: ", "")  # which one thread alone can tell
    assert said.startswith(message)


def test_json_lines_are_read_as_text_the_way_the_predictor_writes_numbers(tmp_path: Path) -> None:
    rows = [{"a": 3.0, "b": True, "c": None}, {"a": 3, "b": False, "c": "x\ny"}, {"a": 0.5, "d": 12345678901234567890}]

    cells = read(tmp_path, "\n".join(json.dumps(row) for row in rows), "jsonl")

    assert cells == {
        "a": ["3", "3", "0.5"],
        "b": ["true", "false", None],
        "c": [None, "x\ny", None],
        "d": [None, None, "12345678901234567890"],
    }


@pytest.mark.parametrize("content", ["", "\n", '{"a": 1}\n{"a": ', '{"a": 1}\nnonsense\n', '[{"a": 1}]', "3\n4\n"])
def test_broken_json_lines_are_named(content: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, content, "jsonl").startswith("a.jsonl: cannot be read: ")


def test_a_broken_parquet_file_is_named(tmp_path: Path) -> None:
    pl.DataFrame({"a": range(100)}).write_parquet(tmp_path / "sound")
    whole = (tmp_path / "sound").read_bytes()

    assert read(tmp_path, whole, "parquet") == {"a": list(range(100))}
    for broken in (b"", b"nonsense", whole[:-20], whole[: len(whole) // 2]):
        assert refusal(tmp_path, broken, "parquet").startswith("a.parquet: cannot be read: ")


def test_several_files_are_one_table_in_name_order_whatever_the_order_of_their_columns(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("b,a\ny,2\n")

    assert read(tmp_path, "a,b\n1,x\n") == {"a": ["1", "2"], "b": ["x", "y"]}


def test_files_with_other_columns_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("a,c\n2,y\n")

    assert refusal(tmp_path, "a,b\n1,x\n").startswith("b.csv: its columns differ from those of ")


def test_no_file_says_which_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"/\*\.csv: no such file; run `make repro`"):
        scan_raw(Source(files="*.csv", format="csv"), tmp_path, tmp_path)


def test_a_missing_column_names_the_one_it_may_have_become() -> None:
    schema = schema_of({"income": "number", "age": "number"})

    assert check_columns(["age", "y", "income", "new"], schema) == ["new"]
    with pytest.raises(UserError, match=r"'income' is missing; 'Income \(EUR\)' is there instead: was it renamed\?"):
        check_columns(["age", "Income (EUR)", "y"], schema)
    with pytest.raises(UserError, match=r"'income' is missing \(restore it"):
        check_columns(["age", "y", "zzz"], schema)


def interpret(values: list[Any], kind: str, dtype: pl.DataType | None = None, **options: Any) -> list[Any]:
    """What becomes of raw values: the typed ones, None where missing, "unread" where they break the type."""
    column = {"type": kind} | {key: options.pop(key) for key in ("format",) if key in options}
    schema = schema_of({"x": column, "z": "number"}, missing=("?", "NA"), **options)
    raw = pl.DataFrame({"x": pl.Series(values, dtype=dtype or pl.String())})
    doubtful = unread("x", raw["x"].dtype, schema)
    table = raw.select(x=typed("x", raw["x"].dtype, schema), bad=pl.lit(value=False) if doubtful is None else doubtful)
    assert table["x"].dtype == schema.polars_type("x")
    return ["unread" if bad else value for value, bad in table.iter_rows()]


MISSING = ["", "  ", "?", " NA ", None]
COMMA = {"source": {"files": "*.csv", "format": "csv", "decimal": ","}}


@pytest.mark.parametrize("kind", ["number", "integer", "boolean", "category", "datetime"])
def test_empty_text_and_the_markers_mean_missing(kind: str) -> None:
    assert interpret(MISSING, kind) == [None] * len(MISSING)


@pytest.mark.parametrize(
    ("kind", "texts", "values"),
    [
        ("number", ["1.5", " -2 ", "1e3", "+.5", "007"], [1.5, -2.0, 1000.0, 0.5, 7.0]),
        ("number", ["x", "1,5", "1.5.2", "inf", "nan", "1 2", "0x10"], ["unread"] * 7),
        ("integer", ["3", "-3", "3.0", "9007199254740993"], [3, -3, 3, 9007199254740993]),
        ("integer", ["3.5", "x", "1e400", "99999999999999999999"], ["unread"] * 4),
        ("boolean", ["true", "False", "YES", "n", "1", "0", "T"], [True, False, True, False, True, False, True]),
        ("boolean", ["2", "maybe"], ["unread"] * 2),
        ("category", [" a ", "3.0", "true"], ["a", "3.0", "true"]),
        (
            "datetime",
            ["2024-02-29", "2024-02-29 12:30", "2024-02-29T12:30:15.25", "2024-02-29 12:30:15", "2024-02-29T12:30:15Z"],
            [datetime(2024, 2, 29), datetime(2024, 2, 29, 12, 30), datetime(2024, 2, 29, 12, 30, 15, 250_000),
             datetime(2024, 2, 29, 12, 30, 15), datetime(2024, 2, 29, 12, 30, 15)],
        ),
        ("datetime", ["2023-02-29", "29.02.2024", "soon"], ["unread"] * 3),
    ],
)  # fmt: skip
def test_text_is_read_as_the_contract_s_type(kind: str, texts: list[str], values: list[Any]) -> None:
    assert interpret(texts, kind) == values


def test_a_decimal_comma_is_read_where_the_contract_says_so() -> None:
    assert interpret(["1,5", "2"], "number", **COMMA) == [1.5, 2.0]
    assert interpret(["3,0", "3,5"], "integer", **COMMA) == [3, "unread"]
    assert interpret(["1,5"], "number") == ["unread"]


def test_a_date_format_is_used_where_the_contract_gives_one() -> None:
    assert interpret(["29.02.2024", "2024-02-29"], "datetime", format="%d.%m.%Y") == [datetime(2024, 2, 29), "unread"]


@pytest.mark.parametrize(
    ("kind", "values", "dtype", "expected"),
    [
        ("number", [1.5, float("nan"), None], pl.Float64(), [1.5, None, None]),
        ("number", [1.5, float("inf")], pl.Float64(), [1.5, "unread"]),
        ("number", [1, None], pl.Int32(), [1.0, None]),
        ("number", [True, False], pl.Boolean(), [1.0, 0.0]),
        ("integer", [1.0, 1.5, float("nan")], pl.Float64(), [1, "unread", None]),
        ("integer", [2**63], pl.UInt64(), ["unread"]),
        ("boolean", [0, 1, 2], pl.Int64(), [False, True, "unread"]),
        ("boolean", [True, None], pl.Boolean(), [True, None]),
        ("boolean", [1.0, 0.0, 0.5], pl.Float64(), [True, False, "unread"]),
        ("category", [3.0, 2.5, None, float("nan")], pl.Float64(), ["3", "2.5", None, None]),
        ("category", [7], pl.Int64(), ["7"]),
        ("category", [True], pl.Boolean(), ["true"]),
        ("category", ["a ", "?"], pl.Categorical(), ["a", None]),
        ("datetime", [date(2024, 2, 29)], pl.Date(), [datetime(2024, 2, 29)]),
        ("datetime", [datetime(2024, 2, 29, 1)], pl.Datetime("ns"), [datetime(2024, 2, 29, 1)]),
        (
            "datetime",
            [datetime(2024, 7, 1, 2, tzinfo=ZoneInfo("Europe/Zurich"))],
            pl.Datetime("us", "Europe/Zurich"),
            [datetime(2024, 7, 1, 0)],
        ),
    ],
)
def test_typed_columns_are_read_as_the_contract_s_type(
    kind: str, values: list[Any], dtype: pl.DataType, expected: list[Any]
) -> None:
    assert interpret(values, kind, dtype) == expected
