"""How far two samples of a column lie apart: the population stability index, and how much of it chance explains."""

import numpy as np
import numpy.typing as npt
import polars as pl

from slipway.predictor import Values
from slipway.signature import Input, Statistics

PRIOR = 0.5  # rows added to every bin (Jeffreys), so that an empty one neither is infinite nor outweighs the others
MANY = 0.05  # the share of the rows from which a single value is a bin of its own
STRIDE = 2  # of the reference's quantiles at every 5 %, every second is an edge: deciles


def stability_index(p: Values, q: Values) -> float:
    """The population stability index of two vectors of positive shares: sum((p - q) ln(p / q))."""
    return float(np.sum((p - q) * np.log(p / q)))


def explained_by_chance(bins: int, rows: int, other_rows: int) -> float:
    """The 99th percentile of the index of two samples from one population.

    Under equality it is close to (1/n + 1/m) times a chi-squared variable with (bins - 1) degrees of freedom
    (Yurdakul and Naranjo, "Statistical properties of the population stability index", 2020); its 99th percentile is
    taken from the Wilson-Hilferty approximation.
    """
    freedom = max(bins - 1, 1)
    percentile = freedom * (1 - 2 / (9 * freedom) + 2.326 * np.sqrt(2 / (9 * freedom))) ** 3
    return float(percentile * (1 / max(rows, 1) + 1 / max(other_rows, 1)))


def drift_from(reference: Input, rows: int, series: pl.Series) -> tuple[float, float]:
    """How far a column has moved from what a signature remembers of the training rows.

    Args:
        reference: The input, with the statistics of its training rows.
        rows: The number of those rows.
        series: The column now.

    Returns:
        The index over deciles of the reference, or over its categories and the rest, and missing; and what chance
        explains of it.
    """
    statistics = reference.statistics
    if statistics is None or not len(series):
        return 0.0, 0.0
    if reference.type == "category":
        expected = [*statistics.shares.values(), max(0.0, 1 - statistics.missing - sum(statistics.shares.values()))]
        counts = dict(series.drop_nulls().alias("value").value_counts(name="rows").iter_rows())
        listed = [counts.get(name, 0) for name in statistics.shares]
        found = [*listed, sum(counts.values()) - sum(listed)]
    elif statistics.quantiles:
        expected, edges = _deciles(statistics)
        values = series.drop_nulls().cast(pl.Float64).to_numpy()
        found = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1).tolist()
    else:  # a datetime: only whether it is there can be compared
        expected, found = [1 - statistics.missing], [len(series) - series.null_count()]
    before = np.array([*expected, statistics.missing]) * rows
    after = np.array([*found, series.null_count()], np.float64)
    used = before + after > 0
    p, q = ((count[used] + PRIOR) / (count.sum() + PRIOR * used.sum()) for count in (before, after))
    return stability_index(p, q), explained_by_chance(int(used.sum()), rows, len(series))


def _deciles(statistics: Statistics) -> tuple[list[float], npt.NDArray[np.float64]]:
    """Shares of the rows up to each edge, and above the last; and the edges, each once.

    A value that many rows have is a bin of its own, or nobody would see it go elsewhere on the same side of an edge.
    """
    levels = np.linspace(0, 1, len(statistics.quantiles)).tolist()  # for a signature of an older version
    known = zip(statistics.quantiles, statistics.upto or levels, statistics.under or levels, strict=True)
    edges: dict[float, float] = {}
    for place, (value, upto, under) in enumerate(known):
        if upto - under > MANY:
            edges |= {float(np.nextafter(value, -np.inf)): under, value: upto}
        elif place % STRIDE == 0 and 0 < place < len(levels) - 1:
            edges[value] = upto
    ordered = sorted(edges)
    shares = np.diff([0.0, *(edges[edge] for edge in ordered), 1.0]) * (1 - statistics.missing)
    return shares.tolist(), np.array(ordered)
