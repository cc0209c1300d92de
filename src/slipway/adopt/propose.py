"""The data part of `params.yaml`: how rows are held out, how the holdout is sliced, what the metrics must reach."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
import polars as pl

from slipway.adopt.trial import Trial
from slipway.calibration import CalibrationError
from slipway.encoding import target_of
from slipway.errors import UserError
from slipway.fairness import RATES, Gaps, sensitive_groups
from slipway.metrics import HIGHER_IS_BETTER, Scorer, bootstrap
from slipway.params import Bound, Params, Slice, Split
from slipway.predictor import Prediction
from slipway.schema import Schema, Task
from slipway.signature import Signature
from slipway.slices import slice_masks
from slipway.split import is_holdout
from slipway.values import number_text

JUDGED = {"binary": ("roc_auc", "log_loss"), "multiclass": ("roc_auc", "log_loss"), "regression": ("r2", "mae")}
SLICED = {"binary": "roc_auc", "multiclass": "roc_auc", "regression": "mae"}
RESAMPLES = 200
LEAST_GAP = 0.1  # between groups: less is not worth stopping a model for
WIDEST_GAP = 0.5  # in a limit: hardly any model would miss a wider one
LEAST_CALIBRATION = 0.1
LEAST_LOSS = 0.05  # on altered inputs
SLICES = 5  # at most
SLICE_VALUES, SLICE_SHARE = 8, 0.02  # of a category worth a slice: values at most, and the share that makes one common
FOUND = "in cross-validation"  # stands in the reason of every limit of a gap
SALTS = ("", *map(str, range(2, 100)))


class Gate(NamedTuple):
    """What a metric must reach, and why."""

    bound: Bound
    reason: str


class Limit(NamedTuple):
    """What something must not exceed, and why."""

    value: float
    reason: str


@dataclass(frozen=True)
class Proposal:
    """The data part of `params.yaml`."""

    split: Split
    slices: tuple[Slice, ...]
    metrics: Mapping[str, Gate]
    worst_slice: Mapping[str, Gate]
    margins: Mapping[str, Limit]
    fairness: Mapping[str, Limit]
    no_fairness: tuple[str, ...]  # why there is no limit where there could be one
    calibration: Limit
    robustness: Limit
    min_gain: float
    min_class_auc: float | None
    min_holdout_rows: int


def propose_split(schema: Schema, typed: pl.LazyFrame, now: Split) -> tuple[Split, int]:
    """The split of typed rows, with the share held out as it is now, and the number of rows that it holds out.

    It goes by time or group if the contract names such a column, else by hash of the row. A hash may by chance leave a
    rare class out of the training rows, or few groups on one side; then the first salt that does not is taken.

    Raises:
        UserError: No such split leaves both sides with rows, and the training rows with every class.
    """
    if schema.time is not None:
        split = Split(strategy="time", holdout=now.holdout, cutoff=_cutoff(schema.time, typed, now.holdout))
        rows, _, lost = _sides(schema, typed, split)
        if lost:
            raise UserError(
                f"--time: before {split.cutoff} there is no row of class {lost[0]!r}, so it cannot be learned; "
                "leave --time away, or remove the class"
            )
        return split, rows
    strategy = "group" if schema.group is not None else "hash"
    for salt in SALTS:
        split = Split(strategy=strategy, holdout=now.holdout, salt=salt)
        rows, share, lost = _sides(schema, typed, split)
        if not lost and now.holdout / 2 <= share <= now.holdout * 2:
            return split, rows
    what = f"groups of {schema.group!r}" if schema.group else "different rows"
    raise UserError(f"no split holds out about {now.holdout:.0%} of the rows: there are too few {what}; add data")


def _cutoff(time: str, typed: pl.LazyFrame, holdout: float) -> datetime:
    """The moment from which the share of rows is closest to the holdout's, with rows on both sides."""
    moments = typed.select(pl.col(time).alias("moment"))
    counts = moments.group_by("moment").agg(pl.len().alias("rows")).sort("moment").collect(engine="streaming")
    if counts.height < 2:
        raise UserError(f"--time: column {time!r} holds one moment only; there is no earlier and later")
    later = counts.with_columns(share=pl.col("rows").cum_sum(reverse=True) / pl.col("rows").sum())[1:]
    cutoff: datetime = later.sort((pl.col("share") - holdout).abs())["moment"][0]
    return cutoff


