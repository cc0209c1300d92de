import io
import subprocess
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from examples import churned, diabetes, quick, wine
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from slipway import layout
from slipway.encoding import columns_of
from slipway.errors import UserError
from slipway.params import Export
from slipway.pipeline_file import load_pipeline, pipeline_bytes
from slipway.predictor import Predictor, encode
from slipway.signature import ModelFile, load_signature
from slipway.stages.export import difference, export, reference, write_model
from slipway.stages.train import Trained, train


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def matrix_of(trained: Trained, frame: pl.DataFrame):
    return encode(trained.signature, columns_of(frame, trained.signature.names))


class Doubled(BaseEstimator, TransformerMixin):
    """A transformer that no converter knows."""

    def fit(self, X, y=None):
        self.seen_ = X is not None and y is not None
        return self

    def transform(self, X):
        return np.nan_to_num(np.asarray(X)) * 2


OWN = (f"{Doubled.__module__}.Doubled",)


@pytest.mark.parametrize("model", ["linear", "hist_gradient_boosting", "random_forest"])
@pytest.mark.parametrize("table", [churned, diabetes, wine])
def test_the_exported_file_says_what_the_pipeline_says(table, model):
    frame, schema = table()
    trained = train(frame, schema, quick(model=model))
    matrix = matrix_of(trained, frame)
    file, report = export(trained.pipeline, trained.signature, matrix, Export())
    assert file.format == "onnx", report["reason"]
    assert report["parity"]["difference"] <= 1e-4
    exported = Predictor(layout.MODEL).predict_matrix(matrix)
    fitted = reference(trained.pipeline, matrix, schema.target.task)
    assert np.abs(exported.values - fitted).max() <= 1e-4 * max(1, np.abs(fitted).max())
    assert np.ptp(exported.values) > 0.1  # not a constant that would agree with anything


def test_the_same_pipeline_gives_the_same_bytes():
    frame, schema = churned()
    trained = train(frame, schema, quick())
    matrix = matrix_of(trained, frame)
    digests = {export(trained.pipeline, trained.signature, matrix, Export())[0].sha256 for _ in range(2)}
    assert len(digests) == 1


def test_a_file_beyond_the_tolerance_is_not_shipped_as_onnx():
    frame, schema = churned()
    trained = train(frame, schema, quick(model="random_forest"))
    matrix = matrix_of(trained, frame)
    file, report = export(trained.pipeline, trained.signature, matrix, Export(tolerance=1e-12))
    assert file.format == "skops"
    assert "differs by" in report["reason"]
    assert "export.tolerance" in report["reason"]
    assert report["parity"]["difference"] == 0
    assert not (layout.MODEL / "model.onnx").exists()


def test_an_estimator_without_a_converter_ships_as_skops_with_its_types_named():
    frame, schema = churned()
    trained = train(frame, schema, quick())
    matrix = matrix_of(trained, frame)
    y = (frame["churned"] == "yes").cast(pl.Int64).to_numpy()
    own = Pipeline([("doubled", Doubled()), ("model", LogisticRegression())]).fit(matrix, y)
    file, report = export(own, trained.signature, matrix, Export(trusted=OWN))
    assert file.format == "skops"
    assert "does not convert to ONNX" in report["reason"]
    assert file.types[-1] == OWN[0]
    with pytest.raises(UserError, match="not trusted"):  # what the signature names does not count
        Predictor(layout.MODEL)
    assert np.allclose(Predictor(layout.MODEL, trusted=OWN).predict_matrix(matrix).values, own.predict_proba(matrix))


def test_a_pipeline_file_with_a_foreign_type_is_refused_unless_it_is_named():
    own = Pipeline([("doubled", Doubled()), ("model", LogisticRegression())]).fit([[0.0], [1.0]], [0, 1])
    content = pipeline_bytes(own)
    with pytest.raises(UserError, match=r"types that are not trusted: .*Doubled.*export\.trusted"):
        load_pipeline(content)
    assert load_pipeline(content, OWN).predict([[1.0]]).tolist() == [1]


def test_a_model_file_that_was_changed_is_refused():
    frame, schema = wine()
    trained = train(frame, schema, quick())
    export(trained.pipeline, trained.signature, matrix_of(trained, frame), Export())
    Predictor(layout.MODEL)
    path = layout.MODEL / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(UserError, match="is not the file its signature was written for"):
        Predictor(layout.MODEL)


def test_what_a_trusted_module_merely_imports_is_not_trusted():
    """scikit-learn's test tools import `check_output`; a file that calls it would run any command."""
    foreign = Pipeline([("call", FunctionTransformer(subprocess.check_output)), ("model", LogisticRegression())])
    renamed = pipeline_bytes(foreign)
    with zipfile.ZipFile(io.BytesIO(renamed)) as source:
        files = {name: source.read(name) for name in source.namelist()}
    files["schema.json"] = files["schema.json"].replace(b'"subprocess"', b'"sklearn.utils._testing"')
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name, content in files.items():
            target.writestr(name, content)
    with pytest.raises(UserError, match=r"not trusted: sklearn\.utils\._testing\.check_output"):
        load_pipeline(out.getvalue())


def test_a_signature_of_another_width_is_refused():
    frame, schema = wine()
    trained = train(frame, schema, quick())
    file, _ = export(trained.pipeline, trained.signature, matrix_of(trained, frame), Export())
    content = (layout.MODEL / "model.onnx").read_bytes()
    write_model(trained.signature.model_copy(update={"inputs": trained.signature.inputs[1:]}), file, content)
    with pytest.raises(UserError, match="takes and gives"):
        Predictor(layout.MODEL)


def test_a_damaged_pipeline_file_is_refused():
    content = pipeline_bytes(LogisticRegression())
    assert load_pipeline(content).get_params() == LogisticRegression().get_params()
    with pytest.raises(UserError, match="not a skops file"):
        load_pipeline(content[:-30])


def test_bytes_that_are_no_model_are_refused_in_one_line():
    frame, schema = wine()
    signature = train(frame, schema, quick()).signature
    content = b"not a model at all"
    write_model(signature, ModelFile(file="model.onnx", format="onnx", sha256=sha256(content).hexdigest()), content)
    with pytest.raises(UserError, match="not a model that ONNX Runtime can load") as caught:
        Predictor(layout.MODEL)
    assert "\n" not in str(caught.value)


def test_missing_or_broken_signatures_are_named():
    with pytest.raises(UserError, match=r"signature\.json: cannot be read"):
        load_signature(layout.MODEL)
    layout.MODEL.mkdir(parents=True)
    (layout.MODEL / "signature.json").write_text('{"version": 1}', encoding="utf-8")
    with pytest.raises(UserError, match="not a signature"):
        load_signature(layout.MODEL)


def test_the_difference_of_numbers_is_measured_in_their_spread():
    fitted = np.array([0.0, 1000.0])
    assert difference("regression", np.array([1.0, 1000.0]), fitted) == pytest.approx(1 / 500)
    assert difference("binary", np.array([[0.5, 0.5]]), np.array([[0.4, 0.6]])) == pytest.approx(0.1)
