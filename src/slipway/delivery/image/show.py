"""What `slipway image` and `slipway image-test` say."""

from collections.abc import Iterable

import typer

from slipway import layout
from slipway.delivery.image.build import OCI, OWN, Built
from slipway.delivery.image.trial import Check
from slipway.files import printable


def show_image(built: Built) -> None:
    """Say what was built."""
    size = "" if built.bytes is None else f", {built.bytes / 1e6:.0f} MB"
    verdict = built.labels.get(f"{OWN}.verdict")
    over = "" if built.over_base is None else f", {built.over_base / 1e6:.0f} MB of them over its base"
    lines = {
        "image": f"{built.image} ({built.id[:19]}{size}{over})",
        "bento": f"{built.bento} in {layout.BENTOML}",
        "model": f"{built.labels[f'{OWN}.model.format']}, on the requirements {built.labels[f'{OWN}.requirements']}",
        "verdict": verdict or "none of this model; `make review` gives one",
        "base": f"{built.base} ({built.labels[f'{OCI}.base.digest'][:19]})",
    }
    typer.echo("\n".join(f"{name}  {printable(text)}" for name, text in lines.items()))


def show_checks(checks: Iterable[Check]) -> list[Check]:
    """Say each check as it is done, and give them all."""
    done, failed = [], []
    for check in checks:
        done.append(check)
        typer.echo(f"{'✓' if check.passed else '✗'} {check.name:<26}  {printable(check.detail)}".rstrip())
        failed += [] if check.passed else [check.name]
    if failed:
        typer.echo(f"failed: {', '.join(failed)}", err=True)
    return done


def passed(checks: Iterable[Check]) -> bool:
    """Whether all passed."""
    return all(check.passed for check in checks)
