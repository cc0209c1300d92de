"""The verbs. Each imports what it runs when it runs, so that `slipway lock` and `--help` answer at once."""

import sys
from typing import Annotated

import typer

from slipway.errors import UserError

app = typer.Typer(
    help="Machine-learning projects run the GitOps way: data to tested model, pull request to production.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class _State:
    debug = False


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback behind an error message.")] = False,
) -> None:
    _State.debug = debug


@app.command()
def summary() -> None:
    """Show the last run: metrics against thresholds, worst slice, suites. Exits with 1 if a gate failed."""
    from slipway.summary import show

    raise typer.Exit(show())


@app.command()
def check() -> None:
    """Check that params.yaml and the data contract are sound and fit together. Exits with 2 if not."""
    from slipway import layout
    from slipway.params import load_params
    from slipway.schema import load_schema
    from slipway.settings_check import check_settings

    check_settings(load_params(), load_schema())
    typer.echo(f"{layout.PARAMS} and {layout.SCHEMA} fit together")


@app.command()
def track() -> None:
    """Upload the runs that MLFLOW_TRACKING_URI did not take when they happened."""
    from slipway import tracking

    sent = tracking.upload()
    typer.echo(f"{len(sent)} runs uploaded to {tracking.tracking_uri()}" if sent else "no run is waiting")


@app.command("lock")
def prove_lock(
    machine: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Prove from git alone that dvc.lock belongs to this tree. Exits with 1 if not, with 2 if it cannot be told."""
    from slipway.delivery import lock

    problems = lock.check()
    typer.echo(lock.as_json(problems) if machine else lock.report(problems))
    raise typer.Exit(bool(problems))


def main() -> None:
    """Run the command line; a UserError is one line on standard error and exit code 2."""
    run(app)


def run(command: "typer.Typer | object") -> None:
    """Run a callable that a person started, with the project's manner of failing."""
    try:
        command()  # type: ignore[operator]
    except UserError as error:
        if _State.debug:
            raise
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
