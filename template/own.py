"""`make own`: a copy of the template, as GitHub's "Use this template" makes it, becomes a project of its own.

It asks what `copier copy` asks, renders the template's newest version beside, removes what makes, tests and tells of
the template, and leaves all of it staged, to be looked at and committed. From then on `copier update` keeps it current.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import copier
from copier.errors import CopierError
from plumbum import ProcessExecutionError
from ruamel.yaml import YAML

TEMPLATE = "https://github.com/owner/slipway"
QUESTIONS, ANSWERS = "copier.yml", ".copier-answers.yml"


class RefusedError(Exception):
    """It cannot be done here; the message says why, and what to do."""


def git(*words: str, at: Path | str = ".") -> str:
    """Run git and give what it printed.

    Raises:
        RefusedError: It failed.
    """
    done = subprocess.run(["git", *words], cwd=at, capture_output=True, text=True, check=False)  # noqa: S603, S607
    if done.returncode:
        raise RefusedError(f"git {words[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return done.stdout


def repository() -> dict[str, str]:
    """What `origin` is called on GitHub, as the proposed answer, if it is there."""
    done = subprocess.run(["git", "remote", "get-url", "origin"], capture_output=True, text=True, check=False)  # noqa: S607
    found = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?$", done.stdout.strip())
    return {"repository": found[1]} if found else {}


@dataclass(frozen=True)
class Done:
    """What was done to a copy.

    Attributes:
        written: How many files are new or changed.
        removed: How many are gone.
        lost: Those of both whose text the template never had: somebody's work, which git still has.
    """

    written: int
    removed: int
    lost: list[str]


def own(source: str, answers: Mapping[str, str], *, ask: bool) -> Done:
    """Turn the copy in the current folder into a project, staged and not committed.

    Args:
        source: The template, as a folder or an address that git knows.
        answers: What need not be asked.
        ask: Whether to ask the rest; otherwise it is as proposed.

    Raises:
        RefusedError: This is no copy of the template, it has changes that are not committed, or what is answered is not
            asked.
    """
    if not Path(QUESTIONS).exists():
        raise RefusedError("this is a project of its own already; `uvx copier update` keeps it current")
    if git("status", "--porcelain"):
        raise RefusedError("there are changes that are not committed; commit or stash them first")
    asked = [name for name, each in read_yaml(Path(QUESTIONS)).items() if name[0] != "_" and each.get("when", True)]
    if unknown := sorted(set(answers) - set(asked)):
        raise RefusedError(f"{', '.join(unknown)}: not asked; these are: {', '.join(asked)}")
    with TemporaryDirectory() as scratch:
        made = Path(scratch) / Path.cwd().name  # the folder proposes the name
        copier.run_copy(
            source, made, data=dict(answers), user_defaults=repository(), defaults=not ask, quiet=True, overwrite=True
        )
        version = read_yaml(made / ANSWERS)["_commit"]
        git("clone", "--quiet", "--no-checkout", "--", source, f"{scratch}/template")
        known = set(git("ls-tree", "-r", "-z", "--name-only", version, at=f"{scratch}/template").split("\0"))
        files = {path.relative_to(made) for path in made.rglob("*") if path.is_file()}
        known &= set(git("ls-files", "-z").split("\0")) - {""}
        gone = [name for name in known if Path(name) not in files]
        listed = git("rev-list", "--objects", "--all", at=f"{scratch}/template").splitlines()
        ever = {line.partition(" ")[0] for line in listed}  # all texts that the template has had
        try:
            for name in gone:
                Path(name).unlink()
                for folder in Path(name).parents[:-1]:
                    if not any(folder.iterdir()):
                        folder.rmdir()
            for file in files:
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(made / file, file)
            git("add", "--all")
        except BaseException:  # as it was, whatever it was that happened, and there was nothing else
            git("reset", "--quiet", "--hard")
            git("clean", "--quiet", "--force", "-d")
            raise
    # Lines of `:mode mode blob blob letter` and, apart by a NUL, the path: what stood there before, and what does now.
    parts = git("diff", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames").split("\0")
    changes = {path: change.split()[2:] for change, path in zip(parts[::2], parts[1::2], strict=False)}
    lost = [path for path, (before, _, _) in changes.items() if before.strip("0") and before not in ever]
    removed = sum(letter == "D" for _, _, letter in changes.values())
    return Done(len(changes) - removed, removed, lost)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a file holds."""
    return dict(YAML(typ="safe").load(path))


def main() -> int:
    """Read the command line, do it, and say what comes next."""
    parser = argparse.ArgumentParser(prog="make own", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--from", dest="source", default=TEMPLATE, help="the template (default: %(default)s)")
    parser.add_argument("--defaults", action="store_true", help="ask nothing, take what is proposed")
    parser.add_argument("-d", "--data", action="append", default=[], metavar="NAME=ANSWER", help="answer in advance")
    given = parser.parse_args()
    pairs = [entry.partition("=") for entry in given.data]
    try:
        done = own(given.source, {name: answer for name, _, answer in pairs}, ask=not given.defaults)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; nothing has changed\n")
        return 130
    except ProcessExecutionError as error:  # of copier's git
        last = (error.stderr.strip().splitlines() or ["git gave no reason"])[-1]
        sys.stderr.write(f"error: {given.source}: cannot be had ({last}); --from names another place\n")
        return 2
    except (RefusedError, CopierError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if done.lost:
        sys.stdout.write(f"Your work in {', '.join(done.lost)} gave way; `git show HEAD:<file>` has it.\n")
    sys.stdout.write(
        f"{done.written} files written or changed, {done.removed} removed, all staged. Look at them with `git status`, "
        "then\n\n    git commit -m 'A project of its own'\n    make repro\n\nor go back: git reset --hard\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
