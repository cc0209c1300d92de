"""The options that several verbs have, and how a shell completes them."""

from typing import Annotated

import typer

from slipway.cli.complete import branches, engines, revisions

Base = Annotated[
    str | None, typer.Option(envvar="SLIPWAY_IMAGE_BASE", help="The image to build on, if not image.base.")
]
Branch = Annotated[str, typer.Option(help="The branch that says what runs where.", autocompletion=branches)]
Builder = Annotated[
    str | None,
    typer.Option(
        envvar="SLIPWAY_ENGINE", help="docker, podman or buildah; the first that is here.", autocompletion=engines
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would propose, and push nothing.")]
Fallback = Annotated[
    str | None,
    typer.Option(
        help="The revision whose model answers when this one fails, such as HEAD~1.", autocompletion=revisions
    ),
]
Image = Annotated[str | None, typer.Option(help="The image; the one that was built last unless given.")]
Network = Annotated[
    str | None,
    typer.Option(
        envvar="SLIPWAY_IMAGE_NETWORK",
        help="The network of build and test, such as host where the engine has no bridge.",
    ),
]
Runner = Annotated[
    str | None,
    typer.Option(envvar="SLIPWAY_ENGINE", help="docker or podman; the first that is here.", autocompletion=engines),
]
