"""One machine that runs what git says."""

from typing import Annotated, Literal

import typer

from slipway.cli.app import app
from slipway.cli.complete import environments
from slipway.cli.options import Branch
from slipway.cli.output import aside, json_option, print_json


@app.command()
def deploy(
    environment: Annotated[
        str, typer.Argument(help="The environment whose release this machine is to run.", autocompletion=environments)
    ],
    *,
    to: Annotated[
        Literal["compose", "processes"] | None,
        typer.Option(help="Run containers, with their monitoring, or processes; compose where Docker Compose is."),
    ] = None,
    host: Annotated[str, typer.Option(help="The address of this machine that callers ask.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            help="Where callers ask, with the three above it; that of before, or 8080, unless given.", min=1, max=65_532
        ),
    ] = None,
    branch: Branch = "main",
    patience: Annotated[float, typer.Option(help="Seconds that a release has to get ready.", min=0)] = 60,
    observe: Annotated[float, typer.Option(help="Seconds that a release is watched under traffic.", min=0)] = 30,
    watch: Annotated[float, typer.Option(help="Look every so many seconds, until Ctrl-C; 0 looks once.", min=0)] = 0,
    retry: Annotated[bool, typer.Option("--retry", help="Try a release again that was sent back.")] = False,
    revert: Annotated[
        bool, typer.Option("--revert", help="Have git say what runs, where a release was sent back.")
    ] = False,
    monitoring: Annotated[
        bool, typer.Option(help="With Compose: Prometheus, Alertmanager, Grafana and MLflow as well.")
    ] = True,
    stop: Annotated[bool, typer.Option("--stop", help="End the gateway and the services.")] = False,
    machine: Annotated[
        bool,
        json_option(
            "{environment, port, kind, active: slot or null, slots: {slot: {name, digest, version, process, began}}, "
            "unproved, rejected: {digest: why}}"
        ),
    ] = False,
) -> None:
    """Have this machine run what git says, behind one address. Exits with 1 if the release was sent back."""
    from slipway.delivery.deploy.follow import Wishes, document, end, follow

    wishes = Wishes(
        environment, to, branch, host, port, patience, observe, watch, retry=retry, revert=revert, monitoring=monitoring
    )
    code = 0
    with aside(machine):
        if stop:
            end(environment, typer.echo)
        else:
            code = follow(wishes, typer.echo)
    if machine:
        print_json(document(environment))
    raise typer.Exit(code)