def _sides(schema: Schema, typed: pl.LazyFrame, split: Split) -> tuple[int, float, list[str]]:
    """How many rows are held out, which share that is, and the classes with too few training rows to be learned."""
    label = pl.col(schema.target.column) if schema.target.classes else pl.lit("")
    counts = typed.group_by(label.alias("class"), is_holdout(schema, split).alias("held")).len()
    found = {(name, held): count for name, held, count in counts.collect(engine="streaming").iter_rows()}
    rows = sum(count for (_, held), count in found.items() if held)
    least = 2 if schema.target.task == "binary" else 1
    lost = [name for name in schema.target.classes if found.get((name, False), 0) < least]
    return rows, rows / sum(found.values()), lost


def propose_slices(schema: Schema, frame: pl.DataFrame, scores: Mapping[str, float]) -> tuple[Slice, ...]:
    """Up to five columns to cut the holdout by: the sensitive ones, then categories of few values, then a number.

    Those that alone tell the target best, by their `scores`, come first.
    """
    ranked = sorted(schema.features, key=lambda name: -scores.get(name, 0))
    cuts = {name: cut for name in (*schema.sensitive, *ranked) if (cut := _slice(schema, frame[name]))}
    sensitive = [cuts.pop(name) for name in schema.sensitive if name in cuts]
    few = [cut for name, cut in cuts.items() if not cut.bins and _has_few(frame[name])]
    numbers = [cut for cut in cuts.values() if cut.bins]
    named = [*sensitive, *few][: max(SLICES - 1, len(sensitive))]
    return tuple([*named, *numbers[:1]][: max(SLICES, len(sensitive))])


def _has_few(values: pl.Series) -> bool:
    counts = values.drop_nulls().alias("value").value_counts(name="count")["count"]
    return len(counts) <= SLICE_VALUES and int((counts >= SLICE_SHARE * len(values)).sum()) > 1


def _slice(schema: Schema, values: pl.Series) -> Slice | None:
    """A column as a slice: its values, or quartiles of its numbers; None if it cannot be cut in two."""
    kind, present = schema.columns[values.name].type, values.drop_nulls()
    if kind in {"datetime", "text"} or present.n_unique() < 2:
        return None
    if kind in {"category", "boolean"}:
        return Slice(column=values.name)
    quartiles = present.cast(pl.Float64).quantile([0.25, 0.5, 0.75])
    low, high = float(present.min()), float(present.max())  # type: ignore[arg-type]
    edges = sorted({edge for quartile in quartiles if low < (edge := float(f"{quartile:.3g}")) <= high})
    return Slice(column=values.name, bins=tuple(edges)) if edges else None


def propose_gates(task: Task, trial: Trial, classes: int, held: int) -> tuple[dict[str, Gate], list[str]]:
    """What the holdout metrics must reach: a little less than in cross-validation, and clearly more than a guess.

    The slack is three standard deviations, of the folds or of as many rows as will be held out by bootstrap, whichever
    is more, and at least a tenth of the gain over the guess; a quarter of the gain must always be reached. With the
    gates come warnings.
    """
    scorer = Scorer(task, trial.truth, trial.prediction, classes)
    (replicates,) = bootstrap([scorer], RESAMPLES, seed=0)
    gates: dict[str, Gate] = {}
    warned: list[str] = []
    for name in [name for name in JUDGED[task] if name in trial.model and name in trial.guess]:
        (mean, std), (guess, _) = trial.model[name], trial.guess[name]
        sign = 1 if name in HIGHER_IS_BETTER else -1
        gain = sign * (mean - guess)
        reason = _reached(mean, guess, f" ± {number_text(std, 2)}")
        if gain <= 2 * std / math.sqrt(trial.folds):
            warned.append(f"the model does not clearly beat a guess: {name} is {reason}")
        floor = sign * guess + max(gain, 0) / 4
        defined = replicates[name][np.isfinite(replicates[name])]
        error = float(np.std(defined)) * math.sqrt(scorer.rows / held) if len(defined) else 0.0
        value = sign * max(sign * mean - max(3 * std, 3 * error, gain / 10), floor)
        gates[name] = Gate(_bound(name, guess, value), reason)
    return gates, warned


