"""The project's estimator: from the columns of the model's matrix to a fitted scikit-learn pipeline.

Yours to change. Whatever it returns must take the matrix that `slipway.predictor.encode` makes (numbers, NaN for
missing, categories as codes) and should convert to ONNX; if it does not, the project ships it with skops and says so.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

from slipway.params import Train
from slipway.schema import Task
from slipway.signature import Input

TARGET_TYPES = {"binary": "binary", "regression": "continuous"}


def build(inputs: Sequence[Input], task: Task, params: Train) -> Pipeline:
    """Build the unfitted pipeline.

    Args:
        inputs: The model's inputs; their matrix columns follow each other in this order.
        task: What is predicted.
        params: The `train` section of `params.yaml`.
    """
    numeric: list[int] = []
    few: dict[int, int] = {}  # matrix column of a category -> its number of codes
    many: list[int] = []
    column = 0
    for feature in inputs:
        width = len(feature.features)
        if feature.type == "category" and width:
            if feature.codes <= params.one_hot_limit or task not in TARGET_TYPES:
                few[column] = feature.codes
            else:
                many.append(column)
        else:
            numeric.extend(range(column, column + width))
        column += width
    transformers: list[tuple[str, Any, list[int]]] = []
    if numeric:
        transformers.append(("numeric", _numeric(params), numeric))
    if few:
        codes = [np.arange(count, dtype=np.float32) for count in few.values()]
        one_hot = OneHotEncoder(categories=codes, handle_unknown="ignore", sparse_output=False)
        transformers.append(("few categories", one_hot, list(few)))
    if many:
        folds = StratifiedKFold if task == "binary" else KFold
        cv = folds(n_splits=5, shuffle=True, random_state=params.seed)
        encoder = TargetEncoder(target_type=TARGET_TYPES[task], cv=cv)
        transformers.append(("many categories", encoder, many))
    return Pipeline([("columns", ColumnTransformer(transformers)), ("model", _estimator(task, params))])


def _numeric(params: Train) -> Any:
    if params.model == "linear":
        return Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    if params.model == "random_forest":  # trees need no scale, and scaling moves values across their thresholds
        return SimpleImputer(strategy="median")
    return "passthrough"  # histogram gradient boosting knows missing values


def _estimator(task: Task, params: Train) -> Any:
    seed: dict[str, Any] = {"random_state": params.seed}
    if task == "regression":
        match params.model:
            case "linear":
                return Ridge(alpha=params.linear.strength)
            case "hist_gradient_boosting":
                return HistGradientBoostingRegressor(**params.hist_gradient_boosting.model_dump(), **seed)
            case "random_forest":
                return RandomForestRegressor(**params.random_forest.model_dump(), n_jobs=-1, **seed)
    seed |= {"class_weight": params.class_weight}
    match params.model:
        case "linear":
            return LogisticRegression(C=1 / params.linear.strength, max_iter=params.linear.max_iter, **seed)
        case "hist_gradient_boosting":
            return HistGradientBoostingClassifier(**params.hist_gradient_boosting.model_dump(), **seed)
        case "random_forest":
            return RandomForestClassifier(**params.random_forest.model_dump(), n_jobs=-1, **seed)
