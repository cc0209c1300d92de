"""From raw data to a model that is judged."""

import signal
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from slipway.cli.app import app
from slipway.cli.complete import branches, revisions
from slipway.cli.output import aside, json_option, print_json
from slipway.errors import warn


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def repro(context: typer.Context) -> None:
    """Pull the data, run what changed and show the summary; arguments go to `dvc repro`. Exits like `summary`."""
    from slipway.answers import is_empty, promised
    from slipway.repro import repro
    from slipway.summary import show

    if is_empty() and (named := promised()) and named.target:
        _adopt_promised()
    try:
        repro(context.args)
    except KeyboardInterrupt:
        typer.echo("interrupted; `make repro` goes on where it stopped", err=True)
        raise
    raise typer.Exit(show())


def _adopt_promised() -> None:
    """Adopt the table that was named when the project was made."""
    from slipway.adopt import adopt
    from slipway.adopt.infer import Wishes
    from slipway.adopt.show import show
    from slipway.answers import table

    named = table()
    show(adopt(named.path, Wishes(named.target)), goes_on=True)


@app.command()
def summary(
    machine: Annotated[
        bool,
        json_option(
            "{passed, task, model, rows: {train, holdout}, features, threshold, warnings: [text], export: {format, "
            "reason, parity, bytes}, confidence, metrics: {name: {value, low, high, cross_validation, expected, "
            "passed}}, worst_slice, skipped_slices, suites: {name: {passed, failed, warned, error, unable, notable}}, "
            "changed_since: [path]}"
        ),
    ] = False,
) -> None:
    """Show the last run: metrics against thresholds, worst slice, suites. Exits with 1 if a gate failed."""
    from slipway.summary import last_run, show

    if not machine:
        raise typer.Exit(show())
    found = last_run()
    print_json(found)
    raise typer.Exit(not found["passed"])


@app.command()
def check(
    machine: Annotated[bool, json_option("{fits, files: [path], task, columns, gates, warnings: [text]}")] = False,
) -> None:
    """Check that params.yaml and the data contract are sound and fit together. Exits with 2 if not."""
    from slipway import layout
    from slipway.answers import is_empty
    from slipway.params import load_params
    from slipway.repro import refuse_unlisted_code
    from slipway.schema import load_schema
    from slipway.settings_check import check_settings, check_waivers, without_limits

    refuse_unlisted_code()
    params, found = load_params(), None if is_empty() else load_schema()
    warned: list[str] = []
    if found is not None:
        check_settings(params, found)
        check_waivers(params, found, datetime.now(UTC).date())
        warned += filter(None, [without_limits(params, found)])
    if machine:
        files = [layout.PARAMS] if found is None else [layout.PARAMS, layout.SCHEMA]
        facts = {"fits": True, "files": files, "task": found and found.target.task}
        gates = params.gates.model_dump(mode="json", exclude_none=True)
        print_json({**facts, "columns": list(found.columns) if found else [], "gates": gates, "warnings": warned})
        return
    for message in warned:
        warn("check", message)
    if found is None:
        typer.echo(f"{layout.PARAMS} is sound; there is no data yet")
    else:
        typer.echo(f"{layout.PARAMS} and {layout.SCHEMA} fit together")


@app.command()
def track(machine: Annotated[bool, json_option("{uploaded: [run], to: URL}")] = False) -> None:
    """Upload the runs that MLFLOW_TRACKING_URI did not take when they happened."""
    from slipway import tracking

    with aside(machine):
        sent = tracking.upload()
    if machine:
        print_json({"uploaded": sent, "to": tracking.tracking_uri()})
    else:
        typer.echo(f"{len(sent)} runs uploaded to {tracking.tracking_uri()}" if sent else "no run is waiting")


@app.command()
def mlflow(port: Annotated[int, typer.Option(min=1, max=65535, help="The port on this machine.")] = 5000) -> None:
    """Show the runs in MLflow's UI until interrupted."""
    from slipway import tracking

    tracking.serve(port)


@app.command()
def exps(
    commits: Annotated[int, typer.Option("--commits", "-n", min=1, help="Show those of this many latest commits.")] = 1,
    machine: Annotated[
        bool,
        json_option(
            "{experiments: [{name, revision, holdout: {metric: value}, cross_validation: {metric: mean}, params: {key: "
            "value}}]}"
        ),
    ] = False,
) -> None:
    """Show experiments beside the last commit: the metrics that matter, and the parameters that differ."""
    from slipway.experiments import experiments, show

    with aside(machine):
        found = experiments(commits)
    if machine:
        print_json({"experiments": [asdict(each) for each in found]})
    else:
        show(found)


