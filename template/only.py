"""Write `template/only.txt`: the packages in `uv.lock` that the group `template` alone takes, which no project needs.

`python template/only.py` after each change of `uv.lock`; a test says when it was forgotten.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any

LIST = Path(__file__).with_suffix(".txt")
GROUP, SELF = "template", "slipway"


def only(lock: dict[str, Any]) -> list[str]:
    """The names of the packages that can be reached from the project by the group alone."""
    packages: dict[str, list[Any]] = {}
    for package in lock["package"]:
        extras = [entry for entries in package.get("optional-dependencies", {}).values() for entry in entries]
        packages.setdefault(package["name"], []).extend([*package.get("dependencies", []), *extras])
    (own,) = [package for package in lock["package"] if package["name"] == SELF]
    groups = own["dev-dependencies"]
    waiting = [*own["dependencies"], *(entry for name, group in groups.items() if name != GROUP for entry in group)]
    seen = {SELF}
    while waiting:
        name = waiting.pop()["name"]
        if name not in seen:
            seen.add(name)
            waiting.extend(packages[name])
    return sorted(set(packages) - seen)


if __name__ == "__main__":
    found = only(tomllib.loads(Path("uv.lock").read_text(encoding="utf-8")))
    LIST.write_text("".join(f"{name}\n" for name in found), encoding="utf-8")
    sys.stdout.write(f"{LIST}: {len(found)} packages\n")
