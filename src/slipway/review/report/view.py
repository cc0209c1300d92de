"""What the report shows of a verdict, in the words and numbers that it is shown in."""

from dataclasses import dataclass

from slipway.review.numbers import digits_apart
from slipway.review.report.markdown import Markdown, plain
from slipway.review.verdict import Comparison, Difference, Gate, SliceDifference, Verdict
from slipway.values import number_text

MARKS = {"pass": "✅", "fail": "❌", "undecided": "❓", "not applicable": "\u2796", "waived": "⏳"}
NO_BREAK = "\u00a0"
ORDER = ("fail", "undecided", "pass", "not applicable")
NOTHING, MINUS = Markdown("\u2013"), "\u2212"
HEADLINES = {"pass": "Pass", "fail": "Fail", "undecided": "Undecided"}
WIDTH = 25  # characters of a line in the picture of differences


@dataclass(frozen=True)
class MetricRow:
    """One metric: base and candidate, the difference with its interval, and what it is held to."""

    metric: str
    base: Markdown
    candidate: Markdown
    difference: Markdown
    gates: tuple[Markdown, ...]
    mark: Markdown  # of the gate that went worst


def mark(gate: Gate) -> Markdown:
    """The sign of a gate's outcome."""
    return Markdown(MARKS["waived" if gate.waiver and gate.status != "pass" else gate.status])


def number(value: float | None, *, sign: bool = False, limit: float | None = None) -> Markdown:
    """A number for people, with a real minus sign; with digits enough to tell it from a limit that it misses."""
    if value is None:
        return NOTHING
    digits = 3 if limit is None else digits_apart(value, limit, 3)
    text = number_text(abs(value), digits) if abs(value) >= 1e-9 else "0"
    before = MINUS if value < 0 and text != "0" else "+" if sign and text != "0" else ""
    return Markdown(before + text)


def interval(found: Difference) -> Markdown:
    """A difference with its interval."""
    if found.difference is None or found.low is None or found.high is None:
        return NOTHING
    ends = f"{number(found.low, sign=True)} to {number(found.high, sign=True)}"
    return Markdown(f"{number(found.difference, sign=True)} ({ends})")


def metric_rows(verdict: Verdict) -> list[MetricRow]:
    """The metrics of the task, those that gates judge first."""
    if verdict.comparison is None:
        return []
    gates = {gate.name: gate for gate in verdict.gates}
    rows = []
    for found in verdict.comparison.metrics:
        absolute, relative = gates.get(f"metrics.{found.metric}"), gates.get(f"not_worse.{found.metric}")
        own = [gate for gate in (absolute, relative) if gate is not None]
        limits = []
        missed = absolute.limit if absolute is not None and absolute.status == "fail" else None
        if absolute is not None:
            limits.append(f"{'≥' if '≥' in absolute.reason else '≤'} {number(absolute.limit)}")
        if relative is not None:
            limits.append(f"worse by ≤ {number(relative.limit)}")
        rows.append(
            MetricRow(
                metric=found.metric,
                base=number(found.base),
                candidate=number(found.candidate, limit=missed),
                difference=interval(found),
                gates=tuple(
                    Markdown(f"{limit} {mark(gate)}".replace(" ", NO_BREAK))
                    for limit, gate in zip(limits, own, strict=True)
                ),
                mark=Markdown(f"{mark(min(own, key=lambda gate: ORDER.index(gate.status)))} " if own else ""),
            )
        )
    return sorted(rows, key=lambda row: not row.gates)


def against(verdict: Verdict) -> list[Gate]:
    """The gates that did not pass, those that block first."""
    missed = [gate for gate in verdict.gates if gate.status in {"fail", "undecided"}]
    return sorted(missed, key=lambda gate: (not gate.blocks, gate.status != "fail"))


def moved_slices(comparison: Comparison | None) -> tuple[list[SliceDifference], list[SliceDifference]]:
    """The slices that got worse, and those that got better, beyond what chance makes of their rows."""
    worse: list[SliceDifference] = []
    better: list[SliceDifference] = []
    for part in comparison.slices if comparison else ():
        found = part.difference
        if found.low is None or found.high is None or not (found.low > 0 or found.high < 0):
            continue
        (better if (found.low > 0) == found.higher_is_better else worse).append(part)
    return worse, better


def picture(verdict: Verdict) -> str:
    """The differences as lines of text: a dot with its interval, no change in the middle, better to the right.

    Each line has a scale of its own, so that its ends and its margin are in sight; ┊ is the margin.
    """
    margins = {gate.name.removeprefix("not_worse."): gate.limit for gate in verdict.gates if gate.limit is not None}
    lines = []
    for found in verdict.comparison.metrics if verdict.comparison else ():
        if found.difference is None or found.low is None or found.high is None:
            continue
        sign = 1 if found.higher_is_better else -1
        low, value, high = sorted((sign * found.low, sign * found.difference, sign * found.high))
        margin = max(margins.get(found.metric, 0.0), 0.0) or None
        reach = 1.1 * max(abs(low), abs(high), margin or 0.0)
        if reach == 0:
            continue

        def place(at: float, reach: float = reach) -> int:
            return round((at / reach + 1) / 2 * (WIDTH - 1))

        cells = [" "] * WIDTH
        cells[place(low) : place(high) + 1] = "─" * (place(high) + 1 - place(low))
        if margin is not None:
            cells[place(-margin)] = "┊"
        cells[place(0)] = "┼" if place(low) <= place(0) <= place(high) else "│"
        cells[place(value)] = "●"
        lines.append(f"{plain(found.metric).replace('`', ' '):<17.17} {''.join(cells).rstrip()}")
    return "\n".join(lines)