def propose_slice_gate(
    schema: Schema, frame: pl.DataFrame, trial: Trial, params: Params, held_rows: int
) -> dict[str, Gate]:
    """What the worst slice must reach: in cross-validation each slice reached it by three standard errors and more.

    The errors are those of as few rows as the holdout will have of the slice, by bootstrap; at least a tenth of the
    gain over the guess. Slices too small to be scored do not count, and there is no bound that is no better than a
    guess.
    """
    metric = SLICED[schema.target.task]
    sign = 1 if metric in HIGHER_IS_BETTER else -1
    guess = trial.guess[metric][0]
    found: list[tuple[float, str]] = []
    for column, label, mask in slice_masks(frame[trial.held], params.evaluate.slices):
        expected = mask.mean() * held_rows
        if expected < params.evaluate.min_slice_rows:
            continue
        labels = None if trial.prediction.labels is None else trial.prediction.labels[mask]
        part = Prediction(trial.prediction.values[mask], labels)
        scorer = Scorer(schema.target.task, trial.truth[mask], part, len(schema.target.classes))
        value = scorer.point()[metric]
        (replicates,) = bootstrap([scorer], RESAMPLES, seed=0)
        defined = replicates[metric][np.isfinite(replicates[metric])]
        error = float(np.std(defined)) * math.sqrt(mask.sum() / expected) if len(defined) else math.nan
        slack = max(3 * error, sign * (value - guess) / 10)
        found.append((sign * value - slack, _reached(value, guess, of=f" ({column} {label})")))
    reached, reason = min((entry for entry in found if math.isfinite(entry[0])), default=(-math.inf, ""))
    return {metric: Gate(_bound(metric, guess, sign * reached), reason)} if reached > sign * guess else {}


def propose_margins(task: Task, trial: Trial) -> dict[str, Limit]:
    """By how much another model may be worse: a twentieth of what this one gains over a guess."""
    margins = {}
    for name in [name for name in JUDGED[task] if name in trial.model and name in trial.guess]:
        gain = abs(trial.model[name][0] - trial.guess[name][0])
        margins[name] = Limit(float(f"{gain / 20:.1g}"), f"a twentieth of the gain over a guess, {number_text(gain)}")
    return margins


def propose_fairness(
    schema: Schema, frame: pl.DataFrame, trial: Trial, params: Params, holdout: pl.DataFrame
) -> tuple[dict[str, Limit], list[str]]:
    """The greatest gap between groups of the sensitive columns: what cross-validation found and three standard errors.

    The groups are those whose rate a review will judge on this holdout. A rate has no limit where it would be so wide,
    as of few rows it is, that hardly any model could miss it. With the limits come the reasons for those that there are
    not.

    Args:
        schema: The contract.
        frame: Typed rows.
        trial: What the model said of them in cross-validation.
        params: The settings, with the slices that are proposed.
        holdout: The target and the sensitive columns of the rows to be held out; the errors are those of as many.
    """
    tried, truth = sensitive_groups(frame[trial.held], schema, params), target_of(holdout, schema)
    signature = Signature(task=schema.target.task, target="", classes=schema.target.classes, inputs=(), prior=())
    found: dict[str, Limit] = {}
    none: dict[str, str] = {}
    reasons = []
    for column, judged in sensitive_groups(holdout, schema, params).items():
        if judged.why:
            reasons.append(f"none for fairness of {column!r}; {judged.why}")
            continue
        for name, code in _rates(schema.target.task):
            of = "" if code is None else f" of class {schema.target.classes[code]!r}"
            rows = {
                group: int((mask & ((code is None) | (truth == code))).sum()) for group, mask in judged.groups.items()
            }
            rows = {group: count for group, count in rows.items() if count}  # the review, too, leaves out the others
            masks = {group: mask for group, mask in tried[column].groups.items() if group in rows}
            if len(masks) < max(len(rows), 2):
                none.setdefault(name, f"too few rows{of} in groups of {column!r}, in the holdout or {FOUND}")
                continue
            gaps = Gaps(signature, trial.prediction, trial.truth, masks)
            (replicates,) = bootstrap([gaps], RESAMPLES, seed=0)
            gap = float(gaps.replicates(np.ones((1, gaps.rows)))[name][0])
            limit = gap + 3 * float(np.nanstd(replicates[name])) * math.sqrt(gaps.rows / holdout.height)
            reason = f"{gap:.2g} {FOUND} ({column})"
            if not limit <= WIDEST_GAP:
                least = min(rows, key=rows.__getitem__)
                what = f"{reason}, and the holdout has {rows[least]} rows{of} in group {least!r}"
                none.setdefault(name, f"{what}: the limit would be {limit:.2f}, which hardly any model would miss")
            elif limit > found.get(name, (0.0,))[0]:
                found[name] = Limit(math.ceil(100 * max(limit, LEAST_GAP)) / 100, reason)
    reasons += [f"none for fairness.{name}; {why}" for name, why in none.items()]
    return {name: limit for name, limit in found.items() if name not in none}, reasons


