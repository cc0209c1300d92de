"""The image: the tree is proved, the release and its Bento are assembled, and the Dockerfile is built over them."""

import os
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from slipway import layout
from slipway.about import project_licence
from slipway.delivery import lock
from slipway.delivery.image.bento import assemble, build_bento
from slipway.delivery.image.engine import Engine, find_engine
from slipway.delivery.ship import ship, verdict
from slipway.errors import UserError
from slipway.files import read_report, write_json
from slipway.params import load_params
from slipway.review.base import git_text
from slipway.review.candidate import refuse_foreign
from slipway.service.release import MODEL, Release
from slipway.signature import load_signature

DOCKERFILE = Path("Dockerfile")
BUILT = layout.ARTIFACTS / "image.json"  # what was built last, for the commands after this one
LOG = layout.ARTIFACTS / "image.log"
OCI = "org.opencontainers.image"
OWN = "slipway"  # the prefix of labels that OCI has no name for


@dataclass(frozen=True)
class Built:
    """An image that was built.

    Attributes:
        image: Its name and tag.
        id: The digest of its configuration.
        bento: The tag of its Bento.
        base: The image that it stands on.
        base_digest: The digest of that.
        bytes: Its size, all layers together, not compressed; None if the engine does not say.
        over_base: How much of that is not the base's.
        labels: Its labels.
    """

    image: str
    id: str
    bento: str
    base: str
    base_digest: str
    bytes: int | None
    over_base: int | None
    labels: dict[str, str]


def build_image(
    *,
    base: str | None = None,
    engine: str | None = None,
    network: str | None = None,
    fallback: str | None = None,
    allow_dirty: bool = False,
    fresh: bool = False,
) -> Built:
    """Build the image of the workspace's model.

    Args:
        base: The image that it stands on; that of the settings if None.
        engine: What builds it; the first that is here if None.
        network: The network of the build's steps; the engine's own choice if None.
        fallback: The revision whose model answers when this one fails; without it the training prior does.
        allow_dirty: Build also what no commit holds; the version then says so.
        fresh: Use no layer of an earlier build.

    Raises:
        UserError: The tree is not what the commit and dvc.lock say, there is no engine, or the build failed.
    """
    settings = load_params().image
    dirty = refuse_unproven(allow_dirty=allow_dirty)
    builder = find_engine(engine)
    base = base or settings.base
    under = builder.fetch(base)
    release = ship(layout.RELEASE, fallback)
    version = release.version + ("-dirty" if dirty and not release.dirty else "")
    # BentoML takes `a:b` for a module first: a Bento with the name of a package would be served with that one's code.
    name = f"{settings.name.rpartition('/')[2]}-service"
    with TemporaryDirectory(prefix="slipway-") as scratch:  # BentoML builds in no folder whose name begins with a dot
        group = assemble(layout.RELEASE, Path(scratch))
        bento = build_bento(Path(scratch), name, version, _created().isoformat())
    tag = f"{settings.name}:{version}"
    labels = labels_of(release, version, base, under.digest)
    labels[f"{OWN}.requirements"] = group
    builder.build(
        bento,
        DOCKERFILE,
        tag,
        labels=labels,
        arguments={"BASE": base, "SOURCE_DATE_EPOCH": str(int(_created().timestamp()))},
        log=LOG,
        network=network,
        fresh=fresh,
    )
    return _note(builder, tag, f"{name}:{version}", base, labels)


def last_built() -> str:
    """The name of the image that was built last.

    Raises:
        UserError: None was, or the note of it is damaged.
    """
    if not BUILT.exists():
        raise UserError(f"{BUILT}: no image has been built here; run `make image`, or name one with --image")
    return str(read_report(BUILT)["image"])


def refuse_unproven(*, allow_dirty: bool) -> bool:
    """Stop where the commit does not hold what would ship; gives whether the tree is dirty.

    Raises:
        UserError: A file is changed or new, dvc.lock does not belong to the tree, or the model is not the one that it
            names; or, whatever is allowed, there is no commit.
    """
    if not git_text("rev-parse", "HEAD"):
        raise UserError("git has no commit here, which an image is named after; commit first")
    changed = git_text("status", "--porcelain").splitlines()
    problems = lock.check()
    if allow_dirty:
        return bool(changed or problems)
    leave = "or say --allow-dirty"
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UserError(f"the tree is dirty: {changed[0].split(maxsplit=1)[-1]}{more}; commit it, {leave}")
    if problems:
        where = problems[0].stage or layout.LOCK
        raise UserError(f"dvc.lock does not belong to this tree ({where}: {problems[0].message}); make repro, {leave}")
    refuse_foreign(layout.MODEL)
    return False


def labels_of(release: Release, version: str, base: str, digest: str) -> dict[str, str]:
    """The image's labels: OCI's own where it has a name for it.

    Args:
        release: What the image serves.
        version: Of the image.
        base: The name of the base image.
        digest: Its digest.
    """
    signature = load_signature(layout.RELEASE / MODEL)
    labels = {
        f"{OCI}.title": load_params().image.name.rpartition("/")[2],
        f"{OCI}.source": source() or "",
        f"{OCI}.revision": release.commit,
        f"{OCI}.created": _created().isoformat(),
        f"{OCI}.version": version,
        f"{OCI}.licenses": project_licence(),
        f"{OCI}.base.name": base.partition("@")[0],
        f"{OCI}.base.digest": digest,
        f"{OWN}.data": release.data or "",
        f"{OWN}.lock": release.lock or "",
        f"{OWN}.verdict": verdict() or "",
        f"{OWN}.model.format": signature.model.format if signature.model else "",
    }
    return {name: text for name, text in labels.items() if text}


def source() -> str | None:
    """Where the code is, as a URL that shows no credentials; None if it is nowhere but here."""
    server, repository = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    if server and repository:
        return f"{server}/{repository}"
    remote = git_text("remote", "get-url", "origin")
    found = re.fullmatch(
        r"(?:https?://|ssh://|git://)?(?:[^@/]*@)?([\w.-]+\.[\w-]+)(?::\d+)?[:/](.+?)(?:\.git)?/?", remote
    )
    return None if found is None or remote.startswith((".", "/", "file:")) else f"https://{found[1]}/{found[2]}"


def _created() -> datetime:
    return datetime.fromtimestamp(int(git_text("show", "--no-patch", "--format=%ct", "HEAD")), UTC)


def _note(builder: Engine, tag: str, bento: str, base: str, labels: dict[str, str]) -> Built:
    image, under = builder.facts(tag), builder.facts(base)
    over = None if image.bytes is None or under.bytes is None else image.bytes - under.bytes
    built = Built(tag, image.id, bento, base, under.digest, image.bytes, over, labels)
    write_json(BUILT, asdict(built))
    return built
