"""The end of a run for the person who started it: what the reports hold, on one screen."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

from slipway import layout
from slipway.delivery import lock
from slipway.errors import UserError
from slipway.files import printable, read_report, undamaged
from slipway.metrics import HIGHER_IS_BETTER, METRICS
from slipway.params import Bound, Params, load_params

SHOWN = 10  # failed checks and warnings of each kind; the reports hold them all
STATUSES = {"passed": "passed", "failed": "failed", "warned": "warned", "error": "could not run"}
STYLES = {"passed": "green", "failed": "bold red", "warned": "yellow", "error": "bold red"}
ASCII = str.maketrans({"≥": ">=", "≤": "<=", "±": "+-", "\u2013": "-"})


def last_run() -> dict[str, Any]:
    """What the last run found, and what has changed since.

    Raises:
        UserError: A report is missing or damaged.
    """
    return collect(load_params()) | {"changed_since": changed_since()}


def show() -> int:
    """Print the last run.

    Returns:
        The exit code: 0, or 1 if a threshold is missed or a check failed or could not run.

    Raises:
        UserError: A report is missing or damaged.
    """
    summary = last_run()
    with screen() as console, undamaged():
        _print(console, summary)
    return 0 if summary["passed"] else 1


@contextmanager
def screen() -> Iterator[Console]:
    """Give a console whose text appears on standard output at the end, in ASCII where that knows no more."""
    console = Console(markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else 120)
    with console.capture() as text:
        yield console
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    sys.stdout.write(text.get() if unicode else text.get().translate(ASCII).encode("ascii", "replace").decode("ascii"))


def collect(params: Params) -> dict[str, Any]:
    """Put together what the reports say, judged by the thresholds of `params.yaml`.

    Raises:
        UserError: A report is missing or damaged.
    """
    split, training, export, metrics, slices = (
        read_report(path)
        for path in (layout.SPLIT_REPORT, layout.TRAINING_REPORT, layout.EXPORT_REPORT, layout.METRICS, layout.SLICES)
    )
    suites = {name: read_report(path) for name, path in layout.SUITE_REPORTS.items()}
    with undamaged():
        judged = _metrics(metrics["holdout"], training["cross_validation"], params.gates.metrics, training["task"])
        outcome = {name: _suite(suite["checks"]) for name, suite in suites.items()}
        worst = _worst_slice(slices["slices"], params, training["task"])
        missed = any(metric["passed"] is False for metric in (*judged.values(), worst or {"passed": None}))
        broken = any(suite["failed"] or suite["unable"] for suite in outcome.values())
        return {
            "passed": not (missed or broken),
            "task": training["task"],
            "model": training["model"],
            "rows": {side: split["rows"][side] for side in ("train", "holdout")},
            "features": training["features"],
            "threshold": training.get("threshold"),
            "warnings": training.get("warnings", []),
            "export": {key: export.get(key) for key in ("format", "reason", "parity", "bytes")},
            "confidence": params.evaluate.confidence,
            "metrics": judged,
            "worst_slice": worst,
            "skipped_slices": len(slices["skipped"]),
            "suites": outcome,
        }


def changed_since() -> list[str]:
    """The files that are no longer what the last run read; empty where git and dvc.lock cannot tell."""
    try:
        problems = lock.check()
    except UserError:
        return []
    stale = [problem.path for problem in problems if problem.kind != "entry" and problem.fix == lock.RERUN]
    return list(dict.fromkeys(path.split(":")[0] for path in stale))


def _metrics(holdout: Any, folds: Any, gates: dict[str, Bound], task: Any) -> dict[str, Any]:
    """Every metric of the task and every gate; a gate on a metric that is undefined is missed."""
    found = {}
    for name in dict.fromkeys((*METRICS[task], *gates)):
        bound, measured = gates.get(name), holdout.get(name)
        if measured is not None or bound is not None:
            found[name] = {
                **(measured or {"value": None, "low": None, "high": None}),
                "cross_validation": folds.get(name),
                **_judged(measured, bound),
            }
    return found


def _judged(measured: dict[str, float] | None, bound: Bound | None) -> dict[str, Any]:
    if bound is None:
        return {"expected": None, "passed": None}
    return {"expected": str(bound), "passed": measured is not None and bound.holds(measured["value"])}


def _worst_slice(slices: list[Any], params: Params, task: Any) -> dict[str, Any] | None:
    metric = next(iter((*params.gates.worst_slice, *params.gates.metrics, METRICS[task][0])))
    scored = [entry for entry in slices if metric in entry["metrics"]]
    if not scored:
        return None
    choose = min if metric in HIGHER_IS_BETTER else max
    worst = choose(scored, key=lambda entry: entry["metrics"][metric]["value"])
    place, measured = {key: worst[key] for key in ("column", "value", "rows")}, worst["metrics"][metric]
    return {"metric": metric, "slice": place, **measured, **_judged(measured, params.gates.worst_slice.get(metric))}


def _suite(checks: list[dict[str, Any]]) -> dict[str, Any]:
    counts = {status: sum(check["status"] == status for check in checks) for status in STATUSES}
    if not checks or sum(counts.values()) != len(checks):
        raise KeyError("a suite without checks, or with an outcome that is none")
    unable = sum(check["status"] == "error" and check["required"] for check in checks)
    return counts | {"unable": unable, "notable": [check for check in checks if check["status"] != "passed"]}


def _print(console: Console, summary: dict[str, Any]) -> None:
    _print_model(console, summary)
    _print_metrics(console, summary)
    console.print()
    worst, skipped = summary["worst_slice"], summary["skipped_slices"]
    if worst:
        where = worst["slice"]
        gate = f", expected {worst['expected']}" if worst["expected"] else ""
        style = STYLES["failed"] if worst["passed"] is False else None
        _line(console, f"Worst slice by {worst['metric']}: {where['column']} {where['value']}, {where['rows']:,} rows")
        _line(console, f"  {number(worst['value'])} ({_interval(worst)}){gate}", style)
    else:
        _line(console, f"Worst slice: none was scored; name slices in {layout.PARAMS} under evaluate.slices")
    if skipped:
        _line(console, f"Slices with too few rows to score: {skipped}")
    console.print()
    for name, suite in summary["suites"].items():
        counts = ", ".join(f"{suite[status]} {text}" for status, text in STATUSES.items() if suite[status])
        _line(console, f"Suite {name}: {counts or 'no checks'}")
        for check in suite["notable"][:SHOWN]:
            value = "" if check["value"] is None else f": {check['value']:.6g}"
            message = f" ({check['message']})" if check["message"] else ""
            text = f"  {STATUSES[check['status']]}: {check['name']}{value}, expected {check['condition']}{message}"
            _line(console, text, STYLES[check["status"]])
        if len(suite["notable"]) > SHOWN:
            _line(console, f"  and {len(suite['notable']) - SHOWN} more in {layout.SUITE_REPORTS[name]}")
    console.print()
    _line(console, f"Reports: {layout.METRICS}, {layout.SLICES}, {layout.SUITES}/")
    _line(console, "Plots: `make plots`")
    verdict = "Every threshold and check holds." if summary["passed"] else "A threshold is missed or a check failed."
    _line(console, verdict, STYLES["passed" if summary["passed"] else "failed"])
    if missed := _missed(summary):
        _line(console, f"Mend the cause, or change what {layout.PARAMS} expects: {', '.join(missed)}")
    changed = summary["changed_since"]
    if changed:
        names = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        _line(console, f"{names} changed since this run; `make repro` brings it up to date", STYLES["warned"])


def _missed(summary: dict[str, Any]) -> list[str]:
    """The settings that say what was not reached."""
    missed = [f"gates.metrics.{name}" for name, metric in summary["metrics"].items() if metric["passed"] is False]
    worst = summary["worst_slice"]
    missed += [f"gates.worst_slice.{worst['metric']}"] if worst and worst["passed"] is False else []
    return missed + [f"suites.{name}" for name, suite in summary["suites"].items() if suite["failed"]]


def _print_model(console: Console, summary: dict[str, Any]) -> None:
    rows, export = summary["rows"], summary["export"]
    size = f"{summary['features']} columns, {rows['train']:,} training rows, {rows['holdout']:,} held out"
    _line(console, f"{summary['model']} ({summary['task']}): {size}", "bold")
    parity = export["parity"] or {}
    agrees = f", within {parity['difference']:.1g} of the fitted pipeline" if parity else ""
    _line(console, f"Model file: {export['format']}, {export['bytes']:,} bytes{agrees}")
    if export["reason"]:
        _line(console, f"  not ONNX: {export['reason']}", STYLES["warned"])
    if summary["threshold"] is not None:
        _line(console, f"Positive from a probability of {number(summary['threshold'])}")
    for warning in summary["warnings"][:SHOWN]:
        _line(console, f"  warning: {warning}", STYLES["warned"])
    if len(summary["warnings"]) > SHOWN:
        _line(console, f"  and {len(summary['warnings']) - SHOWN} more warnings in {layout.TRAINING_REPORT}")


def _print_metrics(console: Console, summary: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("holdout", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    # Where the terminal is too narrow, what was found in training gives way to what is judged.
    roomy = console.width >= 100
    for header in (f"{summary['confidence']:.0%} interval", *(["cross-validation"] * roomy), "expected", ""):
        table.add_column(header, no_wrap=True)
    for name, metric in summary["metrics"].items():
        folds = metric["cross_validation"]
        table.add_row(
            name,
            "undefined" if metric["value"] is None else number(metric["value"]),
            _interval(metric),
            *(
                [f"{number(folds['mean'])} ± {number(folds['std'])}" if folds and folds["mean"] is not None else ""]
                * roomy
            ),
            metric["expected"] or "",
            {None: "", True: "pass", False: "FAIL"}[metric["passed"]],
            style=STYLES["failed"] if metric["passed"] is False else None,
        )
    console.print()
    console.print(table)


def _interval(metric: dict[str, Any]) -> str:
    return (
        ""
        if metric["low"] is None or metric["high"] is None
        else f"{number(metric['low'])} to {number(metric['high'])}"
    )


def number(value: float) -> str:
    """A number for reading: 0.9926, 12.35, 12,346, 3.2e-05."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}" if size < 1e7 else f"{value:.3e}"
    if size >= 10:
        return f"{value:#.4g}"
    return f"{value:.4f}" if size >= 0.001 or size == 0 else f"{value:.1e}"


def _line(console: Console, text: str, style: str | None = None) -> None:
    """Print one line, whatever the width."""
    console.print(printable(text), style=style, soft_wrap=True)
