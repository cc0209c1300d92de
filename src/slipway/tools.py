"""The programs that are run besides Python's own."""

import os
import shutil
from pathlib import Path

from slipway.errors import UserError

OWN_UV = Path(".tools/uv/bin/uv")


def find_uv() -> str:
    """The uv that runs us, that is on the path, or that `make` installed.

    Raises:
        UserError: There is none.
    """
    found = os.environ.get("UV") or shutil.which("uv") or (str(OWN_UV.resolve()) if OWN_UV.exists() else None)
    if found is None:
        raise UserError("uv is missing; `make setup` installs it into this project")
    return found
