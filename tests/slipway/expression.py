"""GitHub's expressions, as far as the workflows of this project use them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

TOKENS = re.compile(r"\s*('(?:[^']|'')*'|&&|\|\||==|!=|[!(),]|-?\d+(?:\.\d+)?|\.?[A-Za-z_][\w-]*(?:\.[\w-]+)*)")


class Expression:
    """An expression of GitHub's: literals, properties, `! && || == !=` and some functions.

    Args:
        text: Without `${{ }}`.
        values: The contexts, such as `github` and `needs`.
        functions: By name.
    """

    def __init__(self, text: str, values: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> None:
        self._tokens = TOKENS.findall(text)
        assert "".join(self._tokens) == re.sub(r"\s+(?=(?:[^']*'[^']*')*[^']*$)", "", text), text
        self._values, self._functions, self._at = values, functions, 0

    def value(self) -> Any:
        found = self._any()
        assert self._at == len(self._tokens), self._tokens
        return found

    def _next(self, *expected: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] in expected:
            self._at += 1
            return True
        return False

    def _any(self) -> Any:
        found = self._all()
        while self._next("||"):
            other = self._all()
            found = found or other
        return found

    def _all(self) -> Any:
        found = self._equal()
        while self._next("&&"):
            other = self._equal()
            found = found and other
        return found

    def _equal(self) -> Any:
        found = self._one()
        while self._at < len(self._tokens) and (sign := self._tokens[self._at]) in {"==", "!="}:
            self._at += 1
            other = self._one()
            same = (found or "") == (other or "") if found is None or other is None else found == other
            found = same if sign == "==" else not same
        return found

    def _one(self) -> Any:
        if self._next("!"):
            return not self._one()
        if self._next("("):
            found = self._any()
            assert self._next(")")
            return found
        token = self._tokens[self._at]
        self._at += 1
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if self._next("("):
            words = []
            while not self._next(")"):
                words.append(self._any())
                self._next(",")
            found = self._functions[token](*words)
            if self._at == len(self._tokens) or not self._tokens[self._at].startswith("."):
                return found
            token = self._tokens[self._at].removeprefix(".")
            self._at += 1
        else:
            found = self._values
        for step in token.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
        return found
