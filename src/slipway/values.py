"""What a single value means: its text, whether it is missing, the number or truth value it stands for."""

from decimal import Decimal
from typing import Any

import numpy as np

TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")  # texts of booleans, in lower case


def as_text(value: Any) -> str:
    """The text of a category as YAML, JSON and the tables agree on it: `true`, not `True`; `3`, not `3.0` or `3e0`."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return np.format_float_positional(value + 0.0, trim="-")  # -0 is 0
    return str(value).strip()


def is_missing(value: object, markers: tuple[str, ...]) -> bool:
    """Whether a value means "no value": None, NaN, NaT, empty text or one of the markers."""
    if value is None:
        return True
    if isinstance(value, str):
        text = value.strip()
        return not text or text in markers
    return bool(value != value)  # noqa: PLR0124  # NaN and NaT alone differ from themselves


def number_of(value: Any) -> float:
    """The number a value stands for; infinite if it stands for none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return np.inf
    # Python alone reads 1_000 as a number and "nan" as one that is missing; the tables read neither.
    return np.inf if isinstance(value, str) and ("_" in value or np.isnan(number)) else number


def boolean_of(value: object) -> float:
    """0 or 1; infinite if a value stands for neither."""
    text = as_text(value).lower()
    return 1.0 if text in TRUE else 0.0 if text in FALSE else np.inf


def number_text(value: float, digits: int = 3) -> str:
    """A number as people read it: 1,230,000 and 0.00012, not 1.23e+06 and 1.2e-04."""
    text = f"{value:.{digits}g}"
    return f"{Decimal(text):,f}" if not value or 1e-9 < abs(value) < 1e15 else text
