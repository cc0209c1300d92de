"""`adopt` writes two YAML files for people: what is theirs stays, and what is written reads back as it was meant."""

import difflib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import modify_yaml
from helpers import ROOT
from hypothesis import given
from hypothesis import strategies as st

from slipway.adopt.propose import Gate, Limit, Proposal
from slipway.adopt.write import params_text
from slipway.params import Bound, Params, Slice, Split, load_params


def read(folder: Path, text: str) -> Params:
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return load_params(folder / "params.yaml")


def proposal(**changes: Any) -> Proposal:
    metrics, worst = {"r2": Gate(Bound(min=0.25), "0.5 ± 0.1")}, {"mae": Gate(Bound(max=12), "9: the worst")}
    slices = (Slice(column="a: b"), Slice(column="größe", bins=(1, 2.5)))
    return Proposal(
        **{"split": Split(salt="7"), "slices": slices, "min_holdout_rows": 20, "min_gain": 0.05, "min_class_auc": None}
        | {"metrics": metrics, "worst_slice": worst, "margins": {"r2": Limit(0.02, "a tenth")}}
        | {
            "fairness": {"error": Limit(0.3, "0.2 (sex)")},
            "no_fairness": (),
            "calibration": Limit(0.2, "0.1 in cross-validation"),
            "robustness": Limit(0.3, "0.2 in cross-validation, by missing"),
        }
        | changes
    )


def test_the_data_part_of_the_settings_is_replaced_and_nothing_else(tmp_path):
    before = (ROOT / "params.yaml").read_text(encoding="utf-8")
    after = params_text(before, proposal())
    params = read(tmp_path, after)
    assert (params.split, params.evaluate.slices) == (proposal().split, proposal().slices)
    assert (params.gates.metrics, params.gates.worst_slice) == ({"r2": Bound(min=0.25)}, {"mae": Bound(max=12)})
    assert (params.suites.data.min_holdout_rows, params.suites.model.min_gain) == (20, 0.05)
    assert params.gates.not_worse.margins == {"r2": 0.02}
    assert params.gates.calibration == 0.2
    assert params.gates.robustness.max_drop == 0.3
    assert (params.gates.fairness.error, params.gates.fairness.selection_rate) == (0.3, None)
    changed = [line[2:].strip() for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "-+"]
    metrics = ("roc_auc", "f1", "log_loss", "balanced_accuracy", "r2", "mae")
    parts = (
        "salt",
        "- ",
        "bins:",
        *metrics,
        "min_holdout_rows",
        "min_gain",
        "min_class_auc",
        "error",
        "calibration",
        "max_drop",
    )
    assert all(line.startswith(parts) for line in changed)
    assert "r2: {min: 0.25} # 0.5 ± 0.1" in changed


def test_the_reason_of_a_limit_goes_with_it_and_another_comment_stays():
    before = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("    error:\n", "    error: # ours\n")
    limited = params_text(before, proposal(fairness={"selection_rate": Limit(0.3, "0.2 in cross-validation (sex)")}))
    assert "    selection_rate: 0.3 # 0.2 in cross-validation (sex)\n" in limited
    without = params_text(limited, proposal(fairness={}))
    assert "    selection_rate:\n" in without
    assert "    error: # ours\n" in without


def test_a_cutoff_comes_and_goes(tmp_path):
    before = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for cutoff in (datetime(2024, 5, 1), datetime(2024, 5, 1, 12, 30, 0, 250)):
        by_time = params_text(before, proposal(split=Split(strategy="time", cutoff=cutoff)))
        assert read(tmp_path, by_time).split.cutoff == cutoff
        assert params_text(by_time, proposal()) == params_text(before, proposal())


def test_dvc_writes_the_settings_in_the_same_style(tmp_path):
    (tmp_path / "params.yaml").write_text(params_text((ROOT / "params.yaml").read_text("utf-8"), proposal()), "utf-8")
    before = (tmp_path / "params.yaml").read_text("utf-8")
    with modify_yaml(tmp_path / "params.yaml") as content:
        content["train"]["seed"] = 7
    assert (tmp_path / "params.yaml").read_text("utf-8") == before.replace("seed: 0", "seed: 7", 1)


def test_writing_the_same_again_changes_nothing():
    once = params_text((ROOT / "params.yaml").read_text(encoding="utf-8"), proposal())
    assert params_text(once, proposal()) == once


@pytest.mark.parametrize(
    "before",
    [
        "",
        "# mine\n",
        "train:\n  model: linear # keep\n",
        "suites:\n  data:\n    max_drift: 0.5 # keep\n",
        "evaluate:\n  slices:\n  - column: x\n  - column: y # gone\ngates:\n    metrics:\n        f1: {min: 1}",
        "split:\n  holdout: 0.3\n  # keep\n\n\nevaluate:\n  seed: 3",
        "split: {holdout: 0.3} # keep\ngates:\n",
    ],
)
def test_other_layouts_of_the_settings_are_edited_too(tmp_path, before):
    after = params_text(before, proposal())
    params = read(tmp_path, after)
    assert params.split.strategy == "hash"
    assert params.evaluate.slices == proposal().slices
    assert params.gates.metrics == {"r2": Bound(min=0.25)}
    assert after.count("keep") == before.count("keep")
    assert "gone" not in after
    if "0.3" in before:
        assert params.split.holdout == 0.3


names = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=20)


@given(
    names=st.lists(names, unique=True, max_size=3),
    edges=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=4, unique=True),
)
def test_any_column_can_be_a_slice(tmp_path_factory, names, edges):
    slices = tuple(Slice(column=name, bins=tuple(sorted(edges))) for name in names)
    text = params_text("evaluate:\n  seed: 1\n", proposal(slices=slices))
    assert read(tmp_path_factory.getbasetemp(), text).evaluate.slices == slices
