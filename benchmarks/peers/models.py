"""`python models.py FOLDER` in a trained project: the model as each server wants it, rows to ask for, right answers."""

import json
import shutil
import sys
from pathlib import Path

import bentoml
import joblib
import mlflow.sklearn

from model.pipeline import build
from slipway import layout
from slipway.encoding import target_of
from slipway.files import read_table
from slipway.params import load_params
from slipway.schema import load_schema
from slipway.service.release import MODEL, RELEASE, Release
from slipway.signature import load_signature


def main(folder: Path) -> None:
    """Make a release, fit the same pipeline on a pandas frame for the peers, and choose the rows to ask for."""
    params, created = load_params(), "2026-01-01T00:00:00+00:00"
    release = Release(version="benchmark", commit="0" * 40, created=created, service=params.service)
    shutil.copytree(layout.MODEL, folder / "release" / MODEL)
    (folder / "release" / RELEASE).write_text(release.model_dump_json(), "utf-8")
    schema, signature = load_schema(), load_signature(layout.TRAINED)
    table = read_table(layout.TRAIN)
    frame = table.select(signature.names).to_pandas()
    pipeline = build(signature.inputs, signature.task, params.train).fit(frame, target_of(table, schema))
    joblib.dump(pipeline, folder / "model.joblib")
    bentoml.sklearn.save_model("demo", pipeline)
    # Without a signature: MLflow would hold every request against it and take three times as long.
    mlflow.sklearn.save_model(
        pipeline, folder / "mlflow", pyfunc_predict_fn="predict_proba", serialization_format="cloudpickle",
        pip_requirements=[],
    )  # fmt: skip
    # As many digits as instruments give: what is measured shall not be the reading of random ones.
    asked = read_table(layout.TRAIN, columns=signature.names).to_pandas().map(lambda number: float(f"{number:.4g}"))
    answers = pipeline.predict_proba(asked)[:, 1]
    content = {"rows": asked.to_dict("records"), "answers": answers.tolist()}
    (folder / "rows.json").write_text(json.dumps(content), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
