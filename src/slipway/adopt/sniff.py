"""What kind of file this is: format, encoding, separator, quote and decimal mark, read from its bytes."""

import codecs
import csv
import io
import re
from collections import Counter
from glob import escape
from pathlib import Path
from typing import Any, Literal

from slipway.errors import UserError
from slipway.schema import Source

SAMPLE_BYTES = 1 << 20
SUFFIXES = {
    "parquet": (".parquet", ".pq"),
    "jsonl": (".jsonl", ".ndjson"),
    "csv": (".csv", ".tsv", ".psv", ".tab", ".data", ".txt"),
}
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
FOREIGN = {
    b"\x1f\x8b": "compressed with gzip; decompress it first",
    b"BZh": "compressed with bzip2; decompress it first",
    b"\xfd7zXZ": "compressed with xz; decompress it first",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it first",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook; unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save the sheet as CSV",
    b"SQLite format 3": "an SQLite database; export the table as CSV",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}

COMMA_DECIMAL = re.compile(r"\s*[-+]?\d+,\d+\s*")
POINT_DECIMAL = re.compile(r"\s*[-+]?\d*\.\d+\s*")
THOUSANDS = re.compile(r"\s*[-+]?[1-9]\d{0,2}([.,]\d{3})+\s*")


def sniff(path: Path, target: str) -> tuple[Source, list[Path]]:
    """How a file, or every file of a folder, is to be read once it lies in `data/`, and the files.

    A first line of CSV that names the target is a header.

    Raises:
        UserError: There is no such file, or it is empty, of another kind, or has no header.
    """
    if path.is_dir():
        files, pattern = _files_of(path)
    elif path.is_file():
        files, pattern = [path], f"*{escape(path.suffix)}" if path.suffix else escape(path.name)
    else:
        raise UserError(f"{path}: no such file or folder; give the path of your table")
    formats = {_format(file) for file in files}
    if len(formats) > 1:
        raise UserError(f"{path}: holds files of several formats ({', '.join(sorted(formats))}); keep one")
    if (found := formats.pop()) != "csv":
        return Source(files=pattern, format=found), files
    encoding = "utf-8" if all(_is_utf8(file) for file in files) else "latin-1"
    return Source(files=pattern, format="csv", encoding=encoding, **_dialect(files[0], encoding, target)), files


def _files_of(folder: Path) -> tuple[list[Path], str]:
    known = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.suffix.lower() in known)
    suffixes = sorted({file.suffix for file in files})
    if not files:
        raise UserError(f"{folder}: holds no table ({', '.join(sorted(known))}); give the folder or file that does")
    if len(suffixes) > 1:
        raise UserError(f"{folder}: holds files of several kinds ({', '.join(suffixes)}); keep one in the folder")
    return files, f"*{suffixes[0]}"


def _format(file: Path) -> Literal["parquet", "csv", "jsonl"]:
    with file.open("rb") as stream:
        head = stream.read(4096)
    for magic, what in FOREIGN.items():
        if head.startswith(magic):
            raise UserError(f"{file}: is {what}")
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text:
        raise UserError(f"{file}: is empty; give a table with a header and rows")
    if head.startswith(b"PAR1") or file.suffix.lower() in SUFFIXES["parquet"]:
        return "parquet"
    if b"\0" in head:
        raise UserError(f"{file}: is not a CSV, Parquet or JSON-lines file; export your table as one of these")
    if text.startswith(b"["):
        raise UserError(f"{file}: is a JSON array; write one object a line instead, as `jq -c '.[]'` does")
    if text.startswith(b"{") or file.suffix.lower() in SUFFIXES["jsonl"]:
        if head.startswith(codecs.BOM_UTF8):
            raise UserError(f"{file}: begins with a byte order mark, which JSON forbids; save it as UTF-8 without BOM")
        return "jsonl"
    return "csv"


def _is_utf8(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8") as stream:
            while stream.read(SAMPLE_BYTES):
                pass
    except UnicodeDecodeError:
        return False
    return True


def _dialect(file: Path, encoding: str, target: str) -> dict[str, Any]:
    with file.open("rb") as stream:
        sample = stream.read(SAMPLE_BYTES)
        whole = not stream.read(1)
    text = sample.removeprefix(codecs.BOM_UTF8).decode(encoding, errors="ignore")
    if not whole:  # the last line may be cut
        text = text[: text.rfind("\n") + 1] or text
    separator = max(SEPARATORS, key=lambda candidate: _fit(text, candidate))
    edge = re.escape(separator)
    single = '"' not in text and re.search(rf"(^|{edge})'[^'\n]*'({edge}|$)", text, re.MULTILINE)
    quote = "'" if single else '"'
    header, *rows = _rows(text, separator, quote)
    if len(header) < 2:
        raise UserError(
            f"{file}: has one column only, {header[0]!r:.60}; a table needs a target and a feature, separated by "
            f"{', '.join(SEPARATORS.values())}"
        )
    if _is_data(header, rows, target):
        first = ", ".join(header[:4])
        raise UserError(f"{file}: has no header, its first line is data ({first:.60}, ...); add a line of column names")
    return {"separator": separator, "quote": quote, "decimal": _decimal(rows, separator)}


def _rows(text: str, separator: str, quote: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, quotechar=quote) if row]
    except csv.Error:  # a cell beyond the reader's limit, as behind a stray quote: no table by this separator
        return [[""]]


def _fit(text: str, separator: str) -> tuple[float, int]:
    """How well a separator explains the text: the share of lines as wide as the header, and that width."""
    widths = [len(row) for row in _rows(text, separator, '"')]
    return (widths.count(widths[0]) / len(widths), widths[0]) if widths[0] > 1 else (0.0, 0)


def _number(cell: str) -> bool:
    try:
        float(cell.strip().replace(",", "."))
    except ValueError:
        return False
    return True


def _is_data(header: list[str], rows: list[list[str]], target: str) -> bool:
    """Whether the first line is a row like the others: wherever a column holds numbers, so does it."""
    body = [row for row in rows[:100] if len(row) == len(header)]
    numeric = [name for index, name in enumerate(header) if body and all(_number(row[index]) for row in body)]
    if not numeric or not all(_number(name) for name in numeric):
        return False
    return target.strip() not in map(str.strip, header) or any(POINT_DECIMAL.fullmatch(name) for name in numeric)


def _decimal(rows: list[list[str]], separator: str) -> Literal[".", ","]:
    kinds = Counter[str]()
    for cell in (cell for row in rows for cell in row):
        if THOUSANDS.fullmatch(cell) and not (separator == ";" and "," in cell):
            kinds["neither"] += 1  # it may mean a thousand; but between semicolons, a comma is the decimal mark
        elif COMMA_DECIMAL.fullmatch(cell):
            kinds[","] += 1
        elif POINT_DECIMAL.fullmatch(cell):
            kinds["."] += 1
    return "," if kinds[","] > kinds["."] else "."
