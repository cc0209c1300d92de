import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from releases import TABLES, counted, served, with_settings

from slipway.predictor import Predictor
from slipway.service.problems import Refused
from slipway.service.release import MODEL, load_golden
from slipway.service.serving import Serving
from slipway.signature import Input

CHURN = {
    "age (years)": 40.5,
    "visits": 3,
    "city": "Lima",
    "postcode": "P001",
    "member": True,
    "joined": "2021-05-03T10:00:00",
    "country": "XX",
}


@pytest.fixture(scope="module")
def churn(releases: Callable[[str], Path]) -> Serving:
    return served(releases("churn"))


def ask(serving: Serving, content: Any) -> dict[str, Any]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return json.loads(serving.respond(body, "id").body)


def refused(serving: Serving, content: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        ask(serving, content)
    return caught.value


@pytest.mark.parametrize("name", TABLES)
def test_every_form_of_a_request_gets_what_the_predictor_says(name: str, releases: Callable[[str], Path]) -> None:
    # Given the golden rows that keep to the contract, and what the model says of them
    serving, folder = served(releases(name)), releases(name)
    golden = load_golden(folder / MODEL)
    rows = {field: values[: golden.valid] for field, values in golden.rows.items()}
    predictor = Predictor(folder / MODEL)
    expected = predictor.predict(rows)
    records = [{field: values[row] for field, values in rows.items()} for row in range(golden.valid)]
    # When they are sent in each form
    for content in (records, {"records": records}):
        answer = ask(serving, content)["predictions"]
        check(answer, expected, predictor)
    for record in records[:3]:  # alone, as a batch is computed in another order
        alone = predictor.predict({field: [value] for field, value in record.items()})
        check(ask(serving, record)["predictions"], alone, predictor)
    columns = ask(serving, {"columns": rows})["columns"]
    # Then every digit of the answer is the predictor's
    assert columns["prediction"] == [row["prediction"] for row in answer]
    if expected.labels is not None:
        for place, label in enumerate(predictor.signature.classes):
            assert columns["probabilities"][label] == expected.values[:, place].tolist()


def check(answer: list[dict[str, Any]], expected: Any, predictor: Predictor) -> None:
    if expected.labels is None:
        assert [row["prediction"] for row in answer] == expected.values.tolist()
        low, high = predictor.signature.spread.residuals
        assert answer[0]["interval"] == [expected.values[0] + low, expected.values[0] + high]
        return
    classes = predictor.signature.classes
    assert [row["prediction"] for row in answer] == [classes[code] for code in expected.labels]
    told = [[row["probabilities"][label] for label in classes] for row in answer]
    assert told == expected.values.tolist()


def values_of(column: Input) -> st.SearchStrategy[Any]:
    if column.type == "category":
        values: st.SearchStrategy[Any] = st.sampled_from(column.categories)
        if not column.closed or column.outside == "accept":
            values |= st.text(max_size=5)
    elif column.type == "datetime":
        values = st.datetimes().map(lambda moment: moment.isoformat())
    elif column.type == "boolean":
        values = st.booleans()
    elif column.type == "integer":
        least, most = (
            default if bound is None else int(bound) for bound, default in ((column.min, -(2**40)), (column.max, 2**40))
        )
        values = st.integers(least, most)
    else:
        least, most = (None, None) if column.outside != "reject" else (column.min, column.max)
        values = st.floats(least, most, allow_nan=False, allow_infinity=False)
    if column.type in {"category", "datetime"} and not column.nullable:
        values = values.filter(lambda text: text.strip() not in {"", "?", "NA"})
    return values | st.none() if column.nullable else values


@settings(max_examples=60)
@given(data=st.data())
def test_rows_of_any_values_are_answered_as_the_predictor_would(churn: Serving, data: st.DataObject) -> None:
    inputs = churn.signature.inputs
    records = data.draw(st.lists(st.fixed_dictionaries({c.name: values_of(c) for c in inputs}), min_size=1, max_size=4))
    answer = ask(churn, records)
    columns = {c.name: [record[c.name] for record in records] for c in inputs}
    clipped = dict(columns)
    clipped["age (years)"] = [None if age is None else min(max(age, 0), 120) for age in columns["age (years)"]]
    expected = churn.answering._model.predict(clipped)
    check(answer["predictions"], expected, churn.answering._model)
    by_column = ask(churn, {"columns": columns})["columns"]["prediction"]
    assert by_column == [row["prediction"] for row in answer["predictions"]]


@pytest.mark.parametrize(
    ("change", "message", "got", "allowed"),
    [
        ({"visits": "three"}, "is of the wrong type", '"three"', "a whole number of at least 0"),
        ({"visits": 3.5}, "is not a whole number", "3.5", "a whole number of at least 0"),
        ({"visits": -1}, "is out of range", "-1.0", "a whole number of at least 0"),
        ({"visits": None}, "is missing", "null", "a whole number of at least 0"),
        ({"member": 1}, "is of the wrong type", "1", "true or false, or null"),
        ({"country": "YY"}, "is not a known category", '"YY"', 'one of "XX"'),
        ({"postcode": "?"}, "is missing", '"?"', "a text"),
        ({"postcode": ["P1"]}, "is of the wrong type", '["P1"]', "a text"),
        ({"joined": "soon"}, "is not a date and time", '"soon"', "a date and time in ISO 8601, or null"),
        ({"joined": "2021-02-30"}, "is not a date and time", '"2021-02-30"', "a date and time"),
        ({"vists": 1}, "is not a field of this model; is 'visits' meant?", None, "age (years), visits, city"),
        ({"CITY": "Oslo"}, "is not a field of this model; is 'city' meant?", None, "age (years), visits, city"),
        ({"zzz": 1}, "is not a field of this model", None, "age (years), visits, city"),
    ],
)
def test_a_row_that_breaks_the_contract_is_named_with_field_value_and_what_is_allowed(
    churn: Serving, change: dict[str, Any], message: str, got: str | None, allowed: str
) -> None:
    (field,) = change
    for content in ([CHURN, CHURN | change], {"records": [CHURN, CHURN | change]}):
        refusal = refused(churn, content)
        assert refusal.status == 422
        (fault,) = refusal.faults
        assert (fault.row, fault.field, fault.message, fault.got) == (1, field, message, got)
        assert fault.allowed is not None
        assert fault.allowed.startswith(allowed)
        assert field in refusal.detail
        assert "row 1" in refusal.detail
    ask(churn, [CHURN, CHURN])  # the twin that keeps to it


def test_a_field_may_be_left_out_only_where_it_may_be_missing(churn: Serving) -> None:
    without = {name: value for name, value in CHURN.items() if name != "city"}
    assert ask(churn, without)["predictions"] == ask(churn, CHURN | {"city": None})["predictions"]
    fault = refused(churn, {name: value for name, value in CHURN.items() if name != "visits"}).faults[0]
    assert (fault.field, fault.message, fault.row) == ("visits", "is missing", 0)


def test_what_is_outside_is_clipped_accepted_and_counted_as_the_contract_says(releases: Callable[[str], Path]) -> None:
    serving = served(releases("churn"))
    old = ask(serving, CHURN | {"age (years)": 1e308})["predictions"]
    assert old == ask(serving, CHURN | {"age (years)": 120})["predictions"]
    ask(serving, [CHURN | {"city": "Atlantis"}, CHURN | {"city": None}, CHURN | {"postcode": "P999"}])
    expected = {
        ("age (years)", "out_of_range"): 1,
        ("city", "unknown"): 1,
        ("city", "missing"): 1,
        ("postcode", "unknown"): 1,
        ("visits", "out_of_range"): 0,
    }
    for (feature, kind), count in expected.items():
        assert counted(serving, "slipway_feature_values_total", feature=feature, kind=kind) == count
    assert counted(serving, "slipway_rows_total") == 5


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[", 400),
        (b"{'a': 1}", 400),
        (b"[NaN]", 400),
        (b'[{"visits": Infinity}]', 400),
        (b'\xff\xfe{"a": 1}', 400),
        (b'[{"visits": "\xff"}]', 400),
        (b"[" * 100_000, 413),
        (b"[" * 10_000, 400),
        (b'{"a":' * 100_000, 413),
        (b'[{"visits": ' + b"9" * 400 + b"}]", 422),
        (b'[{"visits": 1e999}]', 400),
        (b"null", 422),
        (b"1", 422),
        (b'"records"', 422),
        (b"[]", 422),
        (b"{}", 422),
        (b"[[]]", 422),
        (b"[null]", 422),
        (b'{"records": []}', 422),
        (b'{"records": {}}', 422),
        (b'{"columns": {}}', 422),
        (b'{"columns": []}', 422),
        (b'{"columns": {"visits": 3}}', 422),
        (b'{"columns": {"visits": [3], "city": ["Lima", "Oslo"]}}', 422),
    ],
)
def test_nonsense_is_refused_in_a_line(churn: Serving, body: bytes, status: int) -> None:
    refusal = refused(churn, body)
    assert refusal.status in {status, 400}
    assert "\n" not in refusal.detail
    assert len(refusal.detail) < 600
    json.loads(refusal.body("id"))


