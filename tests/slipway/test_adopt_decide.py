"""What `adopt` decides about whole tables, and that the contract accepts the table that it was inferred from."""

import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from examples import churn, diabetes
from helpers import schema_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_wine

from model.pipeline import build
from slipway.adopt.decide import Adoption, decide
from slipway.adopt.infer import Wishes
from slipway.adopt.propose import propose_calibration, propose_robustness
from slipway.adopt.trial import Trial, encoded
from slipway.adopt.write import schema_text
from slipway.behaviour import with_missing
from slipway.calibration import CalibrationError
from slipway.encoding import columns_of
from slipway.errors import UserError
from slipway.params import Params
from slipway.predictor import Prediction, encode
from slipway.schema import load_schema
from slipway.signature import Signature
from slipway.stages.prepare import prepare

RNG = np.random.default_rng(3)
STATE = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def _same_draws_in_any_order():
    RNG.bit_generator.state = STATE


ROWS = 300


def decided(path: Path, target: str = "y", **wishes: Any) -> Adoption:
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return decide(path, Wishes(target, **wishes), Params(), scratch)


def adopted(folder: Path, frame: pl.DataFrame, target: str = "y", **wishes: Any) -> Adoption:
    """Decide about a frame as a Parquet file."""
    frame.write_parquet(folder / "t.parquet")
    return decided(folder / "t.parquet", target, **wishes)


