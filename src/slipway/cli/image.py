"""The model as a service: on this machine, and as an image."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.app import app
from slipway.cli.options import Base, Builder, Fallback, Image, Network, Runner
from slipway.cli.output import aside, json_option, print_json

CHECKS = "{passed, checks: [{name, passed, detail}]}"


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port.", min=1, max=65_535)] = 3000,
    fallback: Fallback = None,
) -> None:
    """Serve the workspace's model until interrupted."""
    from slipway.delivery.serve import serve as run_serve

    raise typer.Exit(run_serve(host, port, fallback))


@app.command()
def predict(
    file: Annotated[Path | None, typer.Argument(help="A JSON file with a request; an example unless given.")] = None,
    url: Annotated[str, typer.Option(help="Where the service is.")] = "http://127.0.0.1:3000",
) -> None:
    """Ask a running service, and print its answer, which is JSON."""
    import json

    from slipway.delivery.serve import predict as ask

    typer.echo(json.dumps(ask(url, file), indent=2, ensure_ascii=False))


@app.command()
def model(machine: Annotated[bool, json_option("{model: folder, lock: file, found: text}")] = False) -> None:
    """Have the model that dvc.lock names: what is here if it is that one, or DVC's. Nothing is trained."""
    from slipway import layout
    from slipway.delivery.ship import pull_model

    with aside(machine):
        found = pull_model()
    if machine:
        print_json({"model": layout.MODEL, "lock": layout.LOCK, "found": found})
    else:
        typer.echo(f"{layout.MODEL} is what {layout.LOCK} names: {found}")


@app.command()
def image(
    *,
    base: Base = None,
    engine: Builder = None,
    network: Network = None,
    fallback: Fallback = None,
    allow_dirty: Annotated[bool, typer.Option("--allow-dirty", help="Build also what no commit holds.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Use no layer of an earlier build.")] = False,
    machine: Annotated[
        bool, json_option("{image, id, bento, base, base_digest, bytes, over_base, labels: {name: text}}")
    ] = False,
) -> None:
    """Build the container image of the last run's model."""
    from slipway.delivery.github.api import write_outputs
    from slipway.delivery.image.build import build_image
    from slipway.delivery.image.show import show_image

    with aside(machine):
        built = build_image(
            base=base, engine=engine, network=network, fallback=fallback, allow_dirty=allow_dirty, fresh=no_cache
        )
    if machine:
        print_json(asdict(built))
    else:
        show_image(built)
    write_outputs(image=built.image)


@app.command("image-test")
def image_test(
    image: Image = None,
    engine: Runner = None,
    network: Network = None,
    patience: Annotated[float, typer.Option(help="Seconds that it has to get ready.", min=0)] = 60,
    machine: Annotated[bool, json_option(CHECKS)] = False,
) -> None:
    """Run the image as a cluster would, ask it, stop it under load, and look inside. Exits with 1 if a check failed."""
    from slipway.delivery.image.show import passed, show_checks
    from slipway.delivery.image.trial import try_image

    with aside(machine):
        done = show_checks(try_image(image, engine=engine, network=network, patience=patience))
    if machine:
        print_json({"passed": passed(done), "checks": [asdict(each) for each in done]})
    raise typer.Exit(not passed(done))


@app.command()
def scan(image: Image = None, engine: Runner = None, machine: Annotated[bool, json_option(CHECKS)] = False) -> None:
    """List what the image consists of, and look up what is known to be wrong. Exits with 1 at a grave, mended hole."""
    from slipway.delivery.image.build import last_built
    from slipway.delivery.image.engine import find_engine
    from slipway.delivery.image.scan import scan_image
    from slipway.delivery.image.show import passed, show_checks

    name = image or last_built()
    with aside(machine):
        done = show_checks(scan_image(find_engine(engine, runs=True), name))
    if machine:
        print_json({"passed": passed(done), "checks": [asdict(each) for each in done]})
    raise typer.Exit(not passed(done))
