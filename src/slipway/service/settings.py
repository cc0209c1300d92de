"""How the service behaves: the section `service` of params.yaml, shipped with the model. It needs Pydantic only."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Limits(_Frozen):
    """What one request may ask for; beyond, it is refused with 413, 429 or 504."""

    body_mb: float = Field(10.0, gt=0)
    """Size of the body, in 10^6 bytes."""
    rows: int = Field(10_000, ge=1)
    """Rows of one request."""
    seconds: float = Field(10.0, gt=0)
    """Time to answer."""
    waiting: int = Field(64, ge=1)
    """Requests in work at the same time."""


class Breaker(_Frozen):
    """When the model is left alone after failures, and the fallback answers."""

    failures: int = Field(5, ge=1)
    """Failures of the model in a row that open it."""
    seconds: float = Field(30.0, gt=0)
    """How long the model is then left alone."""


class PredictionLog(_Frozen):
    """Where requests and answers are kept for monitoring."""

    to: str = ""
    """A folder, absolute in a container, or a URL that fsspec knows, such as `s3://bucket/predictions`; empty keeps
    nothing."""
    sample: Share = 1.0
    """Share of the requests that is kept."""
    queue: int = Field(10_000, ge=1)
    """Rows waiting to be written; more are dropped, and counted."""
    file_mb: float = Field(16.0, gt=0)
    """A file of this size, in 10^6 bytes, is closed, and only then uploaded."""
    file_seconds: float = Field(300.0, gt=0)
    """A file of this age is closed as well."""
    keep_mb: float = Field(1000.0, gt=0)
    """The oldest files go when the folder holds more, in 10^6 bytes."""
    keep_days: float = Field(30.0, gt=0)
    """Files older than this go."""


class Service(_Frozen):
    """How the model is served."""

    limits: Limits = Limits()
    breaker: Breaker = Breaker()
    predictions: PredictionLog = PredictionLog()
    log_requests: bool = True
    """Whether each request is a line on standard output."""
