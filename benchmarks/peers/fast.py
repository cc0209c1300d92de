"""The peer that people write themselves: FastAPI, a Pydantic model of the row, pandas and scikit-learn."""

import os
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel, Field, create_model

pipeline = joblib.load(Path(os.environ["PEERS"]) / "model.joblib")
fields: dict[str, Any] = {
    name.replace(" ", "_"): (float, Field(alias=name)) for name in map(str, pipeline.feature_names_in_)
}
Row = create_model("Row", **fields)


class Answer(BaseModel):
    """Class probabilities of each row."""

    probabilities: list[list[float]]


app = FastAPI()


@app.get("/ready")
async def ready() -> None:
    """Answer once the model is loaded, as it is by now."""


@app.post("/predict")
async def predict(rows: list[Row]) -> Answer:  # type: ignore[valid-type]
    """Predict; `async`, since a thread for each request makes it slower."""
    frame = pd.DataFrame([row.model_dump(by_alias=True) for row in rows])
    return Answer(probabilities=pipeline.predict_proba(frame).tolist())
