"""How often a review can tell: the gate `not_worse.roc_auc` on simulated holdouts of several sizes.

`python docs/explanation/power.py REPETITIONS` prints the table of statistics.md, which has 200 of them.
"""

import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np

from slipway.metrics import Scorer
from slipway.predictor import Prediction
from slipway.review.compare import differ, measure
from slipway.review.gates import not_worse_gates

ROWS, MARGIN, RESAMPLES, CONFIDENCE = (100, 300, 1_000, 3_000), 0.02, 2_000, 0.95
SIGNAL = 4.0  # how far the truth follows what a model can know
BASE = 0.5  # standard deviation of the base's error
STATUSES = ("pass", "undecided", "fail")


@dataclass(frozen=True)
class Candidate:
    """The standard deviation of its error, and the share of that error's variance that is the base's own error."""

    error: float
    shared: float = 0.0


CANDIDATES = {
    "as good, trained again": Candidate(0.5, 0.95),
    "as good, another kind": Candidate(0.5),
    "worse by 0.02": Candidate(0.61),
    "worse by 0.05": Candidate(0.77),
}


def models(rows: int, candidate: Candidate, generator: np.random.Generator) -> tuple[Scorer, Scorer]:
    """Base and candidate on the same rows: both know the signal, each with its error."""
    known, own, other = generator.normal(size=(3, rows))
    truth = (generator.random(rows) < 1 / (1 + np.exp(-SIGNAL * known))).astype(np.int64)
    mixed = np.sqrt(candidate.shared) * own + np.sqrt(1 - candidate.shared) * other

    def scorer(score: np.ndarray) -> Scorer:
        said = 1 / (1 + np.exp(-score))  # only the order counts
        prediction = Prediction(np.column_stack([1 - said, said]), (said > 0.5).astype(np.int64))
        return Scorer("binary", truth, prediction, 2, ["roc_auc"])

    return scorer(known + BASE * own), scorer(known + candidate.error * mixed)


def statuses(rows: int, candidate: Candidate, repetitions: int) -> Counter[str]:
    """What the gate says of so many holdouts."""
    found: Counter[str] = Counter()
    for seed in range(repetitions):
        both = measure(models(rows, candidate, np.random.default_rng(seed)), RESAMPLES, CONFIDENCE, seed)
        difference = {"roc_auc": differ("roc_auc", *both, CONFIDENCE)}
        found.update(gate.status for gate in not_worse_gates({"roc_auc": MARGIN}, difference))
    return found


def main(repetitions: int) -> None:
    """Print the table, and how good the models are in truth."""
    lines = [f"| rows held out | {' | '.join(CANDIDATES)} |", f"|--:|{'--:|' * len(CANDIDATES)}"]
    for rows in ROWS:
        cells = []
        for candidate in CANDIDATES.values():
            found = statuses(rows, candidate, repetitions)
            cells.append(" / ".join(f"{found[status] / repetitions:.0%}" for status in STATUSES))
        lines.append(f"| {rows:,} | {' | '.join(cells)} |")
    print("\n".join(lines))  # noqa: T201
    for name, candidate in CANDIDATES.items():
        both = (each.point()["roc_auc"] for each in models(1_000_000, candidate, np.random.default_rng(0)))
        print(f"{name}: base {next(both):.3f}, candidate {next(both):.3f}")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]))
