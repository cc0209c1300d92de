"""`signature.json`: all that a model file needs besides itself, from its inputs to its decision rule.

Written by `train` and `export`, read by everything that runs a model; it needs Pydantic only.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from slipway.errors import UserError

MISSING, OTHER = 0, 1  # the codes of a missing and of an unlisted category; the listed ones follow
SIGNATURE, GOLDEN = "signature.json", "golden.json"  # beside the model file; the second holds rows and right answers

DatePart = Literal["days", "year", "month", "day", "weekday", "hour"]
Outside = Literal["reject", "clip", "accept"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Statistics(_Frozen):
    """What the training rows looked like, as the reference for drift: missing share, quantiles or category shares."""

    missing: float
    quantiles: tuple[float, ...] = ()  # of the numbers, at 0, 5, ..., 100 %
    upto: tuple[float, ...] = ()  # the share of the numbers that are no greater than each of these
    under: tuple[float, ...] = ()  # the share of those that are less
    shares: dict[str, float] = {}  # of the listed categories


class Input(_Frozen):
    """One column that the model is given, and how its values become columns of the model's matrix.

    A number or boolean becomes itself, with NaN for missing, and a 0/1 marker column if `marker`; a category becomes
    its code; a datetime its `parts`. With `constant` the column told nothing in training and becomes no column at all.
    `outside` is what the service does with a value that the contract does not allow.
    """

    name: str
    type: Literal["number", "integer", "boolean", "category", "datetime"]
    nullable: bool = False
    min: float | None = None
    max: float | None = None
    categories: tuple[str, ...] = ()
    closed: bool = False  # whether values outside `categories` break the contract
    outside: Outside = "reject"
    marker: bool = False
    format: str | None = None  # of a datetime as text; None is ISO 8601
    parts: tuple[DatePart, ...] = ()
    constant: bool = False
    statistics: Statistics | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the matrix columns that this input becomes."""
        if self.constant:
            return ()
        if self.type == "datetime":
            return tuple(f"{self.name}:{part}" for part in self.parts)
        return (self.name, f"{self.name}:missing") if self.marker else (self.name,)

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers to the encoder."""
        return self.type in {"number", "integer", "boolean"}

    @cached_property
    def code_of(self) -> dict[str, int]:
        """The code of each listed category."""
        return {text: code for code, text in enumerate(self.categories, start=OTHER + 1)}

    @property
    def codes(self) -> int:
        """The number of codes of a category: missing, other, and the listed ones."""
        return len(self.categories) + 2


class Spread(_Frozen):
    """How the numbers of a regression lie: the target's quantiles, and how far cross-validated predictions miss it.

    A prediction plus `residuals` covers the truth of `coverage` of new rows like those of training: the quantiles of
    the out-of-fold residuals, with the finite-sample correction of split conformal prediction (Lei et al. 2018,
    "Distribution-Free Predictive Inference for Regression", section 2). There are none where rows are too few to tell.
    """

    quantiles: tuple[float, ...]  # at 0, 5, ..., 100 %
    coverage: float
    residuals: tuple[float, float] | None = None


class ModelFile(_Frozen):
    """The file that the signature belongs to."""

    file: str
    format: Literal["onnx", "skops"]
    sha256: str
    reason: str | None = None  # why it is not ONNX
    types: tuple[str, ...] = ()  # for skops: the types in it that skops does not trust by itself


@dataclass(frozen=True)
class Places:
    """Which columns of the model's matrix the inputs become.

    Attributes:
        numbers: That of each input of `Signature.numbers`.
        marked: The places in `Signature.numbers` of those that have a marker of missing values as well.
        markers: That of each marker.
        others: The other inputs, each with its first.
    """

    numbers: list[int]
    marked: list[int]
    markers: list[int]
    others: list[tuple[Input, int]]


class Signature(_Frozen):
    """All that a model file needs besides itself: inputs, encoding, outputs, decision rule, reference statistics."""

    version: Literal[1] = 1
    task: Literal["binary", "multiclass", "regression"]
    target: str
    classes: tuple[str, ...] = ()
    threshold: float | None = None
    missing: tuple[str, ...] = ()
    inputs: tuple[Input, ...]
    prior: tuple[float, ...]  # class shares, or the mean of the target, in training
    spread: Spread | None = None
    model: ModelFile | None = None

    @property
    def names(self) -> list[str]:
        """The names of the inputs, in order."""
        return [column.name for column in self.inputs]

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The names of the matrix columns, in order."""
        return tuple(name for column in self.inputs for name in column.features)

    @cached_property
    def numbers(self) -> tuple[Input, ...]:
        """The inputs that are numbers to the encoder, in order: numbers, integers and booleans that became columns."""
        return tuple(column for column in self.inputs if column.is_number and not column.constant)

    @cached_property
    def places(self) -> Places:
        """Which columns of the matrix the inputs become."""
        ends = accumulate(len(column.features) for column in self.inputs)
        first = {column.name: end - len(column.features) for column, end in zip(self.inputs, ends, strict=True)}
        marked = [place for place, column in enumerate(self.numbers) if column.marker]
        return Places(
            numbers=[first[column.name] for column in self.numbers],
            marked=marked,
            markers=[first[self.numbers[place].name] + 1 for place in marked],
            others=[(c, first[c.name]) for c in self.inputs if not c.is_number and not c.constant],
        )


def load_signature(folder: Path) -> Signature:
    """Read `signature.json`.

    Raises:
        UserError: It is missing or not a signature.
    """
    path = folder / SIGNATURE
    try:
        return Signature.model_validate_json(path.read_bytes())
    except OSError:
        raise UserError(f"{path}: cannot be read; run `make repro`") from None
    except ValidationError as error:
        raise UserError(f"{path}: not a signature ({error.error_count()} faults); run `make repro`") from None
