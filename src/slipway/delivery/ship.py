"""Assembling a release: the one folder that the service reads, from the workspace and what git says of it."""

import shutil
import sys
from pathlib import Path
from typing import Any

from slipway import layout
from slipway.delivery.git import run
from slipway.errors import UserError
from slipway.files import console, read_report, scratch_folder, undamaged, write_text
from slipway.params import load_params
from slipway.predictor import Predictor
from slipway.review.base import Base, NoModelError, base_model, digest, find_base, git_text
from slipway.review.candidate import refuse_foreign
from slipway.review.show import VERDICT
from slipway.service.release import FALLBACK, MODEL, RELEASE, Metric, Release, load_golden, prove
from slipway.settings import data_hash
from slipway.signature import load_signature


def ship(folder: Path = layout.RELEASE, fallback: str | None = None) -> Release:
    """Assemble the release of the workspace's model.

    Args:
        folder: Where to; what is there is replaced when everything is at hand.
        fallback: The revision whose model answers when this one fails; without it the training prior does.

    Raises:
        UserError: The model is missing, is not what dvc.lock names, or does not answer its golden rows; or the
            fallback's model cannot be had.
    """
    params = load_params()
    refuse_foreign(layout.MODEL)
    predictor = Predictor(layout.MODEL, trusted=params.export.trusted)
    prove(predictor, load_golden(layout.MODEL))
    commit = git_text("rev-parse", "HEAD")
    if not commit:
        raise UserError("the repository has no commit yet, and a release is named after one; commit first")
    dirty = bool(git_text("status", "--porcelain"))
    with scratch_folder(folder.parent) as scratch:
        draft = scratch / "release"
        shutil.copytree(layout.MODEL, draft / MODEL)
        release = Release(
            version=version(commit, dirty=dirty),
            commit=commit,
            dirty=dirty,
            created=git_text("show", "-s", "--format=%cI", "HEAD"),
            data=data_hash(),
            lock=digest(layout.LOCK.read_bytes()),
            rows=_rows(),
            metrics=_metrics(),
            fallback=None if fallback is None else _add_fallback(find_base(fallback), draft / FALLBACK),
            service=params.service,
        )
        write_text(draft / RELEASE, release.model_dump_json(indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    return release


def pull_model() -> str:
    """Have the model that `dvc.lock` names in the workspace, and say where it comes from; nothing is trained.

    Raises:
        UserError: It is not here, and DVC has it in no cache or remote.
    """
    try:
        refuse_foreign(layout.MODEL)
    except UserError:
        pull = [sys.executable, "-m", "dvc", "pull", "--quiet", "--force", str(layout.MODEL)]
        problem = f"{layout.MODEL}: is not here as {layout.LOCK} names it, and DVC has it in no cache or remote"
        with console().status(f"pulling {layout.MODEL}"):
            run(pull, f"{problem} (`make repro` and `dvc push` where it was made)")
        refuse_foreign(layout.MODEL)
        return "pulled from DVC's cache or remote"
    return "here"


def version(commit: str, *, dirty: bool) -> str:
    """The name of a release: its commit, and whether the tree had more than the commit."""
    return commit[:12] + ("-dirty" if dirty else "")


def _add_fallback(base: Base, target: Path) -> str:
    """Ship the model of another commit along, and return its version."""
    try:
        with base_model(base, reproduce=True) as found:
            if found is None:
                raise UserError(f"--fallback {base.revision}: that commit has no model")
            shutil.copytree(found[0], target)
    except NoModelError as error:
        raise UserError(f"--fallback {base.revision}: {error}") from None
    return version(base.commit, dirty=False)


def _rows() -> dict[str, int]:
    with undamaged():
        return {name: int(count) for name, count in read_report(layout.SPLIT_REPORT)["rows"].items()}


def _metrics() -> dict[str, Metric]:
    with undamaged():
        return {name: Metric(**found) for name, found in read_report(layout.METRICS)["holdout"].items()}


def verdict() -> str | None:
    """What the last review said, if it was of the workspace's model."""
    try:
        model = load_signature(layout.MODEL).model
        found: Any = read_report(layout.REPORTS / VERDICT)
        return str(found["verdict"]) if model and found["candidate"]["model"] == model.sha256 else None
    except (UserError, LookupError, TypeError):
        return None
