"""The model behind the service: proved by golden rows before it answers, left alone and replaced while it fails.

While the model fails, the release before answers, if it was shipped along, and otherwise what training knew without
looking at any row: the shares of the classes, or the mean.
"""

from math import isfinite
from pathlib import Path

import numpy as np
from circuitbreaker import CircuitBreaker
from prometheus_client import REGISTRY, CollectorRegistry

from slipway.predictor import Matrix, Prediction, Predictor, Values, interpret
from slipway.service.logs import note, reason, trouble
from slipway.service.metrics import Metrics
from slipway.service.reading import Request
from slipway.service.release import FALLBACK, MODEL, Golden, Release, load_golden, load_release, prove
from slipway.signature import Signature, load_signature


class BrokenAnswerError(Exception):
    """The model answered, but not with numbers that can be probabilities or values."""


class Answering:
    """Answers requests with the model of a release.

    Args:
        folder: The release.
        threads: Threads that one prediction may use.
        registry: Of the counters.

    Raises:
        UserError: The release or the signature of its model cannot be read. A model file that is missing or damaged is
            no such error: the fallback answers, and the service never becomes ready.
    """

    def __init__(self, folder: Path, threads: int = 1, registry: CollectorRegistry = REGISTRY) -> None:
        self.release: Release = load_release(folder)
        self.signature: Signature = load_signature(folder / MODEL)
        self.golden: Golden = load_golden(folder / MODEL)
        self.problem: str | None = None  # why the model is not to be trusted
        self.metrics = Metrics(self.signature, self.release, registry)
        self._model = self._proved(folder / MODEL, self.golden, threads)
        self._previous = self._load_previous(folder / FALLBACK, threads)
        self._breaker = CircuitBreaker(
            self.release.service.breaker.failures, self.release.service.breaker.seconds, Exception, "model"
        )
        self._was_open = False
        self.metrics.breaker.set(0)
        self.metrics.ready.set(int(self.ready))

    def _proved(self, folder: Path, golden: Golden, threads: int) -> Predictor | None:
        try:
            predictor = Predictor(folder, threads=threads)
            gap = prove(predictor, golden)
        except Exception as error:  # a model file is data; whatever it does, the service says so and stays up
            self.problem = str(error).replace(f"{folder}/", "")  # which clients may read
            trouble("the model cannot be used", reason=self.problem)
            return None
        note("the model answers its golden rows", rows=len(golden.answers), difference=gap)
        return predictor

    def _load_previous(self, folder: Path, threads: int) -> Predictor | None:
        """The model of the release before, if it is there and takes the same inputs."""
        if not folder.exists():
            return None
        try:
            predictor = Predictor(folder, threads=threads)
            prove(predictor, load_golden(folder))
        except Exception as error:  # as above; there is still the prior
            trouble("the fallback cannot be used", reason=reason(error))
            return None
        theirs, ours = predictor.signature, self.signature
        if (theirs.task, theirs.classes) != (ours.task, ours.classes) or set(theirs.names) - set(ours.names):
            why = "it predicts something else, or needs inputs that the model does not have"
            trouble("the fallback cannot be used", reason=why)
            return None
        return predictor

    @property
    def ready(self) -> bool:
        """Whether the model has shown that it answers correctly."""
        return self._model is not None

    def answer(self, request: Request) -> tuple[Prediction, str | None]:
        """Predict n rows, and say who answered: None for the model, otherwise `previous` or `prior`."""
        if self._model is not None and not self._breaker.opened:
            try:
                prediction: Prediction = self._breaker.call(self._run, self._model, request.matrix)
            except Exception as error:  # the model must not take the service with it
                self.metrics.failure()
                trouble("the model failed", reason=reason(error))
            else:
                if self._was_open:
                    self._was_open = False
                    self.metrics.breaker.set(0)
                    note("the model answers again")
                return prediction, None
            if self._breaker.opened and not self._was_open:
                self._was_open = True
                self.metrics.breaker.set(1)
        return self._fallback(request)

    @staticmethod
    def _run(model: Predictor, matrix: Matrix) -> Prediction:
        prediction = model.predict_matrix(matrix)
        if len(prediction.values) != len(matrix) or not _is_finite(prediction.values):
            raise BrokenAnswerError("the model's answer is not finite, or not one for each row")
        return prediction

    def _fallback(self, request: Request) -> tuple[Prediction, str]:
        if self._previous is not None:
            try:
                prediction = self._previous.predict(request.table.by_name())
                if _is_finite(prediction.values):
                    self.metrics.fell_back("previous")
                    return prediction, "previous"
            except Exception as error:  # there is still the prior
                trouble("the fallback failed", reason=reason(error))
        self.metrics.fell_back("prior")
        prior = np.asarray(self.signature.prior, np.float64)
        return interpret(self.signature, np.tile(prior, (request.rows, 1))), "prior"


def _is_finite(values: Values) -> bool:
    # A sum is not, if any of its parts is not; a sum that overflows is looked at again.
    return isfinite(values.sum()) or bool(np.isfinite(values).all())
