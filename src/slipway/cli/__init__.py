"""The verbs. Each imports what it runs when it runs, so that `slipway lock` and `--help` answer at once."""

# isort: off
from slipway.cli import line, delivery, github  # in the order of --help
from slipway.cli.app import main
# isort: on

__all__ = ["delivery", "github", "line", "main"]
