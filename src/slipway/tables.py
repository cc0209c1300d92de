"""From files to a typed table: whatever `data/` holds becomes one lazy table with the schema's columns and types."""

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from errno import EACCES, ENOSPC, EROFS
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from slipway import layout
from slipway.errors import UserError
from slipway.moments import ISO, pattern
from slipway.schema import Column, Schema, Source
from slipway.values import FALSE, TRUE, as_text


def source_files(source: Source, root: Path = layout.DATA) -> list[Path]:
    """The files of a source in name order.

    Raises:
        UserError: No file matches.
    """
    files = sorted(path for path in root.glob(source.files) if path.is_file())
    if not files:
        raise UserError(
            f"{root}/{source.files}: no such file; run `make repro`, or correct source.files in {layout.SCHEMA}"
        )
    return files


def scan_raw(source: Source, scratch: Path, root: Path = layout.DATA) -> pl.LazyFrame:
    """Scan the files of a source as they are: Parquet with its own types, CSV and JSON lines with every column as text.

    Args:
        source: Which files, and how they are written.
        scratch: An existing folder for the text of CSV files as Parquet; it must outlive the returned table.
        root: The folder that `source.files` is relative to.

    Raises:
        UserError: A file is missing, empty, truncated or not what the source says, or the files' columns differ.
    """
    files = source_files(source, root)
    if source.format == "csv":
        files = [csv_to_parquet(path, scratch / f"{number}.parquet", source) for number, path in enumerate(files)]
    scans: list[pl.LazyFrame] = []
    for path, original in zip(files, source_files(source, root), strict=True):
        with readable(original):
            scan = (
                pl.scan_ndjson(path, schema=jsonl_columns(path)) if source.format == "jsonl" else pl.scan_parquet(path)
            )
            names = scan.collect_schema().names()
        if scans and set(names) != set(scans[0].collect_schema().names()):
            raise UserError(
                f"{original}: its columns differ from those of {files[0]}; give every file the same columns"
            )
        scans.append(scan)
    return pl.concat(scans, how="diagonal_relaxed") if len(scans) > 1 else scans[0]


def jsonl_columns(path: Path) -> dict[str, pl.DataType]:
    """The keys of a JSON-lines file, all as text; values that are objects or lists stay their JSON text."""
    return dict.fromkeys(pl.scan_ndjson(path, infer_schema_length=None).collect_schema().names(), pl.String())


