"""What `adopt` takes columns for."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.adopt.infer import Finding, Wishes, find_columns, find_id, limits, range_of
from slipway.adopt.target import find_target
from slipway.adopt.texts import Table, with_missing
from slipway.errors import UserError
from slipway.schema import Column, Source, Target

ROWS = 120
RNG = np.random.default_rng(0)
STATE = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def _same_draws_in_any_order():
    RNG.bit_generator.state = STATE


def table(target: str = "y", source: dict[str, Any] | None = None, **columns: Any) -> Table:
    """A raw table of 120 rows with the missing values found; columns that are too short are repeated."""
    columns.setdefault("y", ["no", "yes"])
    series = {name: pl.Series(values, strict=False) for name, values in columns.items()}
    frame = pl.DataFrame({name: values.gather(np.arange(ROWS) % len(values)) for name, values in series.items()})
    read_as = Source.model_validate({"files": "*", "format": "csv"} | (source or {}))
    return with_missing(Table(frame.lazy(), read_as, ROWS, frame.schema), target)


def found(values: Any, name: str = "x", source: dict[str, Any] | None = None, **wishes: Any) -> Finding:
    findings, _ = find_columns(table(source=source, **{name: values}), Wishes("y", **wishes))
    return findings[name]


def column(values: Any, name: str = "x", **rest: Any) -> Column:
    return found(values, name, **rest).column


def target(values: Any, **wishes: Any) -> tuple[Target, Finding]:
    return find_target(table(y=values), Wishes("y", **wishes))


def texts(*values: Any) -> list[str]:
    return [str(value) for value in values]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2", "30"], "integer"),
        (["1", "2.5", "-3e2"], "number"),
        (["1.0", "2.0"], "number"),
        (["yes", "No"], "boolean"),
        (["0", "1"], "boolean"),
        (["0", "1", "2"], "integer"),
        (["m", "f"], "category"),
        (["007", "013"], "category"),
        (texts(*range(10**17, 10**17 + 50)), "category"),
        (["2024-01-31", "2024-02-01 10:30"], "datetime"),
        ([1, 2, 3], "integer"),
        ([0, 1], "boolean"),
        ([True, False, None], "boolean"),
        ([1.0, 2.5], "number"),
        ([Decimal("1.50"), Decimal("2.25")], "number"),
        ([datetime(2024, 1, 1), datetime(2024, 1, 2)], "datetime"),
        (pl.Series(["a", "b"], dtype=pl.Categorical), "category"),
    ],
)
def test_the_type_is_the_narrowest_that_reads_every_value(values, kind):
    assert column(values).type == kind


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        (["31/12/2023", "01/02/2024"], "%d/%m/%Y"),
        (["12/31/2023", "01/02/2024"], "%m/%d/%Y"),
        (["31.12.23", "01.02.24"], "%d.%m.%y"),
        (["3 Jan 2024", "14 Feb 2024"], "%d %b %Y"),
        (["12/31/2023 5:03 PM", "01/02/2024 6:00 AM"], "%m/%d/%Y %I:%M %p"),
        (["2024-01-31", "2024-02-01"], None),
        (["2024-01-31T10:00:00+02:00", "2024-02-01T10:00:00+00:00"], None),
    ],
)
def test_dates_keep_the_format_they_are_written_in(values, pattern):
    assert (column(values).type, column(values).format) == ("datetime", pattern)


def test_a_day_that_could_be_a_month_is_said():
    assert "would also read as %m/%d/%Y" in found(["01/02/2024", "03/04/2024"]).remark
    assert not found(["01/02/2024", "31/04/2024", "30/04/2024"]).remark


def test_eight_digits_are_a_date_only_where_the_name_or_the_role_says_so():
    values = texts(20240101, 20240215, 20231231)
    assert column(values, "amount").type == "integer"
    assert column(values, "order_date").format == "%Y%m%d"
    assert column(values, "when", time="when").format == "%Y%m%d"


def test_markers_that_occur_are_missing_and_others_are_not_listed():
    made = table(x=["1", "?", "NA", ""], z=["a", "b", "null"])
    assert made.missing == ("?", "NA", "null")
    findings, _ = find_columns(made, Wishes("y"))
    assert findings["x"].column.nullable
    assert findings["x"].column.type == "integer"
    assert findings["z"].column.categories == ("a", "b")
    assert not column(["1", "2"]).nullable


def test_a_sign_that_is_one_of_two_values_is_a_value():
    made = table(x=["+", "-"], y=["+", "-"])
    assert made.missing == ()
    assert find_target(made, Wishes("y"))[0].classes == ("-", "+")


def test_none_is_a_class_of_the_target_but_no_number():
    assert target(["None", "Apnea", "Insomnia"])[0].classes == ("Apnea", "Insomnia", "None")
    assert table(y=["1.5", "None", "2.5"]).missing == ("None",)


def test_a_few_texts_among_numbers_are_missing_unless_another_column_has_them_as_a_value():
    numbers = [*texts(*range(1000, 1110)), "broken"]
    made = table(x=numbers)
    assert made.missing == ("broken",)
    finding = find_columns(made, Wishes("y"))[0]["x"]
    assert (finding.column.type, finding.column.nullable) == ("integer", True)
    assert "'broken' taken as missing" in finding.remark

    made = table(x=numbers, state=["broken", "whole"])
    assert made.missing == ()
    findings, _ = find_columns(made, Wishes("y"))
    assert findings["state"].column.categories == ("broken", "whole")
    assert findings["x"].column.type == "category"
    assert "'broken' is a value elsewhere" in findings["x"].remark


def test_few_numbers_beside_texts_are_categories():
    assert column(["0", "1", "2", "3+"]).categories == ("0", "1", "2", "3+")


def test_the_range_has_a_margin_and_zero_stays():
    assert (column(["0", "50", "100"]).min, column(["0", "50", "100"]).max) == (0, 110)
    assert (column(["-50", "50"]).min, column(["-50", "50"]).max) == (-60, 60)
    assert column(["0,5", "2,25"], source={"decimal": ","}).max == 2.5


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 1),
    st.booleans(),
)
def test_the_range_holds_what_was_seen(a, b, share, whole):
    low, high = (float(round(value)) if whole else value for value in sorted((a, b)))
    bulk = min(low * (1 - share) + high * share, high)
    lower, upper = limits(low, high, bulk, whole)
    assert lower is None or lower <= low
    assert upper is None or upper >= high
    assert lower is None or not low >= 0 > lower
    if whole and lower is not None and upper is not None:
        assert lower.is_integer()
        assert upper.is_integer()


def test_a_long_tail_leaves_room_beyond_the_maximum_and_a_wrong_unit_none():
    body = texts(*range(1, 101))
    assert column([*body, "150", *body[:19]]).max == 240  # 94 is the bulk
    assert column([*body, "5000", *body[:19]]).max == 50_000
    assert column(["0"] * 119 + ["7.5"]).max == 75
    assert column(["-1", *body, "5000", *body[:18]]).max == 5600
    assert column([*texts(*range(100)), *["99"] * 20]).max == 109  # capped there


@pytest.mark.parametrize("draw", [RNG.lognormal, RNG.exponential, RNG.poisson])
def test_another_table_of_the_same_kind_seldom_leaves_the_range(draw):
    refused = 0
    for _ in range(50):
        first, second = draw(1, size=1000), draw(1, size=1000)
        made = Table(pl.LazyFrame(), Source(files="*", format="parquet"), 1000, pl.Schema({"x": pl.Float64()}))
        high = range_of(made, pl.Series("value", first).value_counts(name="count"), "number")["max"]
        refused += second.max() > high
    assert refused <= 5


@pytest.mark.parametrize(
    ("values", "low", "high", "told"),
    [
        ([*texts(*range(18, 96)), *["999"] * 10], 10, 999, "999 in 10 rows"),
        ([*texts(*range(18, 96)), *["999.0"] * 10], 10, 999, "999 in 10 rows"),
        ([*texts(*range(1, 6)), "9999"], 0, 9999, "9999 in 20 rows"),
        ([*texts(*range(40, 50)), "-1"], -1, 50, "-1 in 10 rows"),
        ([*texts(*range(18, 96)), *["-999"] * 10, *["9999"] * 10], -999, 9999, "-999 in 10 rows"),
        ([*["999"] * 80, *texts(*range(28))], 0, 999, "999 in 92 rows"),  # so many are no tail
    ],
)
def test_a_number_that_stands_for_no_value_is_told_and_gives_the_range_no_margin(values, low, high, told):
    finding = found(values)
    assert (finding.column.min, finding.column.max) == (low, high)
    assert told in finding.doubt
    assert finding.doubt in finding.remark


@pytest.mark.parametrize(
    "values",
    [
        [*texts(*range(18, 95)), *["999"] * 2, *texts(*range(18, 59))],  # too few rows
        [*texts(*range(18, 96)), *["1000"] * 10],
        [*texts(*range(18, 96)), *["0"] * 10],
        [*texts(*range(500, 996)[::7]), *["999"] * 10],  # not far from the others
        [*texts(*range(0, 600, 9)), *["999"] * 10],
        texts(*range(-1, 9)),
        ["-1", "1"],
        ["-1", "0", "1"],
        ["999"],
        ["999", "1", "2"],
    ],
)
def test_a_number_like_the_others_or_of_another_kind_is_no_placeholder(values):
    assert not found(values).doubt


def test_few_values_are_a_closed_list_and_many_an_open_one():
    assert column(["b", "a", "10", "9"]).categories == ("9", "10", "a", "b")
    many = [f"v{number}" for number in range(30)]
    assert column(many).use
    assert column(many).categories is None


@pytest.mark.parametrize(
    ("name", "values", "note"),
    [
        ("x", ["7"], "constant: always '7'"),
        ("x", [None, "", "NA"], "no value in any row"),
        ("x", texts(*range(5000, 5000 + ROWS)), "looks like an identifier"),
        ("account_no", texts(*RNG.choice(10**6, ROWS, replace=False)), "looks like an identifier"),
        ("x", [f"u-{number}" for number in range(ROWS)], "looks like an identifier"),
        ("x", [f"ticket {number // 3 * 2 if number % 3 else number}" for number in range(ROWS)], "hardly ever repeats"),
        ("x", [f"the number {number} is what it said" for number in range(ROWS)], "free text"),
        ("x", [f"${number},000" for number in range(40)], "symbols or thousands separators"),
    ],
)
def test_a_column_that_no_model_can_use_is_kept_from_it_with_a_note(name, values, note):
    unfit = column(values, name)
    assert not unfit.use
    assert unfit.note is not None
    assert note in unfit.note
    if "no value" not in note:
        kept = found(values, name, keep=(name,))
        assert kept.column.use
        assert "kept as asked" in kept.remark


def test_unique_numbers_that_are_measures_are_used():
    assert column(texts(*RNG.choice(10**6, ROWS, replace=False)), "income").use
    assert column(texts(*RNG.normal(size=ROWS)), "weight").use


def test_whole_numbers_that_name_something_are_a_category():
    assert column(texts(*range(1, 31)), "store_id").type == "category"
    assert column(texts(*range(1, 31)), "storeys").type == "integer"


def test_an_id_is_one_by_name_and_by_being_unique():
    numbers = texts(*range(ROWS))
    findings, _ = find_columns(table(x=numbers, customerId=numbers, other_id=["1", "2"]), Wishes("y"))
    assert find_id(findings, ROWS) == "customerId"
    findings, _ = find_columns(table(x=numbers, paid=numbers), Wishes("y"))
    assert find_id(findings, ROWS) is None


def test_row_numbers_are_left_out_unless_they_are_wanted():
    numbers = texts(*range(ROWS))
    made = table(**{"Unnamed: 0": numbers, "x": ["1", "2", "3"]})
    assert "numbers the rows" in find_columns(made, Wishes("y"))[1]["Unnamed: 0"]
    assert not find_columns(made, Wishes("y", id="Unnamed: 0"))[1]
    gaps = texts(*(2 * number for number in range(ROWS)))
    assert not find_columns(table(index=gaps), Wishes("y"))[1]


@pytest.mark.parametrize(
    ("values", "wishes", "message"),
    [
        (["a", "b"], {"id": "x"}, "--id: column 'x' repeats 2 values, such as 'a' in 60 rows"),
        ([*texts(*range(ROWS - 1)), None], {"id": "x"}, "--id: column 'x' has no value in 1 rows"),
        (["a", "b", None], {"group": "x"}, "--group: column 'x' has no value in 40 rows"),
        (["soon", "late"], {"time": "x"}, "--time: column 'x' cannot be read as dates"),
    ],
)
def test_a_role_that_a_column_cannot_have_is_refused(values, wishes, message):
    with pytest.raises(UserError, match=message):
        find_columns(table(x=values), Wishes("y", **wishes))


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"target": "Churn"}, "--target: there is no column 'Churn'; there is 'churned'"),
        ({"target": "churned", "sensitive": ("sax",)}, "--sensitive: there is no column 'sax'; there is 'sex'"),
        ({"target": "churned", "id": "churned"}, "different columns"),
        ({"target": "churned", "group": "churned"}, "different columns"),
    ],
)
def test_a_name_that_is_not_there_or_has_two_roles_is_refused(wishes, message):
    with pytest.raises(UserError, match=message):
        Wishes(**wishes).matched(["churned", "sex", "age"])
    wishes = Wishes("churned", id="age", sensitive=("sex",))
    assert wishes.matched(["churned", "sex", "age"]) == wishes


def test_blanks_around_a_name_need_not_be_given_unless_two_columns_differ_by_them():
    names = ["age", " income", " sex ", " age"]
    wishes = Wishes("income", time=" age", group=" sex", sensitive=("sex",), keep=("sex ", "age"))
    expected = Wishes(" income", time=" age", group=" sex ", sensitive=(" sex ",), keep=(" sex ", "age"))
    assert wishes.matched(names) == expected
    with pytest.raises(UserError, match="--target: there is no column 'age '; there is 'age', ' age'"):
        Wishes("age ").matched(names)
    with pytest.raises(UserError, match="different columns"):
        Wishes("income", id=" income").matched(names)


@pytest.mark.parametrize(
    ("values", "task", "classes", "kind"),
    [
        (["no", "yes"], "binary", ("no", "yes"), "category"),
        (["No", "Yes", None], "binary", ("No", "Yes"), "category"),
        (["true", "false", "false"], "binary", ("false", "true"), "category"),
        ([True, False], "binary", ("false", "true"), "boolean"),
        (["1", "0"], "binary", ("0", "1"), "integer"),
        ([1, 0], "binary", ("0", "1"), "integer"),
        ([1.0, 0.0, None], "binary", ("0", "1"), "integer"),
        (["1", "2", "2"], "binary", ("2", "1"), "integer"),  # the rarer one
        (["b", "a", "c"], "multiclass", ("a", "b", "c"), "category"),
        (["10", "9", "8"], "multiclass", ("8", "9", "10"), "integer"),
        (["1.5", "2.5", "3.5"], "regression", (), "number"),
        (texts(*range(20)), "regression", (), "integer"),
        (texts(*range(10)) * 2 + ["9"] * 30 + texts(*range(10)) * 7, "multiclass", tuple(texts(*range(10))), "integer"),
    ],
)
def test_the_task_and_the_order_of_classes_follow_from_the_target(values, task, classes, kind):
    decided, finding = target(values)
    assert (decided.task, decided.classes, finding.column.type) == (task, classes, kind)


def test_the_owner_of_a_table_knows_better():
    assert target(["a", "b", "b"], positive="b")[0].classes == ("a", "b")
    assert target(["1.0", "0.0"], positive="0")[0].classes == ("1.0", "0.0")
    assert target(["1", "2", "3"], task="regression")[0].task == "regression"
    assert target(["0", "1"], task="regression")[1].column.type == "integer"
    assert target(["1.5", "2.5", "3.5"], task="multiclass")[0].classes == ("1.5", "2.5", "3.5")


@pytest.mark.parametrize(
    ("values", "wishes", "message"),
    [
        ([None, ""], {}, "has no value in any row"),
        (["yes"], {}, "holds one value only, 'yes'"),
        (["2024-01-01", "2024-01-02"], {}, "holds dates"),
        ([f"t{number}" for number in range(ROWS)], {}, "has 120 different values"),
        (["a", "b"], {"positive": "c"}, "--positive: column 'y' has no value 'c'; it has 'a' and 'b'"),
        (["a", "b", "c"], {"positive": "a"}, "has 3 classes"),
        (["1.5", "2.5", "3.5"], {"positive": "1.5"}, "is a number to be predicted"),
        (["a", "b", "c"], {"task": "binary"}, "--task binary: column 'y' has 3 classes"),
        (["a", "b"], {"task": "multiclass"}, "--task multiclass: column 'y' has 2 classes"),
        (["a", "b"], {"task": "regression"}, "holds 'a', 'b', not numbers"),
    ],
)
def test_a_target_that_cannot_be_predicted_is_refused(values, wishes, message):
    with pytest.raises(UserError, match=message) as refused:
        target(values, **wishes)
    assert "\n" not in str(refused.value)
