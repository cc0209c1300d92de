"""The metrics of the holdout reach what `gates` in params.yaml asks of them."""

import pytest

import project
from slipway.metrics import METRICS

GATES = project.params().gates


@pytest.mark.parametrize("metric", GATES.metrics)
def test_metric_reaches_its_threshold(metric):
    found, bound = project.report("metrics")["holdout"].get(metric), GATES.metrics[metric]
    assert found is not None, f"{metric} is undefined on the holdout (gates.metrics.{metric} in params.yaml)"
    said = f"{metric} is {found['value']:.4g} ({found['low']:.4g} to {found['high']:.4g}), expected {bound}"
    assert bound.holds(found["value"]), f"{said} (gates.metrics.{metric} in params.yaml)"


@pytest.mark.parametrize("metric", GATES.worst_slice)
def test_metric_reaches_its_threshold_on_every_slice(metric):
    slices = [entry for entry in project.report("slices")["slices"] if metric in entry["metrics"]]
    missed = [
        f"{entry['column']} {entry['value']}: {entry['metrics'][metric]['value']:.4g} of {entry['rows']} rows"
        for entry in slices
        if not GATES.worst_slice[metric].holds(entry["metrics"][metric]["value"])
    ]
    expected = f"expected {GATES.worst_slice[metric]} (gates.worst_slice.{metric} in params.yaml)"
    assert slices, f"no slice has {metric}; name slices in evaluate.slices, or take this gate out; {expected}"
    assert not missed, f"{'; '.join(missed)}; {expected}"


def test_metrics_are_those_of_the_task():
    assert set(project.report("metrics")["holdout"]) <= set(METRICS[project.schema().target.task])
