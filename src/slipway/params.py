"""Every knob of the pipeline: `params.yaml` as one frozen model.

The line below a key says what it means, here and in the reference of the documentation, which is made of it.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from slipway import layout
from slipway.service.settings import Service
from slipway.settings import Fraction, Frozen, Positive, Seed, load, refuse_bare
from slipway.settings_judging import Bound, DataSuite, Gates, ModelSuite, NotWorse, Suites, Waiver

__all__ = [
    "Bound", "Data", "DataSuite", "Evaluate", "Export", "Gates", "HistGradientBoosting", "Image", "Linear",
    "ModelSuite", "NotWorse", "Params", "RandomForest", "Rebuild", "Slice", "Split", "Suites", "Threshold", "Train",
    "Waiver", "load_params",
]  # fmt: skip


class Data(Frozen):
    """What `prepare` does with rows that cannot be learned from."""

    null_target: Literal["drop", "refuse"] = "drop"
    """Rows without a target: `drop` counts and drops them, `refuse` stops."""


class Split(Frozen):
    """Which rows are held out. Changing anything here makes another holdout, not comparable with the old one."""

    strategy: Literal["hash", "time", "group"] = "hash"
    """By a `hash` of the row, by `time`, or by `group`: rows of a group stay on one side."""
    holdout: Fraction = 0.2
    """Share of the rows that is held out; by `time` the cutoff says so instead."""
    salt: str = ""
    """Another text draws another split."""
    cutoff: datetime | None = None
    """By `time`: the moment from which rows are held out, in quotes, in UTC unless it says otherwise."""

    @field_validator("cutoff", mode="before")
    @classmethod
    def _quoted(cls, value: Any, info: ValidationInfo) -> Any:
        return refuse_bare(value, info)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.strategy == "time") != (self.cutoff is not None):
            raise ValueError("cutoff: `strategy: time` needs the moment from which rows are held out; others have none")
        return self


class Linear(Frozen):
    """Logistic regression for classes, ridge for numbers."""

    strength: float = Field(1.0, gt=0)
    """The L2 penalty, 1/C or ridge's alpha; a smaller one follows the training rows closer."""
    max_iter: Positive = 1000
    """Iterations of the solver."""


class HistGradientBoosting(Frozen):
    """scikit-learn's HistGradientBoosting estimators; keys are theirs."""

    learning_rate: float = Field(0.1, gt=0)
    """How much each tree adds."""
    max_iter: Positive = 200
    """Trees; of several classes, for each class."""
    max_leaf_nodes: int = Field(31, ge=2)
    """Leaves of a tree."""
    min_samples_leaf: Positive = 20
    """Rows of a leaf."""
    l2_regularization: float = Field(0.0, ge=0)
    """The L2 penalty on the leaves' values."""


class RandomForest(Frozen):
    """scikit-learn's RandomForest estimators; keys are theirs."""

    n_estimators: Positive = 200
    """Trees."""
    max_depth: Positive | None = None
    """Depth of a tree; none is as deep as it goes."""
    min_samples_leaf: Positive = 1
    """Rows of a leaf."""


class Threshold(Frozen):
    """How a binary model's decision threshold is chosen, on out-of-fold predictions of the training rows."""

    rule: Literal["f1", "balanced_accuracy", "recall", "precision", "fixed"] = "f1"
    """`f1` and `balanced_accuracy` maximise that score; `recall` and `precision` take the threshold that reaches
    `value` of it with the best of the other; `fixed` is `value` itself."""
    value: Fraction | None = None
    """What the rules `recall`, `precision` and `fixed` need."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.rule in {"recall", "precision", "fixed"}) != (self.value is not None):
            raise ValueError("value: the rules recall, precision and fixed need one, the others have none")
        return self


class Train(Frozen):
    """The model and how it is fitted and cross-validated."""

    model: Literal["linear", "hist_gradient_boosting", "random_forest"] = "linear"
    """Which estimator of `src/model/pipeline.py` is fitted; its settings are in the section of its name."""
    seed: Seed = 0
    """Of the folds and the estimator."""
    folds: int = Field(5, ge=2, le=50)
    """Folds of the cross-validation."""
    class_weight: Literal["balanced"] | None = None
    """With `balanced` rare classes count more, at the price of calibrated probabilities."""
    max_categories: int = Field(100, ge=1)
    """Frequent values kept of a category whose values the contract does not list."""
    one_hot_limit: int = Field(20, ge=1)
    """A category with more values than this is target-encoded instead (not for three classes or more)."""
    threshold: Threshold = Threshold()
    linear: Linear = Linear()
    hist_gradient_boosting: HistGradientBoosting = HistGradientBoosting()
    random_forest: RandomForest = RandomForest()


class Export(Frozen):
    """How the model file is made."""

    tolerance: float = Field(1e-4, gt=0)
    """The greatest difference between the exported file and the fitted pipeline on the training rows: absolute for
    probabilities; for numbers, relative to the predictions' standard deviation."""
    trusted: tuple[str, ...] = ()
    """Types that a fitted pipeline may contain besides those of scikit-learn and `src/model`."""


class Slice(Frozen):
    """A group of rows that is scored on its own."""

    column: str
    """The column to cut the holdout by: by its values, or by `bins`."""
    bins: tuple[float, ...] | None = None
    """Of a number: the edges between the groups, in its own unit, rising."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.bins is not None and (not self.bins or list(self.bins) != sorted(set(self.bins))):
            raise ValueError("bins: edges must be given in rising order, each once")
        return self


class Evaluate(Frozen):
    """The bootstrap behind the intervals, and the slices."""

    resamples: int = Field(1000, ge=100, le=100_000)
    """Resamples of the bootstrap."""
    confidence: Fraction = 0.95
    """Share of the resamples inside an interval."""
    seed: Seed = 0
    """Of the resamples, and of the shuffles that explain."""
    min_slice_rows: Positive = 20
    """Slices with fewer rows are named, and not scored."""
    slices: tuple[Slice, ...] = ()
    """The groups of rows that are scored on their own."""


class Rebuild(Frozen):
    """How `make rebuild` compares."""

    tolerance: float = Field(1e-4, ge=0, lt=1)
    """The share of its value by which a metric may differ from the committed one: other processors round otherwise."""


class Image(Frozen):
    """The container image that `slipway image` builds."""

    base: str = Field("python:3.12-slim-trixie", min_length=1)
    """The image it is built on; with `@sha256:…` builds years apart are on the same one."""
    name: str = Field("slipway", pattern=r"^[a-z0-9]+([._/:-][a-z0-9]+)*$")
    """Its name, with the registry if it goes to one."""
    max_mb: float = Field(220, gt=0)
    """The greatest size over its base, not compressed, in 10^6 bytes."""
    max_mb_skops: float = Field(380, gt=0)
    """The same of a model that is no ONNX file and brings scikit-learn along."""
    memory_mb: int = Field(512, ge=64)
    """The memory that the test of the image lets it have."""


class Params(Frozen):
    """The whole of `params.yaml`."""

    data: Data = Data()
    split: Split = Split()
    train: Train = Train()
    export: Export = Export()
    evaluate: Evaluate = Evaluate()
    suites: Suites = Suites()
    gates: Gates = Gates()
    service: Service = Service()
    rebuild: Rebuild = Rebuild()
    image: Image = Image()


def load_params(path: Path = layout.PARAMS) -> Params:
    """Read the settings.

    Raises:
        UserError: The file is missing, or a key is unknown or of the wrong type; the message names its path.
    """
    return load(path, Params)
