"""`slipway lineage`: from a digest, an environment or a running service back to everything that it came from."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import requests
import typer
from rich.table import Table

from slipway.delivery.git import do
from slipway.delivery.release.branch import checked_out, head
from slipway.delivery.release.history import releases
from slipway.delivery.release.lineage import Lineage
from slipway.delivery.release.overlay import deployed, environments
from slipway.delivery.release.verify import Finding
from slipway.errors import UserError
from slipway.files import printable
from slipway.review.report.markdown import code, escape
from slipway.summary import screen

TIMEOUT = 10  # seconds
Form = Literal["table", "markdown"]


@dataclass(frozen=True)
class Trace:
    """A release, where it runs, and what was looked at of it."""

    lineage: Lineage
    environments: tuple[str, ...]
    findings: tuple[Finding, ...]

    def document(self) -> dict[str, Any]:
        """It for machines: the lineage with the rest beside it."""
        more = {"environments": self.environments, "findings": [asdict(each) for each in self.findings]}
        return self.lineage.document() | more


def trace(what: str, branch: str) -> Trace:
    """Find the release that is meant.

    Args:
        what: An environment, the URL of a running service, or a release: its name, its image's digest (with or
            without the image's name) or its commit; of the last two the beginning is enough.
        branch: The branch that says what runs where, as it was last fetched.

    Raises:
        UserError: There is none, several are meant, or the service does not answer.
    """
    tip = head(branch) or do(["git", "rev-parse", "HEAD"]).stdout.strip()
    running, stories = dict[str, Lineage](), list[Finding]()
    with checked_out(tip) as root:
        known = environments(root)
        for name in known:
            try:
                if (found := deployed(name, root)) is not None:
                    running[name] = found
            except UserError as error:
                stories.append(Finding(name, False, str(error)))
    findings = list(stories)
    if what in known:
        if what not in running:
            raise UserError(next((each.said for each in stories if each.what == what), f"nothing runs in {what}"))
        meant = running[what]
    elif what.startswith(("http://", "https://")):
        version, commit = _asked(what)
        meant = _one(commit, releases(tip))
        findings.append(Finding("service", True, f"{what} says that it is {version}"))
    else:
        meant = _one(what, releases(tip))
    where = tuple(name for name, found in running.items() if found.digest == meant.digest)
    return Trace(meant, where, tuple(findings))


def show(found: Trace, form: Form) -> None:
    """Print it."""
    if form == "markdown":
        typer.echo(_markdown(found))
    else:
        with screen() as console:
            for rows in (_facts(found), _metrics(found.lineage)):
                table = Table.grid(padding=(0, 2))
                for row in rows:
                    table.add_row(*map(printable, row))
                console.print(table)
                console.print()


def _asked(url: str) -> tuple[str, str]:
    """What a running service says of itself: its version and its commit."""
    try:
        answer = requests.get(f"{url.rstrip('/')}/model", timeout=TIMEOUT)
        answer.raise_for_status()
        content = answer.json()
        return str(content["version"]), str(content["commit"])
    except (requests.RequestException, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{url}: /model cannot be asked ({type(error).__name__}); is it a service of this kind?"
        ) from None


def _one(what: str, known: Sequence[Lineage]) -> Lineage:
    wanted = what.rpartition("@")[2]
    found = [each for each in known if _means(wanted, each)]
    if not found:
        raise UserError(f"{what!r} is no release, environment or URL; deploy/ and its history have no such thing")
    if len({each.name for each in found}) > 1:
        raise UserError(f"{what!r} can be {', '.join(sorted({each.name for each in found}))}; say more of it")
    return found[0]


def _means(wanted: str, each: Lineage) -> bool:
    digest = each.digest.removeprefix("sha256:")
    return wanted == each.name or (
        len(wanted) >= 6 and (each.commit.startswith(wanted) or digest.startswith(wanted.removeprefix("sha256:")))
    )


def _facts(found: Trace) -> list[tuple[str, str]]:
    made = found.lineage
    suites = "; ".join(f"{name}: {_counts(counts)}" for name, counts in made.suites.items())
    facts = {
        "release": made.name,
        "runs in": ", ".join(found.environments) or "no environment now",
        "image": f"{made.image}@{made.digest}",
        "commit": f"{made.commit} of {made.created}",
        "authors": ", ".join(made.authors),
        "reviewers": ", ".join(made.reviewers) or "not named in the commit",
        "data": f"{made.data or 'unknown'}, rows: {', '.join(f'{count} {part}' for part, count in made.rows.items())}",
        "contract": f"sha256:{made.schema_}",
        "dvc.lock": f"sha256:{made.lock}",
        "verdict": made.verdict or "none was made",
        "suites": suites,
        "parameters": ", ".join(f"{name}={value}" for name, value in made.params.items()),
    }
    return [*facts.items(), *((each.what, _said(each)) for each in found.findings)]


def _said(finding: Finding) -> str:
    return {True: "", False: "WRONG: ", None: ""}[finding.holds] + finding.said


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


def _metrics(made: Lineage) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, metric in made.metrics.items():
        interval = "" if metric.low is None or metric.high is None else f"{metric.low:.4f} to {metric.high:.4f}"
        rows.append((name, "" if metric.value is None else f"{metric.value:.4f}", interval))
    return rows


def _markdown(found: Trace) -> str:
    lines = [f"# {escape(found.lineage.name)}", "", "| | |", "|---|---|"]
    lines += [f"| {escape(name)} | {escape(text)} |" for name, text in _facts(found)]
    lines += ["", "| metric | value | interval |", "|---|--:|--:|"]
    lines += [f"| {' | '.join(map(escape, row))} |" for row in _metrics(found.lineage)]
    return "\n".join([*lines, "", f"From git alone: {code('slipway lineage ' + found.lineage.name)}"])
