"""`review.html`: the whole report and the plots on one page that needs nothing else, neither network nor scripts."""

import csv
import io
from collections.abc import Iterator
from html import escape

from markdown_it import MarkdownIt

from slipway import layout
from slipway.plots import PLOTS, Plot
from slipway.review.base import Base
from slipway.review.report import as_markdown
from slipway.review.verdict import Verdict
from slipway.schema import Task

TEMPLATES = layout.PIPELINE.parent / ".dvc" / "plots"
STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1f2328; }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1rem 0; }
th, td { border: 1px solid #d1d9e0; padding: .3rem .7rem; text-align: left; }
th { background: #f6f8fa; }
code { background: #eff1f3; border-radius: .3rem; padding: .1rem .3rem; overflow-wrap: anywhere; }
td:first-child code { white-space: nowrap; }
pre { background: #f6f8fa; padding: 1rem; overflow-x: auto; }
details { margin: 1rem 0; } summary { cursor: pointer; font-weight: 600; }
figure { margin: 1.5rem 0; overflow-x: auto; } svg { max-width: 100%; height: auto; }
"""


def as_page(verdict: Verdict, base: Base, task: Task) -> str:
    """The report as HTML, with the plots of the task over those that the base's commit has.

    Args:
        verdict: What to report.
        base: The commit that was compared with.
        task: The task; it says which plots there are.
    """
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(as_markdown(verdict, page=True))
    plots = "\n".join(f"<figure>{drawn}</figure>" for drawn in _plots(base, task))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Review: {escape(verdict.verdict)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
        f"{body}<h4>Plots</h4>\n{plots}\n</body>\n</html>\n"
    )


def _plots(base: Base, task: Task) -> Iterator[str]:
    import vl_convert
    from dvc_render import VegaRenderer

    for plot in PLOTS[task]:
        path = layout.PLOTS / f"{plot.name}.csv"
        if not path.exists():
            continue
        before = base.read(path)
        rows = [*_rows(path.read_bytes(), "candidate", plot), *(_rows(before, "base", plot) if before else ())]
        if not rows:
            yield f"<figcaption>{escape(plot.title)}: these rows do not give it</figcaption>"
            continue
        drawing = VegaRenderer(
            rows,
            plot.name,
            template=plot.template,
            template_dir=str(TEMPLATES),
            x=plot.x,
            y=plot.y,
            title=plot.title,
            anchor_revs=["candidate", "base"] if before else ["candidate"],
        )
        try:
            yield vl_convert.vegalite_to_svg(drawing.get_filled_template())
        except ValueError:  # of a file that somebody has edited
            yield f"<figcaption>{escape(plot.title)}: {path} cannot be drawn</figcaption>"


def _rows(content: bytes, side: str, plot: Plot) -> Iterator[dict[str, str]]:
    """The rows of a plot's file, as DVC hands them to a template."""
    wanted = (plot.x, plot.y, *plot.more)
    try:
        for row in csv.DictReader(io.StringIO(content.decode("utf-8", errors="replace"))):
            if all(row.get(name) is not None for name in wanted):
                yield {"rev": side} | {name: row[name] for name in wanted}
    except csv.Error:  # of a file that somebody has edited
        return
