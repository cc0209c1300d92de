"""What was answered when the project was made of the template, as copier keeps it for `copier update`."""

from dataclasses import dataclass
from pathlib import Path

from slipway import layout
from slipway.errors import UserError
from slipway.settings import read_yaml

ANSWERS = Path(".copier-answers.yml")
DEMO = "demo"


@dataclass(frozen=True)
class Promised:
    """The table that the project was made for; `target` is empty where nobody has said what to predict."""

    path: Path
    target: str


def promised(root: Path = Path()) -> Promised | None:
    """The table that was named as the data; None if none was, as for the demo, or nobody was asked.

    Raises:
        UserError: The answers are no YAML.
    """
    if not (root / ANSWERS).exists():
        return None
    answers = read_yaml(root / ANSWERS)
    data = answers.get("data") if isinstance(answers, dict) else None
    if not isinstance(data, str) or data.strip() in {"", DEMO}:
        return None
    named = data.strip()
    # Paths and columns may hold colons: what is there tells which one is meant. One letter is a drive of Windows.
    colons = [place for place, letter in enumerate(named) if letter == ":" and place > 1]
    readings = [(named, ""), *((named[:place], named[place + 1 :]) for place in reversed(colons))]
    there = [each for each in readings if Path(each[0]).expanduser().exists()]
    path, target = (there or readings[1:2] or readings)[0]
    return Promised(Path(path).expanduser(), target)


def table() -> Promised:
    """The table that was named.

    Raises:
        UserError: None was, or it is not there.
    """
    found = promised()
    if found is None:
        raise no_data()
    if not found.path.exists():
        raise UserError(
            f"{found.path}: no such file or folder; it was named when the project was made ({ANSWERS}: data); "
            "bring a table: make adopt FILE=<path> TARGET=<column>"
        )
    return found


def is_empty(root: Path = Path()) -> bool:
    """Whether the project has no data yet: no contract, nothing versioned, nothing run."""
    return not any((root / path).exists() for path in (layout.SCHEMA, layout.DATA_DVC, layout.LOCK))


def no_data(root: Path = Path()) -> UserError:
    """What to do in a project without data."""
    found = promised(root)
    how = "make adopt FILE=<path> TARGET=<column>" if found is None else "make adopt TARGET=<column>"
    return UserError(f"this project has no data yet; bring your own: {how}")
