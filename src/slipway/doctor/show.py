"""What was found, for the person who asked, and for machines."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from slipway.doctor.finding import Finding, Outcome
from slipway.files import printable
from slipway.summary import screen

STYLES: dict[Outcome, str] = {"ok": "green", "advice": "yellow", "wrong": "bold red"}


def is_sound(findings: Sequence[Finding]) -> bool:
    """Whether nothing is wrong."""
    return not any(finding.outcome == "wrong" for finding in findings)


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """All of them for machines."""
    return {"sound": is_sound(findings), "findings": [asdict(finding) for finding in findings]}


def show(findings: Sequence[Finding]) -> None:
    """Print each finding, below it what mends it, and how many there are last."""
    with screen() as console:
        _print(console, findings)


def _print(console: Console, findings: Sequence[Finding]) -> None:
    width = max((len(finding.name) for finding in findings), default=0)
    for finding in findings:
        line = Text(f"{finding.outcome:<6}", style=STYLES[finding.outcome])
        line.append(f"  {finding.name:<{width}}  {printable(finding.found)}", style="not bold default")
        # Lines are left to the terminal to break: a command that rich broke could not be copied.
        console.print(line, soft_wrap=True)
        if finding.mend:
            console.print(Text(f"{'':<{width + 8}}  -> {printable(finding.mend)}", style="dim"), soft_wrap=True)
    counts = Counter(finding.outcome for finding in findings)
    text = ", ".join(f"{count} {outcome}" for outcome in STYLES if (count := counts[outcome]))
    console.print(Text(f"\n{text}", style=STYLES["ok" if is_sound(findings) else "wrong"]))
