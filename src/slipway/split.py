"""Which rows are held out: by a stable hash of the row, by time, or by group.

The hash is documented here and held by golden values in the tests; it depends on no library's own hash. For a row and a
salt, with arithmetic modulo 2^64:

1. Every key column's value becomes a 64-bit code: numbers, integers and booleans their IEEE-754 binary64 pattern (-0 as
   +0), integers beyond 2^53, which binary64 cannot tell apart, their own two's complement, datetimes the microseconds
   since 1970-01-01, texts and categories the xxHash64 (seed 0) of their UTF-8 bytes, a missing value 0.
2. Every column's multiplier is BLAKE2b (8 bytes, little-endian, keyed with BLAKE2b-512 of the salt's UTF-8 bytes, or
   unkeyed where the salt is empty) of its name's UTF-8 bytes, made odd.
3. The sum of multiplier x code over the key columns (multilinear hashing; Lemire and Kaser, "Strongly universal string
   hashing is fast", 2014) goes through the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
4. The row is held out if the result is below holdout x 2^64.

The side of a row depends on nothing but the row, so appending rows moves none, and equal rows share a side. Nor does
the order of the columns matter, nor a new column that is empty for the old rows.
"""

from collections.abc import Sequence
from functools import reduce
from hashlib import blake2b
from operator import add

import polars as pl
import polars_hash as plh

from slipway import layout
from slipway.errors import UserError
from slipway.params import Split
from slipway.schema import Schema


def is_holdout(schema: Schema, split: Split) -> pl.Expr:
    """A boolean expression over the prepared table: true where the row is held out.

    Raises:
        UserError: The contract does not name the column that the strategy needs.
    """
    column = deciding_column(schema, split)
    if split.strategy == "time":
        return pl.col(str(column)) >= pl.lit(split.cutoff).cast(pl.Datetime("us"))
    return row_key(schema, (column,) if column else schema.key, split.salt) < _u64(int(split.holdout * 2**64))


def deciding_column(schema: Schema, split: Split) -> str | None:
    """The column that a split by time or group goes by; None for a split by hash.

    Raises:
        UserError: The contract does not name it.
    """
    if split.strategy == "hash":
        return None
    column = schema.time if split.strategy == "time" else schema.group
    if column is None:
        raise UserError(
            f"{layout.PARAMS}: split.strategy: `{split.strategy}` needs a column to go by; "
            f"name it as `{split.strategy}` in {layout.SCHEMA}"
        )
    return column


def row_key(schema: Schema, columns: Sequence[str], salt: str = "") -> pl.Expr:
    """The 64-bit key of a row over the given columns of the prepared table, as the module documents."""
    codes = [_code(schema, name) * _u64(_multiplier(name, salt)) for name in columns]
    return _finalise(reduce(add, (code.fill_null(0) for code in codes)))


def _code(schema: Schema, name: str) -> pl.Expr:
    column = pl.col(name)
    match schema.polars_type(name):
        case pl.String():
            return plh.col(name).nchash.xxhash64(seed=0)
        case pl.Datetime():
            return column.cast(pl.Int64).reinterpret(dtype=pl.UInt64)
        case pl.Int64():
            exact = column.is_between(-(2**53), 2**53)
            number = pl.when(exact).then(column).cast(pl.Float64).reinterpret(dtype=pl.UInt64)
            return pl.when(exact).then(number).otherwise(column.reinterpret(dtype=pl.UInt64))
        case _:
            number = column.cast(pl.Float64)  # -0 equals 0, and Polars would optimise an added 0 away
            return pl.when(number == 0).then(0.0).otherwise(number).reinterpret(dtype=pl.UInt64)


def _multiplier(name: str, salt: str) -> int:
    key = blake2b(salt.encode()).digest() if salt else b""
    return int.from_bytes(blake2b(name.encode(), digest_size=8, key=key).digest(), "little") | 1


def _finalise(z: pl.Expr) -> pl.Expr:
    z = (z ^ _shifted(z, 30)) * _u64(0xBF58476D1CE4E5B9)
    z = (z ^ _shifted(z, 27)) * _u64(0x94D049BB133111EB)
    return z ^ _shifted(z, 31)


def _shifted(z: pl.Expr, bits: int) -> pl.Expr:
    return z // _u64(2**bits)


def _u64(value: int) -> pl.Expr:
    return pl.lit(value, dtype=pl.UInt64)
