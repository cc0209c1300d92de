"""What only GitHub Actions runs."""

from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.app import app
from slipway.errors import UserError


@app.command()
def comment(
    verdict: Annotated[Path, typer.Option(help="The verdict to render.")] = Path("reports/verdict.json"),
) -> None:
    """In GitHub Actions: show the report in the job's summary and on the pull request. Always exits with 0."""
    from slipway.delivery.github.comment import tell
    from slipway.files import printable

    told = tell(verdict)
    typer.echo(f"the report is in {' and '.join(told.where)}" if told.where else "the report is nowhere but here")
    if told.problem:
        typer.echo(f"::notice title=report::{printable(told.problem)}")


@app.command()
def outdated() -> None:
    """In GitHub Actions: tell the pull requests that results just pushed are in conflict with. Always exits with 0."""
    from slipway.delivery.github.outdated import tell_outdated

    try:
        told = tell_outdated()
    except UserError as error:
        typer.echo(f"::notice title=outdated::{error}")
    else:
        typer.echo(f"told: {', '.join(f'#{number}' for number in told) or 'nobody'}")


@app.command()
def allowed() -> None:
    """In GitHub Actions: whether a /reproduce comment is of somebody who may write here. Exits with 2 if not."""
    from slipway.delivery.github.api import write_outputs
    from slipway.delivery.github.reproduce import allow
    from slipway.files import printable

    branch = allow()
    write_outputs(branch=branch.name, commit=branch.commit, base=branch.base)
    typer.echo(f"{printable(branch.name)} at {branch.commit[:9]} is run")


@app.command()
def join(
    base: Annotated[str, typer.Option(help="The branch that this one goes into.")],
) -> None:
    """Merge the branch that this one goes into if that has got other results, which `repro` then makes anew."""
    from slipway.delivery.github.reproduce import join as join_base

    typer.echo(join_base(base))


@app.command()
def publish(
    branch: Annotated[str, typer.Option(help="The branch that the results go to.")],
    message: Annotated[str, typer.Option(help="Of the commit.")] = "Reproduce the pipeline",
) -> None:
    """Push the results to DVC's remote, and dvc.lock and the reports to a branch, if anything changed."""
    from slipway.delivery.github.reproduce import publish as publish_results

    typer.echo(publish_results(branch, message))
