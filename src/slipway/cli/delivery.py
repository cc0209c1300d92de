"""From a judged model to what runs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from slipway.cli.app import app


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port.", min=1, max=65_535)] = 3000,
    fallback: Annotated[
        str | None, typer.Option(help="The revision whose model answers when this one fails, such as HEAD~1.")
    ] = None,
) -> None:
    """Serve the workspace's model until interrupted."""
    from slipway.delivery.serve import serve as run_serve

    raise typer.Exit(run_serve(host, port, fallback))


@app.command()
def predict(
    file: Annotated[Path | None, typer.Argument(help="A JSON file with a request; an example unless given.")] = None,
    url: Annotated[str, typer.Option(help="Where the service is.")] = "http://127.0.0.1:3000",
) -> None:
    """Ask a running service."""
    import json

    from slipway.delivery.serve import predict as ask

    typer.echo(json.dumps(ask(url, file), indent=2, ensure_ascii=False))


@app.command()
def model() -> None:
    """Have the model that dvc.lock names: what is here if it is that one, or DVC's. Nothing is trained."""
    from slipway import layout
    from slipway.delivery.ship import pull_model

    typer.echo(f"{layout.MODEL} is what {layout.LOCK} names: {pull_model()}")


@app.command()
def image(
    *,
    base: Annotated[
        str | None, typer.Option(envvar="SLIPWAY_IMAGE_BASE", help="The image to build on, if not image.base.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(envvar="SLIPWAY_ENGINE", help="docker, podman or buildah; the first that is here.")
    ] = None,
    network: Annotated[
        str | None, typer.Option(envvar="SLIPWAY_IMAGE_NETWORK", help="The network of the build, such as host.")
    ] = None,
    fallback: Annotated[str | None, typer.Option(help="The revision whose model answers when this one fails.")] = None,
    allow_dirty: Annotated[bool, typer.Option("--allow-dirty", help="Build also what no commit holds.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Use no layer of an earlier build.")] = False,
) -> None:
    """Build the container image of the last run's model."""
    from slipway.delivery.github.api import write_outputs
    from slipway.delivery.image.build import build_image
    from slipway.delivery.image.show import show_image

    built = build_image(
        base=base, engine=engine, network=network, fallback=fallback, allow_dirty=allow_dirty, fresh=no_cache
    )
    show_image(built)
    write_outputs(image=built.image)


@app.command("image-test")
def image_test(
    image: Annotated[str | None, typer.Option(help="The image; the one that was built last unless given.")] = None,
    engine: Annotated[
        str | None, typer.Option(envvar="SLIPWAY_ENGINE", help="docker or podman; the first that is here.")
    ] = None,
    network: Annotated[
        str | None, typer.Option(envvar="SLIPWAY_IMAGE_NETWORK", help="host, where the engine has no bridge.")
    ] = None,
    patience: Annotated[float, typer.Option(help="Seconds that it has to get ready.", min=0)] = 60,
) -> None:
    """Run the image as a cluster would, ask it, stop it under load, and look inside. Exits with 1 if a check failed."""
    from slipway.delivery.image.show import show_checks
    from slipway.delivery.image.trial import try_image

    raise typer.Exit(not show_checks(try_image(image, engine=engine, network=network, patience=patience)))


@app.command()
def scan(
    image: Annotated[str | None, typer.Option(help="The image; the one that was built last unless given.")] = None,
    engine: Annotated[
        str | None, typer.Option(envvar="SLIPWAY_ENGINE", help="docker or podman; the first that is here.")
    ] = None,
) -> None:
    """List what the image consists of, and look up what is known to be wrong. Exits with 1 at a grave, mended hole."""
    from slipway.delivery.image.build import BUILT
    from slipway.delivery.image.engine import find_engine
    from slipway.delivery.image.scan import scan_image
    from slipway.delivery.image.show import show_checks
    from slipway.files import read_report

    name = image or str(read_report(BUILT)["image"])
    raise typer.Exit(not show_checks(scan_image(find_engine(engine, runs=True), name)))


@app.command()
def release(
    *,
    to: Annotated[
        str | None, typer.Option(help="REGISTRY/NAME or oci:FOLDER; image.name of params.yaml unless given.")
    ] = None,
    environment: Annotated[str, typer.Option(help="The environment that gets it.")] = "staging",
    branch: Annotated[str, typer.Option(help="The branch that says what runs where.")] = "main",
    check: Annotated[bool, typer.Option("--check", help="Say whether there is something to release.")] = False,
    push_only: Annotated[bool, typer.Option("--push-only", help="Push the image, and leave git as it is.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace also a release that is not in this commit's history.")
    ] = False,
    base: Annotated[
        str | None, typer.Option(envvar="SLIPWAY_IMAGE_BASE", help="The image to build on, if not image.base.")
    ] = None,
    engine: Annotated[str | None, typer.Option(envvar="SLIPWAY_ENGINE", help="docker or podman.")] = None,
    network: Annotated[
        str | None, typer.Option(envvar="SLIPWAY_IMAGE_NETWORK", help="The network of build and test, such as host.")
    ] = None,
) -> None:
    """Release HEAD: build, test and push its image, and commit its digest. Again, it completes or changes nothing."""
    from slipway.delivery.github.api import write_outputs
    from slipway.delivery.image.engine import find_engine
    from slipway.delivery.image.scan import missing_tools, scan_image
    from slipway.delivery.image.show import show_checks
    from slipway.delivery.image.trial import try_image
    from slipway.delivery.release import release as releasing
    from slipway.delivery.release.branch import fetch
    from slipway.delivery.release.mirror import mirror

    def passes(image: str) -> bool:
        if not show_checks(try_image(image, engine=engine, network=network)):
            return False
        if missing := missing_tools():
            typer.echo(f"not scanned here: {' and '.join(missing)} missing")
            return True
        return show_checks(scan_image(find_engine(engine, runs=True), image))

    fetch()
    same = None if replace else releasing.unchanged(branch, environment)
    write_outputs(ships="false" if same else "true")
    if same:
        typer.echo(f"nothing that ships has changed since {same.name}, which {environment} runs")
    elif not check:
        registry, stored = releasing.push_image(to, test=passes, engine=engine, base=base, network=network)
        write_outputs(image=registry.name, digest=stored.digest)
        if push_only:
            typer.echo(f"{registry.name}@{stored.digest}")
            return
        released = releasing.release(registry, stored, branch=branch, environment=environment, replace=replace)
        releasing.show(released, registry)
    if not (check or push_only):
        mirror(branch)


@app.command()
def promote(
    source: Annotated[str, typer.Argument(help="The environment that runs it.")],
    target: Annotated[str, typer.Argument(help="The environment that is to run it.")],
    *,
    branch: Annotated[str, typer.Option(help="The branch that says what runs where.")] = "main",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would propose, and push nothing.")] = False,
) -> None:
    """Open a pull request that has one environment run what another runs."""
    from slipway.delivery.release import promote as promoting
    from slipway.delivery.release.branch import fetch

    fetch()
    proposal = promoting.propose_promotion(source, target, branch)
    if dry_run:
        promoting.show(proposal)
    else:
        typer.echo(promoting.open_pull_request(proposal, branch))


@app.command()
def rollback(
    environment: Annotated[str, typer.Argument(help="The environment.")],
    *,
    to: Annotated[
        str | None, typer.Option(help="A release, its commit or digest, or a commit of git in which it ran.")
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Change the branch itself, without a pull request.")] = False,
    branch: Annotated[str, typer.Option(help="The branch that says what runs where.")] = "main",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would propose, and push nothing.")] = False,
) -> None:
    """Have an environment run what it ran before: by a pull request, or at once."""
    from slipway.delivery.release import promote as promoting
    from slipway.delivery.release.branch import fetch

    fetch()
    proposal = promoting.propose_rollback(environment, to, branch)
    if dry_run:
        promoting.show(proposal)
    elif now:
        typer.echo(f"{proposal.title}: {promoting.push_now(proposal, branch)}")
    else:
        typer.echo(promoting.open_pull_request(proposal, branch))


@app.command()
def deploy(
    environment: Annotated[str, typer.Argument(help="The environment whose release this machine is to run.")],
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
    branch: Annotated[str, typer.Option(help="The branch that says what runs where.")] = "main",
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
) -> None:
    """Have this machine run what git says, behind one address. Exits with 1 if the release was sent back."""
    from slipway.delivery.deploy.follow import Wishes, end, follow

    if stop:
        end(environment, typer.echo)
        return
    wishes = Wishes(
        environment, to, branch, host, port, patience, observe, watch, retry=retry, revert=revert, monitoring=monitoring
    )
    raise typer.Exit(follow(wishes, typer.echo))


@app.command()
def lineage(
    what: Annotated[str, typer.Argument(help="An environment, a release, a digest, a commit, or a service's URL.")],
    *,
    form: Annotated[Literal["table", "json", "markdown"], typer.Option("--format", help="How to print it.")] = "table",
    look: Annotated[bool, typer.Option("--verify", help="Ask the registry, cosign and GitHub as well.")] = False,
    branch: Annotated[str, typer.Option(help="The branch that says what runs where.")] = "main",
) -> None:
    """Say where what runs came from: commit, data, parameters, metrics, verdict, image. Exits with 1 if it is wrong."""
    from slipway.delivery.release import trace as tracing
    from slipway.delivery.release.verify import verify

    found = tracing.trace(what, branch)
    if look:
        found = tracing.Trace(found.lineage, found.environments, (*found.findings, *verify(found.lineage)))
    tracing.show(found, form)
    raise typer.Exit(int(any(each.holds is False for each in found.findings)))
