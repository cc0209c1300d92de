"""Experiments beside the last commit, on one screen; `dvc exp show` has everything, in some hundred columns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from slipway import layout
from slipway.colours import plain_log
from slipway.errors import UserError
from slipway.files import printable
from slipway.metrics import METRICS
from slipway.params import load_params
from slipway.schema import load_schema
from slipway.settings import read_yaml
from slipway.summary import number, screen

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """An experiment, a commit or the workspace.

    Attributes:
        name: Of the experiment, or of the commit.
        revision: Its commit, or `workspace`.
        holdout: The metrics that gates judge.
        cross_validation: Their means in training, by which to choose.
        params: The parameters that differ from the latest commit's.
    """

    name: str
    revision: str
    holdout: dict[str, float]
    cross_validation: dict[str, float]
    params: dict[str, Any]


def experiments(commits: int = 1) -> list[Experiment]:
    """The workspace, the latest commits and their experiments: the metrics that gates judge, and what differs.

    Args:
        commits: How many of the latest commits.

    Raises:
        UserError: There is no commit, or DVC finds the project damaged.
    """
    from dvc.api import exp_show
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    plain_log()
    metrics = [name for name in METRICS[load_schema().target.task] if name in load_params().gates.metrics]
    metrics = metrics or list(METRICS[load_schema().target.task][:3])
    try:
        rows: list[Row] = exp_show(num=commits)
    except (DvcException, SCMError) as error:
        raise UserError(f"DVC cannot list experiments: {error}") from None
    head = next((row for row in rows if row["rev"] != "workspace"), None)
    if head is None:
        raise UserError("there is no commit to hold experiments against; `git commit` first")
    return [
        Experiment(
            row["Experiment"] or row["rev"],
            row["rev"],
            _numbers(row, metrics, "holdout.{}.value"),
            _numbers(row, metrics, "cross_validation.{}.mean"),
            dict(_differing(row, head)) if row["rev"] != head["rev"] else {},
        )
        for row in rows
    ]


def show(found: Sequence[Experiment]) -> None:
    """Print them."""
    metrics = list(dict.fromkeys(name for each in found for name in (*each.holdout, *each.cross_validation)))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for header in ("", *metrics, "parameters that differ"):
        table.add_column(header, no_wrap=header in metrics, overflow="fold")
    for each in found:
        differing = ", ".join(_setting(key, value) for key, value in each.params.items())
        table.add_row(printable(each.name), *(_score(each, metric) for metric in metrics), printable(differing))
    with screen() as console:
        console.print(table)
        console.print("\nHoldout, and in brackets the mean of cross-validation, by which to choose.", style="dim")


def _numbers(row: Row, metrics: Sequence[str], key: str) -> dict[str, float]:
    found = {metric: row.get(key.format(metric)) for metric in metrics}
    return {metric: value for metric, value in found.items() if isinstance(value, int | float)}


def _score(each: Experiment, metric: str) -> str:
    found = {"{}": each.holdout.get(metric), "({})": each.cross_validation.get(metric)}
    return " ".join(form.format(number(value)) for form, value in found.items() if value is not None)


def _setting(key: str, value: Any) -> str:
    return f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"


def _differing(row: Row, head: Row) -> Iterator[tuple[str, Any]]:
    for key in _keys(read_yaml(layout.PARAMS)):
        if row.get(key) != head.get(key):
            yield key, row.get(key)


def _keys(tree: Any, prefix: str = "") -> Iterator[str]:
    for name, value in tree.items() if isinstance(tree, dict) else ():
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
