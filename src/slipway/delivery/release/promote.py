"""From one environment to the next, and back: a commit that copies a digest, as a pull request or at once."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

import typer

from slipway.delivery.git import do, run
from slipway.delivery.github.api import GitHub
from slipway.delivery.release.branch import Change, checked_out, commit_on, has_origin, head, tip_of
from slipway.delivery.release.history import metrics_table, releases
from slipway.delivery.release.lineage import Lineage
from slipway.delivery.release.overlay import KUSTOMIZATION, deploy, deployed, file_of
from slipway.delivery.release.verify import Finding, verify
from slipway.errors import UserError
from slipway.review.report.markdown import code, escape

MOST_DIFFERENCE = 20_000  # characters of a pull request's body
MARKS = {True: "✅", False: "❌", None: "❔"}


@dataclass(frozen=True)
class Proposal:
    """A change of what an environment runs.

    Attributes:
        environment: Which one.
        before: What it runs; None if nothing.
        after: What it is to run.
        branch: Of the pull request.
        title: Of the pull request and the commit.
        body: Of the pull request.
    """

    environment: str
    before: Lineage | None
    after: Lineage
    branch: str
    title: str
    body: str

    def document(self) -> dict[str, Any]:
        """It as JSON's types."""
        before = self.before and self.before.document()
        told = {"branch": self.branch, "title": self.title, "body": self.body}
        return {"environment": self.environment, "before": before, "after": self.after.document(), **told}


def propose_promotion(source: str, target: str, branch: str) -> Proposal:
    """What it takes for one environment to run what another runs.

    Args:
        source: The environment that runs it.
        target: The one that is to.
        branch: The branch that says what runs where, as it was last fetched.

    Raises:
        UserError: One of them does not exist, nothing runs in the first, or the second runs it already.
    """
    if source == target:
        raise UserError(f"{source} cannot be promoted to itself")
    after, before = _deployed(source, branch), _deployed(target, branch)
    if after is None:
        raise UserError(f"nothing runs in {source}; `slipway release` releases there first")
    if before is not None and before.digest == after.digest:
        raise UserError(f"{target} runs {before.name} already; there is nothing to promote")
    return _proposal(f"promote/{target}", before, after, f"Promote {after.name} from {source} to {target}", branch)


def propose_rollback(environment: str, to: str | None, branch: str) -> Proposal:
    """What it takes for an environment to run what it ran before.

    Args:
        environment: Which one.
        to: A release, as its name, its commit, its digest, or a commit of git in which it ran; the one before if None,
            which is never one that a rollback has left.
        branch: The branch that says what runs where.

    Raises:
        UserError: There is no such environment or release, or it runs already.
    """
    before = _deployed(environment, branch)
    if before is None:
        raise UserError(f"nothing runs in {environment}, so there is nothing to roll back")
    tip = head(branch)
    known = [each for each in releases(tip or "HEAD", environment) if each.digest != before.digest]
    if to is None:
        order = releases(tip or "HEAD", environment, by_first_run=True)
        earlier = order[[each.digest for each in order].index(before.digest) + 1 :]
        if not earlier:
            raise UserError(f"{environment} has run no release before {before.name}; there is none to go back to")
        after = earlier[0]
    else:
        after = _wanted(to, known, before, environment)
    title = f"Roll {environment} back to {after.name} from {before.name}"
    return _proposal(f"rollback/{environment}", before, after, title, branch)


def push_now(proposal: Proposal, branch: str) -> str:
    """Change the branch itself, and give the commit.

    Raises:
        UserError: It cannot be pushed.
    """
    return _commit(proposal, branch, None) or "nothing, as it says so already"


def open_pull_request(proposal: Proposal, branch: str) -> str:
    """Push a branch with the change, open a pull request for it where GitHub can be asked, and say where it is.

    Run again, it brings both up to date.

    Raises:
        UserError: It cannot be pushed, or GitHub refuses.
    """
    _commit(proposal, proposal.branch, branch)
    repository, token = os.environ.get("GITHUB_REPOSITORY"), os.environ.get("GITHUB_TOKEN")
    if not (repository and token):
        return (
            f"the branch {proposal.branch} is {'pushed' if has_origin() else 'made'}; open its pull request into "
            f"{branch} (gh pr create --head {proposal.branch} --base {branch})"
        )
    github = GitHub(repository, token)
    owner = repository.partition("/")[0]
    content = {"title": proposal.title, "body": proposal.body}
    for pull in github.pages("pulls", state="open", head=f"{owner}:{proposal.branch}", base=branch):
        github.call("PATCH", f"pulls/{int(pull['number'])}", json=content)
        return f"#{int(pull['number'])} is up to date: {proposal.title}"
    pull = github.call("POST", "pulls", json={**content, "head": proposal.branch, "base": branch})
    return f"#{int(pull['number'])} is open: {proposal.title}"


