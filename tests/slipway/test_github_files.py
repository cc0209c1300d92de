"""What GitHub reads besides workflows: the ruleset requires the gate and nothing else, and the gate waits for all."""

import json
import re
from typing import Any

import pytest
from helpers import ROOT
from ruamel.yaml import YAML

from slipway.delivery.github.jobs import ALWAYS, DEPENDING

OWNER = re.compile(r"@[\w-]+(/[\w.-]+)?|[^@\s]+@[^@\s]+\.\w+")


@pytest.fixture
def rules() -> dict[str, Any]:
    ruleset = json.loads((ROOT / ".github/ruleset.json").read_text())
    assert (ruleset["target"], ruleset["enforcement"]) == ("branch", "active")
    assert ruleset["conditions"]["ref_name"] == {"include": ["~DEFAULT_BRANCH"], "exclude": []}
    assert not ruleset.get("bypass_actors")
    return {rule["type"]: rule.get("parameters") for rule in ruleset["rules"]}


def workflow(name: str) -> dict[str, Any]:
    return YAML(typ="safe").load(ROOT / ".github/workflows" / name)


def test_the_ruleset_requires_the_gate_alone_and_the_gate_waits_for_every_other_job(rules):
    pull_request = workflow("pull-request.yaml")
    jobs = pull_request["jobs"]
    gates = [job for job in jobs.values() if job.get("if") == "always()"]
    required = rules["required_status_checks"]["required_status_checks"]
    assert [check["context"] for check in required] == [job["name"] for job in gates] == ["gate"]
    assert {*gates[0]["needs"]} == {*jobs} - {"gate"} == {*ALWAYS, *DEPENDING}
    # A workflow that paths or branches leave out would leave the check waiting for ever.
    assert not pull_request["on"]["pull_request"]
    assert "merge_group" in pull_request["on"]


def test_the_default_branch_changes_by_pull_requests_only(rules):
    assert {"deletion", "non_fast_forward", "pull_request"} <= rules.keys()


def test_no_other_workflow_has_a_job_that_could_be_taken_for_the_gate():
    names = {path.name for path in (ROOT / ".github/workflows").iterdir()} - {"pull-request.yaml"}
    assert names
    for name in names:
        for job, content in workflow(name)["jobs"].items():
            assert "gate" not in {job, content["name"]}


def test_code_owners_are_paths_with_people_or_teams():
    lines = (ROOT / ".github/CODEOWNERS").read_text().splitlines()
    written = [line.removeprefix("#").split() for line in lines if re.match(r"#? ?[/*]", line)]
    assert len(written) > 3
    for path, *owners in ([word for word in words if word != "#"] for words in written):
        assert path.startswith(("/", "*"))
        assert owners
        assert all(OWNER.fullmatch(owner) for owner in owners)
        assert path == "*" or (ROOT / path.removeprefix("/")).exists()
