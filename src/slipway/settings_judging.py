"""What a model is judged by: the sections `suites` and `gates` of `params.yaml`."""

import re
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from slipway.settings import Fraction, Frozen, Positive, Seed, Share, refuse_bare
from slipway.values import number_text


class Bound(Frozen):
    """What a value must reach or must not exceed."""

    min: float | None = None
    """The least that passes."""
    max: float | None = None
    """The most that passes."""

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
    """How much worse than the base a metric may be, and the paired bootstrap that tells."""

    margins: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """By metric, how much worse than the base it may be, in its own unit."""
    resamples: int = Field(2000, ge=2000, le=100_000)
    """Resamples of the paired bootstrap."""
    confidence: Fraction = 0.95
    """Share of the resamples inside the interval of a difference."""
    seed: Seed = 0
    """Of the resamples."""


class Fairness(Frozen):
    """The greatest gap allowed between the groups of each sensitive column; null judges it not."""

    selection_rate: float | None = Field(None, gt=0)
    """Gap in the share that is predicted positive; of two classes alone."""
    true_positive_rate: float | None = Field(None, gt=0)
    """Gap in the share of the positives that is found; of two classes alone."""
    false_positive_rate: float | None = Field(None, gt=0)
    """Gap in the share of the negatives that is taken for positive; of two classes alone."""
    error: float | None = Field(None, gt=0)
    """Gap in the share of wrong predictions; of numbers, in the mean absolute error over the target's deviation."""
    min_rows: Positive = 20
    """Groups with fewer rows of the holdout are left out, and named."""


class Robustness(Frozen):
    """How much of its first metric the model may lose on inputs that are a little off."""

    noise: float = Field(0.05, ge=0)
    """Standard deviation of the noise added to every number, as a share of its interquartile range."""
    missing: float = Field(0.1, ge=0, lt=1)
    """Share of the values taken away from the columns that the contract allows to be missing."""
    max_drop: float = Field(0.05, gt=0)
    """The greatest loss of the first metric; of an error, the share by which it grows."""
    seed: Seed = 0
    """Of the noise, and of what is taken away."""


class Budget(Frozen):
    """What the model may cost when it serves."""

    single_row_ms: float = Field(20.0, gt=0)
    """The median of one prediction, in milliseconds, on the machine that reviews."""
    file_mb: float = Field(100.0, gt=0)
    """The model file's size, in 10^6 bytes."""


class Waiver(Frozen):
    """A gate that does not block although it fails or is undecided: why, and until when."""

    gate: str
    """The gate's name, as in the report."""
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=10)]
    """Why it may fail; ten letters or more."""
    until: date
    """The last day on which it does not block, in quotes."""

    @field_validator("until", mode="before")
    @classmethod
    def _day(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, date) and not (
            isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)
        ):
            raise ValueError(f"a day in quotes, as '2027-03-31' (got {value!r})")
        return refuse_bare(value, info)


class Gates(Frozen):
    """What must hold for a model to be good enough. Metrics that are not listed are reported, not judged."""

    metrics: dict[str, Bound] = Field(default_factory=dict)
    """By metric, what the holdout must reach or must not exceed."""
    worst_slice: dict[str, Bound] = Field(default_factory=dict)
    """By metric, what no slice may miss."""
    not_worse: NotWorse = NotWorse()
    fairness: Fairness = Fairness()
    calibration: float | None = Field(None, gt=0)
    """The greatest expected calibration error; of numbers, in standard deviations."""
    robustness: Robustness = Robustness()
    budget: Budget = Budget()
    drift: float | None = Field(0.25, gt=0)
    """The greatest population stability index of an input between the base's training rows and the new ones."""
    on_undecided: Literal["block", "pass"] = "block"
    """Whether what cannot be told stops a merge."""
    waivers: tuple[Waiver, ...] = ()
    """Gates that are shown, but do not stop a merge until a day."""


class DataSuite(Frozen):
    """Conditions of the data suite; null leaves a check out.

    Drift is measured by Kolmogorov and Smirnov's statistic for numbers and Cramer's V for categories; where rows are
    few, what chance alone makes is allowed as well.
    """

    min_holdout_rows: Positive | None = 50
    """Fewer held-out rows fail."""
    max_duplicates: Share | None = 0.05
    """Share of the rows that repeat another in every column."""
    max_conflicting_labels: Share | None = 0.02
    """Share of the rows that equal another in all but the target."""
    max_string_variants: int | None = Field(0, ge=0)
    """Columns with categories that differ in case or punctuation only."""
    max_predictive_power: Share | None = 0.9
    """Of one column alone for the target: beyond, it may leak."""
    max_id_power: Share | None = 0.3
    """The same of the id, and of the time."""
    max_new_labels: int | None = Field(0, ge=0)
    """Classes of the holdout that training never saw."""
    max_new_categories: Share | None = 0.15
    """Share of the holdout with a category that training never saw."""
    max_shared_rows: Share | None = 0.05
    """Share of the holdout that is, but for the id, among the training rows."""
    max_shared_ids: Share | None = 0.0
    """Share of the holdout whose id is among the training rows."""
    max_overlap: Share | None = 0.0
    """In a split by time, the share of the holdout that is not later than the training rows."""
    max_drift: Share | None = 0.2
    """Drift of a column between training rows and holdout."""
    max_label_drift: Share | None = 0.15
    """Drift of the target between training rows and holdout."""
    max_multivariate_drift: Share | None = 0.3
    """How well a classifier tells training rows from holdout: 0 is not at all, 1 always."""
    max_age_days: float | None = Field(None, gt=0)
    """Of the newest row when `make test-data` runs; needs `time` in the contract."""


class ModelSuite(Frozen):
    """Conditions of the model suite, on the holdout predicted by the exported file; null leaves a check out.

    What is compared with training rows is compared with their out-of-fold predictions: a forest is all but perfect on
    the rows that it was fitted on, which says nothing.
    """

    max_degradation: float | None = Field(0.3, gt=0)
    """Relative loss of a score from cross-validation to the holdout."""
    min_gain: Share | None = 0.1
    """Of the way from always saying the same to perfection."""
    min_class_auc: Share | None = 0.55
    """ROC AUC of every class against the rest."""
    max_prediction_drift: Share | None = 0.15
    """Drift of the predictions between training rows and holdout."""
    min_brier_skill: float | None = Field(0.0, lt=1)
    """Of probabilities: the Brier score against always saying the shares of the classes."""
    max_systematic_error: float | None = Field(0.25, gt=0)
    """Of numbers: mean error over root mean squared error."""
    min_weak_segment: Share | None = 0.5
    """Score of the weakest segment over the average; less is a warning."""


class Suites(Frozen):
    """The deepchecks suites: what they look at, and their conditions."""

    sample: int = Field(20_000, ge=100)
    """Rows of each side that are looked at; the reports say so where these are fewer than all."""
    seed: Seed = 0
    """Of that sample, and of the checks."""
    may_not_run: tuple[str, ...] = ("min_weak_segment",)
    """Conditions that do not count against the suite if they cannot be tried; they are named either way."""
    data: DataSuite = DataSuite()
    model: ModelSuite = ModelSuite()

    @model_validator(mode="after")
    def _known(self) -> Self:
        known = {*DataSuite.model_fields, *ModelSuite.model_fields}
        if unknown := [name for name in self.may_not_run if name not in known]:
            raise ValueError(f"may_not_run: there is no condition {unknown[0]!r}")
        return self
