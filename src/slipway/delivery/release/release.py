"""Releasing: the image of a merged commit gets into a registry, and a branch says that staging runs its digest."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from slipway.delivery.git import do
from slipway.delivery.image.build import OCI, OWN, build_image, refuse_unproven
from slipway.delivery.image.engine import find_engine
from slipway.delivery.release.branch import Change, checked_out, commit_on, has_origin, head, is_ancestor, tags
from slipway.delivery.release.history import RELEASES, entry, releases
from slipway.delivery.release.lineage import Lineage, describe
from slipway.delivery.release.overlay import deploy, deployed
from slipway.delivery.release.registry import Registry, Stored, registry_of
from slipway.delivery.ship import version
from slipway.errors import UserError
from slipway.files import write_text
from slipway.params import load_params
from slipway.review.base import git_text

# What no image depends on, besides documents anywhere.
ASIDE = ("deploy", "docs", "tests", "benchmarks", ".github", ".editorconfig", ".vscode", ".devcontainer")


@dataclass(frozen=True)
class Released:
    """What came of a release.

    Attributes:
        lineage: What staging runs now.
        commit: The commit that says so; None if it said so before, or says so of a newer one.
        superseded: Whether staging has a newer release, which stays.
    """

    lineage: Lineage
    commit: str | None
    superseded: bool = False


class _SupersededError(Exception):
    """The environment has a newer release."""

    def __init__(self, newer: Lineage) -> None:
        self.newer = newer


def unchanged(branch: str, environment: str) -> Lineage | None:
    """What runs in an environment, if HEAD has nothing else that ships than the commit that it was built from."""
    tip = head(branch)
    if tip is None:
        return None
    with checked_out(tip) as root:
        found = deployed(environment, root)
    if found is None or not is_ancestor(found.commit, "HEAD"):
        return None
    aside = [*(f":(exclude){name}" for name in ASIDE), ":(exclude,glob)**/*.md"]
    since = ["git", "diff", "--quiet", found.commit, "HEAD", "--", ".", *aside]
    return found if do(since).returncode == 0 else None


def push_image(
    to: str | None = None,
    *,
    test: Callable[[str], bool],
    engine: str | None = None,
    base: str | None = None,
    network: str | None = None,
) -> tuple[Registry, Stored]:
    """Build, test and push the image of HEAD, unless the registry has it.

    Args:
        to: Where to; see `registry_of`.
        test: Whether an image, by its name, is what it should be.
        engine: What builds it; the first that is here if None.
        base: The image that it stands on; that of the settings if None.
        network: The network of the build's steps; the engine's own choice if None.

    Raises:
        UserError: The tree is not what its commit says, the image fails its test, the review said no, or the registry
            does not take it.
    """
    registry, commit = registry_of(to, load_params().image.name), git_text("rev-parse", "HEAD")
    refuse_unproven(allow_dirty=False)
    found = registry.find(version(commit, dirty=False))
    if found is None:
        built = build_image(base=base, engine=engine, network=network)
        if not test(built.image):
            raise UserError(f"{built.image}: failed its test, so it was not pushed")
        builder = find_engine(engine)
        digest = registry.push(builder, built.image, version(commit, dirty=False))
        found = Stored(digest, built.labels)
    if found.labels.get(f"{OCI}.revision") != commit:
        raise UserError(
            f"{registry.name}:{version(commit, dirty=False)}: is an image of another commit; remove it there"
        )
    if found.labels.get(f"{OWN}.verdict") == "fail":
        raise UserError("the review of this model said fail, so it is not released; `make review` says why")
    return registry, found


def release(
    registry: Registry, stored: Stored, *, branch: str = "main", environment: str = "staging", replace: bool = False
) -> Released:
    """Have a branch say that an environment runs the image of HEAD.

    Running it again changes nothing, and completes what was cut short. An older commit never replaces a newer one.

    Args:
        registry: Where the image is.
        stored: The image.
        branch: The branch that says what runs where.
        environment: One of the overlays.
        replace: Replace also a release that is not in this commit's history, as after the branch was rewritten.

    Raises:
        UserError: The commit is not on the branch, what runs is of another history, or it cannot be pushed.
    """
    commit, lineages = git_text("rev-parse", "HEAD"), list[Lineage]()

    def change(root: Path) -> Change | None:
        tip = head(branch)
        if tip is None or not is_ancestor(commit, tip):
            where = f"origin's {branch}" if has_origin() else branch
            raise UserError(f"{commit[:12]} is not on {where}; merge it first")
        before = deployed(environment, root)
        if before is not None and before.commit == commit and before.digest == stored.digest:
            lineages.append(before)
            return None
        if before is not None and before.commit != commit and not replace:
            _refuse_backwards(commit, before)
        known, tagged = releases(tip), tags("model-v*")
        name = next((each.name for each in known if each.commit == commit), f"model-v{_highest(known, tagged) + 1}")
        made = describe(
            commit, name=name, image=registry.name, digest=stored.digest, verdict=stored.labels.get(f"{OWN}.verdict")
        )
        lineages.append(made)
        deploy(environment, made, root)
        write_text(root / RELEASES, entry(made, known, root))
        message = f"Release {name} to {environment}\n\n{commit[:12]}, {stored.digest}"
        return Change(message, tag=None if name in tagged else name)

    try:
        done = commit_on(branch, change)
    except _SupersededError as superseded:
        return Released(superseded.newer, None, superseded=True)
    return Released(lineages[-1], done)


def _refuse_backwards(commit: str, before: Lineage) -> None:
    if is_ancestor(commit, before.commit):
        raise _SupersededError(before)
    if not is_ancestor(before.commit, commit):
        raise UserError(
            f"what runs, {before.name}, was built from {before.commit[:12]}, which is not in the history of "
            f"{commit[:12]}; if the branch was rewritten, say --replace"
        )


def _highest(known: Sequence[Lineage], tagged: Iterable[str]) -> int:
    numbers = [int(text) for tag in tagged if (text := tag.removeprefix("model-v")).isdigit()]
    return max([*numbers, *(each.number for each in known)], default=0)


def show(released: Released, registry: Registry) -> None:
    """Say what came of it."""
    found = released.lineage
    if released.superseded:
        typer.echo(f"{found.name} of a newer commit, {found.version}, is released already; it stays")
    elif released.commit is None:
        typer.echo(f"{found.name} is what is released already: {found.image}@{found.digest}")
    else:
        typer.echo(f"{found.name}: {registry.name}@{found.digest}, by {released.commit[:12]}; `git pull` has it here")
