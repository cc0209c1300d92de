"""How a text becomes a moment, in one reading for files and requests: ISO 8601, or the `format` of the column.

`prepare` holds whole columns against `pattern` and lets Polars read what fits; the predictor reads single values. Both
therefore take the same texts, and a property test holds what they read equal.
"""

import re
from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np

_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
MONTHS = [name[:3] for name in _MONTHS.split("|")]
_ZONE = r"(?P<z>[zZ]|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])"
ISO = (
    r"(?P<Y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})"
    rf"(?:[Tt ](?P<H>[0-9]{{2}}):(?P<M>[0-5][0-9])(?::(?P<S>[0-5][0-9])(?P<f>\.[0-9]{{1,9}})?)?{_ZONE}?)?"
)
DIRECTIVES = {
    "%Y": r"(?P<Y>[0-9]{4})",
    "%y": r"(?P<y>[0-9]{2})",  # 70 to 99 are 1970 to 1999, as Polars has it; C and Python begin with 69
    "%m": r"(?P<m>[0-9]{1,2})",
    "%b": f"(?P<b>{'|'.join(MONTHS)})",
    "%B": f"(?P<b>{_MONTHS})",
    "%d": r"(?P<d>[0-9]{1,2})",
    "%H": r"(?P<H>[0-9]{1,2})",
    "%I": r"(?P<I>[0-9]{1,2})",
    "%M": r"(?P<M>[0-5][0-9])",
    "%S": r"(?P<S>[0-5][0-9])",
    "%.f": r"(?P<f>\.[0-9]{1,9})?",
    "%p": "(?P<p>[aApP][mM])",
    "%z": _ZONE,
}


@cache
def pattern(form: str | None) -> str:
    """The regular expression of the whole texts that a format takes; None is ISO 8601.

    Only digits of ASCII count, and month names are English in any case, whatever the machine's language.

    Raises:
        ValueError: The format has a directive that is not in `DIRECTIVES`, or one twice, or tells no year and month.
    """
    if form is None:
        return ISO
    # [0-9] and not \d, which also takes the digits of other scripts.
    steps = re.findall(r"%\.f|%.|[^%]+|%", form, re.DOTALL)
    parts = []
    for place, step in enumerate(steps):
        if not step.startswith("%"):
            parts.append(re.escape(step))
        elif step in DIRECTIVES:
            part = DIRECTIVES[step]
            # Between other digits only a fixed width says where a number ends.
            beside = (steps[place - 1] if place else "", steps[place + 1] if place + 1 < len(steps) else "")
            parts.append(part.replace("{1,2}", "{2}") if any(step.startswith("%") for step in beside) else part)
        else:
            raise ValueError(f"directive {step!r} is none of {', '.join(DIRECTIVES)}")
    used = [step[1:].lower() if step == "%B" else step[1:] for step in steps if step.startswith("%")]
    if len(set(used)) < len(used):
        raise ValueError(f"a directive occurs twice in {form!r}")
    if ("Y" in used) == ("y" in used) or ("m" in used) == ("b" in used):
        raise ValueError(f"{form!r} must tell the year (%Y or %y) and the month (%m, %b or %B), each once")
    if ("I" in used) != ("p" in used) or {"H", "I"} <= set(used):
        raise ValueError(f"{form!r}: the hour is %H, or %I with %p")
    hour = "H" in used or "I" in used
    if hour != ("M" in used) or ("S" in used and not hour) or (".f" in used and "S" not in used):
        raise ValueError(f"{form!r}: hour and minute belong together, seconds to minutes, fractions to seconds")
    return f"(?i:{''.join(parts)})"


@cache
def _compiled(form: str | None) -> re.Pattern[str]:
    return re.compile(pattern(form))


def read_moment(text: str, form: str | None = None) -> datetime:
    """The moment that a text names, without zone, in UTC; digits behind the microsecond are cut off.

    Raises:
        ValueError: It does not have the format, or there is no such day or hour.
        OverflowError: In UTC the moment is before the year 1 or after 9999.
    """
    found = _compiled(form).fullmatch(text)
    if found is None:
        raise ValueError(text)
    part = {name: value for name, value in found.groupdict().items() if value is not None}
    year = int(part["Y"]) if "Y" in part else int(part["y"]) + (1900 if part["y"] >= "70" else 2000)
    month = int(part["m"]) if "m" in part else MONTHS.index(part["b"][:3].lower()) + 1
    hour = int(part.get("H", 0))
    if "I" in part:
        if not 1 <= (hour := int(part["I"])) <= 12:
            raise ValueError(text)
        hour = hour % 12 + 12 * (part["p"].lower() == "pm")
    fraction = int(part.get("f", ".0")[1:7].ljust(6, "0"))
    rest = (int(part.get("d", 1)), hour, int(part.get("M", 0)), int(part.get("S", 0)), fraction)
    moment = datetime(year, month, *rest)  # noqa: DTZ001  # without zone, as the tables hold it
    zone = part.get("z", "Z")
    if zone in "zZ":
        return moment
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return moment - offset if zone[0] == "+" else moment + offset


def moment_of(value: object, form: str | None = None) -> date | np.datetime64:
    """The moment that a date, a datetime or its text stands for, without zone, in UTC.

    Raises:
        TypeError: It is none of these.
        ValueError: The text does not have the format.
        OverflowError: The moment is out of range.
    """
    if isinstance(value, str):
        return read_moment(value.strip(), form)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    if not isinstance(value, date | np.datetime64):
        raise TypeError(value)
    return value
