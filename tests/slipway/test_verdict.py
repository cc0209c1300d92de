import json
from datetime import date

import numpy as np
import pytest
from helpers import ROOT, schema_of
from pydantic import ValidationError

from slipway.errors import UserError
from slipway.params import Bound, Params, Waiver, load_params
from slipway.review.compare import Measured
from slipway.review.gates import limit_gate, metric_gates
from slipway.review.show import json_schema
from slipway.review.verdict import Gate, conclude
from slipway.settings_check import check_waivers

TODAY = date(2026, 1, 15)


def test_a_limit_that_is_missed_by_little_reads_as_missed() -> None:
    found = {"f1": Measured(0.96999996, 0.9, 1.0, np.zeros(2))}
    (missed,) = metric_gates({"f1": Bound(min=0.97)}, found)
    assert missed.reason == "f1 on the holdout is 0.96999996 (0.9 to 1), expected ≥ 0.97"
    over = limit_gate("size", "the size", "gates.budget.file_mb", 100.0004, 100.0)
    assert (over.status, over.reason) == ("fail", "the size is 100.0004, expected ≤ 100")
    assert "is 0.9712," in limit_gate("drop", "it", "x", 0.97123, 0.5).reason  # four digits do


def gate(name: str, status: str) -> Gate:
    return Gate(name=name, status=status, reason=f"because of {name}", parameter=f"gates.{name}")


def waiver(name: str, until: str = "2026-02-01") -> Waiver:
    return Waiver(gate=name, reason="the new sensor is on its way", until=until)


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "not applicable"], "pass"),
        (["pass", "undecided"], "undecided"),
        (["undecided", "fail"], "fail"),
        (["fail", "pass"], "fail"),
    ],
)
def test_the_worst_gate_is_the_verdict(statuses, verdict):
    found = tuple(gate(f"g{number}", status) for number, status in enumerate(statuses))
    gates, said, reason = conclude(found, (), "block", TODAY)
    assert said == verdict
    assert [g.blocks for g in gates] == [status in {"fail", "undecided"} for status in statuses]
    if verdict != "pass":
        assert f"because of g{statuses.index(verdict)}" in reason


def test_what_is_undecided_passes_only_if_the_settings_say_so():
    found = (gate("a", "undecided"), gate("b", "pass"))
    assert conclude(found, (), "block", TODAY)[1] == "undecided"
    gates, verdict, reason = conclude(found, (), "pass", TODAY)
    assert verdict == "pass"
    assert not gates[0].blocks
    assert "1 did not pass" in reason
    assert conclude((gate("a", "fail"),), (), "pass", TODAY)[1] == "fail"


@pytest.mark.parametrize("status", ["fail", "undecided"])
def test_a_waived_gate_does_not_block_and_stays_visible(status):
    gates, verdict, reason = conclude((gate("a", status), gate("b", "pass")), (waiver("a"),), "block", TODAY)
    assert verdict == "pass"
    assert gates[0].status == status
    assert gates[0].waiver is not None
    assert "1 did not pass" in reason


def test_a_waiver_is_of_its_own_gate_only():
    assert conclude((gate("a", "fail"), gate("b", "fail")), (waiver("a"),), "block", TODAY)[1] == "fail"


@pytest.mark.parametrize(("until", "verdict"), [("2026-01-14", "fail"), ("2026-01-15", "pass")])
def test_a_waiver_holds_to_the_end_of_its_last_day(until, verdict):
    assert conclude((gate("a", "fail"),), (waiver("a", until),), "block", TODAY)[1] == verdict


@pytest.mark.parametrize("status", ["pass", "fail"])
def test_an_expired_waiver_fails_even_where_its_gate_passes(status):
    gates, verdict, _ = conclude((gate("a", status),), (waiver("a", "2025-12-31"),), "block", TODAY)
    assert verdict == "fail"
    assert gates[-1].name == "waiver.a"
    assert "expired on 2025-12-31" in gates[-1].reason


def test_a_waiver_of_a_gate_that_there_is_not_fails():
    gates, verdict, _ = conclude((gate("a", "pass"),), (waiver("fairness.sx.error"),), "block", TODAY)
    assert verdict == "fail"
    assert "names a gate that there is not" in gates[-1].reason


def test_a_waiver_that_a_review_would_fail_by_is_told_before_it():
    schema = schema_of({"dose": "number", "sex": {"type": "category", "use": False}}, sensitive=["sex"])
    valid = [waiver(name).model_dump() for name in ("drift", "fairness.sex.error")]
    sound = Params.model_validate({"gates": {"waivers": valid}})
    check_waivers(sound, schema, TODAY)
    faulty = [waiver("drift", "2025-12-31"), waiver("drfit"), waiver("fairness.age.error")]
    params = Params.model_validate({"gates": {"waivers": [each.model_dump() for each in faulty]}})
    with pytest.raises(UserError) as told:
        check_waivers(params, schema, TODAY)
    assert "waivers.0: the waiver of drift expired on 2025-12-31" in str(told.value)
    assert "waivers.1: the waiver of drfit names a gate that there is not; there are drift" in str(told.value)
    assert "waivers.2: the waiver of fairness.age.error names a gate that there is not" in str(told.value)


def test_a_waiver_needs_a_reason_and_a_quoted_date(tmp_path):
    with pytest.raises(ValidationError, match="reason"):
        Waiver(gate="a", reason="later", until="2026-01-01")
    file = tmp_path / "params.yaml"
    file.write_text("gates: {waivers: [{gate: drift, reason: a new sensor came, until: 2026-01-01}]}\n")
    with pytest.raises(UserError, match=r"gates.waivers.0.until: put the moment in quotes: '2026-01-01'"):
        load_params(file)
    file.write_text("gates: {waivers: [{gate: drift, reason: a new sensor came, until: '2026-01-01'}]}\n")
    assert load_params(file).gates.waivers[0].until == date(2026, 1, 1)
    assert Params().gates.on_undecided == "block"


def test_the_published_schema_is_that_of_the_code():
    assert json.loads((ROOT / "docs/verdict.schema.json").read_text()) == json_schema()