def csv_to_parquet(path: Path, out: Path, source: Source) -> Path:
    """Write the cells of a CSV file, all as text, to a Parquet file, in bounded memory.

    Raises:
        UserError: The file is empty, a line has too few or too many cells, a quote never ends, or the bytes are not of
            the source's encoding.
    """
    with readable(path):
        with path.open("rb") as file:
            quotes = sum(block.count(source.quote.encode()) for block in iter(lambda: file.read(1 << 20), b""))
        if quotes % 2:
            raise UserError(f"{path}: a quoted cell never ends; the file is cut off or has a stray {source.quote}")
        encoding = "utf8" if source.encoding == "utf-8" else "latin-1"
        read = pa_csv.ReadOptions(encoding=encoding, block_size=1 << 24)
        parse = pa_csv.ParseOptions(delimiter=source.separator, quote_char=source.quote, newlines_in_values=True)
        with pa_csv.open_csv(path, read, parse, pa_csv.ConvertOptions(check_utf8=False)) as reader:
            names = reader.schema.names
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise UserError(f"{path}: the header names column {repeated[0]!r} twice; give every column its own name")
        text = pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
        with pa_csv.open_csv(path, read, parse, text) as reader, pq.ParquetWriter(out, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
    return out


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what a reader says of a bad file into one line that names the file."""
    try:
        yield
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        reason = " ".join(str(error).split())[:200]
        if "os error" in reason or getattr(error, "errno", None) in {ENOSPC, EROFS, EACCES}:
            raise UserError(f"{path}: reading it, or writing beside the results, failed: {reason}") from None
        raise UserError(
            f"{path}: cannot be read: {reason}; is the file whole, and in the format the schema says?"
        ) from None


def check_columns(found: list[str], schema: Schema) -> list[str]:
    """Compare the columns of a table with the contract's.

    Returns:
        Columns of the table that the contract does not know; they are left out.

    Raises:
        UserError: A column of the contract is missing; the message names the likeliest new name.
    """
    extra = [name for name in found if name not in schema.columns]
    for name in schema.columns:
        if name not in found:
            close = get_close_matches(name, extra, n=1, cutoff=0.5)
            hint = f"; {close[0]!r} is there instead: was it renamed?" if close else ""
            raise UserError(f"{layout.DATA}: column {name!r} is missing{hint} (restore it, or edit {layout.SCHEMA})")
    return extra


def typed(name: str, raw: pl.DataType, schema: Schema) -> pl.Expr:
    """The expression that reads a raw column as the contract's type; null where it is missing or not readable.

    An infinite number in a column of floats stays: `unread` finds it, and a pass over the column is saved.
    """
    column, wanted, value = schema.columns[name], schema.polars_type(name), present(name, raw, schema)
    from_text = _is_text(raw)
    moment = isinstance(raw, pl.Date | pl.Datetime)
    if not from_text and (
        moment != (wanted == pl.Datetime("us")) or isinstance(raw, pl.Time | pl.Duration | pl.Binary)
    ):
        return pl.lit(None, dtype=wanted)  # a number is no moment, nor the other way round
    if wanted == pl.Float64():
        number = _number_from_text(value, schema)
        return pl.when(number.is_finite()).then(number) if from_text else value.cast(pl.Float64, strict=False)
    if wanted == pl.Int64():
        return _integer(value, raw, schema)
    if wanted == pl.Datetime("us"):
        return _datetime(value, raw, column)
    if wanted == pl.Boolean():
        return value if raw == pl.Boolean() else _boolean(value, raw)
    return value if from_text else _text(value, raw, column)


def unread(name: str, raw: pl.DataType, schema: Schema) -> pl.Expr | None:
    """The expression that is true where a raw value cannot be read as the contract's type; None if every value can."""
    wanted = schema.polars_type(name)
    if wanted == pl.Float64() and raw.is_float():
        return pl.col(name).is_infinite()
    if (wanted == raw and not raw.is_temporal()) or (wanted == pl.String() and _is_text(raw)):
        return None
    return present(name, raw, schema).is_not_null() & typed(name, raw, schema).is_null()


def present(name: str, raw: pl.DataType, schema: Schema) -> pl.Expr:
    """A raw column with everything that means "no value" as null: NaN, empty text and the contract's markers."""
    value = pl.col(name)
    if raw.is_float():
        return value.fill_nan(None)
    if _is_text(raw):
        value = value.cast(pl.String).str.strip_chars()
        return pl.when(~value.is_in(["", *schema.missing])).then(value)
    return value


def _is_text(raw: pl.DataType) -> bool:
    return isinstance(raw, pl.String | pl.Categorical | pl.Enum)


def _number_from_text(value: pl.Expr, schema: Schema) -> pl.Expr:
    if schema.source.decimal == ",":  # a point then is no decimal mark: 1.234 may mean a thousand
        value = pl.when(~value.str.contains(".", literal=True)).then(value.str.replace(",", ".", literal=True))
    return value.cast(pl.Float64, strict=False)


def _integer(value: pl.Expr, raw: pl.DataType, schema: Schema) -> pl.Expr:
    if raw.is_integer() or raw == pl.Boolean():
        return value.cast(pl.Int64, strict=False)
    number = _number_from_text(value, schema) if _is_text(raw) else value.cast(pl.Float64, strict=False)
    whole = pl.when(number == number.floor()).then(number).cast(pl.Int64, strict=False)
    return pl.coalesce(value.cast(pl.Int64, strict=False), whole) if _is_text(raw) else whole


def _boolean(value: pl.Expr, raw: pl.DataType) -> pl.Expr:
    if not _is_text(raw):
        return pl.when(value == 1).then(True).when(value == 0).then(False)
    text = value.str.to_lowercase()
    return pl.when(text.is_in(TRUE)).then(True).when(text.is_in(FALSE)).then(False)


def _datetime(value: pl.Expr, raw: pl.DataType, column: Column) -> pl.Expr:
    if isinstance(raw, pl.Datetime) and raw.time_zone:
        value = value.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if not _is_text(raw):
        return _within_years(value.cast(pl.Datetime("us"), strict=False))
    value = pl.when(value.str.contains(f"^(?:{pattern(column.format)})$")).then(value)
    form = column.format
    if form is None:  # every part that may be absent is filled in, and one format reads them all
        part = value.str.extract_groups(ISO).struct
        clock = pl.concat_str(part["H"], pl.lit(":"), part["M"])
        seconds = pl.concat_str(part["S"].fill_null("00"), part["f"].fill_null(""))
        zone = part["z"].fill_null("+0000")
        value = pl.concat_str(value.str.head(10), clock.fill_null("00:00"), seconds, zone, separator=" ")
        form = "%Y-%m-%d %H:%M %S%.f %z"
    if "%d" not in form:
        value, form = pl.concat_str(value, pl.lit(" 1")), f"{form} %d"
    if "%z" not in form:
        return _within_years(value.str.to_datetime(form, strict=False, time_unit="us"))
    # Polars does not know Z, and turns the moment into UTC.
    moment = value.str.replace("[zZ]$", "+00:00").str.to_datetime(form, strict=False, time_unit="us")
    return _within_years(moment.dt.replace_time_zone(None))


def _within_years(moment: pl.Expr) -> pl.Expr:
    """Null where ISO 8601 and Python cannot write the moment."""
    return pl.when(moment.dt.year().is_between(1, 9999)).then(moment)


def _text(value: pl.Expr, raw: pl.DataType, column: Column) -> pl.Expr:
    if raw.is_float():
        return value.map_batches(_float_texts, return_dtype=pl.String(), is_elementwise=True)
    if column.type == "boolean" and raw != pl.Boolean():  # a boolean target: its classes are "true" and "false"
        return _boolean(value, raw).cast(pl.String)
    return value.cast(pl.String, strict=False)


def _float_texts(values: pl.Series) -> pl.Series:
    distinct = values.drop_nulls().unique()
    texts = pl.Series([as_text(value) for value in distinct.to_numpy()], dtype=pl.String)
    return values.replace_strict(distinct, texts) if len(texts) else values.cast(pl.String)
