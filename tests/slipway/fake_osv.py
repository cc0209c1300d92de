"""A server on loopback that answers the two calls of an audit as the OSV service does."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from loopback import serving

SINCE = "2026-01-01T00:00:00Z"


@contextmanager
def fake_osv(known: Mapping[str, str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve for as long as the block lasts; gives the address, and the packages that were asked for.

    Args:
        known: The vulnerability of a package, by its name.
    """
    asked: list[dict[str, Any]] = []

    def answer(method: str, target: str, headers: Mapping[str, str], content: Any) -> tuple[int, Any]:
        if (method, target) == ("POST", "/v1/querybatch"):
            asked.extend(content["queries"])
            found = [known.get(query["package"]["name"]) for query in content["queries"]]
            return 200, {"results": [{"vulns": [{"id": each, "modified": SINCE}]} if each else {} for each in found]}
        number = target.removeprefix("/v1/vulns/")
        name = next((name for name, number_of in known.items() if number_of == number), None)
        if method != "GET" or name is None:
            return 404, {"message": "Not Found"}
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "999"}]}]
        affected = {"package": {"ecosystem": "PyPI", "name": name}, "ranges": ranges}
        return 200, {"id": number, "summary": "a hole", "modified": SINCE, "affected": [affected]}

    with serving(answer) as url:
        yield url, asked
