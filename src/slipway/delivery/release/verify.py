"""What can be said of a release beyond what git says: each finding holds, does not, or could not be checked."""

import os
import shutil
from dataclasses import dataclass

from slipway.delivery.git import do, last_line
from slipway.delivery.github.api import GitHub
from slipway.delivery.release.lineage import Lineage
from slipway.delivery.release.registry import registry_of_image
from slipway.errors import UserError

ISSUER = "https://token.actions.githubusercontent.com"  # who vouches for a workflow that signed without a key


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `holds` is None where it could not be."""

    what: str
    holds: bool | None
    said: str


def verify(lineage: Lineage) -> list[Finding]:
    """Look whether the registry has the image, whether it and its SBOM are signed, and who approved of its commit."""
    return [_stored(lineage), *_signed(lineage), _approved(lineage)]


def _stored(lineage: Lineage) -> Finding:
    what = "image"
    if shutil.which("skopeo") is None:
        return Finding(what, None, "not looked up, since skopeo is missing")
    registry = registry_of_image(lineage.image)
    try:
        found = registry.find(lineage.version if registry.folder else lineage.digest)
    except UserError as error:
        return Finding(what, None, f"not looked up: {error}")
    if found is None or found.digest != lineage.digest:
        return Finding(what, False, f"{lineage.image} does not have {lineage.digest[:19]}")
    return Finding(what, True, f"{lineage.image} has {lineage.digest[:19]}")


def _signed(lineage: Lineage) -> list[Finding]:
    """Whether the image is signed, and the list of what it consists of with it, by a workflow of this repository."""
    repository = os.environ.get("GITHUB_REPOSITORY")
    if shutil.which("cosign") is None:
        return [Finding(what, None, "not checked, since cosign is missing") for what in ("signature", "SBOM")]
    if repository is None:
        why = "not checked: GITHUB_REPOSITORY, whose workflows may sign, is not set"
        return [Finding(what, None, why) for what in ("signature", "SBOM")]
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    who = ["--certificate-oidc-issuer", ISSUER, "--certificate-identity-regexp", f"^{server}/{repository}/"]
    ways = {"signature": ["verify"], "SBOM": ["verify-attestation", "--type", "spdxjson"]}
    found = []
    for what, words in ways.items():
        done = do(["cosign", *words, *who, f"{lineage.image}@{lineage.digest}"])
        found.append(Finding(what, done.returncode == 0, last_line(done) if done.returncode else "cosign verifies it"))
    return found


def _approved(lineage: Lineage) -> Finding:
    what, repository, token = "approval", os.environ.get("GITHUB_REPOSITORY"), os.environ.get("GITHUB_TOKEN")
    if lineage.reviewers:
        return Finding(what, True, f"the commit names {', '.join(lineage.reviewers)}")
    if not (repository and token):
        return Finding(what, None, "not looked up: GITHUB_REPOSITORY and GITHUB_TOKEN are not set")
    github = GitHub(repository, token)
    try:
        pulls = [int(pull["number"]) for pull in github.pages(f"commits/{lineage.commit}/pulls")]
        reviews = [(number, review) for number in pulls for review in github.pages(f"pulls/{number}/reviews")]
        said = {
            f"{review['user']['login']} in #{number}" for number, review in reviews if review["state"] == "APPROVED"
        }
    except (UserError, LookupError, TypeError, ValueError) as error:
        return Finding(what, None, f"not looked up: {error}")
    return Finding(what, bool(said), ", ".join(sorted(said)) or "nobody approved a pull request of this commit")
