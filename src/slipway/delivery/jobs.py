"""What a pull request's workflow asks first and last: does the pipeline have to run, and did all run that had to?

`python3 jobs.py changed` and `python3 jobs.py gate` need Python alone, so that neither job installs anything.
"""

import fnmatch
import json
import os
import subprocess
import sys
from pathlib import Path

DOCUMENTS = ("*.md", "docs/*.png", "docs/*.svg", "LICENSE", ".github/ISSUE_TEMPLATE/*.yml", ".github/CODEOWNERS")
ALWAYS = ("changes", "quality")  # jobs that every pull request needs
UNLESS_DOCUMENTS = ("line",)


def changed() -> bool:
    """Whether the pull request changes more than documents; also where that cannot be told."""
    base = os.environ.get("GITHUB_BASE_REF")
    if not base:
        return True  # no pull request
    command = [
        "git",
        "diff",
        "--name-only",
        "-z",
        "--no-renames",
        "--ignore-submodules=none",
        f"origin/{base}...HEAD",
        "--",
    ]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        print(f"::notice::what changed since {base} cannot be told, so everything runs")  # noqa: T201
        return True
    names = os.fsdecode(done.stdout).split("\0")[:-1]
    return not names or not all(any(fnmatch.fnmatch(name, pattern) for pattern in DOCUMENTS) for name in names)


def missing(needs: object) -> list[str]:
    """What stands against a merge, of the results of the jobs before, as GitHub gives them.

    Everything had to succeed; only what the documents of a pull request cannot break may have been left out.
    """
    if not isinstance(needs, dict) or not {*ALWAYS, *UNLESS_DOCUMENTS} <= set(needs):
        return [f"the workflow does not say how {', '.join((*ALWAYS, *UNLESS_DOCUMENTS))} went"]
    outputs = needs["changes"].get("outputs") or {}
    skippable = outputs.get("line") == "false"
    found = []
    for name, job in needs.items():
        result = job.get("result")
        if result == "success" or (result == "skipped" and skippable and name in UNLESS_DOCUMENTS):
            continue
        found.append(f"{name}: {result}")
    return found


def main(verb: str) -> int:
    """Answer one of the two questions; the exit code is that of the job."""
    if verb == "changed":
        line = f"line={'true' if changed() else 'false'}"
        print(line)  # noqa: T201
        if path := os.environ.get("GITHUB_OUTPUT"):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        return 0
    try:
        needs = json.loads(os.environ.get("NEEDS", ""))
    except ValueError:
        needs = None
    problems = missing(needs)
    print("\n".join(f"::error::{problem}" for problem in problems) or "everything ran that had to, and passed")  # noqa: T201
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