def _rates(task: Task) -> list[tuple[str, int | None]]:
    """The rates that groups are judged by, each with the class whose rows alone count for it."""
    of_class = {"true_positive_rate": 1, "false_positive_rate": 0}
    return [(name, of_class.get(name)) for name in (*(RATES if task == "binary" else ()), "error")]


def propose_calibration(schema: Schema, trial: Trial, held: int) -> Limit:
    """The greatest calibration error that the model of cross-validation has on as few rows as the holdout's.

    On few rows even a model that is right about everything has one; the limit is what one sample of that size in two
    hundred exceeds, a tenth at least.

    Args:
        schema: The contract.
        trial: What the model said of the rows in cross-validation.
        held: The rows that the holdout will have.
    """
    signature = Signature(task=schema.target.task, target="", classes=schema.target.classes, inputs=(), prior=())
    measure = CalibrationError(signature, trial.prediction, trial.truth)
    drawn = np.random.default_rng(0).multinomial(held, np.full(measure.rows, 1 / measure.rows), RESAMPLES)
    errors = measure.replicates(drawn)["calibration"]
    limit = math.ceil(100 * max(float(np.quantile(errors, 0.995)), LEAST_CALIBRATION)) / 100
    return Limit(limit, f"{float(np.median(errors)):.2g} in cross-validation, on as few rows")


def propose_robustness(trial: Trial) -> Limit:
    """The greatest loss on altered inputs: what cross-validation lost by the worse way, and three standard deviations.

    A twentieth at least.
    """
    reached = {
        way: (float(np.mean(values)), float(np.mean(values) + 3 * np.std(values)))
        for way, values in trial.lost.items()
        if values
    }
    if not reached:
        return Limit(LEAST_LOSS, "could not be tried in cross-validation")
    worst = max(reached, key=lambda way: reached[way][1])
    mean, limit = reached[worst]
    return Limit(math.ceil(100 * max(limit, LEAST_LOSS)) / 100, f"{max(mean, 0):.2g} in cross-validation, by {worst}")


def propose_gain(task: Task, trial: Trial) -> float:
    """What the model suite asks for of the way from a guess to perfection: half of the way gone, a tenth at most."""
    if task == "regression":
        gain = 1 - trial.model["rmse"][0] / trial.guess["rmse"][0]
    else:
        gain = (trial.model["roc_auc"][0] - 0.5) / 0.5
    return float(f"{min(max(gain / 2, 0.0), 0.1):.1g}")


def propose_class_auc(task: Task, trial: Trial, classes: int, held: int) -> float | None:
    """How well every class must be told from the rest: as the worst in cross-validation less three standard errors.

    The errors are those of as many rows as will be held out, for ranks by chance (Mann and Whitney, 1947). None where
    that leaves less than one half, which is no demand.
    """
    if task == "regression":
        return 0.55
    floors = []
    for code in [1] if task == "binary" else range(classes):
        mine = trial.truth == code
        share = float(mine.mean())
        if 0 < share < 1:
            ranks = pl.Series(trial.prediction.values[:, code]).rank().to_numpy()
            wins = ranks[mine].sum() - mine.sum() * (mine.sum() + 1) / 2
            auc = wins / (mine.sum() * (~mine).sum())
            floors.append(auc - 3 / math.sqrt(12 * held * share * (1 - share)))
    least = math.floor(100 * min(floors, default=0.0)) / 100
    return min(least, 0.55) if least >= 0.5 else None


def _reached(value: float, guess: float, spread: str = "", of: str = "") -> str:
    return f"{number_text(value)}{spread} in cross-validation{of}, {number_text(guess)} by guessing"


def _bound(metric: str, guess: float, value: float) -> Bound:
    """A bound rounded to two digits of its distance from the guess, or to four of its own, to the lenient side."""
    unit = 10.0 ** (math.floor(math.log10(max(abs(value - guess), abs(value) / 100, 1e-9))) - 1)
    if metric in HIGHER_IS_BETTER:
        return Bound(min=float(f"{math.floor(value / unit) * unit:.12g}"))
    return Bound(max=float(f"{math.ceil(value / unit) * unit:.12g}"))