@app.command()
def adopt(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A CSV, Parquet or JSON-lines file, or a folder of such files; the one that was named when the "
            "project was made unless given.",
            show_default=False,
        ),
    ] = None,
    *,
    target: Annotated[str | None, typer.Option(help="The column to predict.")] = None,
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
    machine: Annotated[
        bool,
        json_option(
            "{origin, rows, schema: as src/model/schema.yaml, left_out: {column: reason}, decisions: [text], warnings: "
            "[text], written: [path], removed: [path], undo: command}"
        ),
    ] = False,
) -> None:
    """Bring your own data: infer the contract, split, slices and thresholds from a table, and version it with DVC."""
    from slipway.adopt import adopt as run_adopt
    from slipway.adopt.infer import Wishes
    from slipway.adopt.show import document
    from slipway.adopt.show import show as show_adoption
    from slipway.answers import table

    if file is None:
        named = table()
        file, target = named.path, target or named.target
    wishes = Wishes(target or "", id, time, group, tuple(sensitive or ()), positive, task, tuple(keep or ()))
    with aside(machine):
        adoption = run_adopt(file, wishes, force)
    if machine:
        print_json(document(adoption))
    else:
        show_adoption(adoption)


@app.command("data")
def version_data(
    machine: Annotated[bool, json_option("{md5, files, size, remote, in_git: path or null}")] = False,
) -> None:
    """After changing files in data/: version them with DVC, push them, and let git see them."""
    from slipway.delivery import data

    with aside(machine):
        done = data.version_data(Path())
    if machine:
        print_json(asdict(done))
        return
    seen = f" ({done.in_git} is in git: commit it with data.dvc)" if done.in_git else ""
    typer.echo(
        f"{done.files:,} file{'s' if done.files != 1 else ''}, {done.size:,} bytes, pushed to {done.remote}{seen}"
    )


@app.command("lock")
def prove_lock(
    machine: Annotated[
        bool, json_option("{honest, problems: [{stage, kind, path, expected, found, message, fix}]}")
    ] = False,
) -> None:
    """Prove from git alone that dvc.lock belongs to this tree. Exits with 1 if not, with 2 if it cannot be told."""
    from slipway.delivery import lock

    problems = lock.check()
    if machine:
        print_json({"honest": not problems, "problems": [asdict(problem) for problem in problems]})
    else:
        typer.echo(lock.report(problems))
    raise typer.Exit(bool(problems))


@app.command()
def review(
    base: Annotated[
        str | None,
        typer.Option(
            help="The revision to compare with; by default where the branch left the default branch.",
            autocompletion=revisions,
        ),
    ] = None,
    into: Annotated[
        str | None,
        typer.Option(
            help="The branch that this one goes into; the default branch unless given.", autocompletion=branches
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for verdict.json, review.md and review.html.")] = Path(
        "reports"
    ),
    *,
    reproduce: Annotated[
        bool, typer.Option(help="Make the base's model again if DVC has it in no cache or remote.")
    ] = True,
    machine: Annotated[bool, json_option("verdict.json, as docs/verdict.schema.json describes it")] = False,
) -> None:
    """Judge the model of the workspace against that of a revision. Exits with 0: pass, 1: fail, 2: undecided."""
    from slipway import layout

    for name in layout.REVIEW:  # or a review that cannot be made, or not even be imported, would leave the last one's
        (out / name).unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the base's worktree does not outlive it
    from slipway.review.run import review as run_review
    from slipway.review.show import EXIT, show, write

    with aside(machine):
        verdict = run_review(base, into=into, reproduce=reproduce)
        write(verdict, out)
    if machine:
        print_json(verdict.model_dump(mode="json"))
    else:
        show(verdict)
    raise typer.Exit(EXIT[verdict.verdict])


@app.command()
def rebuild(
    machine: Annotated[
        bool, json_option("{commit, compared, tolerance, differing: [{name, committed, remade}]}")
    ] = False,
) -> None:
    """Run the last commit again from the raw data alone. Exits with 1 if a metric is not the committed one."""
    from slipway.delivery import rebuild

    with aside(machine):
        found = rebuild.rebuild()
    if machine:
        print_json(asdict(found))
    else:
        typer.echo(rebuild.report(found))
    raise typer.Exit(bool(found.differing))
