"""The data contract, `src/model/schema.yaml`: what every column is, what it may hold and what it is for."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

import polars as pl
from pydantic import Field, field_validator, model_validator

from slipway import layout
from slipway.answers import is_empty, no_data
from slipway.moments import pattern
from slipway.settings import Frozen, load
from slipway.signature import Outside
from slipway.values import as_text

Task = Literal["binary", "multiclass", "regression"]
ColumnType = Literal["number", "integer", "boolean", "category", "datetime", "text"]

POLARS_TYPES: Mapping[ColumnType, pl.DataType] = {
    "number": pl.Float64(),
    "integer": pl.Int64(),
    "boolean": pl.Boolean(),
    "category": pl.String(),
    "datetime": pl.Datetime("us"),
    "text": pl.String(),
}


def _texts(value: Any) -> Any:
    """A list of scalars as texts; anything else is left for the model to refuse."""
    if not isinstance(value, list | tuple):
        return value
    for item in value:
        if item is None or isinstance(item, list | tuple | dict):
            raise ValueError(f"a list of texts, numbers or truth values (got {item!r:.80}); put a text in quotes")
    return tuple(as_text(item) for item in value)


class Source(Frozen):
    """How the files below `data/` are read."""

    files: str
    """A pattern of the files, relative to `data/`; all that it matches have equal columns."""
    format: Literal["parquet", "csv", "jsonl"]
    """What the files are; the keys below matter to CSV only."""
    separator: str = Field(",", min_length=1, max_length=1)
    """Between two values."""
    quote: str = Field('"', min_length=1, max_length=1)
    """Around values that hold a separator."""
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    """Of the text."""
    decimal: Literal[".", ","] = "."
    """The decimal mark of numbers."""

    @field_validator("files")
    @classmethod
    def _below_data(cls, value: str) -> str:
        steps = PurePosixPath(value).parts
        if not steps or value.startswith("/") or ".." in steps or any("**" in step and step != "**" for step in steps):
            raise ValueError(f"a pattern of files below {layout.DATA}/, such as '*.csv' (got {value!r})")
        return value

    @field_validator("separator", "quote")
    @classmethod
    def _ascii(cls, value: str) -> str:
        if not value.isascii() or (not value.isprintable() and value != "\t"):
            raise ValueError(f"a printable ASCII character, or a tab (got {value!r})")
        return value


class Column(Frozen):
    """One column of the raw table."""

    type: ColumnType
    """What its values are. `text` is for free text, which is no input of the model."""
    use: bool = True
    """`false` keeps it out of the model; it stays in the table, for slices and for the split's row key."""
    nullable: bool = False
    """Whether values may be missing."""
    min: float | None = None
    """The least number allowed."""
    max: float | None = None
    """The greatest number allowed."""
    categories: tuple[str, ...] | None = None
    """All values that a category may have. Without it any value is allowed, and training keeps the frequent ones."""
    format: str | None = None
    """The strptime pattern of a datetime, for texts in files and requests alike; of the directives in
    `slipway.moments`; ISO 8601 needs none."""
    outside: Outside = "reject"
    """What the service does with a value below `min`, above `max` or not among `categories`: `reject` the request,
    `clip` to the nearest bound, or `accept` it (of a category: as one unheard of). The last two are counted. The
    pipeline itself stops at such a value."""
    monotonic: Literal["increasing", "decreasing"] | None = None
    """Which way the prediction (of the positive class, or of the number) must go as the column grows, all else equal;
    the model suite tests it."""
    note: str | None = None
    """A word to the reader, such as why `use` is `false`."""

    @field_validator("categories", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return _texts(value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.type not in {"number", "integer"} and (self.min is not None or self.max is not None):
            raise ValueError("min and max belong to number and integer columns")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min:g}) is greater than max ({self.max:g})")
        if self.categories is not None and self.type != "category":
            raise ValueError("categories belong to category columns")
        if self.categories is not None and len(set(self.categories)) != len(self.categories):
            raise ValueError("categories repeat a value")
        if self.outside != "reject" and self.min is None and self.max is None and self.categories is None:
            raise ValueError("outside belongs to columns with min, max or categories")
        if self.outside == "clip" and self.type == "category":
            raise ValueError("outside: clip belongs to number and integer columns")
        if self.monotonic is not None and (self.type not in {"number", "integer"} or not self.use):
            raise ValueError("monotonic belongs to number and integer columns that the model uses")
        if self.format is not None:
            if self.type != "datetime":
                raise ValueError("format belongs to datetime columns")
            pattern(self.format)
        if self.type == "text" and self.use:
            raise ValueError("free text is not an input of the model: set `use: false`, or make it a category")
        return self


