"""What the service counts, for Prometheus. No label takes its values from requests."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from slipway.predictor import Prediction
from slipway.service.release import Release
from slipway.signature import Signature

PATHS = ("/predict", "/model", "/openapi.json", "/livez", "/readyz", "/metrics")
OTHER = "other"
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
KINDS = ("missing", "out_of_range", "unknown")
SOURCES = ("previous", "prior")


class Metrics:
    """The counters of one model; there is one set a process, as Prometheus's client wants it."""

    def __init__(self, signature: Signature, release: Release, registry: CollectorRegistry = REGISTRY) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self._requests = counter("slipway_requests", "Requests answered.", ["path", "code"])
        self._seconds = Histogram(
            "slipway_request_seconds", "Time to answer /predict.", ["code"], buckets=SECONDS, registry=registry
        )
        self._rows = counter("slipway_rows", "Rows predicted.")
        self._values = counter("slipway_feature_values", "Values out of the ordinary.", ["feature", "kind"])
        self._fallback = counter("slipway_fallback", "Requests that the model did not answer itself.", ["source"])
        self._failures = counter("slipway_model_failures", "Failures of the model.")
        self._logged = counter("slipway_prediction_log_requests", "Requests for the prediction log.", ["outcome"])
        self.breaker = gauge(
            "slipway_breaker_open", "Whether the model is left alone after failures.", multiprocess_mode="max"
        )
        self.ready = gauge(
            "slipway_ready", "Whether the model answered its golden rows correctly.", multiprocess_mode="min"
        )
        info = {
            "version": release.version,
            "commit": release.commit,
            "data": release.data or "",
            "format": signature.model.format if signature.model else "",
        }
        gauge("slipway_model_info", "The model that answers.", [*info], multiprocess_mode="max").labels(**info).set(1)
        self._classes: list[Counter] = []
        self._numbers: Histogram | None = None
        if signature.task == "regression":
            buckets = sorted(set(signature.spread.quantiles)) if signature.spread else []
            self._numbers = Histogram(
                "slipway_prediction", "Numbers predicted.", buckets=buckets or SECONDS, registry=registry
            )
        else:
            predicted = counter("slipway_predictions", "Rows predicted, by class.", ["class"])
            self._classes = [predicted.labels(name) for name in signature.classes]
        self._by_value = {(name, kind): self._values.labels(name, kind) for name in signature.names for kind in KINDS}
        self._by_source = {source: self._fallback.labels(source) for source in SOURCES}
        self._by_code: dict[tuple[str, int], Counter] = {}
        self._by_seconds: dict[int, Histogram] = {}

    def request(self, path: str, code: int, seconds: float) -> None:
        """Count a request that was answered."""
        known = path if path in PATHS else OTHER
        counter = self._by_code.get((known, code))
        if counter is None:
            counter = self._by_code[known, code] = self._requests.labels(known, code)
        counter.inc()
        if path == "/predict":
            timer = self._by_seconds.get(code)
            if timer is None:
                timer = self._by_seconds[code] = self._seconds.labels(code)
            timer.observe(seconds)

    def prediction(self, prediction: Prediction, counts: Mapping[tuple[str, str], int]) -> None:
        """Count what was predicted for n rows, and the values among them that were out of the ordinary."""
        self._rows.inc(len(prediction.values))
        for key, count in counts.items():
            self._by_value[key].inc(count)
        if self._numbers is not None:
            for value in prediction.values.tolist():
                self._numbers.observe(value)
        elif prediction.labels is not None:
            found = np.bincount(prediction.labels, minlength=len(self._classes))
            for code in np.flatnonzero(found):
                self._classes[code].inc(int(found[code]))

    def failure(self) -> None:
        """Count a failure of the model."""
        self._failures.inc()

    def fell_back(self, source: str) -> None:
        """Count a request that the fallback answered."""
        self._by_source[source].inc()

    def logged(self, outcome: str, requests: int = 1) -> None:
        """Count requests that the prediction log kept, dropped or could not write."""
        self._logged.labels(outcome).inc(requests)
