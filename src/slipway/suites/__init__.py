"""The data and model suites: every check says passed, failed, warned or could not run, with condition and value."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from slipway.files import write_json

Status = Literal["passed", "failed", "warned", "error"]


@dataclass(frozen=True)
class Check:
    """The outcome of one check. `error` means that it could not run, which never counts as passed."""

    name: str
    status: Status
    condition: str
    value: float | None
    message: str


def write_suite(path: Path, suite: str, checks: list[Check]) -> None:
    """Write a suite's outcome for machines: how many checks came out how, for `dvc metrics`, and each of them."""
    counts = {status: sum(check.status == status for check in checks) for status in get_args(Status)}
    write_json(path, {suite: counts, "checks": [asdict(check) for check in checks]})
