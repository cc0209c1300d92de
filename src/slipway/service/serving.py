"""A release, ready to serve: body in, body out. Between HTTP and the model, and of neither's kind."""

import time
from itertools import starmap
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from prometheus_client import REGISTRY, CollectorRegistry

from slipway.predictor import Prediction
from slipway.service.answering import Answering
from slipway.service.openapi import document
from slipway.service.predictions import Entry, PredictionWriter
from slipway.service.reading import Reader, Request
from slipway.service.settings import PredictionLog


class Answered(msgspec.Struct, gc=False):
    """An answer of n rows: its body, and who gave it (None for the model)."""

    body: bytes
    rows: int
    fallback: str | None


class _Label(msgspec.Struct, gc=False):
    prediction: str
    probabilities: Any


class _Number(msgspec.Struct, gc=False, omit_defaults=True):
    prediction: float
    interval: list[float] | None = None


class Serving:
    """Everything that a release needs to answer requests.

    Args:
        folder: The release.
        log_to: Where predictions are kept, if not where the release says.
        registry: Of the counters.

    Raises:
        UserError: It is not a release.
    """

    def __init__(self, folder: Path, log_to: str | None = None, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self.answering = Answering(folder, registry=registry)
        self.signature, self.release = self.answering.signature, self.answering.release
        self.settings, self.metrics = self.release.service, self.answering.metrics
        self.reader = Reader(self.signature, self.settings.limits.rows)
        self.openapi = msgspec.json.encode(document(self.signature, self.release, self.answering.golden))
        log = self.settings.predictions
        if log_to is not None:
            log = PredictionLog.model_validate({**log.model_dump(), "to": log_to})
        self.writer = (
            PredictionWriter(log, self.signature, self.release.version, self.metrics.logged) if log.to else None
        )
        self._encode = msgspec.json.Encoder().encode
        keys = {f"p{place}": name for place, name in enumerate(self.signature.classes)}
        self._shares = msgspec.defstruct("Shares", [(key, float) for key in keys], rename=keys, gc=False)
        self._shift = self.signature.spread.residuals if self.signature.spread else None

    @property
    def ready(self) -> bool:
        """Whether requests may come."""
        return self.answering.ready

    def model(self) -> bytes:
        """What `GET /model` says."""
        release = self.release.model_dump(mode="json", exclude={"service"})
        signature = self.signature.model_dump(mode="json", exclude_defaults=True)
        return self._encode({**release, "ready": self.ready, "problem": self.answering.problem, "signature": signature})

    def respond(self, body: bytes, request_id: str) -> Answered:
        """Answer a request.

        Raises:
            Refused: It breaks the contract.
        """
        request = self.reader.read(body)
        prediction, fallback = self.answering.answer(request)
        self.metrics.prediction(prediction, request.counts)
        if self.writer is not None:
            self.writer.put(Entry(request_id, time.time(), request.table, prediction, fallback or "model"))
        answer = {
            "model_version": self.release.version,
            "request_id": request_id,
            "fallback": fallback,
            **self._shaped(request, prediction, fallback),
        }
        return Answered(self._encode(answer), request.rows, fallback)

    def _shaped(self, request: Request, prediction: Prediction, fallback: str | None) -> dict[str, Any]:
        """The predictions as the rows came: one by one, or as columns."""
        if prediction.labels is not None:
            labels = [self.signature.classes[code] for code in prediction.labels.tolist()]
            if request.table.columnar:
                shares = dict(zip(self.signature.classes, prediction.values.T.tolist(), strict=True))
                return {"columns": {"prediction": labels, "probabilities": shares}}
            return {"predictions": list(map(_Label, labels, starmap(self._shares, prediction.values.tolist())))}
        columns: dict[str, list[Any]] = {"prediction": prediction.values.tolist()}
        if self._shift is not None and fallback is None:
            columns["interval"] = (prediction.values[:, None] + np.array(self._shift)).tolist()
        if request.table.columnar:
            return {"columns": columns}
        return {"predictions": list(map(_Number, *columns.values()))}

    def close(self) -> None:
        """Write what is left of the prediction log."""
        if self.writer is not None:
            self.writer.close()
