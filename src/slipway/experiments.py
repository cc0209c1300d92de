"""Experiments beside the last commit, on one screen; `dvc exp show` has everything, in some hundred columns."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from slipway import layout
from slipway.errors import UserError
from slipway.files import printable
from slipway.metrics import METRICS
from slipway.params import load_params
from slipway.schema import load_schema
from slipway.settings import read_yaml
from slipway.summary import number, screen

Row = Mapping[str, Any]


def show(commits: int = 1) -> None:
    """Print of the workspace, the latest commits and their experiments the metrics that gates judge, and what differs.

    Args:
        commits: How many of the latest commits.

    Raises:
        UserError: There is no commit, or DVC finds the project damaged.
    """
    from dvc.api import exp_show
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    metrics = [name for name in METRICS[load_schema().target.task] if name in load_params().gates.metrics]
    metrics = metrics or list(METRICS[load_schema().target.task][:3])
    try:
        rows: list[Row] = exp_show(num=commits)
    except (DvcException, SCMError) as error:
        raise UserError(f"DVC cannot list experiments: {error}") from None
    head = next((row for row in rows if row["rev"] != "workspace"), None)
    if head is None:
        raise UserError("there is no commit to hold experiments against; `git commit` first")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for header in ("", *metrics, "parameters that differ"):
        table.add_column(header, no_wrap=header in metrics, overflow="fold")
    for row in rows:
        differing = ", ".join(_differing(row, head)) if row["rev"] != head["rev"] else ""
        name = row["Experiment"] or row["rev"]
        table.add_row(printable(name), *(_score(row, metric) for metric in metrics), printable(differing))
    with screen() as console:
        console.print(table)
        console.print("\nHoldout, and in brackets the mean of cross-validation, by which to choose.", style="dim")


def _score(row: Row, metric: str) -> str:
    found = {"{}": row.get(f"holdout.{metric}.value"), "({})": row.get(f"cross_validation.{metric}.mean")}
    return " ".join(form.format(number(value)) for form, value in found.items() if isinstance(value, int | float))


def _differing(row: Row, head: Row) -> Iterator[str]:
    for key in _keys(read_yaml(layout.PARAMS)):
        value = row.get(key)
        if value != head.get(key):
            yield f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"


def _keys(tree: Any, prefix: str = "") -> Iterator[str]:
    for name, value in tree.items() if isinstance(tree, dict) else ():
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