SCALARS = st.none() | st.booleans() | st.floats() | st.text(max_size=3)
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner))


@given(body=st.binary(max_size=60) | TREES.map(lambda tree: json.dumps(tree).encode()))
def test_whatever_is_sent_is_refused_in_a_line(churn: Serving, body: bytes) -> None:
    refusal = refused(churn, body)
    assert refusal.status in {400, 422}
    assert "\n" not in refusal.detail


def test_of_a_repeated_key_the_last_one_counts(churn: Serving) -> None:
    text = json.dumps(CHURN)[:-1] + ', "visits": 9}'
    assert ask(churn, text.encode())["predictions"] == ask(churn, CHURN | {"visits": 9})["predictions"]


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "Infinity"])
def test_who_sends_what_is_no_number_in_json_is_told_to_send_null(churn: Serving, number: str) -> None:
    refusal = refused(churn, f'[{{"visits": {number}}}]'.encode())
    assert "NaN and Infinity are not JSON, send null" in refusal.detail


def test_columns_are_held_to_the_same_rules(churn: Serving) -> None:
    columns = {name: [value, value] for name, value in CHURN.items()}
    for change, field, message in (
        ({"visits": [1, "x"]}, "visits", "is of the wrong type"),
        ({"visits": [1]}, "visits", "has 1 rows, others 2"),
        ({"visits": 1}, "visits", "is not a list"),
        ({"vists": [1, 1]}, "vists", "is not a field of this model; is 'visits' meant?"),
        ({"country": ["XX", "YY"]}, "country", "is not a known category"),
    ):
        faults = refused(churn, {"columns": columns | change}).faults
        assert [(fault.field, fault.message) for fault in faults] == [(field, message)]
    del columns["visits"]
    assert refused(churn, {"columns": columns}).faults[0].message == "is missing"


