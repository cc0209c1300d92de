"""The programs that are run besides Python's own."""

import os
import shutil
from pathlib import Path

from slipway.errors import UserError

OWN_UV = Path(".tools/uv/bin/uv")
PYTHONS = {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_NO_SYNC", "PYTHONPATH", "PYTHONHOME"}
OURS = {*PYTHONS, "MLFLOW_TRACKING_URI", "DVC_ROOT"}


def find_uv() -> str:
    """The uv that runs us, that is on the path, or that `make` installed.

    Raises:
        UserError: There is none.
    """
    found = os.environ.get("UV") or shutil.which("uv") or (str(OWN_UV.resolve()) if OWN_UV.exists() else None)
    if found is None:
        raise UserError("uv is missing; `make setup` installs it into this project")
    return found


def own_environment() -> dict[str, str]:
    """The variables for another checkout: without what ties them to our virtual environment and tracking server."""
    return {name: value for name, value in os.environ.items() if name not in OURS and not name.startswith("GIT_")}
