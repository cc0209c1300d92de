"""`python -m slipway` is the command line, where the `slipway` script is not on the path."""

from slipway.cli import main

main()
