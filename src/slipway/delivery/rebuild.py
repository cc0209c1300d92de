"""Whether the committed metrics come out of the raw data again, with nothing at hand that an earlier run has left."""

import math
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway import layout
from slipway.errors import UserError
from slipway.files import read_report, scratch_folder
from slipway.params import load_params
from slipway.tools import find_uv, own_environment

WORKSHOP = Path(".dvc/tmp/rebuild")
ROUNDING = 1e-12  # below it a number is what is left of a sum that should be zero


@dataclass(frozen=True)
class Differing:
    """A metric that came out otherwise; None is one that has no value on that side, or is not there."""

    name: str
    committed: Any
    remade: Any


@dataclass(frozen=True)
class Rebuilt:
    """What came of a commit's pipeline: how many numbers were compared, and those beyond the tolerance."""

    commit: str
    compared: int
    tolerance: float
    differing: tuple[Differing, ...]


def rebuild() -> Rebuilt:
    """Run the pipeline of HEAD in a clone, from the raw data and by force, and compare its metrics with the committed.

    The clone has an environment and a DVC cache of its own. Nothing but the raw data is pulled.

    Raises:
        UserError: HEAD has no metrics, the data cannot be pulled, or the pipeline does not run.
    """
    top, prefix = _git("rev-parse", "--show-toplevel"), _git("rev-parse", "--show-prefix")
    commit = _git("rev-parse", "--verify", "HEAD")
    with scratch_folder(WORKSHOP) as scratch:
        clone = scratch.resolve() / "clone"
        _git("clone", "--quiet", top, str(clone))
        tree = clone / prefix
        if not (tree / layout.METRICS).exists():
            raise UserError(f"{layout.METRICS}: not in {commit[:9]}; run `make repro` and commit what it made")
        committed = _numbers(read_report(tree / layout.METRICS))
        tolerance = load_params(tree / layout.PARAMS).rebuild.tolerance
        _set_apart(tree)
        _run(tree, "its environment cannot be installed", "sync", "--frozen", "--quiet")
        _run(tree, "its raw data cannot be pulled", "run", "--frozen", "dvc", "pull", "--quiet", str(layout.DATA_DVC))
        _run(tree, "its pipeline did not run from the raw data", "run", "--frozen", "dvc", "repro", "--force")
        remade = _numbers(read_report(tree / layout.METRICS))
    return Rebuilt(commit, len(committed), tolerance, tuple(compare(committed, remade, tolerance)))


def compare(committed: dict[str, Any], remade: dict[str, Any], tolerance: float) -> Iterator[Differing]:
    """The metrics that differ by more than a share of the greater of both, or are on one side only.

    Args:
        committed: Values by name.
        remade: Values by name.
        tolerance: The share.
    """
    for name in [*committed, *(name for name in remade if name not in committed)]:
        old, new = committed.get(name), remade.get(name)
        if isinstance(old, int | float) and isinstance(new, int | float):
            same = math.isclose(old, new, rel_tol=tolerance, abs_tol=ROUNDING)
        else:
            same = old == new and (name in committed) == (name in remade)
        if not same:
            yield Differing(name, old, new)


def report(found: Rebuilt) -> str:
    """What was found, a line for each metric that differs."""
    within = f"rebuild.tolerance ({found.tolerance:g} of its value)"
    lines = [f"{each.name}: committed {_text(each.committed)}, now {_text(each.remade)}" for each in found.differing]
    if not lines:
        return f"all {found.compared} metrics of {found.commit[:9]} come out of the raw data again, within {within}"
    lines.append(
        f"{len(lines)} metrics of {found.commit[:9]} differ by more than {within}: something decides on them that "
        "neither git nor data.dvc holds, or dvc.lock and the reports were committed without a run"
    )
    return "\n".join(lines)


def _text(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, int | float) else "nothing" if value is None else str(value)


def _numbers(content: Any, prefix: str = "") -> dict[str, Any]:
    """A report's values by dotted name."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= _numbers(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _set_apart(tree: Path) -> None:
    """Give a clone this machine's way to the remotes, and a cache that nobody else fills."""
    from dvc.repo import Repo

    with Repo() as project:
        remotes = project.config["remote"]
        root = Path(project.root_dir)
        elsewhere = {
            name: {"url": settings["url"]}  # as an absolute path: the clone does not lie where we do
            for name, settings in remotes.items()
            if Path(settings["url"]).is_absolute() and not Path(settings["url"]).is_relative_to(root)
        }
    own = Path(".dvc/config.local")  # credentials
    if own.exists():
        shutil.copy(own, tree / own)
    with Repo(str(tree)) as project, project.config.edit("local") as local:
        local.setdefault("cache", {})["dir"] = str(tree / ".dvc/cache")
        for name, settings in elsewhere.items():
            local.setdefault("remote", {}).setdefault(name, {}).update(settings)


def _run(tree: Path, problem: str, *words: str) -> None:
    """Run uv in a clone; what it says goes where ours does."""
    done = subprocess.run([find_uv(), *words], cwd=tree, env=own_environment(), check=False)  # noqa: S603
    if done.returncode:
        raise UserError(f"the last commit was not rebuilt: {problem}; what stopped it stands above")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"git {words[0]}: {said[:200]}; rebuild works in a git repository with a commit")
    return done.stdout.strip()