def _commit(proposal: Proposal, branch: str, start: str | None) -> str | None:
    def change(root: Path) -> Change | None:
        found = deployed(proposal.environment, root)
        if found is not None and found.digest == proposal.after.digest:
            return None
        if (found and found.digest) != (proposal.before and proposal.before.digest):
            raise UserError(f"{proposal.environment} has changed meanwhile; run it again")
        deploy(proposal.environment, proposal.after, root)
        return Change(f"{proposal.title}\n\n{proposal.after.version}, {proposal.after.digest}")

    return commit_on(branch, change, start=start)


def _deployed(environment: str, branch: str) -> Lineage | None:
    """What the branch, as it was last fetched, says of an environment."""
    with checked_out(tip_of(branch)) as root:
        return deployed(environment, root)


def _wanted(to: str, known: Sequence[Lineage], before: Lineage, environment: str) -> Lineage:
    names = {before.name, before.digest}
    if to in names or before.commit.startswith(to):
        raise UserError(f"{environment} runs {before.name} already")
    found = [each for each in known if to == each.name or each.commit.startswith(to) or each.digest.startswith(to)]
    if not found and (commit := do(["git", "rev-parse", "--verify", "--quiet", f"{to}^{{commit}}"]).stdout.strip()):
        ran = releases(commit, environment)[:1]
        found = [each for each in ran if each.digest != before.digest]
    if not found:
        had = ", ".join(each.name for each in known) or "no other"
        raise UserError(f"{to!r} is no release that has run in {environment}; it has run {had}")
    return found[0]


def _proposal(own: str, before: Lineage | None, after: Lineage, title: str, branch: str) -> Proposal:
    environment = own.partition("/")[2]
    with checked_out(tip_of(branch)) as root:
        difference = _difference(environment, after, root)
    body = _body(before, after, difference, verify(after))
    return Proposal(environment, before, after, f"{own}-{after.name}", title, body)


def _body(before: Lineage | None, after: Lineage, difference: str, found: Sequence[Finding]) -> str:
    runs = f"{code(before.name)} of {code(before.version)}" if before else "nothing"
    parts = [
        f"Runs now: {runs}. To run: {code(after.name)} of {code(after.version)}, {code(after.digest[:19])}, data "
        f"{code(after.data or 'unknown')}.",
        f"Verdict of its review: **{escape(after.verdict or 'none was made')}**.",
        metrics_table(after, before),
        "\n".join(f"- {MARKS[each.holds]} {escape(each.what)}: {escape(each.said)}" for each in found),
    ]
    fence = "`" * max(3, _longest_run(difference, "`") + 1)
    cut = difference[:MOST_DIFFERENCE] + ("\n(cut)" if len(difference) > MOST_DIFFERENCE else "")
    parts.append(f"<details><summary>What changes in the cluster</summary>\n\n{fence}diff\n{cut}\n{fence}\n</details>")
    return "\n\n".join(parts) + "\n"


def _difference(environment: str, after: Lineage, root: Path) -> str:
    """How the manifests of an environment change, as kustomize renders them; without it, its own file."""
    old = _rendered(environment, root)
    deploy(environment, after, root)
    return "\n".join(unified_diff(old, _rendered(environment, root), "now", "then", lineterm="", n=2))


def _rendered(environment: str, root: Path) -> list[str]:
    file = root / file_of(environment, root)
    own = sorted(Path(".tools").glob("kustomize-*/kustomize"))  # a project's own, if it has one
    kustomize = shutil.which("kustomize") or (str(own[-1].resolve()) if own else None)
    if kustomize is None or file.name != KUSTOMIZATION:
        return file.read_text(encoding="utf-8").splitlines()
    return run([kustomize, "build", str(file.parent)], f"{environment} cannot be rendered").splitlines()


def _longest_run(text: str, character: str) -> int:
    longest = current = 0
    for each in text:
        current = current + 1 if each == character else 0
        longest = max(longest, current)
    return longest


def show(proposal: Proposal) -> None:
    """Print what would be proposed."""
    typer.echo(f"{proposal.title}\nbranch: {proposal.branch}\n\n{proposal.body}")
