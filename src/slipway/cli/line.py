"""From raw data to a model that is judged."""

import signal
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from slipway.cli.app import app
from slipway.errors import UserError


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
def rebuild() -> None:
    """Run the last commit again from the raw data alone. Exits with 1 if a metric is not the committed one."""
    from slipway.delivery import rebuild

    found = rebuild.rebuild()
    typer.echo(rebuild.report(found))
    raise typer.Exit(bool(found.differing))
