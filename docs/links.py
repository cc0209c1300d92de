"""Asks every address outside that the built site names whether it is still there: `make links`."""

import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from time import sleep

import requests

TRIES, PAUSE, SECONDS = 3, 2.0, 20.0
OWN = "https://github.com/owner/"  # stands for a repository that a project has yet to get
REFUSED = {401, 403, 405, 429}  # there is somebody, who does not answer programs


class Links(HTMLParser):
    """The addresses that a page names."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str | None] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take those that begin with http."""
        if tag in {"a", "img", "link", "script"}:
            self.found |= {
                value for name, value in attrs if name in {"href", "src"} and (value or "").startswith("http")
            }


def outside(site: Path) -> dict[str, list[str]]:
    """The addresses outside that a site names, each with the pages that do."""
    named: dict[str, list[str]] = defaultdict(list)
    for page in sorted(site.rglob("*.html")):
        links = Links()
        links.feed(page.read_text(encoding="utf-8"))
        for address in links.found:
            named[str(address).partition("#")[0]].append(str(page.relative_to(site)))
    return {address: pages for address, pages in sorted(named.items()) if not address.startswith(OWN)}


def problem(address: str, pause: float = PAUSE) -> str:
    """What is wrong with an address; nothing, if it is there or somebody says that programs may not ask."""
    found = ""
    for attempt in range(TRIES):
        sleep(attempt * pause)
        try:
            with requests.get(address, timeout=SECONDS, stream=True, headers={"User-Agent": "links"}) as answer:
                found = "" if answer.ok or answer.status_code in REFUSED else f"status {answer.status_code}"
        except requests.RequestException as error:
            found = type(error).__name__
        if not found:
            break
    return found


def check(site: Path, pause: float = PAUSE) -> list[str]:
    """A line for every address that is not there."""
    named = outside(site)
    with ThreadPoolExecutor(8) as pool:
        problems = pool.map(lambda address: problem(address, pause), named)
    return [
        f"{address}: {what} ({', '.join(named[address])})"
        for address, what in zip(named, problems, strict=True)
        if what
    ]


if __name__ == "__main__":
    faults = check(Path(sys.argv[1]))
    sys.stdout.write("".join(f"{line}\n" for line in faults) or "every address outside is there\n")
    sys.exit(bool(faults))
