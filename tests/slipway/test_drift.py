import numpy as np
import polars as pl
import pytest
from helpers import schema_of

from slipway.drift import drift_from, explained_by_chance, stability_index
from slipway.encoding import fit_inputs


def reference(series: pl.Series, kind: str, **keys):
    name = series.name
    schema = schema_of({name: {"type": kind, "nullable": True, **keys}})
    (learned,) = fit_inputs(schema, series.to_frame(), 100)
    return learned


def normal(rows: int, seed: int, shift: float = 0.0, missing: float = 0.0) -> pl.Series:
    generator = np.random.default_rng(seed)
    values = generator.normal(shift, 1, rows)
    return pl.Series("x", np.where(generator.random(rows) < missing, np.nan, values)).fill_nan(None)


def test_the_index_is_as_it_is_written():
    p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    assert stability_index(p, q) == pytest.approx(0.25 * np.log(2) + 0.25 * np.log(1.5))


def test_the_same_rows_have_not_moved():
    series = normal(5000, 0, missing=0.1)
    index, chance = drift_from(reference(series, "number"), 5000, series)
    assert index < 0.001 < chance


@pytest.mark.parametrize("rows", [100, 1000])
def test_chance_is_exceeded_by_samples_of_one_population_about_once_in_a_hundred_times(rows):
    exceeded = 0
    for seed in range(200):
        index, chance = drift_from(reference(normal(rows, seed), "number"), rows, normal(rows, seed + 1000))
        exceeded += index > chance
    assert exceeded <= 8  # more than 8 of 200 at 1 % happen less than once in a thousand times


@pytest.mark.parametrize(
    "moved", [normal(2000, 1, shift=1.0), normal(2000, 1, missing=0.4), normal(2000, 1) * 3, normal(2000, 1).head(0)]
)
def test_a_column_that_moved_is_found_and_an_empty_one_says_nothing(moved):
    index, chance = drift_from(reference(normal(2000, 0), "number"), 2000, moved)
    assert (index > 0.25 + chance) == (len(moved) > 0)


def test_numbers_with_few_values_are_no_false_alarm():
    generator = np.random.default_rng(0)
    before, after = (pl.Series("x", generator.integers(0, 3, 3000)) for _ in range(2))
    index, chance = drift_from(reference(before, "integer"), 3000, after)
    assert index < 0.05
    assert drift_from(reference(before, "integer"), 3000, after.clip(0, 1))[0] > 0.25 + chance


def test_categories_move_and_new_ones_count():
    before = pl.Series("x", ["a"] * 800 + ["b"] * 200)
    learned = reference(before, "category")
    assert drift_from(learned, 1000, before.sample(fraction=1, shuffle=True, seed=1))[0] < 0.01
    for after in (pl.Series("x", ["a"] * 200 + ["b"] * 800), pl.Series("x", ["a"] * 600 + ["c"] * 400)):
        index, chance = drift_from(learned, 1000, after)
        assert index > 0.25 + chance


def test_chance_explains_less_of_more_rows():
    assert explained_by_chance(10, 100, 100) > explained_by_chance(10, 1000, 1000) > 0


@pytest.mark.parametrize(
    ("before", "after"),
    [((1, 0.97), (1, 0.03)), ((1, 0.5), (1, 0.95)), ((5, 1.0), (0, 1.0)), ((100, 0.92), (100, 0.1))],
)
def test_mass_at_one_value_that_comes_or_goes_is_found(before, after):
    def drawn(value: float, share: float, seed: int) -> pl.Series:
        generator = np.random.default_rng(seed)
        rest = generator.uniform(0, value, 5000) if value > 1 else np.zeros(5000)
        return pl.Series("x", np.where(generator.random(5000) < share, value, rest))

    learned = reference(drawn(*before, seed=0), "number")
    index, chance = drift_from(learned, 5000, drawn(*after, seed=1))
    assert index > 0.25 + chance
    assert drift_from(learned, 5000, drawn(*before, seed=2))[0] < 0.25


@pytest.mark.parametrize("ones", [1, 20, 500])
def test_a_rare_value_is_no_drift_from_itself(ones):
    series = pl.Series("x", [1.0] * ones + [0.0] * (50_000 - ones))
    index, _ = drift_from(reference(series, "number"), 50_000, series)
    assert index < 1e-6
