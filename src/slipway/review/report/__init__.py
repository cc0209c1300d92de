"""A verdict for people: `review.md`, the comment on a pull request, and `review.html`, the page with everything.

Both are rendered from the verdict alone, which may come from a fork: `markdown` makes every text in it harmless.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from slipway.review.report import view
from slipway.review.report.markdown import Markdown, code, escape, tag
from slipway.review.verdict import Verdict

LIMIT = 60_000  # characters; GitHub takes 65,536 in a comment
SHOWN = (40, 15, 5, 2, 1)  # of each list, fewer where the whole would be too long
POINTS = 100  # of a curve that is drawn
FEW = 12  # of what stands in one line
EVERYTHING = 10**9
UNREAD = "settings: "  # how a note begins that the base's settings cannot be read


def as_markdown(verdict: Verdict, *, page: bool = False) -> str:
    """The report in GitHub's Markdown.

    Args:
        verdict: What to report.
        page: For `review.html`: whole, and without the pictures that only GitHub draws.

    Returns:
        At most 60,000 characters; where lists are cut, it says by how much. A page has no such limit.
    """
    if page:
        return _render(verdict, EVERYTHING, page=True)
    for most in SHOWN:
        text = _render(verdict, most, page=False)
        if len(text) <= LIMIT:
            return text
    headline = text.splitlines()[0]
    return f"{headline}\n\nMore than a comment holds: see review.html among the run's artifacts.\n"


def _render(verdict: Verdict, most: int, *, page: bool) -> str:
    changes, settings = verdict.changes, verdict.changes.settings
    ordinary = [change for change in settings if not change.rule]
    other_data = verdict.candidate.data != verdict.base.data and verdict.base.source != "none"
    worse, better = view.moved_slices(verdict.comparison)
    moved = [*worse, *better]
    context: dict[str, Any] = {
        "verdict": verdict,
        "page": page,
        "most": most,
        "few": most if page else min(most, FEW),
        "more": _more(most),
        "rows": view.metric_rows(verdict)[:most],
        "curve": verdict.curve if verdict.curve and 0 < len(verdict.curve.x) <= POINTS else None,
        "against": view.against(verdict),
        "rules": changes.rules,
        "settings": ordinary,
        "other_data": other_data,
        "unread": next((note for note in changes.notes if note.startswith(UNREAD)), ""),
        "changed": any(
            (ordinary, changes.columns, changes.rows, changes.packages, changes.files, changes.notes, other_data)
        ),
        "worse": worse,
        "better": better,
        "still": [part for part in (verdict.comparison.slices if verdict.comparison else ()) if part not in moved],
        "failing": {
            suite: found
            for suite, checks in verdict.suites.items()
            if (found := [check for check in checks if check.status != "passed"])
        },
        "picture": Markdown(view.picture(verdict)),
    }
    text = _environment().get_template("review.md.j2").render(context)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


@cache
def _environment() -> Environment:
    """Templates in which whatever is put is escaped, but for what is Markdown already."""
    environment = Environment(
        loader=PackageLoader("slipway.review.report"),
        undefined=StrictUndefined,
        finalize=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  # that would be for HTML; `finalize` escapes for Markdown
    )
    environment.filters |= {"code": code, "tag": tag}
    environment.globals |= {
        "marks": {name: Markdown(sign) for name, sign in view.MARKS.items()},
        "headlines": view.HEADLINES,
        "nothing": view.NOTHING,
        "mark": view.mark,
        "number": view.number,
        "interval": view.interval,
        "points": _points,
        "commit": lambda commit: Markdown(commit if re.fullmatch("[0-9a-f]{40,64}", commit) else "COMMIT"),
    }
    return environment


def _points(values: Sequence[float]) -> Markdown:
    """Numbers as Mermaid reads them, which knows no exponents."""
    return Markdown(", ".join(np.format_float_positional(value, precision=10, trim="-") for value in values))


def _more(most: int) -> Callable[..., Markdown]:
    def more(items: Sequence[Any], shown: int = most) -> Markdown:
        left = len(items) - shown
        return Markdown(f" *… and {left:,} more: see review.html among the run's artifacts*" if left > 0 else "")

    return more
