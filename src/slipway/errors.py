"""What is said to people: the one exception that is theirs to mend, and warnings."""

import sys


class UserError(Exception):
    """Something the user can mend: what is wrong, where, and what to do, in a line; commands then exit with 2."""


def warn(what: str, message: str) -> None:
    """Tell the user something that does not stop the run."""
    print(f"warning: {what}: {message}", file=sys.stderr)  # noqa: T201
