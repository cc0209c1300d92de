"""The model suite: does the exported file reach what `params.yaml` asks of it?"""

from collections.abc import Mapping
from typing import Any

from slipway import layout
from slipway.files import read_report, undamaged
from slipway.metrics import METRICS
from slipway.params import Bound, Gates, load_params
from slipway.schema import Task
from slipway.stages import started
from slipway.suites import Check, write_suite


def check_model(
    task: Task, metrics: Mapping[str, Any], slices: Mapping[str, Any], export: Mapping[str, Any], gates: Gates
) -> list[Check]:
    """Hold the reports of evaluate and export against the gates.

    Args:
        task: What is predicted.
        metrics: The content of the metrics report.
        slices: The content of the slices report.
        export: The content of the export report.
        gates: The thresholds.
    """
    parity = export["parity"]
    checks = [
        _check(
            "the exported file agrees with the fitted pipeline", parity["difference"], Bound(max=parity["tolerance"])
        )
    ]
    for name, bound in gates.metrics.items():
        checks.append(_check(f"{name} on the holdout", _value(task, name, metrics["holdout"]), bound))
    for name, bound in gates.worst_slice.items():
        values = {
            f"{cut['column']} {cut['value']}": value
            for cut in slices["slices"]
            if (value := _value(task, name, cut["metrics"])) is not None
        }
        if not values:
            checks.append(Check(f"{name} on the worst slice", "error", str(bound), None, "no slice has this metric"))
            continue
        worst = (min if bound.min is not None else max)(values, key=lambda cut: values[cut])
        checks.append(_check(f"{name} on the worst slice ({worst})", values[worst], bound))
    return checks


def _value(task: Task, name: str, metrics: Mapping[str, Any]) -> float | None:
    if name not in METRICS[task] or name not in metrics:
        return None
    value: float | None = metrics[name]["value"]
    return value


def _check(name: str, value: float | None, bound: Bound) -> Check:
    if value is None:
        return Check(name, "error", str(bound), None, "it has no value on these rows, or does not belong to this task")
    if bound.holds(value):
        return Check(name, "passed", str(bound), value, "")
    return Check(name, "failed", str(bound), value, f"improve the model, or change `gates` in {layout.PARAMS}")


def main() -> None:
    """Run the stage in the project's root."""
    with started("check-model"):
        params, training = load_params(), read_report(layout.TRAINING_REPORT)
        metrics, slices, export = (read_report(p) for p in (layout.METRICS, layout.SLICES, layout.EXPORT_REPORT))
        with undamaged():
            checks = check_model(training["task"], metrics, slices, export, params.gates)
        write_suite(layout.SUITES / "model.json", "model", checks)


if __name__ == "__main__":
    main()
