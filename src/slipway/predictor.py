"""The only code that runs models: rows in, `signature.json` applied, the model file run, predictions out.

Training, evaluation, the comparison with another revision and the service all come through `encode` and `Predictor`, so
what happens to a row before the model cannot drift apart. It needs NumPy, Pydantic and, to run a model, ONNX Runtime.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.errors import UserError
from slipway.moments import moment_of
from slipway.signature import MISSING, OTHER, SIGNATURE, DatePart, Input, Signature, load_signature
from slipway.values import as_text, boolean_of, is_missing, number_of

BATCH_ROWS = 50_000
MOST = float(np.finfo(np.float32).max)
_NUMBERS, _BOOLEANS = frozenset({float, int, bool, NoneType}), frozenset({bool, NoneType})

Matrix = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]


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


def encode(signature: Signature, columns: Mapping[str, ColumnValues], numbers: Values | None = None) -> Matrix:
    """Turn n rows, given as columns, into the model's matrix, shape (n, features), NaN where a value is missing.

    Args:
        signature: What to do with each column.
        columns: For every input its n values: numbers, booleans, texts, datetimes or their texts; None, NaN, empty
            text and the signature's missing markers all mean "missing". Other columns are ignored.
        numbers: The values of `signature.numbers`, shape (k, n), by whoever has read and checked them already;
            `columns` then needs the other inputs only.

    Raises:
        UserError: An input is absent, or a value cannot be read as the input's type.
    """
    rows = _rows(signature, columns) if numbers is None else numbers.shape[1]
    matrix = np.empty((rows, len(signature.features)), np.float32)
    places = signature.places
    for start in range(0, rows if places.numbers else 0, BATCH_ROWS):
        part = slice(start, start + BATCH_ROWS)
        block = _read_numbers(signature, columns, part) if numbers is None else numbers[:, part]
        matrix[part, places.numbers] = np.minimum(np.maximum(block, -MOST), MOST).T
        if places.marked:
            matrix[part, places.markers] = np.isnan(block[places.marked]).T
    for column, first in places.others:
        given = columns[column.name]
        read = _categories if column.type == "category" else _date_parts
        found = read(column, given.values if isinstance(given, Coded) else given, signature.missing)
        matrix[:, first : first + found.shape[1]] = found[given.codes] if isinstance(given, Coded) else found
    return matrix


def _rows(signature: Signature, columns: Mapping[str, ColumnValues]) -> int:
    """How many rows the columns have, all alike."""
    rows: int | None = None
    for column in signature.inputs:
        if column.name not in columns:
            raise UserError(f"input {column.name!r} is missing; the model needs {len(signature.inputs)} inputs")
        given = columns[column.name]
        found = len(given.codes if isinstance(given, Coded) else given)
        if rows is not None and found != rows:
            raise UserError(f"input {column.name!r} has {found} rows, the inputs before it {rows}")
        rows = found
    return rows or 0


def _read_numbers(signature: Signature, columns: Mapping[str, ColumnValues], part: slice) -> Values:
    """The values of the k inputs that are numbers in some of the rows, shape (k, rows)."""
    inputs = signature.numbers
    given = [_part(columns[column.name], part) for column in inputs]
    block = None
    if all(_is_plain(column, values) for column, values in zip(inputs, given, strict=True)):
        with suppress(OverflowError):  # of whole numbers that no float can hold
            block = np.array(given, np.float64)
    if block is None:
        block = np.array(
            [_numbers(column, values, signature.missing) for column, values in zip(inputs, given, strict=True)]
        )
    wrong = np.isinf(block)
    whole = [place for place, column in enumerate(inputs) if column.type == "integer"]
    if whole:
        wrong[whole] |= (block[whole] != np.trunc(block[whole])) & ~np.isnan(block[whole])
    if wrong.any():
        place = int(wrong.any(axis=1).argmax())
        row, values = int(wrong[place].argmax()), given[place]
        found = values.values[values.codes[row]] if isinstance(values, Coded) else values[row]
        raise UserError(
            f"input {inputs[place].name!r}, row {part.start + row + 1}: {found!r:.80} is not of type "
            f"{inputs[place].type}"
        )
    return block


def _part(values: ColumnValues, part: slice) -> ColumnValues:
    return Coded(values.codes[part], values.values) if isinstance(values, Coded) else values[part]


def _is_plain(column: Input, values: ColumnValues) -> bool:
    """Whether NumPy reads the values of a column as `number_of` and `boolean_of` do, but a hundred times as fast."""
    if isinstance(values, np.ndarray):
        return values.dtype.kind in "fiub"
    plain = _BOOLEANS if column.type == "boolean" else _NUMBERS
    return isinstance(values, list | tuple) and plain.issuperset(map(type, values))


def _numbers(column: Input, values: ColumnValues, markers: tuple[str, ...]) -> Values:
    """The numbers that n values stand for, shape (n,); infinite where one stands for none."""
    if isinstance(values, Coded):
        return _numbers(column, values.values, markers)[values.codes]
    if _is_plain(column, values) and isinstance(values, np.ndarray):
        return values.astype(np.float64)
    read = boolean_of if column.type == "boolean" else number_of
    numbers = (np.nan if is_missing(value, markers) else read(value) for value in values)
    return np.fromiter(numbers, np.float64, len(values))


def _categories(column: Input, values: Sequence[Any] | npt.NDArray[Any], markers: tuple[str, ...]) -> Matrix:
    codes = column.code_of
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
        if len(matrix) <= BATCH_ROWS:
            return interpret(self.signature, self._run(matrix))
        starts = range(0, len(matrix), BATCH_ROWS)
        return interpret(self.signature, np.concatenate([self._run(matrix[at : at + BATCH_ROWS]) for at in starts]))

    def _onnx(self, content: bytes) -> Callable[[Matrix], Values]:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # which it sends unless told otherwise before the import
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
