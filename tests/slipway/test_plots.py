import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import dvc, git
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from sklearn import metrics as sk

from slipway import layout, plots
from slipway.errors import UserError
from slipway.plots import PLOTS, plots_section, with_plots, write_plots
from slipway.predictor import Prediction
from slipway.schema import load_schema

TEMPLATES = Path(__file__).parents[2] / ".dvc" / "plots"
IMPORTANCE = {"age": (0.1, 0.01), "income, net": (0.3, 0.02)}


EVALUATE = "  evaluate:\n    cmd: echo\n    plots:\n      - old.csv:\n          cache: false\n"


def classified(rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, Prediction]:
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(rows) % classes)
    raw = rng.random((rows, classes)) + np.eye(classes)[truth]
    values = raw / raw.sum(axis=1, keepdims=True)
    return truth, Prediction(values, values.argmax(axis=1))


def numbered(rows: int, seed: int = 0) -> tuple[np.ndarray, Prediction]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 3, rows)
    return truth, Prediction(truth + rng.normal(0, 1, rows), None)


def written(folder: Path, task: Any, rows: int = 100, seed: int = 0) -> dict[str, list[dict[str, str]]]:
    classes = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c"), "regression": ()}[task]
    truth, prediction = classified(rows, len(classes), seed) if classes else numbered(rows, seed)
    write_plots(folder, task, classes, truth, prediction, IMPORTANCE)
    return read(folder)


def read(folder: Path) -> dict[str, list[dict[str, str]]]:
    return {path.stem: list(csv.DictReader(path.open(encoding="utf-8", newline=""))) for path in folder.iterdir()}


def numbers(rows: list[dict[str, str]], column: str, **where: str) -> np.ndarray:
    return np.array([float(row[column]) for row in rows if where.items() <= row.items()])


@pytest.mark.parametrize("task", PLOTS)
def test_each_task_has_its_files_with_the_columns_it_declares(task: Any, tmp_path: Path) -> None:
    found = written(tmp_path, task)
    sources = {}
    for plot in YAML(typ="safe").load(plots_section(task)):
        ((path, how),) = plot.items()
        sources[Path(path).stem] = (how["x"], how["y"])
        assert path == f"reports/plots/{Path(path).name}"
        assert how["cache"] is False
        assert (TEMPLATES / f"{how['template']}.json").is_file()
    assert found.keys() == sources.keys()
    for name, (x, y) in sources.items():
        assert {x, y} < found[name][0].keys()


def test_curves_are_scikit_learns(tmp_path: Path) -> None:
    truth, prediction = classified(80, 2)
    write_plots(tmp_path, "binary", ("no", "yes"), truth, prediction, {})
    found, score = read(tmp_path), prediction.values[:, 1]

    fpr, tpr, _ = sk.roc_curve(truth, score, drop_intermediate=False)
    np.testing.assert_allclose(numbers(found["roc"], "false_positive_rate"), fpr, atol=1e-6)
    np.testing.assert_allclose(numbers(found["roc"], "true_positive_rate"), tpr, atol=1e-6)
    precision, recall, _ = sk.precision_recall_curve(truth, score)
    np.testing.assert_allclose(numbers(found["precision_recall"], "recall"), recall[-2::-1], atol=1e-6)
    np.testing.assert_allclose(numbers(found["precision_recall"], "precision"), precision[-2::-1], atol=1e-6)
    assert {row["class"] for row in found["roc"]} == {"yes"}


@pytest.mark.parametrize("task", PLOTS)
def test_files_stay_small_and_true_however_many_rows(task: Any, tmp_path: Path) -> None:
    found = written(tmp_path, task, rows=30_000)
    curves = max(1, len({row["class"] for row in found.get("roc", [])}))
    assert max(len(rows) for rows in found.values()) <= max(curves * plots.CURVE_POINTS, plots.SCATTER_POINTS)
    if task == "binary":
        truth, prediction = classified(30_000, 2)
        area = np.trapezoid(numbers(found["roc"], "true_positive_rate"), numbers(found["roc"], "false_positive_rate"))
        assert area == pytest.approx(sk.roc_auc_score(truth, prediction.values[:, 1]), abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=201, max_size=2000, unique=True))
