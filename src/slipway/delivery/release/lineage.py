"""Where a release comes from: everything that git, and nothing but git, can say of what runs."""

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from slipway import layout
from slipway.delivery.git import do
from slipway.errors import UserError
from slipway.review.base import Base
from slipway.service.release import Metric
from slipway.settings import flat, pinned

LINEAGE = "lineage.json"  # beside an environment's kustomization.yaml
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
NOTHING = f"sha256:{'0' * 64}"  # where nothing has been released yet

Digest = Annotated[str, Field(pattern=f"^{DIGEST.pattern}$")]


class Lineage(BaseModel):
    """`lineage.json`: one release, from the commit that it was built from to the image that runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^model-v[1-9][0-9]*$")
    image: str
    digest: Digest
    commit: str = Field(pattern=r"^[0-9a-f]{40,64}$")
    created: str  # of the commit, in ISO 8601
    authors: tuple[str, ...] = ()  # of the commit, and who its trailers name beside them
    reviewers: tuple[str, ...] = ()  # whom its trailers name
    data: str | None = None  # DVC's hash of the raw data
    schema_: str | None = Field(None, alias="schema")  # SHA-256 of the contract
    lock: str | None = None  # SHA-256 of dvc.lock
    rows: dict[str, int] = {}
    params: dict[str, Any] = {}
    metrics: dict[str, Metric] = {}
    suites: dict[str, dict[str, int]] = {}
    verdict: str | None = None  # what a review said of this model before it shipped

    @property
    def number(self) -> int:
        """The one in its name."""
        return int(self.name.removeprefix("model-v"))

    @property
    def version(self) -> str:
        """What the service calls itself."""
        return self.commit[:12]

    def document(self) -> dict[str, Any]:
        """It as JSON's types."""
        return self.model_dump(mode="json", by_alias=True)

    def text(self) -> str:
        """The content of the file."""
        return self.model_dump_json(indent=1, by_alias=True) + "\n"


def describe(commit: str, *, name: str, image: str, digest: str, verdict: str | None) -> Lineage:
    """Gather what a commit says of the model that was built from it.

    Args:
        commit: Its full hash.
        name: Of the release.
        image: Without tag and digest.
        digest: The image's.
        verdict: What a review said of this model.

    Raises:
        UserError: The commit lacks the results of the pipeline, or they are damaged.
    """
    base = Base(commit, commit)
    split, metrics = _report(base, layout.SPLIT_REPORT), _report(base, layout.METRICS)
    suites = {name: _report(base, path) for name, path in layout.SUITE_REPORTS.items()}
    lock, schema = base.read(layout.LOCK) or b"", base.read(layout.SCHEMA) or b""
    authors, reviewers = people(commit)
    try:
        return Lineage(
            name=name,
            image=image,
            digest=digest,
            commit=commit,
            created=_shown(commit, "%cI"),
            authors=authors,
            reviewers=reviewers,
            data=pinned(base.read(layout.DATA_DVC)),
            schema=sha256(schema).hexdigest(),
            lock=sha256(lock).hexdigest(),
            rows={part: int(count) for part, count in split["rows"].items()},
            params=_params(base),
            metrics={name: Metric(**found) for name, found in metrics["holdout"].items()},
            suites={name: found[name] for name, found in suites.items()},
            verdict=verdict,
        )
    except (ValidationError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{commit[:12]}: its reports are damaged ({type(error).__name__}); run `make repro`") from None


def people(commit: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who wrote a commit, and who is said to have reviewed it, by its author and its trailers."""
    keys = "Reviewed-by", "Approved-by", "Acked-by"
    wanted = ",".join(f"key={key}" for key in keys)
    written = [_shown(commit, "%an"), *_shown(commit, "%(trailers:key=Co-authored-by,valueonly)").splitlines()]
    reviewed = _shown(commit, f"%(trailers:{wanted},valueonly)").splitlines()
    return _names(written), _names(reviewed)


def read_lineage(content: bytes | str, where: str) -> Lineage:
    """Read `lineage.json`.

    Raises:
        UserError: It is damaged.
    """
    try:
        return Lineage.model_validate_json(content)
    except ValidationError as error:
        raise UserError(
            f"{where}: is no lineage ({error.error_count()} faults); `git log -- {where}` has others"
        ) from None


def _params(base: Base) -> dict[str, Any]:
    """The settings that made the model, as the lock has them: those that the stages ran with."""
    try:
        stages = YAML(typ="safe").load((base.read(layout.LOCK) or b"").decode())["stages"]
        content = TypeAdapter(dict[str, Any]).validate_python(stages["train"]["params"][str(layout.PARAMS)])
    except (YAMLError, LookupError, TypeError, ValueError):
        return {}
    return dict(flat(content))


def _report(base: Base, path: Path) -> Mapping[str, Any]:
    content = base.read(path)
    if content is None:
        raise UserError(f"{path}: not in {base.commit[:12]}; run `make repro` and commit what it made")
    try:
        found: Mapping[str, Any] = json.loads(content)
    except ValueError:
        raise UserError(f"{path}: as {base.commit[:12]} has it, is damaged; run `make repro` and commit it") from None
    return found


def _names(lines: list[str]) -> tuple[str, ...]:
    """Names without addresses, which are nobody's business in a file that travels."""
    return tuple(dict.fromkeys(name for line in lines if (name := re.sub(r"\s*<[^>]*>\s*", "", line).strip())))


def _shown(commit: str, form: str) -> str:
    return do(["git", "show", "--no-patch", f"--format={form}", commit]).stdout.strip()
