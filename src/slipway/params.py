"""Every knob of the pipeline: `params.yaml` as one frozen model."""

import re
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from slipway import layout
from slipway.service.settings import Service
from slipway.settings import Frozen, load
from slipway.values import number_text

Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


def _refuse_bare(value: Any, info: ValidationInfo) -> Any:
    """Stop at a date without quotes in `params.yaml`: DVC refuses a file that holds one."""
    if info.context and isinstance(value, date):
        raise ValueError(f"put the moment in quotes: '{value}'")
    return value


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
        return _refuse_bare(value, info)

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
        return f"≥ {number_text(self.min, 6)}" if self.min is not None else f"≤ {number_text(self.max or 0.0, 6)}"


class NotWorse(Frozen):
    """How much worse than the base a metric may be, in its own unit, and the paired bootstrap that tells."""

    margins: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    resamples: int = Field(2000, ge=2000, le=100_000)
    confidence: Fraction = 0.95
    seed: int = Field(0, ge=0, lt=2**32)


class Fairness(Frozen):
    """The greatest gap allowed between the groups of each sensitive column; null judges it not.

    `error` is the share of wrong predictions, for regression the mean absolute error over the target's standard
    deviation. Groups of fewer than `min_rows` rows of the holdout are left out and named.
    """

    selection_rate: float | None = Field(None, gt=0)
    true_positive_rate: float | None = Field(None, gt=0)
    false_positive_rate: float | None = Field(None, gt=0)
    error: float | None = Field(None, gt=0)
    min_rows: Positive = 20


class Robustness(Frozen):
    """How much of its first metric the model may lose on inputs that are a little off.

    `noise` is the standard deviation of the noise added to every number, as a share of its interquartile range;
    `missing` is the share of the values taken away from the columns that the contract allows to be missing.
    """

    noise: float = Field(0.05, ge=0)
    missing: float = Field(0.1, ge=0, lt=1)
    max_drop: float = Field(0.05, gt=0)
    seed: int = Field(0, ge=0, lt=2**32)


class Budget(Frozen):
    """What the model may cost when it serves."""

    single_row_ms: float = Field(20.0, gt=0)  # the median of one prediction, on the machine that reviews
    file_mb: float = Field(100.0, gt=0)  # 10^6 bytes


class Waiver(Frozen):
    """A gate that does not block although it fails or is undecided: why, and until when."""

    gate: str
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=10)]
    until: date

    @field_validator("until", mode="before")
    @classmethod
    def _day(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, date) and not (
            isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)
        ):
            raise ValueError(f"a day in quotes, as '2027-03-31' (got {value!r})")
        return _refuse_bare(value, info)


class Gates(Frozen):
    """What must hold for a model to be good enough. Metrics that are not listed are reported, not judged."""

    metrics: dict[str, Bound] = Field(default_factory=dict)
    worst_slice: dict[str, Bound] = Field(default_factory=dict)
    not_worse: NotWorse = NotWorse()
    fairness: Fairness = Fairness()
    calibration: float | None = Field(None, gt=0)
    robustness: Robustness = Robustness()
    budget: Budget = Budget()
    drift: float | None = Field(
        0.25, gt=0
    )  # population stability index of an input between base's and new training rows
    on_undecided: Literal["block", "pass"] = "block"
    waivers: tuple[Waiver, ...] = ()


class DataSuite(Frozen):
    """Conditions of the data suite; null leaves a check out.

    Drift is measured by Kolmogorov and Smirnov's statistic for numbers and Cramer's V for categories; where rows are
    few, what chance alone makes is allowed as well.
    """

    min_holdout_rows: Positive | None = 50
    max_duplicates: Share | None = 0.05  # share of the rows that repeat another in every column
    max_conflicting_labels: Share | None = 0.02  # share of the rows that equal another in all but the target
    max_string_variants: int | None = Field(0, ge=0)  # columns with categories that differ in case or punctuation only
    max_predictive_power: Share | None = 0.9  # of one column alone for the target: beyond, it may leak
    max_id_power: Share | None = 0.3  # of the id, or the time, for the target
    max_new_labels: int | None = Field(0, ge=0)  # classes of the holdout that training never saw
    max_new_categories: Share | None = 0.15  # share of the holdout with a category that training never saw
    max_shared_rows: Share | None = 0.05  # share of the holdout that is, but for the id, among the training rows
    max_shared_ids: Share | None = 0.0
    max_overlap: Share | None = 0.0  # in a split by time, share of the holdout that is not later than the training rows
    max_drift: Share | None = 0.2
    max_label_drift: Share | None = 0.15
    max_multivariate_drift: Share | None = 0.3  # of a classifier that tells training rows from holdout
    max_age_days: float | None = Field(None, gt=0)  # of the newest row when `make test-data` runs


class ModelSuite(Frozen):
    """Conditions of the model suite, on the holdout predicted by the exported file; null leaves a check out.

    What is compared with training rows is compared with their out-of-fold predictions: a forest is all but perfect on
    the rows that it was fitted on, which says nothing.
    """

    max_degradation: float | None = Field(0.3, gt=0)  # relative loss of a score from cross-validation to the holdout
    min_gain: Share | None = 0.1  # of the way from a guess to perfection
    min_class_auc: Share | None = 0.55  # of every class against the rest
    max_prediction_drift: Share | None = 0.15
    min_brier_skill: float | None = Field(0.0, lt=1)  # calibration: the Brier score against that of the class shares
    max_systematic_error: float | None = Field(0.25, gt=0)  # of numbers: mean error over root mean squared error
    min_weak_segment: Share | None = 0.5  # score of the weakest segment over the average; below, it is a warning


class Suites(Frozen):
    """The deepchecks suites. More than `sample` rows of a side are sampled, and the reports say so.

    A check that could not run counts against the suite unless it is named in `may_not_run`; it is named either way.
    """

    sample: int = Field(20_000, ge=100)
    seed: int = Field(0, ge=0, lt=2**32)
    may_not_run: tuple[str, ...] = ("min_weak_segment",)
    data: DataSuite = DataSuite()
    model: ModelSuite = ModelSuite()

    @model_validator(mode="after")
    def _known(self) -> Self:
        known = {*DataSuite.model_fields, *ModelSuite.model_fields}
        if unknown := [name for name in self.may_not_run if name not in known]:
            raise ValueError(f"may_not_run: there is no condition {unknown[0]!r}")
        return self


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


def load_params(path: Path = layout.PARAMS) -> Params:
    """Read the settings.

    Raises:
        UserError: The file is missing, or a key is unknown or of the wrong type; the message names its path.
    """
    return load(path, Params)