def test_thinning_keeps_the_ends_and_the_order(values: list[float]) -> None:
    rising = np.sort(values)
    kept = plots._thinned(rising)
    assert (kept[0], kept[-1]) == (0, len(values) - 1)
    assert (np.diff(kept) > 0).all()
    assert len(kept) <= plots.CURVE_POINTS


@pytest.mark.parametrize("task", PLOTS)
def test_equal_input_gives_equal_bytes_and_other_input_others(task: Any, tmp_path: Path) -> None:
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        written(tmp_path / folder, task, seed=seed)
    one, two, three = ([p.read_bytes() for p in sorted((tmp_path / f).iterdir())] for f in ("one", "two", "three"))
    assert one == two
    assert one != three


def test_names_from_the_data_survive_but_cannot_end_a_script(tmp_path: Path) -> None:
    truth, prediction = classified(60, 3)
    write_plots(tmp_path, "multiclass", ('a,"b"\n', "é", "</script><b>"), truth, prediction, {"x\ny": (1.0, 0.1)})
    found = read(tmp_path)
    assert {row["actual"] for row in found["confusion"]} == {'a,"b"\n', "é", "\u2039/script>\u2039b>"}
    assert found["importance"][0]["column"] == "x\ny"
    assert not any("<" in path.read_text(encoding="utf-8") for path in tmp_path.iterdir())


def test_confusion_counts_every_cell_even_the_empty_ones(tmp_path: Path) -> None:
    truth, labels = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 2, 2])
    write_plots(tmp_path, "multiclass", ("a", "b", "c"), truth, Prediction(np.full((5, 3), 1 / 3), labels), {})
    rows = read(tmp_path)["confusion"]
    np.testing.assert_array_equal(numbers(rows, "rows"), sk.confusion_matrix(truth, labels).ravel())
    assert numbers(rows, "rows", actual="a", predicted="b") == 1


def test_many_classes_show_the_frequent_ones_and_lump_the_rest(tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(25)]
    truth = np.repeat(np.arange(25), np.arange(25) + 1)
    values = np.eye(25)[truth]
    write_plots(tmp_path, "multiclass", names, truth, Prediction(values, truth), {})
    found = read(tmp_path)
    assert {row["class"] for row in found["roc"]} == set(names[5:])
    confusion = found["confusion"]
    assert numbers(confusion, "rows", actual="(other)", predicted="(other)") == 1 + 2 + 3 + 4 + 5
    assert numbers(confusion, "rows").sum() == len(truth)


def test_a_holdout_of_one_class_has_no_roc_curve_but_files_all_the_same(tmp_path: Path) -> None:
    write_plots(tmp_path, "binary", ("no", "yes"), np.zeros(4), Prediction(np.full((4, 2), 0.5), np.ones(4, int)), {})
    found = read(tmp_path)
    assert (found["roc"], found["precision_recall"]) == ([], [])
    assert numbers(found["confusion"], "rows").tolist() == [0, 4, 0, 0]
    assert numbers(found["score_distribution"], "share", actual="yes").sum() == 0


def test_calibration_bins_hold_equal_shares_of_the_rows_with_an_interval(tmp_path: Path) -> None:
    rows = written(tmp_path, "binary", rows=200)["calibration"]
    assert numbers(rows, "rows").tolist() == [20] * 10
    low, middle, high = (numbers(rows, column) for column in ("low", "observed", "high"))
    assert ((low <= middle + 1e-9) & (middle <= high + 1e-9) & (low < high)).all()
    assert (np.diff(numbers(rows, "predicted")) > 0).all()
    # 20 of 20 rows: the interval is not a point, as it would be without Wilson's correction
    assert low[-1] == pytest.approx(20 / (20 + 1.96**2), abs=1e-5)


def test_score_distribution_is_of_each_actual_class(tmp_path: Path) -> None:
    rows = written(tmp_path, "binary", rows=101)["score_distribution"]
    assert numbers(rows, "share", actual="yes").sum() == pytest.approx(1, abs=1e-4)
    assert numbers(rows, "rows", actual="yes").sum() == 50
    assert numbers(rows, "rows", actual="no").sum() == 51


