"""Every knob of the pipeline: `params.yaml` as one frozen model."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from slipway import layout
from slipway.settings import Frozen, load

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]


class Data(Frozen):
    """What `prepare` does with rows that cannot be learned from."""

    null_target: Literal["drop", "refuse"] = "drop"


class Split(Frozen):
    """Which rows are held out. Changing anything here makes another holdout, not comparable with the old one."""

    strategy: Literal["hash", "time", "group"] = "hash"
    holdout: Fraction = 0.2
    salt: str = ""
    cutoff: datetime | None = None  # UTC unless it says otherwise

    @field_validator("cutoff", mode="before")
    @classmethod
    def _quoted(cls, value: Any, info: ValidationInfo) -> Any:
        if info.context and isinstance(value, date):  # DVC refuses a file with bare dates
            raise ValueError(f"put the moment in quotes: '{value}'")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.strategy == "time") != (self.cutoff is not None):
            raise ValueError("cutoff: `strategy: time` needs the moment from which rows are held out; others have none")
        return self


class Linear(Frozen):
    """Logistic regression for classes, ridge for numbers. `strength` is the L2 penalty: 1/C, or ridge's alpha."""

    strength: float = Field(1.0, gt=0)
    max_iter: Positive = 1000


class HistGradientBoosting(Frozen):
    """scikit-learn's HistGradientBoosting estimators; keys are theirs."""

    learning_rate: float = Field(0.1, gt=0)
    max_iter: Positive = 200
    max_leaf_nodes: int = Field(31, ge=2)
    min_samples_leaf: Positive = 20
    l2_regularization: float = Field(0.0, ge=0)


class RandomForest(Frozen):
    """scikit-learn's RandomForest estimators; keys are theirs."""

    n_estimators: Positive = 200
    max_depth: Positive | None = None
    min_samples_leaf: Positive = 1


class Threshold(Frozen):
    """How a binary model's decision threshold is chosen, on out-of-fold predictions of the training rows.

    `f1` and `balanced_accuracy` maximise that score; `recall` and `precision` take the threshold that reaches `value`
    of it with the best of the other; `fixed` is `value` itself.
    """

    rule: Literal["f1", "balanced_accuracy", "recall", "precision", "fixed"] = "f1"
    value: Fraction | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.rule in {"recall", "precision", "fixed"}) != (self.value is not None):
            raise ValueError("value: the rules recall, precision and fixed need one, the others have none")
        return self


class Train(Frozen):
    """The model and how it is fitted and cross-validated."""

    model: Literal["linear", "hist_gradient_boosting", "random_forest"] = "linear"
    seed: int = Field(0, ge=0, lt=2**32)
    folds: int = Field(5, ge=2, le=50)
    class_weight: Literal["balanced"] | None = None
    max_categories: int = Field(100, ge=1)
    one_hot_limit: int = Field(20, ge=1)
    threshold: Threshold = Threshold()
    linear: Linear = Linear()
    hist_gradient_boosting: HistGradientBoosting = HistGradientBoosting()
    random_forest: RandomForest = RandomForest()


class Export(Frozen):
    """How the model file is made.

    `tolerance` is the greatest difference allowed between the exported file and the fitted pipeline on the training
    rows: absolute for probabilities; for regression, relative to the predictions' standard deviation. `trusted` names
    the types, besides those of scikit-learn and `src/model`, that a fitted pipeline may contain.
    """

    tolerance: float = Field(1e-4, gt=0)
    trusted: tuple[str, ...] = ()


class Slice(Frozen):
    """A column to cut the holdout by: its categories, or the intervals between `bins` (edges in its own unit)."""

    column: str
    bins: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.bins is not None and (not self.bins or list(self.bins) != sorted(set(self.bins))):
            raise ValueError("bins: edges must be given in rising order, each once")
        return self


class Evaluate(Frozen):
    """The bootstrap behind the intervals, and the slices."""

    resamples: int = Field(1000, ge=100, le=100_000)
    confidence: Fraction = 0.95
    seed: int = Field(0, ge=0, lt=2**32)
    min_slice_rows: Positive = 20
    slices: tuple[Slice, ...] = ()


class Bound(Frozen):
    """What a value must reach or must not exceed."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.min is None) == (self.max is None):
            raise ValueError("give either min or max")
        return self

    def holds(self, value: float) -> bool:
        """Whether a value satisfies the bound; NaN never does."""
        return value >= self.min if self.min is not None else value <= self.max  # type: ignore[operator]

    def __str__(self) -> str:
        return f"≥ {self.min:g}" if self.min is not None else f"≤ {self.max:g}"


class DataGates(Frozen):
    """What the two sides of the split must look like."""

    min_holdout_rows: Positive = 50
    max_drift: float = Field(0.25, gt=0)  # population stability index of a column between train and holdout
    max_label_drift: float = Field(0.25, gt=0)
    max_new_category_share: float = Field(0.05, ge=0, le=1)


class Gates(Frozen):
    """What must hold for a model to be good enough. Metrics that are not listed are reported, not judged."""

    metrics: dict[str, Bound] = Field(default_factory=dict)
    worst_slice: dict[str, Bound] = Field(default_factory=dict)
    data: DataGates = DataGates()


class Params(Frozen):
    """The whole of `params.yaml`."""

    data: Data = Data()
    split: Split = Split()
    train: Train = Train()
    export: Export = Export()
    evaluate: Evaluate = Evaluate()
    gates: Gates = Gates()


def load_params(path: Path = layout.PARAMS) -> Params:
    """Read the settings.

    Raises:
        UserError: The file is missing, or a key is unknown or of the wrong type; the message names its path.
    """
    return load(path, Params)
