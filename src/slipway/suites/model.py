"""The model suite: does what the exported file says of the holdout hold up, beside out-of-fold training predictions?"""

import numpy as np
import polars as pl

from slipway import layout
from slipway.files import read_table
from slipway.params import load_params
from slipway.predictor import Values
from slipway.schema import Schema, load_schema
from slipway.signature import load_signature
from slipway.stages import started
from slipway.suites import write_suite
from slipway.suites.job import Job
from slipway.suites.launch import run_suite


def outputs(predictions: pl.DataFrame, schema: Schema) -> Values:
    """Predictions as numbers: the value, shape (n, 1), or class and probabilities, shape (n, 1 + classes)."""
    if not schema.target.classes:
        return predictions.select("prediction").to_numpy().astype(np.float64)
    codes = {name: code for code, name in enumerate(schema.target.classes)}
    labels = predictions["prediction"].replace_strict(codes, return_dtype=pl.Float64).to_numpy()
    return np.column_stack([labels, *(predictions[f"probability {name}"].to_numpy() for name in codes)])


def main() -> None:
    """Run the stage in the project's root."""
    with started("check-model"):
        schema, params = load_schema(), load_params()
        out_of_fold = read_table(layout.OUT_OF_FOLD)
        job = Job(
            suite="model",
            schema=schema,
            settings=params.suites,
            conditions=params.suites.model.model_dump(),
            train=read_table(layout.TRAIN)[out_of_fold["row"]],
            holdout=read_table(layout.HOLDOUT),
            predictions=(outputs(out_of_fold, schema), outputs(read_table(layout.PREDICTIONS), schema)),
            shares=load_signature(layout.MODEL).prior if schema.target.classes else (),
        )
        write_suite(layout.SUITE_REPORTS["model"], "model", run_suite(job, layout.SUITES / "model.html"))


if __name__ == "__main__":
    main()
