"""Whether everything is there that the other verbs need."""

from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.app import app
from slipway.cli.output import aside, json_option, print_json


@app.command()
def doctor(
    *,
    update: Annotated[
        bool, typer.Option("--update", help="Say whether the template has moved on, and no more.")
    ] = False,
    machine: Annotated[bool, json_option("{sound, findings: [{name, outcome, found, mend}]}")] = False,
) -> None:
    """Check what first runs fail on, and say how to mend it. Exits with 2 if something is wrong."""
    from slipway import layout
    from slipway.doctor.diagnose import CHECKS, diagnose
    from slipway.doctor.show import document, is_sound, show
    from slipway.doctor.update import NAME, template
    from slipway.errors import UserError
    from slipway.files import console

    if not layout.PIPELINE.exists():
        raise UserError(f"{Path.cwd()} holds no project (no {layout.PIPELINE}); run from the folder of one")
    with aside(machine), console().status("looking"):
        findings = diagnose({NAME: template} if update else CHECKS)
    if machine:
        print_json(document(findings))
    else:
        show(findings)
    raise typer.Exit(0 if is_sound(findings) else 2)
