"""What is in an image, and what is known to be wrong with it: syft lists the one, grype looks up the other."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slipway import layout
from slipway.delivery.git import do, last_line
from slipway.delivery.image.engine import Engine
from slipway.delivery.image.trial import Check
from slipway.errors import UserError
from slipway.files import console

SBOM = layout.ARTIFACTS / "sbom.spdx.json"
TOOLS = ("syft", "grype")
GRAVE = {"Critical", "High"}
SHOWN = 5


def missing_tools() -> list[str]:
    """The tools that are not here."""
    return [name for name in TOOLS if shutil.which(name) is None]


def scan_image(engine: Engine, image: str, sbom: Path = SBOM) -> Iterator[Check]:
    """List what an image consists of, as SPDX, and look for what is grave and has been mended.

    Args:
        engine: What has the image.
        image: Its name.
        sbom: The file for the list.

    Raises:
        UserError: A tool is missing, or fails.
    """
    if missing := missing_tools():
        raise UserError(f"{' and '.join(missing)} missing; install them: https://github.com/anchore")
    sbom.parent.mkdir(parents=True, exist_ok=True)
    with console().status("listing what the image consists of"):
        done = do(["syft", "scan", f"{engine.name}:{image}", "--output", f"spdx-json={sbom}"])
    if done.returncode:
        raise UserError(f"{image}: cannot be listed: {last_line(done)}")
    packages = len(json.loads(sbom.read_bytes())["packages"])
    yield Check("says what it consists of", passed=packages > 0, detail=f"{packages} packages, in {sbom}")
    with console().status("looking up what is known"):
        done = do(["grype", f"sbom:{sbom}", "--only-fixed", "--output", "json"])
    try:
        matches = json.loads(done.stdout)["matches"]
        grave = sorted({_said(match) for match in matches if match["vulnerability"]["severity"] in GRAVE})
    except (ValueError, LookupError, TypeError):
        raise UserError(f"{sbom}: cannot be looked up: {last_line(done)}") from None
    named = "; ".join(grave[:SHOWN]) + (f"; and {len(grave) - SHOWN} more" if len(grave) > SHOWN else "")
    yield Check("has no hole that is mended", passed=not grave, detail=named or "none that is high or critical")


def _said(match: dict[str, Any]) -> str:
    found, package = match["vulnerability"], match["artifact"]
    fixed = ", ".join(found["fix"]["versions"]) or "a newer one"
    return f"{found['id']} in {package['name']} {package['version']}, mended in {fixed}"
