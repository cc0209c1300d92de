"""What `adopt` makes of the bytes of a file, before it looks at a single column."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from slipway.adopt.sniff import sniff
from slipway.errors import UserError


def file(folder: Path, content: str | bytes, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_the_one_that_cuts_every_line_alike(tmp_path, separator):
    lines = ["name of it", "x, y; z", "target"], ['"a, b; c | d"', "1.5", "yes"], ["e", "2.5", "no"]
    quoted = [[f'"{cell}"' if "," in cell and '"' not in cell else cell for cell in line] for line in lines]
    source, _ = sniff(file(tmp_path, "\n".join(separator.join(line) for line in quoted)), "target")
    assert (source.separator, source.decimal, source.quote) == (separator, ".", '"')


@pytest.mark.parametrize(
    ("text", "decimal"),
    [
        ("a;y\n1,5;x\n2,25;z\n", ","),
        ("a;y\n1,234;x\n2,345;z\n", ","),
        ("a;y\n1.5;x\n2.25;z\n", "."),
        ('a,y\n"1,5",x\n"2,25",z\n', ","),
        ('a,y\n"1,234",x\n"2,345",z\n', "."),  # thousands
        ("a;y\n1;x\n2;z\n", "."),
    ],
)
def test_the_decimal_mark_is_seen(tmp_path, text, decimal):
    assert sniff(file(tmp_path, text), "y")[0].decimal == decimal


def test_a_file_that_is_not_utf8_is_latin1_even_if_only_its_end_says_so(tmp_path):
    text = "ville,y\n" + "Lyon,1\n" * 400_000
    assert sniff(file(tmp_path, text + "Nîmes,0\n", encoding="latin-1"), "y")[0].encoding == "latin-1"
    assert sniff(file(tmp_path, text + "Nîmes,0\n"), "y")[0].encoding == "utf-8"


def test_a_byte_order_mark_and_single_quotes_are_understood(tmp_path):
    source, _ = sniff(file(tmp_path, b"\xef\xbb\xbf" + b"'a, b','y'\n'it, is','no'\n'or','yes'\n"), "y")
    assert (source.quote, source.separator, source.encoding) == ("'", ",", "utf-8")
    assert sniff(file(tmp_path, "a,y\nit's,no\nthey're,yes\n"), "y")[0].quote == '"'


def test_a_file_without_a_header_is_refused_and_one_with_numbers_as_names_is_not(tmp_path):
    rows = "39, State-gov, 77516, <=50K\n50, Private, 83311, >50K\n"
    with pytest.raises(UserError, match="no header, its first line is data"):
        sniff(file(tmp_path, rows), "income")
    assert sniff(file(tmp_path, "age, work, weight, income\n" + rows), "income")
    assert sniff(file(tmp_path, "city,2019,2020\nLima,1,2\nOslo,3,4\n"), "2020")
    with pytest.raises(UserError, match="no header"):
        sniff(file(tmp_path, "5.1,3.5,1\n4.9,3.0,0\n6.2,2.9,1\n"), "1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "gzip"),
        (b"PK\x03\x04rest", "Excel"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        (b'[{"a": 1}]', "JSON array"),
        (b"a,b\0\n1,2\n", "is not a CSV, Parquet or JSON-lines file"),
        (b"only\n1\n2\n", "one column only, 'only'"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, content, message):
    with pytest.raises(UserError, match=message) as refused:
        sniff(file(tmp_path, content), "b")
    assert "\n" not in str(refused.value)


def test_the_format_is_told_by_the_content_not_the_name(tmp_path):
    pl.DataFrame({"a": [1], "y": [2]}).write_parquet(tmp_path / "p.bin")
    assert sniff(tmp_path / "p.bin", "y")[0].format == "parquet"
    assert sniff(file(tmp_path, '{"a": 1, "y": 2}\n', "lines.txt"), "y")[0].format == "jsonl"
    with pytest.raises(UserError, match="byte order mark"):
        sniff(file(tmp_path, b"\xef\xbb\xbf" + b'{"a": 1}\n', "b.jsonl"), "a")


def test_a_folder_gives_its_tables_and_nothing_else(tmp_path):
    for name in ("b.csv", "a.csv"):
        file(tmp_path, "a,y\n1,x\n", name)
    file(tmp_path, "read me", "README.md")
    source, files = sniff(tmp_path, "y")
    assert ([path.name for path in files], source.files) == (["a.csv", "b.csv"], "*.csv")
    file(tmp_path, '{"a": 1}\n', "c.jsonl")
    with pytest.raises(UserError, match="several kinds"):
        sniff(tmp_path, "y")
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="holds no table"):
        sniff(tmp_path / "none", "y")
    with pytest.raises(UserError, match="no such file"):
        sniff(tmp_path / "nowhere.csv", "y")
