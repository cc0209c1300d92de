"""What a pull request's workflow asks first and last: which jobs have to run, and did all run that had to?

`python3 jobs.py changed` and `python3 jobs.py gate` need Python alone, so that neither job installs anything.
"""

import fnmatch
import json
import os
import subprocess
import sys
from pathlib import Path

# What neither the pipeline nor the image depends on: documents, editors, and what says which image runs where.
DOCUMENTS = (
    *("*.md", "docs/*.png", "docs/*.svg", "LICENSE", "deploy/*"),
    *(".github/ISSUE_TEMPLATE/*.yml", ".github/CODEOWNERS", ".editorconfig", ".vscode/*", ".devcontainer/*"),
)
ALWAYS = ("changes", "quality")  # jobs that every pull request needs
DEPENDING = ("line", "container", "dependencies")  # where the job `changes` says so


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


def jobs() -> dict[str, bool]:
    """Which of the jobs have to run that not every change needs."""
    line = changed()
    return {"line": line, "container": line, "dependencies": line and _is_reviewed()}


def _is_reviewed() -> bool:
    """Whether GitHub can hold the change's dependencies against the base's: in pull requests, where it has their graph.

    It has in public repositories, and in private ones with GitHub Code Security.
    """
    try:
        event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    except (LookupError, OSError, ValueError):
        return False
    public = (event.get("repository") or {}).get("visibility") == "public"
    return "pull_request" in event and (public or os.environ.get("CODE_SECURITY") == "true")


def missing(needs: object) -> list[str]:
    """What stands against a merge, of the results of the jobs before, as GitHub gives them.

    Everything had to succeed; only what the job `changes` said need not run may have been left out.
    """
    if not isinstance(needs, dict) or not {*ALWAYS, *DEPENDING} <= set(needs):
        return [f"the workflow does not say how {', '.join((*ALWAYS, *DEPENDING))} went"]
    outputs = needs["changes"].get("outputs") or {}
    skippable = [name for name in DEPENDING if outputs.get(name) == "false"]
    found = []
    for name, job in needs.items():
        result = job.get("result")
        if result == "success" or (result == "skipped" and name in skippable):
            continue
        found.append(f"{name}: {result}")
    return found


def main(verb: str) -> int:
    """Answer one of the two questions; the exit code is that of the job."""
    if verb == "changed":
        lines = "\n".join(f"{name}={'true' if needed else 'false'}" for name, needed in jobs().items())
        print(lines)  # noqa: T201
        if path := os.environ.get("GITHUB_OUTPUT"):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(f"{lines}\n")
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
