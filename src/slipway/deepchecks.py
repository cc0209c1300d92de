"""deepchecks, which runs in an environment of its own, installed when it is first needed."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from slipway.errors import UserError
from slipway.tools import find_uv

ENVIRONMENT = Path(__file__).parent / "suites/environment"
INSTALLED = Path(".tools/deepchecks")  # relative to the project's root


def run_deepchecks(*folders: Path) -> None:
    """Run the jobs of some folders in deepchecks' environment, which is installed where it is not.

    Raises:
        UserError: It cannot be installed, or it broke.
    """
    done = subprocess.run(_command(folders), env=_variables(), capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise UserError(
            f"deepchecks, in {INSTALLED}, did not run: {said[-1][:300]}; `rm -r {INSTALLED}` has it installed anew"
        )


def install_ahead() -> subprocess.Popen[bytes] | None:
    """Install the environment, and have Python compile it, while something else runs; `None` if it is there.

    Whoever needs it before that is done waits for uv's lock. What goes wrong here goes wrong there again, and is said.
    """
    if INSTALLED.exists():
        return None
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(_command([]), env=_variables(), stdin=nowhere, stdout=nowhere, stderr=nowhere)  # noqa: S603


def _command(folders: Sequence[Path]) -> list[str]:
    environment = [find_uv(), "run", "--frozen", "--quiet", "--project", str(ENVIRONMENT)]
    return [*environment, "python", str(ENVIRONMENT / "run.py"), *map(str, folders)]


def _variables() -> dict[str, str]:
    own = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}
    kept = {name: value for name, value in os.environ.items() if name not in own}
    # With hashes of texts that differ from run to run the report would, too.
    return kept | {"UV_PROJECT_ENVIRONMENT": str(INSTALLED.resolve()), "PYTHONHASHSEED": "0"}