def test_many_faults_are_counted_and_few_are_listed(churn: Serving) -> None:
    refusal = refused(churn, [CHURN | {"visits": -1}] * 500)
    content = json.loads(refusal.body("id"))
    assert (len(content["faults"]), content["faults_in_all"]) == (20, 500)
    assert "499 more" in content["detail"]


def test_too_many_rows_are_refused(release: Callable[[str], Path]) -> None:
    serving = served(with_settings(release("churn"), limits={"rows": 3}))
    ask(serving, [CHURN] * 3)
    assert refused(serving, [CHURN] * 4).status == 413


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"{}," * 3_000_000 + b"{}]",
        b'{"columns": {"visits": [' + b"0," * 4_000_000 + b"0]}}",
        b'{"columns": {' + b'"a": 0,' * 2_000_000 + b'"a": 0}}',
        b'{"visits": [' + (b"[" * 900 + b"]" * 900 + b",") * 5_000 + b"0]}",
    ],
)
def test_a_flood_of_nothing_is_refused_before_it_fills_memory(releases: Callable[[str], Path], body: bytes) -> None:
    """Ten megabytes of a body would otherwise become most of a gigabyte of objects."""
    serving = served(releases("wine"))
    tracemalloc.start()
    try:
        assert refused(serving, body).status == 413
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_a_long_body_that_is_wrong_throughout_is_refused_without_a_list_of_it(releases: Callable[[str], Path]) -> None:
    serving = served(releases("wine"))
    body = json.dumps({f"x{number}": 0 for number in range(200_000)}).encode()
    tracemalloc.start()
    try:
        refusal = refused(serving, body)
        assert refusal.status == 422
        assert "x0" in refusal.detail
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_blanks_before_a_body_do_not_matter(churn: Serving) -> None:
    for content in (CHURN, [CHURN], {"records": [CHURN]}):
        body = b" \n" * 100 + json.dumps(content, indent=3).encode()
        assert ask(churn, body)["predictions"] == ask(churn, CHURN)["predictions"]
    body = b" \n" * 100 + json.dumps({"columns": {name: [value] for name, value in CHURN.items()}}, indent=3).encode()
    assert ask(churn, body)["columns"]["prediction"]


def test_a_long_value_is_shown_cut(churn: Serving) -> None:
    (fault,) = refused(churn, CHURN | {"country": "Y" * 100_000}).faults
    assert fault.got is not None
    assert len(fault.got) == 80


def test_numbers_beyond_single_precision_do_not_break_the_answer(releases: Callable[[str], Path]) -> None:
    serving = served(releases("wide"))
    record = {name: 1e300 if place % 2 else -1e300 for place, name in enumerate(serving.signature.names)}
    answer = ask(serving, record)
    assert np.isfinite(list(answer["predictions"][0]["probabilities"].values())).all()
