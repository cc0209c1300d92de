"""The BentoML service: `bentoml serve slipway.service.main:Slipway`. SLIPWAY_RELEASE names the release folder.

SLIPWAY_PREDICTIONS says where predictions are kept, if not where the release says.
"""

import os
import sys
from pathlib import Path
from typing import Any

import bentoml
import msgspec
from _bentoml_sdk import Service

from slipway.errors import UserError
from slipway.service.http import Door
from slipway.service.logs import take_over
from slipway.service.predictions import check_target
from slipway.service.problems import Refused
from slipway.service.release import MODEL, load_golden, load_release
from slipway.service.serving import Serving
from slipway.service.tracing import traced
from slipway.signature import load_signature

NAME = "slipway"
_open: list[Serving] = []  # the one that this process serves, once BentoML has started it


def _release() -> Path:
    return Path(os.environ.get("SLIPWAY_RELEASE", "release"))


def check() -> None:
    """End with a line on standard error, and exit code 2, if there is nothing to serve."""
    try:
        release = load_release(_release())
        check_target(os.environ.get("SLIPWAY_PREDICTIONS", release.service.predictions.to))
        load_signature(_release() / MODEL)
        load_golden(_release() / MODEL)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)


class _Service(Service[Any]):
    """BentoML's service with our application in front of the one that BentoML makes."""

    def to_asgi(self, is_main: bool = True) -> Any:  # as in the class above
        take_over()  # BentoML has set up its own logs by now
        return traced(Door(super().to_asgi(is_main=is_main), lambda: _open[-1] if _open else None))


class Predictions:
    """Answers `/predict` with the model of a release."""

    def __init__(self) -> None:
        self.serving = Serving(_release(), os.environ.get("SLIPWAY_PREDICTIONS"))
        _open.append(self.serving)

    @bentoml.on_deployment
    @staticmethod
    def before() -> None:
        """Stop before a worker starts if there is nothing to serve."""
        check()

    async def __is_ready__(self) -> bool:
        """Whether requests may come; BentoML asks."""
        return self.serving.ready

    @bentoml.on_shutdown
    def close(self) -> None:
        """Write what is left of the prediction log."""
        self.serving.close()

    @bentoml.api
    async def predict(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        """Predict rows, for those who call the service as an object or through BentoML's client."""
        try:
            answered = self.serving.respond(msgspec.json.encode(records), "in process")
        except Refused as refused:
            raise bentoml.exceptions.InvalidArgument(refused.detail) from None
        answer: dict[str, Any] = msgspec.json.decode(answered.body)
        return answer


Slipway = _Service(
    name=NAME,
    inner=Predictions,
    config={"workers": 1, "logging": {"access": {"enabled": False}}},
)
