"""What a check finds."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from slipway.errors import UserError

Outcome = Literal["ok", "advice", "wrong"]
BUG = "report it: this is a mistake of the template, not yours"
COMPARE = "git status # what is not as it was committed"
LONGEST = 200  # characters of what a program said


@dataclass(frozen=True)
class Finding:
    """The outcome of a check.

    Attributes:
        name: What was looked at.
        outcome: `advice` is something optional that is missing, or cannot be told from here.
        found: What was found, in a line.
        mend: What mends it, in a line; empty if nothing needs to be mended.
    """

    name: str
    outcome: Outcome
    found: str
    mend: str = ""


# A check yields nothing where it does not apply.
Look = Callable[[], Iterator[Finding]]


def from_error(name: str, error: Exception, outcome: Outcome = "wrong") -> Finding:
    """What stopped a check: something that the user can mend, of this outcome, or a mistake in the check itself."""
    if isinstance(error, UserError):
        found, _, mend = str(error).rpartition("; ")  # such messages end with what to do, nearly all of them
        return Finding(name, outcome, found, mend) if found else Finding(name, outcome, mend, COMPARE)
    return Finding(name, "wrong", f"the check itself broke: {type(error).__name__}: {short(error)}", BUG)


def short(said: object) -> str:
    """What a program or an exception said, in one line of bearable length: its beginning, and its end with the cause.

    It is without secrets: one that is cut in two could no longer be told.
    """
    text, half = without_secrets(" ".join(str(said).split())), (LONGEST - 5) // 2
    return text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}"


def without_secrets(text: str) -> str:
    """A text whose URLs name no user and no password: those of remotes often hold a token."""
    return re.sub(r"(\w://)[^/@\s]*@", r"\1", text)
