"""Every condition of the deepchecks suites on the data, as the stage check-data found it."""

import pytest

import project

CHECKS = project.checks("data")


@pytest.mark.parametrize("check", CHECKS, ids=[check["name"] for check in CHECKS])
def test_condition_holds(check):
    project.held(check)


def test_the_suite_has_checks():
    assert CHECKS, "reports/suites/data.json holds no check; run `make repro`"
