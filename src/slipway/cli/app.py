"""The command line itself, and its manner of failing."""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from slipway.colours import plain_end
from slipway.errors import UserError

app = typer.Typer(
    help="Machine-learning projects run the GitOps way: data to tested model, pull request to production.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class _State:
    debug = False


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback behind an error message.")] = False,
) -> None:
    _State.debug = debug
    here = Path.cwd()
    if "--help" not in sys.argv and not (here / "dvc.yaml").exists():
        for above in here.parents:
            if (above / "dvc.yaml").exists():
                raise UserError(f"{here} is a folder of the project; run from {above}")


def main() -> None:
    """Run the command line; a UserError is one line on standard error and exit code 2."""
    run(app)


def run(command: "typer.Typer | object") -> None:
    """Run a callable that a person started, with the project's manner of failing."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:  # whoever closed a stream wants to hear nothing
        pass
    os.close(opened)
    sys.stdout, sys.stderr = sys.stdout or open(1, "w"), sys.stderr or open(2, "w")  # noqa: SIM115
    try:
        command()  # type: ignore[operator]
    except (UserError, OSError) as error:  # such as a full disk; nothing is half-written
        if _State.debug:
            raise
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except Exception as error:  # Python's own exit code, 1, would say that what was judged fails
        said = " ".join(str(error).split())
        if _State.debug or not said or not type(error).__module__.startswith(("dvc.", "scmrepo.")):  # those tell people
            traceback.print_exc()
            said = f"{type(error).__name__} was not foreseen; report it with what stands above"
        print(f"error: {said}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    finally:
        plain_end()
