"""`make repro`: DVC runs what changed, and the run ends with what it found."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from slipway.errors import UserError

PIPELINE, CACHE = Path("dvc.yaml"), Path(".dvc/cache")


def repro(words: Sequence[str] = ()) -> None:
    """Pull the data and run what changed.

    Args:
        words: Further arguments for `dvc repro`, such as a stage or `--force`.

    Raises:
        UserError: A stage or DVC itself failed; what it said has been shown.
    """
    if not CACHE.exists():
        print("First run here: where DVC warns of results that are in no remote, it goes on and makes them.")  # noqa: T201
    _dvc("repro", "--pull", *words)
    # With --pull, DVC takes a stage whose results are missing for unchanged and brings back what its cache holds, but
    # not the reports that git holds: after a stage was killed they would stay away. Without --pull it misses them.
    if not all(path.exists() for path in reports(PIPELINE)):
        _dvc("repro", *words)


def reports(pipeline: Path) -> list[Path]:
    """The results that `dvc.yaml` leaves to git."""
    stages = YAML(typ="safe").load(pipeline.read_text(encoding="utf-8"))["stages"].values()
    outs = [out for stage in stages for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
    named = [next(iter(out.items())) for out in outs if isinstance(out, dict)]
    return [Path(path) for path, options in named if options.get("cache") is False]


def _dvc(*words: str) -> None:
    # Stages are started as `python`; it must be this one even where the environment's folder is not on the path.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    running = subprocess.Popen([sys.executable, "-m", "dvc", *words], env=os.environ | {"PATH": path})  # noqa: S603
    try:
        code = running.wait()
    except KeyboardInterrupt:  # DVC and the stage got it too, and end by themselves
        running.wait()
        raise
    if code:
        raise UserError(f"dvc {' '.join(words)} failed; mend what it says above and run `make repro` again")
