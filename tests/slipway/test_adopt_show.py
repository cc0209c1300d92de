"""What the person who adopts a table is told."""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from examples import diabetes

from slipway.adopt.decide import decide
from slipway.adopt.infer import Wishes
from slipway.adopt.show import show
from slipway.params import Params
from slipway.values import number_text

ROWS = 300


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def plain(rng: np.random.Generator, **columns: Any) -> pl.DataFrame:
    """Rows with one informative number `x` and a binary target `y`."""
    x = rng.normal(size=ROWS)
    y = np.where(x + rng.logistic(size=ROWS) > 0, "yes", "no")
    return pl.DataFrame({"x": x} | columns | {"y": columns.get("y", y)})


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Decide about a frame, and give what is printed."""

    def tell(frame: pl.DataFrame, target: str = "y", **wishes: Any) -> str:
        frame.write_parquet(tmp_path / "t.parquet")
        (tmp_path / "scratch").mkdir(exist_ok=True)
        show(decide(tmp_path / "t.parquet", Wishes(target, **wishes), Params(), tmp_path / "scratch"))
        return capsys.readouterr().out

    return tell


def test_every_decision_is_told(told, rng):
    at = [date(2020, 1, 1) + timedelta(days=n) for n in range(ROWS)]
    kinds, shops = [f"kind {n % 7}" for n in range(ROWS)], [f"s{n}" for n in range(ROWS)]
    frame = plain(rng, at=at, tags=[[1]] * ROWS, kind=kinds, shop_id=shops)
    out = " ".join(told(frame, time="at", sensitive=("kind",)).split())
    assert "target: 'y', binary; the positive class is 'yes' (--positive)" in out
    assert "split: time from 2020-08-28" in out
    assert "gate: metrics.roc_auc ≥" in out
    for words in ("input, sensitive", "left out", "holds objects or lists", "id", "kind 0, kind 1", "... (7)"):
        assert words in out
    out = told(diabetes()[0].with_columns(patient=pl.int_range(442) % 40), "progression", group="patient")
    assert "split: group of 'patient'" in out


def test_classes_are_told_with_their_counts_and_shares(told, rng):
    y = np.where(np.arange(ROWS) % 4 == 0, "yes", "no")
    assert "\nclasses: 'no' 225 (75.0%), 'yes' 75 (25.0%)\n" in told(plain(rng, y=y))
    out = told(plain(rng, y=[f"c{n % 12}" for n in range(ROWS - 1)] + ["rare"]))
    assert "\nclasses: 'c0' 25 (8.3%), 'c1' 25 (8.3%), 'c10' 25 (8.3%), " in out
    assert ", and 8 more down to 'rare' 1 (0.3%)\n" in out
    assert "classes:" not in told(diabetes()[0], "progression")


def test_rare_classes_are_warned_of_in_one_line(told, rng):
    kinds = np.array(["a", "b"] * (ROWS // 2), dtype=object)
    kinds[:7] = "x"
    assert "warning: class 'x' has 7 rows: too few to learn it or to judge it" in told(plain(rng, y=kinds.astype(str)))
    kinds[:20] = [f"k{n // 2}" for n in range(20)]
    out = told(plain(rng, y=kinds.astype(str)))
    assert out.count("too few to learn") == 1
    assert "10 classes have fewer than 10 rows ('k0' 2, 'k1' 2, 'k2' 2, ...)" in out


def test_a_date_is_proposed_for_the_split_where_it_can_be_used(told, rng):
    at = [date(2020, 1, 1) + timedelta(days=n % 90) for n in range(ROWS)]
    frame = plain(rng, **{"signup date": at, "left": [None, *at[1:]]})
    assert "\nsplit: hash; --time 'signup date' would hold out the latest rows\n" in told(frame)
    assert "would hold out" not in told(frame, time="signup date")
    assert "would hold out" not in told(frame.drop("signup date"))  # it lacks values


def test_numbers_are_written_as_people_read_them(told, rng):
    income, share = np.linspace(1e3, 1e6, ROWS).round(), np.linspace(1e-4, 9e-4, ROWS)
    out = told(plain(rng, income=income, share=share, y=3e6 * rng.normal(size=ROWS) + income))
    assert "│ 0 to 1,100,000 " in out
    assert "│ 0.00002 to 0.00098 " in out
    assert re.search(r"gate: metrics.mae ≤ \d,\d\d\d,\d\d\d: \d,\d\d\d,000 ± \d", out)
    assert not re.search(r"\de[-+]\d", out)


def test_what_has_no_limit_of_fairness_is_told(told, rng):
    out = told(plain(rng, kind=["a"] * (ROWS - 9) + ["b"] * 9), sensitive=("kind",))
    assert "\ngate: none for fairness of 'kind'; 'kind' has fewer than two groups of 20 rows" in out


def test_a_placeholder_stands_in_the_note_and_in_a_warning(told, rng):
    out = told(plain(rng, age=[999 if n % 30 == 0 else 18 + n % 78 for n in range(ROWS)]))
    assert "│ 10 to 999 " in out
    assert "│ holds 999 in 10 rows" in out
    assert "\nwarning: 'age' holds 999 in 10 rows, far from every other value (the nearest is 95); if it stands" in out


def test_categories_written_in_two_ways_are_warned_of(told, rng):
    kinds = rng.choice(["Card", "card ", "cash", "???", "!"], ROWS)
    out = told(plain(rng, kind=kinds, place=rng.choice(["north", "south"], ROWS)))
    assert out.count("alike but for case or punctuation") == 1
    assert re.search(r"\nwarning: 'kind' has 'card ?' and 'card ?', alike", out, re.IGNORECASE)


def test_what_the_gate_for_altered_inputs_is_made_of_is_told(told, rng):
    assert re.search(r"\ngate: robustness.max_drop ≤ 0\.\d+: [\d.]+ in cross-validation, by noise\n", told(plain(rng)))


def test_a_run_that_goes_on_asks_for_none(tmp_path, rng, capsys):
    plain(rng).write_parquet(tmp_path / "t.parquet")
    (tmp_path / "scratch").mkdir()
    adoption = decide(tmp_path / "t.parquet", Wishes("y"), Params(), tmp_path / "scratch")
    show(adoption)
    assert "run: make repro" in capsys.readouterr().out
    show(adoption, goes_on=True)
    assert "make repro" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_000_000, "1,000,000"),
        (1234.5678, "1,230"),
        (0.1 + 0.2, "0.3"),
        (-0.000123456, "-0.000123"),
        (0, "0"),
        (1e300, "1e+300"),
        (float("nan"), "nan"),
    ],
)
def test_a_number_as_text(value, text):
    assert number_text(value) == text
    assert number_text(123456789.0, 12) == "123,456,789"
