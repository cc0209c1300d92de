"""The verbs. Each imports what it runs when it runs, so that `slipway lock` and `--help` answer at once."""

import signal
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

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
    here = Path.cwd()
    if "--help" not in sys.argv and not (here / "dvc.yaml").exists():
        for above in here.parents:
            if (above / "dvc.yaml").exists():
                raise UserError(f"{here} is a folder of the project; run from {above}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def repro(context: typer.Context) -> None:
    """Pull the data, run what changed and show the summary; arguments go to `dvc repro`. Exits like `summary`."""
    from slipway.repro import repro
    from slipway.summary import show

    try:
        repro(context.args)
    except KeyboardInterrupt:
        typer.echo("interrupted; `make repro` goes on where it stopped", err=True)
        raise
    raise typer.Exit(show())


@app.command()
def summary(
    machine: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show the last run: metrics against thresholds, worst slice, suites. Exits with 1 if a gate failed."""
    from slipway.summary import show

    raise typer.Exit(show(machine))


@app.command()
def check() -> None:
    """Check that params.yaml and the data contract are sound and fit together. Exits with 2 if not."""
    from slipway import layout
    from slipway.params import load_params
    from slipway.schema import load_schema
    from slipway.settings_check import check_settings, check_waivers

    params, schema = load_params(), load_schema()
    check_settings(params, schema)
    check_waivers(params, schema, datetime.now(UTC).date())
    typer.echo(f"{layout.PARAMS} and {layout.SCHEMA} fit together")


@app.command()
def track() -> None:
    """Upload the runs that MLFLOW_TRACKING_URI did not take when they happened."""
    from slipway import tracking

    sent = tracking.upload()
    typer.echo(f"{len(sent)} runs uploaded to {tracking.tracking_uri()}" if sent else "no run is waiting")


@app.command()
def mlflow(port: Annotated[int, typer.Option(help="The port on this machine.")] = 5000) -> None:
    """Show the runs in MLflow's UI until interrupted."""
    from slipway import tracking

    tracking.serve(port)


@app.command()
def exps(
    commits: Annotated[int, typer.Option("--commits", "-n", help="Show those of this many latest commits.")] = 1,
) -> None:
    """Show experiments beside the last commit: the metrics that matter, and the parameters that differ."""
    from slipway.experiments import show

    show(commits)


@app.command("lock")
def prove_lock(
    machine: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Prove from git alone that dvc.lock belongs to this tree. Exits with 1 if not, with 2 if it cannot be told."""
    from slipway.delivery import lock

    problems = lock.check()
    typer.echo(lock.as_json(problems) if machine else lock.report(problems))
    raise typer.Exit(bool(problems))


@app.command()
def review(
    base: Annotated[
        str | None,
        typer.Option(help="The revision to compare with; by default where the branch left the default branch."),
    ] = None,
    into: Annotated[
        str | None, typer.Option(help="The branch that this one goes into; the default branch unless given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for verdict.json, review.md and review.html.")] = Path(
        "reports"
    ),
    *,
    reproduce: Annotated[
        bool, typer.Option(help="Make the base's model again if DVC has it in no cache or remote.")
    ] = True,
) -> None:
    """Judge the model of the workspace against that of a revision. Exits with 0: pass, 1: fail, 2: undecided."""
    from slipway import layout

    for name in layout.REVIEW:  # or a review that cannot be made, or not even be imported, would leave the last one's
        (out / name).unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the base's worktree does not outlive it
    try:
        from slipway.review.run import review as run_review
        from slipway.review.show import EXIT, show, write

        verdict = run_review(base, into=into, reproduce=reproduce)
        write(verdict, out)
    except (UserError, OSError):
        raise
    except Exception:  # a mistake of ours; Python's own exit code, 1, would say that the model failed
        traceback.print_exc()
        raise typer.Exit(2) from None  # undecided
    show(verdict)
    raise typer.Exit(EXIT[verdict.verdict])


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
def rebuild() -> None:
    """Run the last commit again from the raw data alone. Exits with 1 if a metric is not the committed one."""
    from slipway.delivery import rebuild

    found = rebuild.rebuild()
    typer.echo(rebuild.report(found))
    raise typer.Exit(bool(found.differing))


@app.command()
def adopt(
    file: Annotated[Path, typer.Argument(help="A CSV, Parquet or JSON-lines file, or a folder of such files.")],
    *,
    target: Annotated[str, typer.Option(help="The column to predict.")],
    id: Annotated[str | None, typer.Option(help="The column that names a row.")] = None,  # noqa: A002
    time: Annotated[str | None, typer.Option(help="The column by which the latest rows are held out.")] = None,
    group: Annotated[str | None, typer.Option(help="The column whose rows stay on one side of the split.")] = None,
    sensitive: Annotated[list[str] | None, typer.Option(help="A column to evaluate by; repeatable.")] = None,
    positive: Annotated[str | None, typer.Option(help="The class that is predicted, of two.")] = None,
    task: Annotated[
        Literal["binary", "multiclass", "regression"] | None, typer.Option(help="If not as guessed.")
    ] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Use a column reported as unfit; repeatable.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is not committed.")] = False,
) -> None:
    """Bring your own data: infer the contract, split, slices and thresholds from a table, and version it with DVC."""
    from slipway.adopt import adopt as run_adopt
    from slipway.adopt.infer import Wishes
    from slipway.adopt.show import show as show_adoption

    wishes = Wishes(target, id, time, group, tuple(sensitive or ()), positive, task, tuple(keep or ()))
    show_adoption(run_adopt(file, wishes, force))


@app.command("data")
def version_data() -> None:
    """After changing files in data/: version them with DVC, push them, and let git see them."""
    from slipway.delivery import data

    done = data.version_data(Path())
    seen = f" ({done.in_git} is in git: commit it with data.dvc)" if done.in_git else ""
    typer.echo(f"{done.files} files, {done.size:,} bytes, pushed to {done.remote}{seen}")


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
    port: Annotated[int, typer.Option(help="Where callers ask; the three above are used, too.", min=1)] = 8080,
    branch: Annotated[str, typer.Option(help="The branch that says what runs where.")] = "main",
    patience: Annotated[float, typer.Option(help="Seconds that a release has to get ready.")] = 60,
    observe: Annotated[float, typer.Option(help="Seconds that a release is watched under traffic.")] = 30,
    watch: Annotated[float, typer.Option(help="Look every so many seconds, until Ctrl-C; 0 looks once.")] = 0,
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


@app.command("image-test")
def image_test(
    image: Annotated[str | None, typer.Option(help="The image; the one that was built last unless given.")] = None,
    engine: Annotated[
        str | None, typer.Option(envvar="SLIPWAY_ENGINE", help="docker or podman; the first that is here.")
    ] = None,
    network: Annotated[
        str | None, typer.Option(envvar="SLIPWAY_IMAGE_NETWORK", help="host, where the engine has no bridge.")
    ] = None,
    patience: Annotated[float, typer.Option(help="Seconds that it has to get ready.")] = 60,
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


def main() -> None:
    """Run the command line; a UserError is one line on standard error and exit code 2."""
    run(app)


def run(command: "typer.Typer | object") -> None:
    """Run a callable that a person started, with the project's manner of failing."""
    try:
        command()  # type: ignore[operator]
    except (UserError, OSError) as error:  # such as a full disk; nothing is half-written
        if _State.debug:
            raise
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
