"""Numbers in sentences."""


def digits_apart(value: float, limit: float, least: int) -> int:
    """The significant digits, of `least` or more, with which two numbers that differ read differently."""
    digits = least
    while value != limit and digits < 17 and f"{value:.{digits}g}" == f"{limit:.{digits}g}":
        digits += 1
    return digits
