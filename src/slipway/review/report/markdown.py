"""Markdown that says what a text says, whatever the text holds: names and messages come from data and strangers."""

import re

from slipway.files import printable

LONGEST = 300  # characters of one text
SPECIAL = re.compile(r"[\\`*_\[\]<>|~&#]|^[-+=]|(?<=^ )[-+=]|(?<=\d)[.)](?= )")
PLAIN_CODE = re.compile(r"[\w./:,=~+@#%()\[\]{}'\" -]*\w[\w./:,=~+@#%()\[\]{}'\" -]*", re.ASCII)
# What GitHub makes of a text after Markdown is done with it: mentions, issues, math, emoji and links.
LINKED = re.compile(r"[@#$]|:(?=[^\s])|www(?=\.)|GH(?=-)", re.IGNORECASE)
BREAK = "\u200b"  # takes no room


class Markdown(str):
    """Text that is Markdown already, and is put into a template as it is."""

    __slots__ = ()


def plain(text: object) -> str:
    """A text on one line, without control characters, and not longer than people read."""
    line = printable(re.sub(r"\s+", " ", str(text)))  # spaces at the ends stay: templates join texts
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def escape(text: object) -> Markdown:
    """Markdown that shows a text as it is, also in a cell of a table; Markdown stays."""
    if isinstance(text, Markdown):
        return text
    return Markdown(SPECIAL.sub(r"\\\g<0>", LINKED.sub(rf"\g<0>{BREAK}", plain(text))))


def code(text: object) -> Markdown:
    """A text in the type of code; in a span of backticks a vertical bar would end a table's cell."""
    return Markdown(f"`{text}`") if PLAIN_CODE.fullmatch(line := plain(text)) and line == text else tag(text)


def tag(text: object) -> Markdown:
    """The same, also where Markdown is not read, as in a summary."""
    broken = LINKED.sub(rf"\g<0>{BREAK}", plain(text))  # between tags of code GitHub links all the same
    special = SPECIAL.sub(lambda match: "".join(f"&#{ord(sign)};" for sign in match[0]), broken)
    return Markdown(f"<code>{special}</code>")