def test_deciles_and_scatter_are_of_the_predictions(tmp_path: Path) -> None:
    truth, prediction = numbered(1000)
    write_plots(tmp_path, "regression", (), truth, prediction, {})
    found = read(tmp_path)
    deciles = found["error_by_decile"]
    assert numbers(deciles, "rows").tolist() == [100] * 10
    mean = np.average(numbers(deciles, "mean_absolute_error"), weights=numbers(deciles, "rows"))
    assert mean == pytest.approx(np.abs(truth - prediction.values).mean(), rel=1e-4)
    pairs = np.column_stack([numbers(found["predicted_actual"], c) for c in ("actual", "predicted")])
    assert len(pairs) == plots.SCATTER_POINTS
    residual = numbers(found["residuals"], "actual_minus_predicted")
    np.testing.assert_allclose(residual, pairs[:, 0] - pairs[:, 1], atol=1e-4)
    assert pairs[-1, 1] == pytest.approx(prediction.values.max(), rel=1e-5)


def test_a_constant_prediction_is_one_group(tmp_path: Path) -> None:
    write_plots(tmp_path, "regression", (), np.arange(30.0), Prediction(np.ones(30), None), {})
    (row,) = read(tmp_path)["error_by_decile"]
    assert (row["decile"], row["rows"]) == ("1", "30")


def test_importance_is_sorted_and_bounded(tmp_path: Path) -> None:
    truth, prediction = numbered(20)
    write_plots(tmp_path, "regression", (), truth, prediction, {f"column {i}": (float(i % 7), 0.5) for i in range(100)})
    rows = read(tmp_path)["importance"]
    assert len(rows) == plots.MAX_COLUMNS
    assert (np.diff(numbers(rows, "importance")) <= 0).all()
    assert [row["column"] for row in rows[:2]] == ["column 6", "column 13"]
    assert (rows[0]["low"], rows[0]["high"]) == ("5.5", "6.5")


@pytest.mark.parametrize("task", PLOTS)
def test_dvc_draws_every_plot_of_two_revisions(task: Any, tmp_path: Path) -> None:
    # Given a repository with a committed run and another in the workspace
    git(tmp_path, "init", "--quiet")
    dvc(tmp_path, "init", "--quiet")
    shutil.copytree(TEMPLATES, tmp_path / ".dvc" / "plots")
    reports = tmp_path / "reports"
    written(reports / "plots", task)
    stage = with_plots(f"stages:\n{EVALUATE}", task)
    (tmp_path / "dvc.yaml").write_text(stage, encoding="utf-8")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "run")
    written(reports / "plots", task, seed=1)

    shown = json.loads(dvc(tmp_path, "plots", "diff", "HEAD", "--json"))

    assert "errors" not in shown
    assert len(shown["data"]) == len(PLOTS[task])
    for name, (drawn,) in shown["data"].items():
        assert drawn["revisions"] == ["workspace", "HEAD"], name
        assert {row["rev"] for row in drawn["content"]["data"]["values"]} == {"workspace", "HEAD"}, name
        assert "<DVC_METRIC" not in json.dumps(drawn["content"]), name

    # When a template is missing, DVC says so instead
    shutil.rmtree(tmp_path / ".dvc" / "plots")
    with pytest.raises(subprocess.CalledProcessError):
        dvc(tmp_path, "plots", "diff", "HEAD")


def test_the_pipeline_declares_the_plots_of_the_demo() -> None:
    pipeline = (TEMPLATES.parents[1] / "dvc.yaml").read_text(encoding="utf-8")
    assert with_plots(pipeline, load_schema(TEMPLATES.parents[1] / layout.SCHEMA).target.task) == pipeline


def test_another_task_changes_the_plots_and_nothing_else() -> None:
    before = f"# why\nstages:\n  train:\n    plots:\n      - own.csv\n{EVALUATE}    outs:\n      - a\n  last: {{}}\n"
    after = with_plots(before, "regression")
    assert after.replace(plots_section("regression"), "      - old.csv:\n          cache: false\n") == before
    assert with_plots(with_plots(after, "binary"), "regression") == after
    with pytest.raises(UserError, match="no `plots:` block"):
        with_plots("stages: {}\n", "binary")
