"""The releases that git remembers, and the change log that is made of them."""

from collections.abc import Sequence
from pathlib import Path

from slipway.delivery.git import do
from slipway.delivery.release.lineage import LINEAGE, Lineage, read_lineage
from slipway.delivery.release.overlay import PLACES
from slipway.review.report.markdown import code, escape

RELEASES = Path("deploy/RELEASES.md")
HEADING = "# Releases\n\nWritten by `slipway release`, the newest first.\n"
MOST_COMMITS = 50  # named in an entry


def releases(tip: str, environment: str = "*", *, by_first_run: bool = False) -> list[Lineage]:
    """Every release that has run in an environment, as a commit's history tells, the newest first.

    Args:
        tip: The commit.
        environment: Of which environment; all of them unless said.
        by_first_run: Of a release that came back, its first run counts, and not its last.

    Raises:
        UserError: A lineage that was committed is damaged.
    """
    prefix = do(["git", "rev-parse", "--show-prefix"]).stdout.strip()
    patterns = [f":(top,glob){prefix}{(place / environment / LINEAGE).as_posix()}" for place in PLACES]
    log = ["git", "log", "--first-parent", "--diff-merges=first-parent", "--raw", "--no-abbrev", "--no-renames"]
    lines = do([*log, "--format=", tip, "--", *patterns]).stdout.splitlines()
    runs = [line.split()[3] for line in lines if line.startswith(":")]
    blobs = reversed(dict.fromkeys(reversed(runs))) if by_first_run else dict.fromkeys(runs)
    found: dict[tuple[str, str], Lineage] = {}
    for blob in blobs:
        if blob.strip("0"):
            lineage = read_lineage(do(["git", "cat-file", "blob", blob]).stdout, LINEAGE)
            found.setdefault((lineage.name, lineage.digest), lineage)
    return list(found.values())


def entry(made: Lineage, known: Sequence[Lineage], root: Path) -> str:
    """The change log with a release in it.

    Args:
        made: The release.
        known: Those before.
        root: The tree whose change log is added to.
    """
    path = root / RELEASES
    before = path.read_text(encoding="utf-8") if path.exists() else HEADING
    mark = f"\n## {made.name}\n"
    if mark in before:
        return before
    previous = max((each for each in known if each.number < made.number), key=lambda each: each.number, default=None)
    text = f"{mark}\n{code(made.version)} of {made.created[:10]}, data {code(made.data or 'unknown')}"
    text += f", verdict: {made.verdict or 'none'}.\n\n{metrics_table(made, previous)}"
    if commits := _commits(previous.commit if previous else None, made.commit):
        text += "\n" + "".join(f"- {escape(subject)}\n" for subject in commits)
    head, _, rest = before.partition("\n## ")
    return head + text + (f"\n## {rest}" if rest else "")


def metrics_table(made: Lineage, previous: Lineage | None) -> str:
    """The metrics of a release beside those of another, in Markdown."""
    of = f"against {previous.name}" if previous else "difference"
    lines = [f"| metric | value | interval | {of} |", "|---|--:|--:|--:|"]
    for name, metric in made.metrics.items():
        if metric.value is None:
            continue
        other = previous.metrics.get(name) if previous else None
        difference = "" if other is None or other.value is None else f"{metric.value - other.value:+.4f}"
        bounds = "" if metric.low is None or metric.high is None else f"{metric.low:.4f} to {metric.high:.4f}"
        lines.append(f"| {escape(name)} | {metric.value:.4f} | {bounds} | {difference} |")
    return "\n".join(lines) + "\n"


def _commits(since: str | None, until: str) -> list[str]:
    """Subjects of the commits of a release, without merges and without those that only deploy."""
    limits = [f"--max-count={MOST_COMMITS}", "--no-merges", "--format=%s"]
    span = f"{since}..{until}" if since else until
    return do(["git", "log", *limits, span, "--", ".", ":(exclude)deploy"]).stdout.splitlines()
