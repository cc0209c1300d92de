"""Every condition of the deepchecks suites on the model, as the stage check-model found it."""

import pytest

import project

CHECKS = project.checks("model")


@pytest.mark.parametrize("check", CHECKS, ids=[check["name"] for check in CHECKS])
def test_condition_holds(check):
    project.held(check)


def test_the_suite_has_checks():
    assert CHECKS, "reports/suites/model.json holds no check; run `make repro`"
