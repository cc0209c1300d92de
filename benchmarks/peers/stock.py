"""The peer as BentoML's documentation has it: records to a pandas frame, and that to the scikit-learn pipeline."""

from typing import Any

import bentoml
import pandas as pd
from bentoml.models import BentoModel


@bentoml.service
class Stock:
    """Default settings throughout."""

    model = BentoModel("demo:latest")

    def __init__(self) -> None:
        self.pipeline = bentoml.sklearn.load_model(self.model)

    @bentoml.api
    def predict(self, rows: list[dict[str, Any]]) -> list[list[float]]:
        """Class probabilities of each row."""
        return self.pipeline.predict_proba(pd.DataFrame(rows)).tolist()
