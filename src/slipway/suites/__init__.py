"""The data and model suites: every check says passed, failed, warned or could not run, with condition and value.

`data` and `model` are stages of the pipeline; `launch` hands their tables to deepchecks, which runs in `environment/`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import slipway.stages  # noqa: F401  # first, since it makes an interrupt end quietly while the others are imported
from slipway.files import write_json

Status = Literal["passed", "failed", "warned", "error"]


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    `status` is `error` if it could not run, which never counts as passed, and counts against the suite unless
    `required` is false. `parameter` is the key of `params.yaml` that sets the condition.
    """

    name: str
    status: Status
    condition: str
    value: float | None
    message: str
    parameter: str = ""
    required: bool = True


def write_suite(path: Path, suite: str, checks: Sequence[Check]) -> None:
    """Write a suite's outcome for machines: how many checks came out how, for `dvc metrics`, and each of them."""
    counts = {status: sum(check.status == status for check in checks) for status in get_args(Status)}
    write_json(path, {suite: counts, "checks": [asdict(check) for check in checks]})
