"""The service, whose model or whole work fails for as long as a file `fault` in its folder says `model` or `work`.

`python -m slipway.service.start faulty:Slipway` serves it.
"""

from pathlib import Path
from typing import Any

from slipway.predictor import Predictor
from slipway.service.main import Slipway
from slipway.service.serving import Serving

__all__ = ["Slipway"]
FAULT = Path("fault")


def failing(when: str, call: Any) -> Any:
    """The call, which fails when the file says so."""

    def failing_call(*given: Any) -> Any:
        if FAULT.exists() and FAULT.read_text() == when:
            raise RuntimeError("broken")
        return call(*given)

    return failing_call


Predictor.predict_matrix = failing("model", Predictor.predict_matrix)  # type: ignore[method-assign]
Serving.respond = failing("work", Serving.respond)  # type: ignore[method-assign]
