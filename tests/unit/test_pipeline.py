"""The project's own code, on made-up rows, without data and results. Your tests go beside these."""

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.pipeline import Pipeline

from model.pipeline import build
from slipway.params import Train, load_params
from slipway.schema import Task
from slipway.signature import Input

INPUTS = (
    Input(name="amount", type="number", nullable=True),
    Input(name="plan", type="category", categories=("basic", "plus")),
    Input(name="town", type="category", categories=tuple(f"town {number}" for number in range(40))),
)
TARGETS: dict[Task, list[object]] = {"binary": [0, 1], "multiclass": [0, 1, 2], "regression": [0.5, 1.5, 9.0]}


def matrix(rows: int = 120) -> npt.NDArray[np.float32]:
    """Rows as the predictor encodes them: numbers with NaN for missing, categories as codes."""
    rng = np.random.default_rng(0)
    columns = [rng.normal(size=rows), *(rng.integers(0, column.codes, rows) for column in INPUTS[1:])]
    columns[0][::10] = np.nan
    return np.column_stack(columns).astype(np.float32)


def fitted(task: Task, settings: Train) -> Pipeline:
    rows = matrix()
    target = np.resize(TARGETS[task], len(rows))
    return build(INPUTS, task, settings).fit(rows, target)


@pytest.mark.parametrize("model", ["linear", "hist_gradient_boosting", "random_forest"])
@pytest.mark.parametrize("task", TARGETS)
def test_what_is_fitted_answers_every_row(task: Task, model: str) -> None:
    few = {"hist_gradient_boosting": {"max_iter": 10}, "random_forest": {"n_estimators": 10}}
    settings = Train.model_validate(load_params().train.model_dump() | few | {"model": model})
    answers = fitted(task, settings).predict(matrix())
    assert len(answers) == len(matrix())
    assert np.isfinite(answers).all()


@pytest.mark.parametrize("task", TARGETS)
def test_the_same_seed_gives_the_same_answers(task: Task) -> None:
    settings = load_params().train
    assert np.array_equal(fitted(task, settings).predict(matrix()), fitted(task, settings).predict(matrix()))
