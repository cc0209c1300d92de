"""A verdict for people: `review.md`, the comment on a pull request, and `review.html`, the page with everything.

Both are rendered from the verdict alone, which may come from a fork: `markdown` makes every text in it harmless.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from slipway.review.report import view
from slipway.review.report.markdown import Markdown, code, escape, tag
from slipway.review.verdict import Verdict

LIMIT = 60_000  # characters; GitHub takes 65,536 in a comment
SHOWN = (40, 15, 5, 2, 1)  # of each list, fewer where the whole would be too long
FEW = 12  # of what stands in one line
EVERYTHING = 10_000


def as_markdown(verdict: Verdict, *, page: bool = False) -> str:
    """The report in GitHub's Markdown.

    Args:
        verdict: What to report.
        page: For `review.html`: whole, and without the pictures that only GitHub draws.

    Returns:
        At most 60,000 characters; where lists are cut, it says by how much. A page has no such limit.
    """
    for most in (EVERYTHING,) if page else SHOWN:
        text = _render(verdict, most, page=page)
        if page or len(text) <= LIMIT:
            break
    return text


def _render(verdict: Verdict, most: int, *, page: bool) -> str:
    changes, settings = verdict.changes, verdict.changes.settings
    worse, better = view.moved_slices(verdict.comparison)
    moved = [*worse, *better]
    context: dict[str, Any] = {
        "verdict": verdict,
        "page": page,
        "most": most,
        "few": most if page else min(most, FEW),
        "more": _more(most),
        "rows": view.metric_rows(verdict),
        "against": view.against(verdict),
        "rules": [change for change in settings if change.rule],
        "settings": [change for change in settings if not change.rule],
        "changed": bool(settings or changes.columns or changes.rows or changes.packages or changes.files),
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
    text = _environment().get_template("review.md.jinja").render(context)
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
        "points": lambda values: Markdown(", ".join(f"{value:g}" for value in values)),
        "commit": lambda commit: Markdown(commit if re.fullmatch("[0-9a-f]{40,64}", commit) else "COMMIT"),
    }
    return environment


def _more(most: int) -> Callable[..., Markdown]:
    def more(items: Sequence[Any], shown: int = most) -> Markdown:
        left = len(items) - shown
        return Markdown(f" *… and {left:,} more: see review.html among the run's artifacts*" if left > 0 else "")

    return more
