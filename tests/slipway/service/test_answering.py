import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from examples import diabetes, quick
from releases import TABLES, counted, make_release, served, with_settings

from slipway.encoding import columns_of
from slipway.predictor import encode
from slipway.service.release import FALLBACK, MODEL, example, load_golden
from slipway.service.serving import Serving
from slipway.signature import GOLDEN, SIGNATURE, load_signature
from slipway.stages.export import reference
from slipway.stages.train import train

Releases = Callable[[str], Path]


def ask(serving: Serving) -> dict[str, Any]:
    row = example(serving.signature, serving.answering.golden)
    return json.loads(serving.respond(json.dumps([row]).encode(), "id").body)


def break_model(serving: Serving, how: Callable[[Any], Any]) -> None:
    """Have the model's runtime do something else."""
    model = serving.answering._model
    assert model is not None
    model._run = how  # type: ignore[method-assign]


def boom(_: Any) -> Any:
    raise RuntimeError("out of memory")


@pytest.mark.parametrize("how", [boom, lambda m: np.full((len(m), 2), np.nan), lambda _: np.zeros((0, 2))])
def test_a_model_that_fails_is_replaced_by_the_prior_which_says_so(releases: Releases, how: Any) -> None:
    serving = served(releases("churn"))
    assert ask(serving)["fallback"] is None
    break_model(serving, how)
    answer = ask(serving)
    assert answer["fallback"] == "prior"
    shares = answer["predictions"][0]["probabilities"]
    assert list(shares.values()) == pytest.approx(list(serving.signature.prior))
    assert counted(serving, "slipway_fallback_total", source="prior") == 1
    assert counted(serving, "slipway_model_failures_total") == 1


def test_after_failures_in_a_row_the_model_is_left_alone_and_tried_again_later(release: Releases) -> None:
    folder = with_settings(release("diabetes"), breaker={"failures": 3, "seconds": 0.3})
    serving = served(folder)
    model = serving.answering._model
    assert model is not None
    whole, calls = model._run, []

    def failing(matrix: Any) -> Any:
        calls.append(matrix)
        raise RuntimeError

    # Given a model that fails: three times it is asked, then no more
    break_model(serving, failing)
    answers = [ask(serving) for _ in range(10)]
    assert len(calls) == 3
    assert {answer["fallback"] for answer in answers} == {"prior"}
    assert answers[0]["predictions"] == [{"prediction": pytest.approx(serving.signature.prior[0])}]
    assert counted(serving, "slipway_breaker_open") == 1
    # When the time is over it is tried once, and left alone again if it still fails
    time.sleep(0.35)
    ask(serving)
    ask(serving)
    assert len(calls) == 4
    # Then, mended, it answers again
    time.sleep(0.35)
    break_model(serving, whole)
    assert ask(serving)["fallback"] is None
    assert counted(serving, "slipway_breaker_open") == 0
    assert counted(serving, "slipway_fallback_total", source="prior") == 12


def test_the_release_before_helps_out_if_it_was_shipped(release: Releases) -> None:
    folder = release("churn")
    shutil.copytree(folder / MODEL, folder / FALLBACK)
    serving = served(folder)
    expected = ask(serving)["predictions"]
    break_model(serving, boom)
    answer = ask(serving)
    assert answer["fallback"] == "previous"
    assert answer["predictions"] == expected
    assert counted(serving, "slipway_fallback_total", source="previous") == 1


@pytest.mark.parametrize("other", ["wine", "wide"])
def test_a_release_before_that_predicts_something_else_does_not_help_out(
    release: Releases, releases: Releases, other: str
) -> None:
    folder = release("churn")
    shutil.copytree(releases(other) / MODEL, folder / FALLBACK)
    serving = served(folder)
    break_model(serving, boom)
    assert ask(serving)["fallback"] == "prior"


def truncate(model: Path) -> None:
    model.write_bytes(model.read_bytes()[:100])


def foreign(model: Path) -> None:
    """Golden rows that another model answered: file and signature fit together, and only these can tell."""
    golden = json.loads((model.parent / GOLDEN).read_text())
    golden["answers"] = np.roll(golden["answers"], 1, axis=0).tolist()
    (model.parent / GOLDEN).write_text(json.dumps(golden))


@pytest.mark.parametrize("damage", [Path.unlink, truncate, foreign])
def test_a_model_that_is_not_the_right_one_is_never_ready(release: Releases, damage: Callable[[Path], None]) -> None:
    folder = release("churn")
    assert served(folder).ready
    damage(folder / MODEL / "model.onnx")
    serving = served(folder)
    assert not serving.ready
    assert counted(serving, "slipway_ready") == 0
    model = json.loads(serving.model())
    assert model["ready"] is False
    assert model["problem"]
    assert str(folder) not in model["problem"]
    assert ask(serving)["fallback"] == "prior"


def test_a_model_in_memory_does_not_need_its_file(release: Releases) -> None:
    folder = release("churn")
    serving = served(folder)
    before = ask(serving)["predictions"]
    truncate(folder / MODEL / "model.onnx")
    assert ask(serving)["predictions"] == before
    (folder / MODEL / "model.onnx").unlink()
    (folder / MODEL / SIGNATURE).unlink()
    assert ask(serving)["predictions"] == before


def test_golden_rows_that_are_said_to_be_valid_are_accepted(releases: Releases) -> None:
    for name in ("churn", "diabetes", "wine"):
        folder = releases(name)
        golden, signature = load_golden(folder / MODEL), load_signature(folder / MODEL)
        serving = served(folder)
        rows = [example(signature, golden, row) for row in range(golden.valid)]
        answer = json.loads(serving.respond(json.dumps(rows).encode(), "id").body)
        told = [
            [*row["probabilities"].values()] if "probabilities" in row else row["prediction"]
            for row in answer["predictions"]
        ]
        assert np.abs(np.array(told) - golden.answers[: golden.valid]).max() <= golden.tolerance


def test_an_interval_of_a_number_covers_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On rows that training never saw, over several cuts, so that luck evens out."""
    monkeypatch.chdir(tmp_path)
    frame, schema = diabetes()
    inside, rows = 0, 0
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(frame.height)
        fitted, new = frame[order[:300]], frame[order[300:]]
        trained = train(fitted, schema, quick())
        spread = trained.signature.spread
        assert spread is not None
        assert spread.residuals is not None
        matrix = encode(trained.signature, columns_of(new, trained.signature.names))
        predicted = reference(trained.pipeline, matrix, "regression")
        truth = new["progression"].cast(pl.Float64).to_numpy()
        low, high = spread.residuals
        inside += int(((truth >= predicted + low) & (truth <= predicted + high)).sum())
        rows += len(truth)
    assert 0.87 <= inside / rows <= 0.93


def test_a_model_that_onnx_could_not_take_is_served_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any) -> bytes:
        raise NotImplementedError("no converter")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("slipway.stages.export.to_onnx", refuses)
    serving = served(make_release(tmp_path / "release", TABLES["churn"]))
    assert serving.signature.model is not None
    assert serving.signature.model.format == "skops"
    assert serving.ready
    assert ask(serving)["fallback"] is None