class Target(Frozen):
    """What is predicted."""

    column: str
    """The column that holds it."""
    task: Task
    """Two classes, several, or a number."""
    classes: tuple[str, ...] = ()
    """The classes, in the order of the model's outputs; of two, the last one is the positive one. A number has none."""

    @field_validator("classes", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return _texts(value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes repeat a value")
        if self.task == "regression" and self.classes:
            raise ValueError("a regression target has no classes")
        if self.task == "binary" and len(self.classes) != 2:
            raise ValueError(f"a binary target has two classes, the positive one last (got {len(self.classes)})")
        if self.task == "multiclass" and len(self.classes) < 3:
            raise ValueError(f"a multiclass target has three classes or more (got {len(self.classes)})")
        return self

    @property
    def positive(self) -> str | None:
        """The class whose probability a binary model is about; None for other tasks."""
        return self.classes[-1] if self.task == "binary" else None


class Schema(Frozen):
    """The whole contract."""

    source: Source
    missing: tuple[str, ...] = ()
    """The texts that mean "no value", besides the empty one."""
    target: Target
    id: str | None = None
    """The column that names a row; the split goes by it, and the model never sees it."""
    time: str | None = None
    """The column that says when a row came to be; a split by `time` goes by it."""
    group: str | None = None
    """The column whose rows a split by `group` keeps on one side."""
    sensitive: tuple[str, ...] = ()
    """The columns whose groups are compared by the gates of `gates.fairness`."""
    columns: dict[str, Column]
    """Every column of the table, by name."""

    @field_validator("missing", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return _texts(value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        named = [("target.column", self.target.column), ("id", self.id), ("time", self.time), ("group", self.group)]
        for key, name in [*named, *(("sensitive", name) for name in self.sensitive)]:
            if name is not None and name not in self.columns:
                raise ValueError(f"{key}: there is no column {name!r} under columns")
        if self.time is not None and self.columns[self.time].type != "datetime":
            raise ValueError(f"time: column {self.time!r} is not of type datetime")
        roles = [name for name in (self.target.column, self.id, self.time) if name is not None]
        if len(set(roles)) != len(roles):
            raise ValueError("target, id and time must be different columns")
        if self.target.column in {self.group, *self.sensitive}:
            raise ValueError("group and sensitive: the target cannot be one of them")
        target = self.columns[self.target.column].type
        if self.target.task == "regression" and target not in {"number", "integer"}:
            raise ValueError(f"target.task: regression needs a numeric column, {self.target.column!r} is {target}")
        if self.target.task != "regression" and target in {"datetime", "text", "number"}:
            raise ValueError(
                f"target.task: classification needs a category, boolean or integer column, "
                f"{self.target.column!r} is {target}"
            )
        directed = [name for name, column in self.columns.items() if column.monotonic]
        if directed and (self.target.task == "multiclass" or not set(directed) <= set(self.features)):
            raise ValueError(f"columns.{directed[0]}.monotonic: needs an input, and a number or two classes to predict")
        if not self.features:
            raise ValueError("columns: no column is left for the model; set `use: true` on one")
        return self

    @cached_property
    def features(self) -> dict[str, Column]:
        """The columns that the model is given, in the order of the file."""
        reserved = {self.target.column, self.id, self.time, self.group}
        return {name: column for name, column in self.columns.items() if column.use and name not in reserved}

    @cached_property
    def key(self) -> tuple[str, ...]:
        """The columns whose values say which row is which: the id, or everything but the target."""
        return (self.id,) if self.id else tuple(sorted(set(self.columns) - {self.target.column}))

    def polars_type(self, name: str) -> pl.DataType:
        """The type of a column in the prepared table; classification targets are text whatever the file holds."""
        if name == self.target.column:
            return pl.Float64() if self.target.task == "regression" else pl.String()
        return POLARS_TYPES[self.columns[name].type]


def load_schema(path: Path = layout.SCHEMA) -> Schema:
    """Read the data contract.

    Raises:
        UserError: The file is missing or breaks the contract's own form.
    """
    if path == layout.SCHEMA and is_empty():
        raise no_data()
    return load(path, Schema)