def prepared(adoption: Adoption, folder: Path) -> dict[str, Any]:
    """Write the contract, read it, and hold the table against it."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    for file in adoption.files:
        (data / file.name).write_bytes(file.read_bytes())
    (folder / "schema.yaml").write_text(schema_text(adoption), encoding="utf-8")
    schema = load_schema(folder / "schema.yaml")
    assert schema == adoption.schema
    params = Params(split=adoption.proposal.split)
    return prepare(schema, params, data, folder / "train.parquet", folder / "holdout.parquet")


def plain(**columns: Any) -> pl.DataFrame:
    """Rows with one informative number `x` and a binary target `y`."""
    x = RNG.normal(size=ROWS)
    y = np.where(x + RNG.logistic(size=ROWS) > 0, "yes", "no")
    return pl.DataFrame({"x": x} | columns | {"y": columns.get("y", y)})


def test_a_table_with_spaces_before_its_cells_and_question_marks(tmp_path):
    kinds, incomes = ["Private", "?", "State-gov"], ["<=50K", ">50K"]
    rows = [f"{17 + n % 70}, {kinds[n % 3]}, {n * n % 60}, Oslo, {incomes[n * n % 7 > 3]}" for n in range(120)]
    (tmp_path / "adult.data").write_text("\n".join(["age, workclass, hours-per-week, native-country, income", *rows]))
    adoption = decided(tmp_path / "adult.data", "income", positive="<=50K", sensitive=("workclass",))
    schema = adoption.schema
    assert schema.missing == ("?",)
    assert (schema.target.column, schema.sensitive) == (" income", (" workclass",))  # prepare reads by the real names
    assert schema.target.classes == (">50K", "<=50K")
    assert schema.columns[" workclass"].categories == ("Private", "State-gov")
    assert schema.columns[" workclass"].nullable
    assert schema.source.files == "*.data"
    assert prepared(adoption, tmp_path)["missing"] == {" workclass": 40}


def test_a_table_with_semicolons_decimal_commas_and_umlauts(tmp_path):
    rows = [f"{n % 7},{n % 10};Möbel {n % 3};{'ja' if n % 2 else 'nein'};{n % 28 + 1:02d}.03.2021" for n in range(90)]
    (tmp_path / "kredit.csv").write_bytes(
        "\r\n".join(["Betrag (€);Zweck;gut?;am", *rows]).replace("€", "E").encode("latin-1")
    )
    adoption = decided(tmp_path / "kredit.csv", "gut?", task="binary", sensitive=("Zweck",))
    columns = adoption.schema.columns
    assert (columns["Betrag (E)"].type, columns["Zweck"].categories) == ("number", ("Möbel 0", "Möbel 1", "Möbel 2"))
    assert columns["am"].format == "%d.%m.%Y"
    assert adoption.proposal.slices[0].column == "Zweck"
    assert any("Latin-1" in warning for warning in adoption.warnings)
    assert prepared(adoption, tmp_path)["rows"]["train"] > 0


def test_json_lines_of_mixed_values(tmp_path):
    lines = [
        {
            "x": n % 30 if n % 5 else None,
            "mix": "unknown" if n % 40 == 0 else n,
            "tags": [1],
            "o": {"a": 1},
            "y": n % 3 == 0,
        }
        for n in range(200)
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    adoption = decided(tmp_path / "t.jsonl")
    assert set(adoption.left_out) == {"tags", "o"}
    assert (adoption.schema.columns["x"].nullable, adoption.schema.missing) == (True, ("unknown",))
    assert adoption.schema.target.classes == ("false", "true")
    assert prepared(adoption, tmp_path)["columns left out"] == ["o", "tags"]
    with pytest.raises(UserError, match="column 'tags' holds objects or lists"):
        decided(tmp_path / "t.jsonl", sensitive=("tags",))


def test_parquet_with_types_of_its_own(tmp_path):
    moments = [date(2020, 1, 1) + timedelta(days=n) for n in range(ROWS)]
    frame = plain(
        price=pl.Series([f"{n}.50" for n in range(ROWS)]).str.to_decimal(scale=2),
        kind=pl.Series(["a", "b", None] * (ROWS // 3), dtype=pl.Categorical),
        zoned=pl.Series(moments).cast(pl.Datetime("ms")).dt.replace_time_zone("Europe/Oslo"),
        flag=pl.Series([0, 1] * (ROWS // 2), dtype=pl.Int8),
        nan=[float("nan"), *[1.5, 2.5] * (ROWS // 2)][:ROWS],
        endless=[float("inf"), *[1.0] * (ROWS - 1)],
        lasting=pl.Series([timedelta(hours=n) for n in range(ROWS)]),
        nothing=pl.Series([None] * ROWS),
    )
    adoption = adopted(tmp_path, frame)
    types = {name: column.type for name, column in adoption.schema.columns.items()}
    assert (types["price"], types["kind"], types["zoned"], types["flag"]) == (
        "number",
        "category",
        "datetime",
        "boolean",
    )
    assert set(adoption.left_out) == {"endless", "lasting"}
    assert not adoption.schema.columns["nothing"].use
    assert adoption.schema.columns["nan"].nullable
    assert prepared(adoption, tmp_path)["missing"]["kind"] == ROWS // 3


def test_a_folder_of_files_is_one_table(tmp_path):
    (tmp_path / "in").mkdir()
    frame = plain()
    frame.head(100).write_csv(tmp_path / "in/a.csv")
    frame.tail(200).write_csv(tmp_path / "in/b.csv")
    adoption = decided(tmp_path / "in")
    assert (adoption.rows, adoption.schema.source.files) == (ROWS, "*.csv")
    assert sum(prepared(adoption, tmp_path)["rows"].values()) == ROWS
    pl.DataFrame({"x": [1], "z": [2]}).write_csv(tmp_path / "in/c.csv")
    with pytest.raises(UserError, match="columns differ"):
        decided(tmp_path / "in")


def test_a_column_that_gives_the_target_away_is_kept_from_the_model_until_confirmed(tmp_path):
    frame = plain().with_columns(reason=pl.when(pl.col("y") == "yes").then(pl.lit("moved")))
    adoption = adopted(tmp_path, frame)
    assert "x" in adoption.schema.features
    assert "reason" not in adoption.schema.features
    assert "may leak" in str(adoption.schema.columns["reason"].note)
    assert any("--keep 'reason'" in warning for warning in adoption.warnings)
    assert "reason" in adopted(tmp_path, frame, keep=("reason",)).schema.features


def test_a_copy_of_a_number_leaks_and_a_mere_correlate_does_not(tmp_path):
    y = RNG.lognormal(size=ROWS)
    frame = pl.DataFrame(
        {"net": y / 1.25, "close": np.log(y) + RNG.normal(scale=0.1, size=ROWS), "x": RNG.normal(size=ROWS), "y": y}
    )
    schema = adopted(tmp_path, frame).schema
    assert set(schema.features) == {"close", "x"}


def test_a_table_that_holds_nothing_but_leaks_says_how_to_go_on(tmp_path):
    frame = plain().drop("x").with_columns(same=pl.col("y"))
    with pytest.raises(UserError, match=r"no column is left .*--keep .*'same' may leak"):
        adopted(tmp_path, frame)


def test_strong_columns_of_the_demo_and_of_other_known_tables_are_no_leaks(tmp_path):
    cancer, wine = load_breast_cancer(as_frame=True).frame, load_wine(as_frame=True).frame
    for frame, target in (
        (pl.from_pandas(cancer), "target"),
        (pl.from_pandas(wine), "target"),
        (diabetes()[0], "progression"),
    ):
        schema = adopted(tmp_path, frame, target).schema
        assert len(schema.features) == frame.width - 1


def test_gates_lie_between_a_guess_and_what_the_model_reached(tmp_path):
    adoption = adopted(tmp_path, pl.from_pandas(load_breast_cancer(as_frame=True).frame), "target")
    assert 0.8 < adoption.proposal.metrics["roc_auc"].bound.min < 0.995
    assert adoption.proposal.metrics["log_loss"].bound.max < 0.5
    gates = adopted(tmp_path, diabetes()[0], "progression").proposal.metrics
    assert 0.1 < gates["r2"].bound.min < 0.48
    assert 44 < gates["mae"].bound.max < 60


def test_a_model_that_is_no_better_than_a_guess_is_called_so(tmp_path):
    frame = plain().with_columns(pl.Series("y", RNG.choice(["no", "yes"], ROWS)))
    told = " ".join(adopted(tmp_path, frame).warnings)
    assert "does not clearly beat a guess" in told
    assert "does not clearly beat a guess" not in " ".join(adopted(tmp_path, plain()).warnings)


def test_slices_are_sensitive_columns_then_kinds_then_one_number(tmp_path):
    frame = churn(600)
    names = [cut.column for cut in adopted(tmp_path, frame, "churned", sensitive=("age (years)",)).proposal.slices]
    assert names[0] == "age (years)"
    assert {"city", "member"} <= set(names)
    assert names[-1] == "visits"
    assert "postcode" not in names


def test_the_split_by_time_holds_out_the_latest_fifth(tmp_path):
    frame = plain(at=[date(2020, 1, 1) + timedelta(days=n // 2) for n in range(ROWS)])
    adoption = adopted(tmp_path, frame, time="at")
    assert adoption.proposal.split.strategy == "time"
    assert prepared(adoption, tmp_path)["rows"]["holdout"] == ROWS / 5
    with pytest.raises(UserError, match="one moment only"):
        adopted(tmp_path, plain(at=[date(2020, 1, 1)] * ROWS), time="at")
    late = ["no"] * (ROWS - 30) + ["yes"] * 30
    with pytest.raises(UserError, match="there is no row of class 'yes'"):
        adopted(tmp_path, frame.with_columns(pl.Series("y", late)), time="at")


def test_the_split_by_group_keeps_groups_whole_and_needs_enough_of_them(tmp_path):
    adoption = adopted(tmp_path, plain(patient=[n % 12 for n in range(ROWS)]), group="patient")
    rows = prepared(adoption, tmp_path)["rows"]
    assert adoption.proposal.split.strategy == "group"
    assert 0.1 <= rows["holdout"] / ROWS <= 0.4
    with pytest.raises(UserError, match="too few groups of 'patient'"):
        adopted(tmp_path, plain(patient=["one"] * ROWS), group="patient")


@pytest.mark.parametrize("seed", range(3))
def test_a_rare_class_always_has_rows_to_learn_from(tmp_path, seed):
    classes = np.array(["a", "b"] * (ROWS // 2), dtype=object)
    classes[np.random.default_rng(seed).integers(ROWS)] = "rare"
    adoption = adopted(tmp_path, plain(y=classes.astype(str)))
    assert any("class 'rare' has 1 row: " in warning for warning in adoption.warnings)
    prepared(adoption, tmp_path)
    assert "rare" in pl.read_parquet(tmp_path / "train.parquet")["y"].to_list()


def test_numbers_beyond_what_a_model_computes_with_are_kept_from_it(tmp_path):
    frame = plain(big=[1e300 if n % 9 == 0 else float(n) for n in range(ROWS)])
    assert "too large" in str(adopted(tmp_path, frame).schema.columns["big"].note)


def test_classes_that_follow_each_other_in_time_cannot_be_split_by_it(tmp_path):
    at = [date(2020, 1, 1) + timedelta(days=n) for n in range(ROWS)]
    frame = plain(at=at, y=["no"] * 250 + ["yes"] * 50)
    with pytest.raises(UserError, match="--time: "):
        adopted(tmp_path, frame, time="at")


def test_rows_without_a_target_are_counted(tmp_path):
    y = [None if n % 10 == 0 else str(n % 2) for n in range(ROWS)]
    adoption = adopted(tmp_path, plain(y=y))
    assert "30 rows have no 'y'; `prepare` drops them (data.null_target)" in adoption.warnings
    assert prepared(adoption, tmp_path)["rows"]["without target"] == 30


def test_a_long_table_is_tried_on_a_sample_of_which_every_run_draws_the_same(tmp_path):
    x = RNG.normal(size=50_000)
    frame = pl.DataFrame({"x": x, "y": (x + RNG.normal(size=50_000) > 0).astype(int)})
    first, second = (adopted(tmp_path, frame) for _ in range(2))
    assert first.proposal == second.proposal
    assert first.rows == 50_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,y\n", "has columns but no rows"),
        ("a,y\n1,x\n2\n", "Expected 2 columns"),
        ('a,y\n1,"x\n2,z\n', "never ends"),
        ("a,y,a\n1,x,2\n", "'a' twice"),
        ("a,z\nu,v\n", "--target: there is no column 'y'"),
        ("a,y\n" + "u,x\nv,z\n" * 5, "only 10 rows have a target"),
        ("a,y\n" + "u,x\nv,x\n" * 50, "holds one value only, 'x'"),
        ("a,y\n" + "u,\nv,\n" * 50, "has no value in any row"),
        ("a,y\n" + "u,x\nv,x\n" * 50 + "w,z\n", "class 'z' of 'y' has 1 rows"),
        ("a,y\n" + "u,x\nu,z\n" * 50, "no column is left"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_one_line(tmp_path, content, message):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(UserError, match=message) as refused:
        decided(tmp_path / "t.csv")
    assert "\n" not in str(refused.value)


def test_a_broken_parquet_file_is_one_line(tmp_path):
    plain().write_parquet(tmp_path / "t.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"t\.parquet: cannot be read"):
        decided(tmp_path / "t.parquet")


WORDS = st.text(st.characters(blacklist_categories=("Cc", "Cs")), max_size=12)
CELLS = {
    "integer": st.integers(-(10**6), 10**6).map(str),
    "number": st.floats(allow_nan=False, allow_infinity=False).map(str),
    "word": WORDS,
    "few": st.sampled_from(
        ["a", "B", "True", "no", "1.0", "2", "é, ü", "'", '"', "null", "~", "0x1F", "1e3", "# x", "a: b"]
    ),
    "boolean": st.sampled_from(["yes", "no", "True", "false"]),
    "date": st.dates(date(1900, 1, 1), date(2100, 1, 1)).map(lambda day: day.strftime("%d/%m/%Y")),
    "marked": st.sampled_from(["?", "NA", "-", "", "3", "7.5"]),
    "mixed": st.one_of(st.integers(0, 10**4).map(str), st.sampled_from(["unknown", "n/a", "100+"]), WORDS),
}
NAMES = st.text(st.characters(blacklist_categories=("Cc", "Cs")), max_size=15).filter(
    lambda name: name not in {"y", "*", "x"} and not (name.startswith("^") and name.endswith("$"))
)


@st.composite
def messy_tables(draw: st.DrawFn) -> pl.DataFrame:
    """Texts of every sort under names of every sort, beside one number and a target that can be learned."""
    rows = draw(st.integers(40, 80))
    columns: dict[str, Any] = {"x": [str(n * 37 % 101 / 7) for n in range(rows)]}
    for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        cells = CELLS[draw(st.sampled_from(sorted(CELLS)))]
        some = draw(st.lists(cells, min_size=1, max_size=draw(st.sampled_from([1, 3, 40]))))
        columns[name] = [some[n % len(some)] for n in range(rows)]
    kind = draw(st.sampled_from(["classes", "numbers", "whole"]))
    targets = {
        "classes": ["no", "yes", "no"],
        "numbers": ["1.5", "2.75", "8", "0.25", "11", "13.5", "7"],
        "whole": ["1", "2", "3"],
    }
    return pl.DataFrame(columns | {"y": [targets[kind][n * n % len(targets[kind])] for n in range(rows)]})


@pytest.mark.no_cover
@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(frame=messy_tables(), parquet=st.booleans())
def test_the_contract_accepts_the_table_that_it_was_inferred_from(tmp_path_factory, frame, parquet):
    folder = tmp_path_factory.mktemp("messy")
    path = folder / ("t.parquet" if parquet else "t.csv")
    frame.write_parquet(path) if parquet else frame.write_csv(path, quote_style="always")
    adoption = decided(path)
    rows = prepared(adoption, folder)["rows"]
    assert sum(rows.values()) == frame.height


def test_a_contract_refuses_what_was_not_in_the_table(tmp_path):
    """The twin of the test above: the ranges and categories are no formality."""
    frame = plain(kind=["a", "b", "c"] * (ROWS // 3))
    adoption = adopted(tmp_path, frame)
    pl.concat([frame, frame.head(1).with_columns(x=pl.lit(99.0))]).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(UserError, match="above the maximum"):
        prepared(adoption, tmp_path)
    pl.concat([frame, frame.head(1).with_columns(kind=pl.lit("d"))]).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(UserError, match="unknown category 'd'"):
        prepared(adoption, tmp_path)


def test_the_calibration_of_few_rows_is_no_fault_of_a_model_that_is_right():
    rng, held = np.random.default_rng(3), 80
    said = rng.normal(size=600)
    truth = said + rng.normal(size=600)
    schema = schema_of({"x": "number"}, {"column": "y", "task": "regression"})
    trial = Trial({}, {}, {}, 2, np.arange(600), truth, Prediction(said, None))
    limit = propose_calibration(schema, trial, held).value
    signature = Signature(task="regression", target="", inputs=(), prior=())
    errors = []
    for _ in range(200):  # other rows that the same model is right about
        fresh = rng.normal(size=held)
        measure = CalibrationError(signature, Prediction(fresh, None), fresh + rng.normal(size=held))
        errors.append(float(measure.replicates(np.ones((1, held)))["calibration"][0]))
    assert np.mean(np.array(errors) > limit) < 0.05
    assert limit < 0.5
    few = Trial({}, {}, {}, 2, np.arange(600), truth, Prediction(said + 1.5, None))
    assert propose_calibration(schema, few, held).value > 0.9  # what is wrong in cross-validation is what there is


def test_a_model_that_needs_what_may_be_missing_is_allowed_to_lose_by_its_absence(tmp_path):
    # Given a table whose target is hardly more than one column, of which some values are missing
    x, other = RNG.normal(size=1200), RNG.normal(size=1200)
    known = [None if RNG.random() < 0.04 else value for value in x]
    frame = pl.DataFrame({"x": known, "other": other, "y": 5 * x + other})
    adoption = adopted(tmp_path, frame)
    # When values are taken away from rows that a model of the others has not seen
    fitted, held = frame[:960], frame[960:]
    inputs, matrix = encoded(adoption.schema, fitted, 100)
    model = build(inputs, "regression", Params().train).fit(matrix, fitted["y"].to_numpy())
    rule, signature = Params().gates.robustness, Signature(task="regression", target="", inputs=inputs, prior=())
    errors = [
        np.sqrt(
            np.mean((model.predict(encode(signature, columns_of(rows, signature.names))) - held["y"].to_numpy()) ** 2)
        )
        for rows in (held, with_missing(held, inputs, rule.missing, rule.seed))
    ]
    # Then that is within what is proposed, and far beyond what is allowed unless something else is
    lost = errors[1] / errors[0] - 1
    assert rule.max_drop < lost <= adoption.proposal.robustness.value < 5 * lost
    assert "by missing" in adoption.proposal.robustness.reason


def test_what_cannot_be_told_of_altered_inputs_leaves_the_limit_as_it_is():
    nothing = Trial({}, {}, {"noise": []}, 2, np.arange(3), np.zeros(3), Prediction(np.zeros(3), None))
    assert propose_robustness(nothing).value == Params().gates.robustness.max_drop


def people(*shares: float, rows: int = 3000, rate: float = 0.5, **columns: Any) -> pl.DataFrame:
    """Rows of the groups "a", "b", ... of these shares, all alike, with as many of class "yes" as the rate says."""
    x, kinds = RNG.normal(size=rows), list("abc"[: len(shares)])
    yes = x + RNG.logistic(size=rows) > np.log(1 / rate - 1)
    return pl.DataFrame({"x": x, "kind": RNG.choice(kinds, rows, p=shares), "y": np.where(yes, "yes", "no")} | columns)


def test_a_group_that_the_review_leaves_out_does_not_widen_the_limits_of_fairness(tmp_path):
    limits = adopted(tmp_path, people(0.5, 0.49, 0.01), sensitive=("kind",)).proposal.fairness
    assert set(limits) == {"selection_rate", "true_positive_rate", "false_positive_rate", "error"}
    assert max(limit.value for limit in limits.values()) < 0.3
    one = adopted(tmp_path, people(0.99, 0.01), sensitive=("kind",)).proposal
    assert not one.fairness
    assert one.no_fairness == (
        "none for fairness of 'kind'; 'kind' has fewer than two groups of 20 rows or more in the holdout",
    )


def test_a_rate_of_a_class_with_few_rows_in_a_group_has_no_limit(tmp_path):
    proposal = adopted(tmp_path, people(0.5, 0.45, 0.05, rate=0.1), sensitive=("kind",)).proposal
    assert set(proposal.fairness) == {"selection_rate", "false_positive_rate", "error"}
    assert len(proposal.no_fairness) == 1
    assert re.fullmatch(
        r"none for fairness.true_positive_rate; 0.\d+ in cross-validation \(kind\), and the holdout has 1?\d rows of "
        r"class 'yes' in group 'c': the limit would be 0.\d\d, which hardly any model would miss",
        proposal.no_fairness[0],
    )


def test_a_group_without_rows_of_a_class_does_not_widen_the_limit_of_its_rate(tmp_path):
    frame = people(0.5, 0.45, 0.05).with_row_index("my_id")
    adoption = adopted(tmp_path, frame, sensitive=("kind",))
    held = pl.col("my_id").is_in(_held(adoption, tmp_path)["my_id"].implode())
    frame = frame.with_columns(y=pl.when(held & (pl.col("kind") == "c")).then(pl.lit("no")).otherwise(pl.col("y")))
    proposal = adopted(tmp_path, frame, sensitive=("kind",)).proposal
    assert proposal.fairness["true_positive_rate"].value < 0.3
    assert not any("true_positive_rate" in why for why in proposal.no_fairness)


def _held(adoption: Adoption, folder: Path) -> pl.DataFrame:
    prepared(adoption, folder)
    return pl.read_parquet(folder / "holdout.parquet")


def test_a_limit_of_fairness_that_no_model_would_miss_is_not_set(tmp_path):
    frame = people(0.5, 0.5, rows=600)
    apart = pl.when(pl.col("kind") == "a").then(pl.col("x") + 3).otherwise(pl.col("x") - 3)
    yes = apart + pl.Series(RNG.logistic(size=600)) > 0
    frame = frame.with_columns(x=apart, y=pl.when(yes).then(pl.lit("yes")).otherwise(pl.lit("no")))
    proposal = adopted(tmp_path, frame, sensitive=("kind",)).proposal
    assert "selection_rate" not in proposal.fairness
    assert "error" in proposal.fairness
    (told,) = [why for why in proposal.no_fairness if why.startswith("none for fairness.selection_rate; ")]
    assert told.endswith(", which hardly any model would miss")


def test_a_placeholder_among_numbers_is_warned_of_and_stays_within_the_range(tmp_path):
    frame = plain(age=[999 if n % 30 == 0 else 18 + n % 78 for n in range(ROWS)])
    adoption = adopted(tmp_path, frame)
    assert adoption.schema.columns["age"].max == 999
    assert (
        "'age' holds 999 in 10 rows, far from every other value (the nearest is 95); if it stands for no value, "
        "empty those cells or remove those rows, and adopt again"
    ) in adoption.warnings
    assert "999 in 10 rows" in adoption.findings["age"].remark
    assert sum(prepared(adoption, tmp_path)["rows"].values()) == ROWS

    y = [-999.0 if n % 50 == 0 else n % 37 / 2 for n in range(ROWS)]
    target = adopted(tmp_path, plain(y=y))
    assert target.schema.columns["y"].min == -999
    assert any(warning.startswith("'y' holds -999 in 6 rows") for warning in target.warnings)


def test_the_comments_of_the_contract_say_how_to_name_a_sensitive_column_and_what_the_id_is_for(tmp_path):
    frame = plain(at=[date(2020, 1, 1) + timedelta(days=n) for n in range(ROWS)], my_id=range(ROWS))
    text = schema_text(adopted(tmp_path, frame.with_columns(kind=pl.Series(["a", "b"] * (ROWS // 2))), time="at"))
    assert "# This column names a row; in a split by hash, it decides the side that a row is on.\nid: my_id" in text
    assert text.count("\n# sensitive: [column]\n") == 1
    (tmp_path / "schema.yaml").write_text(text.replace("# sensitive: [column]", "sensitive: [kind]"))
    assert load_schema(tmp_path / "schema.yaml").sensitive == ("kind",)
    named = schema_text(adopted(tmp_path, plain(kind=["a", "b"] * (ROWS // 2)), sensitive=("kind",)))
    assert "`gates.fairness` of\n# params.yaml.\nsensitive: [kind]\n" in named
    assert "# sensitive:" not in named
