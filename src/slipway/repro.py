"""`make repro`: DVC runs what changed, and the run ends with what it found."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from slipway import layout
from slipway.errors import UserError
from slipway.params import load_params
from slipway.schema import load_schema
from slipway.settings import read_yaml
from slipway.settings_check import check_settings

PIPELINE, CACHE = Path("dvc.yaml"), Path(".dvc/cache")


def repro(words: Sequence[str] = ()) -> None:
    """Pull the data and run what changed.

    Args:
        words: Further arguments for `dvc repro`, such as a stage or `--force`.

    Raises:
        UserError: The data is not what `data.dvc` says, or a stage or DVC itself failed, which it has said.
    """
    # Stages are started as `python`; it must be this one even where the environment's folder is not on the path.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if not PIPELINE.exists():
        raise UserError(f"{PIPELINE}: no such file; run from the project's root")
    check_settings(load_params(), load_schema())  # before DVC removes the results of a stage that cannot run
    refuse_unversioned_data()
    if not CACHE.exists():
        print("First run here: where DVC warns of results that are in no remote, it goes on and makes them.")  # noqa: T201
    _dvc("repro", "--pull", *words)
    # With --pull, DVC takes a stage whose results are missing for unchanged and brings back what its cache holds, but
    # not the reports that git holds: after a stage was killed they would stay away. Without --pull it misses them.
    if not all(path.exists() for path in reports(PIPELINE)):
        _dvc("repro", *words)


def refuse_unversioned_data() -> None:
    """Stop where DVC would write another hash into `data.dvc` by itself.

    After a switch to another branch that is the old branch's data; after an edit it is data that no remote has.

    Raises:
        UserError: `data/` is there and differs from `data.dvc`.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as project:
            found = project.status(targets=[str(layout.DATA_DVC)]) if layout.DATA.exists() else {}
    except DvcException as error:
        raise UserError(f"{error}; is this a git repository with DVC?") from None
    if found:
        raise UserError(
            f"{layout.DATA}/: is not the data that {layout.DATA_DVC} names; `slipway data` versions what is there, "
            f"`dvc checkout {layout.DATA}` brings back what was versioned"
        )


def reports(pipeline: Path) -> list[Path]:
    """The results that `dvc.yaml` leaves to git."""
    stages = read_yaml(pipeline)["stages"].values()
    outs = [out for stage in stages for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
    named = [next(iter(out.items())) for out in outs if isinstance(out, dict)]
    return [Path(path) for path, options in named if options.get("cache") is False]


def _dvc(*words: str) -> None:
    from dvc.cli import main

    if main(list(words)):
        raise UserError(
            f"dvc {' '.join(words)} did not finish; mend what it says above, if anything, and run `make repro` again"
        )
