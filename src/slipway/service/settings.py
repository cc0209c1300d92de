"""How the service behaves: the section `service` of params.yaml, shipped with the model. It needs Pydantic only."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Limits(_Frozen):
    """What one request may ask for; beyond, it is refused with 413, 429 or 504."""

    body_mb: float = Field(10.0, gt=0)  # 10^6 bytes
    rows: int = Field(10_000, ge=1)
    seconds: float = Field(10.0, gt=0)
    waiting: int = Field(64, ge=1)  # requests in work at the same time


class Breaker(_Frozen):
    """After this many failures of the model in a row, it is left alone for so many seconds."""

    failures: int = Field(5, ge=1)
    seconds: float = Field(30.0, gt=0)


class PredictionLog(_Frozen):
    """Where requests and answers are kept for monitoring.

    `to` is a folder, or a URL that fsspec knows, such as `s3://bucket/predictions`; empty keeps nothing. A file is
    closed, and only then uploaded, at `file_mb` or after `file_seconds`; the oldest ones go when the folder holds more
    than `keep_mb`, or after `keep_days`. A queue of `queue` rows stands between; what does not fit is dropped and
    counted.
    """

    to: str = ""
    sample: Share = 1.0
    queue: int = Field(10_000, ge=1)
    file_mb: float = Field(16.0, gt=0)
    file_seconds: float = Field(300.0, gt=0)
    keep_mb: float = Field(1000.0, gt=0)
    keep_days: float = Field(30.0, gt=0)


class Service(_Frozen):
    """The whole section."""

    limits: Limits = Limits()
    breaker: Breaker = Breaker()
    predictions: PredictionLog = PredictionLog()
    log_requests: bool = True
