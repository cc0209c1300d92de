"""The verbs. Each imports what it runs when it runs, so that `slipway lock` and `--help` answer at once."""

from importlib import import_module
from importlib.util import find_spec

from slipway.cli.app import main

__all__ = ["main"]

ROOMS = ("line", "image", "release", "deploy", "doctor", "github")  # in the order of --help

for _room in ROOMS:  # a project that releases or deploys elsewhere has not got them all
    if find_spec(f"{__name__}.{_room}"):
        import_module(f"{__name__}.{_room}")
