"""Asking a service that runs somewhere on this machine, and holding its answers against the golden rows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import numpy as np

from slipway.predictor import Values
from slipway.signature import Signature


class Failed(Exception):  # noqa: N818 it is no error but an outcome
    """What speaks against the service, or its image."""


@dataclass(frozen=True)
class Answer:
    """The status and the body of an answer; a body that is not JSON is its text."""

    status: int
    body: Any


def ask(
    port: int, method: str, path: str, body: bytes | None = None, *, kind: str = "application/json", timeout: float = 30
) -> Answer:
    """Send a request to a port of loopback, over a connection of its own.

    Raises:
        OSError: Nobody answers.
        HTTPException: What comes is no answer.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    try:
        return Answer(answer.status, json.loads(content))
    except ValueError:
        return Answer(answer.status, content.decode(errors="replace"))


def hold_golden(port: int, signature: Signature, golden: Mapping[str, Any], version: str) -> str:
    """Ask for the golden rows in each form that the service takes, and hold the answers against the right ones.

    Args:
        port: Of loopback.
        signature: Of the model that should answer.
        golden: The content of its golden rows' file.
        version: That the model should say it is.

    Returns:
        What was found, for people.

    Raises:
        Failed: An answer is missing, wrong, or not that model's.
    """
    valid, tolerance = int(golden["valid"]), float(golden["tolerance"])
    columns, right = columns_of(golden, valid), np.asarray(golden["answers"][:valid], np.float64)
    records = [{name: values[row] for name, values in columns.items()} for row in range(valid)]
    gaps = []
    for form in ({"columns": columns}, records, records[0]):
        answer = ask(port, "POST", "/predict", json.dumps(form).encode())
        if answer.status != 200 or answer.body["fallback"] is not None:
            raise Failed(f"{answer.status}: {answer.body!s:.200}")
        if answer.body["model_version"].removesuffix("-dirty") != version.removesuffix("-dirty"):
            raise Failed(f"the model is of version {answer.body['model_version']}, not {version}")
        told = _values(answer.body, signature)
        if len(told) != (1 if form is records[0] else valid):
            raise Failed(f"{len(told)} answers to {valid} rows")
        gaps.append(float(np.abs(told - right[: len(told)].reshape(told.shape)).max()))
    if not max(gaps) <= tolerance:
        raise Failed(f"off by {max(gaps):.3g}, more than {tolerance:.3g}")
    return f"{valid} rows, at most {max(gaps):.2g} off (allowed: {tolerance:.2g})"


def columns_of(golden: Mapping[str, Any], rows: int) -> dict[str, list[Any]]:
    """The first golden rows, by column."""
    return {name: list(values[:rows]) for name, values in golden["rows"].items()}


def _values(body: dict[str, Any], signature: Signature) -> Values:
    """The probabilities, shape (n, classes), or numbers, shape (n,), of an answer of either form."""
    if "columns" in body:
        columns = body["columns"]
        if not signature.classes:
            return np.asarray(columns["prediction"], np.float64)
        return np.asarray([columns["probabilities"][name] for name in signature.classes], np.float64).T
    rows = body["predictions"]
    if not signature.classes:
        return np.asarray([row["prediction"] for row in rows], np.float64)
    return np.asarray([[row["probabilities"][name] for name in signature.classes] for row in rows], np.float64)
