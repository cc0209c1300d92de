"""Which image runs where: git says, and remembers."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from slipway.cli.app import app
from slipway.cli.complete import environments, releases, traceable
from slipway.cli.options import Base, Branch, DryRun, Network, Runner
from slipway.cli.output import aside, json_option, print_json

if TYPE_CHECKING:
    from slipway.delivery.release.promote import Proposal

PROPOSAL = "{environment, before: lineage.json or null, after: lineage.json, branch, title, body, done: text or null}"


@app.command()
def release(
    *,
    to: Annotated[
        str | None, typer.Option(help="REGISTRY/NAME or oci:FOLDER; image.name of params.yaml unless given.")
    ] = None,
    environment: Annotated[
        str, typer.Option(help="The environment that gets it.", autocompletion=environments)
    ] = "staging",
    branch: Branch = "main",
    check: Annotated[bool, typer.Option("--check", help="Say whether there is something to release.")] = False,
    push_only: Annotated[bool, typer.Option("--push-only", help="Push the image, and leave git as it is.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace also a release that is not in this commit's history.")
    ] = False,
    base: Base = None,
    engine: Runner = None,
    network: Network = None,
    machine: Annotated[
        bool,
        json_option("{ships, image, digest, release: lineage.json or null, commit, superseded}"),
    ] = False,
) -> None:
    """Release HEAD: build, test and push its image, and commit its digest. Again, it completes or changes nothing."""
    from slipway.delivery.github.api import write_outputs
    from slipway.delivery.image.engine import find_engine
    from slipway.delivery.image.scan import missing_tools, scan_image
    from slipway.delivery.image.show import passed, show_checks
    from slipway.delivery.image.trial import try_image
    from slipway.delivery.release import release as releasing
    from slipway.delivery.release.branch import fetch
    from slipway.delivery.release.mirror import mirror

    def passes(image: str) -> bool:
        if not passed(show_checks(try_image(image, engine=engine, network=network))):
            return False
        if missing := missing_tools():
            typer.echo(f"not scanned here: {' and '.join(missing)} missing")
            return True
        return passed(show_checks(scan_image(find_engine(engine, runs=True), image)))

    with aside(machine):
        fetch()
        same = None if replace else releasing.unchanged(branch, environment)
        write_outputs(ships="false" if same else "true")
        found: dict[str, Any] = {"ships": same is None, "image": None, "digest": None}
        found |= {"release": same and same.document(), "commit": None, "superseded": False}
        if same:
            typer.echo(f"nothing that ships has changed since {same.name}, which {environment} runs")
        elif not check:
            registry, stored = releasing.push_image(to, test=passes, engine=engine, base=base, network=network)
            write_outputs(image=registry.name, digest=stored.digest)
            found |= {"image": registry.name, "digest": stored.digest}
            if push_only:
                typer.echo(f"{registry.name}@{stored.digest}")
            else:
                released = releasing.release(registry, stored, branch=branch, environment=environment, replace=replace)
                releasing.show(released, registry)
                found |= {"release": released.lineage.document(), "commit": released.commit}
                found["superseded"] = released.superseded
        if not (check or push_only):
            mirror(branch)
    if machine:
        print_json(found)


@app.command()
def promote(
    source: Annotated[str, typer.Argument(help="The environment that runs it.", autocompletion=environments)],
    target: Annotated[str, typer.Argument(help="The environment that is to run it.", autocompletion=environments)],
    *,
    branch: Branch = "main",
    dry_run: DryRun = False,
    machine: Annotated[bool, json_option(PROPOSAL)] = False,
) -> None:
    """Open a pull request that has one environment run what another runs."""
    from slipway.delivery.release import promote as promoting
    from slipway.delivery.release.branch import fetch

    with aside(machine):
        fetch()
        proposal = promoting.propose_promotion(source, target, branch)
        done = None if dry_run else promoting.open_pull_request(proposal, branch)
    _tell(proposal, done, machine)


@app.command()
def rollback(
    environment: Annotated[str, typer.Argument(help="The environment.", autocompletion=environments)],
    *,
    to: Annotated[
        str | None,
        typer.Option(
            help="A release, its commit or digest, or a commit of git in which it ran.", autocompletion=releases
        ),
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Change the branch itself, without a pull request.")] = False,
    branch: Branch = "main",
    dry_run: DryRun = False,
    machine: Annotated[bool, json_option(PROPOSAL)] = False,
) -> None:
    """Have an environment run what it ran before: by a pull request, or at once."""
    from slipway.delivery.release import promote as promoting
    from slipway.delivery.release.branch import fetch

    with aside(machine):
        fetch()
        proposal, done = promoting.propose_rollback(environment, to, branch), None
        if now and not dry_run:
            done = f"{proposal.title}: {promoting.push_now(proposal, branch)}"
        elif not dry_run:
            done = promoting.open_pull_request(proposal, branch)
    _tell(proposal, done, machine)


@app.command()
def lineage(
    what: Annotated[
        str,
        typer.Argument(
            help="An environment, a release, a digest, a commit, or a service's URL.", autocompletion=traceable
        ),
    ],
    *,
    form: Annotated[Literal["table", "markdown"], typer.Option("--format", help="How to print it.")] = "table",
    look: Annotated[bool, typer.Option("--verify", help="Ask the registry, cosign and GitHub as well.")] = False,
    branch: Branch = "main",
    machine: Annotated[
        bool, json_option("lineage.json with environments: [name] and findings: [{what, holds, said}]")
    ] = False,
) -> None:
    """Say where what runs came from: commit, data, parameters, metrics, verdict, image. Exits with 1 if it is wrong."""
    from slipway.delivery.release import trace as tracing
    from slipway.delivery.release.verify import verify

    with aside(machine):
        found = tracing.trace(what, branch)
        if look:
            found = tracing.Trace(found.lineage, found.environments, (*found.findings, *verify(found.lineage)))
    if machine:
        print_json(found.document())
    else:
        tracing.show(found, form)
    raise typer.Exit(int(any(each.holds is False for each in found.findings)))


def _tell(proposal: "Proposal", done: str | None, machine: bool) -> None:
    """Say what was proposed, and what came of it unless that was all."""
    from slipway.delivery.release.promote import show

    if machine:
        print_json(proposal.document() | {"done": done})
    elif done is None:
        show(proposal)
    else:
        typer.echo(done)
