"""The only code that runs models: rows in, `signature.json` applied, the model file run, predictions out.

Training, evaluation, the comparison with another revision and the service all come through `encode` and `Predictor`, so
what happens to a row before the model cannot drift apart. It needs NumPy, Pydantic and, to run a model, ONNX Runtime.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from slipway.errors import UserError
from slipway.moments import moment_of
from slipway.values import as_text, boolean_of, is_missing, number_of

SIGNATURE, GOLDEN = "signature.json", "golden.json"  # beside the model file; the second holds rows and right answers
BATCH_ROWS = 50_000
MOST = float(np.finfo(np.float32).max)
MISSING, OTHER = 0, 1  # the codes of a missing and of an unlisted category; the listed ones follow

Matrix = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]
DatePart = Literal["days", "year", "month", "day", "weekday", "hour"]


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
    """

    name: str
    type: Literal["number", "integer", "boolean", "category", "datetime"]
    nullable: bool = False
    min: float | None = None
    max: float | None = None
    categories: tuple[str, ...] = ()
    closed: bool = False  # whether values outside `categories` break the contract
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
    def codes(self) -> int:
        """The number of codes of a category: missing, other, and the listed ones."""
        return len(self.categories) + 2


class ModelFile(_Frozen):
    """The file that the signature belongs to."""

    file: str
    format: Literal["onnx", "skops"]
    sha256: str
    reason: str | None = None  # why it is not ONNX
    types: tuple[str, ...] = ()  # for skops: the types in it that skops does not trust by itself


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
    model: ModelFile | None = None

    @property
    def names(self) -> list[str]:
        """The names of the inputs, in order."""
        return [column.name for column in self.inputs]

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the matrix columns, in order."""
        return tuple(name for column in self.inputs for name in column.features)


@dataclass(frozen=True)
class Coded:
    """A column as distinct values and, for each row, the index of its value; long columns of text come this way."""

    codes: npt.NDArray[np.int64]
    values: Sequence[Any]


ColumnValues = Sequence[Any] | npt.NDArray[Any] | Coded


@dataclass(frozen=True)
class Prediction:
    """What the model says of n rows.

    Attributes:
        values: Class probabilities, shape (n, classes), or predicted numbers, shape (n,).
        labels: Predicted classes as indices into the signature's classes, shape (n,); None for regression.
    """

    values: Values
    labels: npt.NDArray[np.int64] | None


def encode(signature: Signature, columns: Mapping[str, ColumnValues]) -> Matrix:
    """Turn n rows, given as columns, into the model's matrix, shape (n, features), NaN where a value is missing.

    Args:
        signature: What to do with each column.
        columns: For every input its n values: numbers, booleans, texts, datetimes or their texts; None, NaN, empty
            text and the signature's missing markers all mean "missing". Other columns are ignored.

    Raises:
        UserError: An input is absent, or a value cannot be read as the input's type.
    """
    blocks: list[Matrix] = []
    rows: int | None = None
    for column in signature.inputs:
        if column.name not in columns:
            raise UserError(f"input {column.name!r} is missing; the model needs {len(signature.inputs)} inputs")
        given = columns[column.name]
        if isinstance(given, Coded):
            block = _encode(column, given.values, signature.missing)[given.codes]
        else:
            block = _encode(column, given, signature.missing)
        if rows is not None and len(block) != rows:
            raise UserError(f"input {column.name!r} has {len(block)} rows, the inputs before it {rows}")
        rows = len(block)
        blocks.append(block)
    return np.concatenate(blocks, axis=1, dtype=np.float32) if blocks else np.empty((0, 0), np.float32)


def _encode(column: Input, values: Sequence[Any] | npt.NDArray[Any], markers: tuple[str, ...]) -> Matrix:
    if column.constant:
        return np.empty((len(values), 0), np.float32)
    if column.type == "category":
        return _categories(column, values, markers)
    if column.type == "datetime":
        return _date_parts(column, values, markers)
    numbers = np.clip(_numbers(column, values, markers), -MOST, MOST)
    columns = [numbers, np.isnan(numbers)] if column.marker else [numbers]
    return np.column_stack(columns).astype(np.float32)


def _numbers(column: Input, values: Sequence[Any] | npt.NDArray[Any], markers: tuple[str, ...]) -> Values:
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        numbers = values.astype(np.float64)
    else:
        read = boolean_of if column.type == "boolean" else number_of
        given = (np.nan if is_missing(value, markers) else read(value) for value in values)
        numbers = np.fromiter(given, np.float64, len(values))
    wrong = np.isinf(numbers)
    if column.type == "integer":
        wrong |= (numbers != np.trunc(numbers)) & ~np.isnan(numbers)
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(f"input {column.name!r}, row {row + 1}: {values[row]!r:.80} is not of type {column.type}")
    return numbers


def _categories(column: Input, values: Sequence[Any] | npt.NDArray[Any], markers: tuple[str, ...]) -> Matrix:
    codes = {text: code for code, text in enumerate(column.categories, start=OTHER + 1)}
    encoded = (MISSING if is_missing(value, markers) else codes.get(as_text(value), OTHER) for value in values)
    return np.fromiter(encoded, np.float32, len(values)).reshape(-1, 1)


def _date_parts(column: Input, values: Sequence[Any] | npt.NDArray[Any], markers: tuple[str, ...]) -> Matrix:
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        moments = values.astype("datetime64[us]")
    else:
        moments = np.empty(len(values), "datetime64[us]")
        for row, value in enumerate(values):
            try:
                moments[row] = np.datetime64("NaT") if is_missing(value, markers) else moment_of(value, column.format)
            except (TypeError, ValueError, OverflowError):
                raise UserError(
                    f"input {column.name!r}, row {row + 1}: {value!r:.80} is not a date and time "
                    f"{'in ISO 8601' if column.format is None else f'of the form {column.format}'}"
                ) from None
    missing = np.isnat(moments)
    moments = np.where(missing, np.datetime64(0, "us"), moments)
    days = moments.astype("datetime64[D]")
    months = moments.astype("datetime64[M]")
    parts: dict[DatePart, npt.NDArray[np.int64]] = {
        "days": days.astype(np.int64),
        "year": moments.astype("datetime64[Y]").astype(np.int64) + 1970,
        "month": months.astype(np.int64) % 12 + 1,
        "day": (days - months).astype(np.int64) + 1,
        "weekday": (days.astype(np.int64) + 3) % 7,  # Monday is 0; 1970-01-01 was a Thursday
        "hour": (moments - days).astype("timedelta64[h]").astype(np.int64),
    }
    block = np.column_stack([parts[part] for part in column.parts]).astype(np.float32)
    block[missing] = np.nan
    return block


class Predictor:
    """A model file with its signature, ready to run.

    Args:
        folder: Holds `signature.json` and the model file it names.
        threads: Threads that one call may use; 0 lets the runtime decide.
        trusted: Types that a skops file may hold besides those of scikit-learn and `src/model`.

    Raises:
        UserError: A file is missing, does not match its signature, or is not a model that can be run.
    """

    def __init__(self, folder: Path, threads: int = 0, trusted: Sequence[str] = ()) -> None:
        self.folder, self._threads, self._trusted = folder, threads, trusted
        self.signature = load_signature(folder)
        if self.signature.model is None:
            raise UserError(f"{folder / SIGNATURE}: names no model file; run `make repro`")
        self.file = folder / self.signature.model.file
        try:
            content = self.file.read_bytes()
        except OSError:
            raise UserError(f"{self.file}: cannot be read; run `make repro`") from None
        if sha256(content).hexdigest() != self.signature.model.sha256:
            raise UserError(f"{self.file}: is not the file its signature was written for; run `make repro`")
        self._run = self._onnx(content) if self.signature.model.format == "onnx" else self._skops(content)

    def predict(self, columns: Mapping[str, ColumnValues]) -> Prediction:
        """Predict n rows given as columns; see `encode` for what the columns may hold."""
        return self.predict_matrix(encode(self.signature, columns))

    def predict_matrix(self, matrix: Matrix) -> Prediction:
        """Predict n rows already encoded, in batches of bounded size."""
        starts = range(0, max(len(matrix), 1), BATCH_ROWS)
        raw = np.concatenate([self._run(matrix[start : start + BATCH_ROWS]) for start in starts])
        return interpret(self.signature, raw)

    def _onnx(self, content: bytes) -> Callable[[Matrix], Values]:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises types of its own, and RuntimeError
            reason = " ".join(str(error).split())[:160]
            raise UserError(f"{self.file}: not a model that ONNX Runtime can load: {reason}") from None
        name, output = session.get_inputs()[0].name, session.get_outputs()[-1].name
        widths = session.get_inputs()[0].shape[-1], session.get_outputs()[-1].shape[-1]
        expected = len(self.signature.features), max(len(self.signature.classes), 1)
        if any(found != wanted for found, wanted in zip(widths, expected, strict=True) if isinstance(found, int)):
            raise UserError(f"{self.file}: takes and gives {widths} values a row, its signature {expected}")

        def run(matrix: Matrix) -> Values:
            return np.asarray(session.run([output], {name: matrix})[0], np.float64)

        return run

    def _skops(self, content: bytes) -> Callable[[Matrix], Values]:
        from slipway.pipeline_file import load_pipeline

        # Not what the signature names: whoever can swap the file can swap the signature.
        pipeline = load_pipeline(content, self._trusted)
        method = pipeline.predict if self.signature.task == "regression" else pipeline.predict_proba
        return lambda matrix: np.asarray(method(matrix), np.float64)


def interpret(signature: Signature, raw: Values) -> Prediction:
    """Give a model's raw output, shape (n, classes) or (n, 1) or (n,), its meaning: probabilities, labels, numbers."""
    if signature.task == "regression":
        return Prediction(raw.reshape(-1), None)
    if signature.task == "binary":
        threshold = 0.5 if signature.threshold is None else signature.threshold
        return Prediction(raw, (raw[:, 1] >= threshold).astype(np.int64))
    return Prediction(raw, raw.argmax(axis=1).astype(np.int64))


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
