"""Colours in a terminal, and where there are none: with NO_COLOR, and where TERM says that it knows no codes.

Rich and pytest ask for both by themselves; this is for DVC, which asks for neither.
"""

import atexit
import logging
import os
import sys
from typing import Any


def wanted() -> bool:
    """Whether there may be any, as https://no-color.org says."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in {"dumb", "unknown"}


def plain_log() -> None:
    """Have DVC, which has been imported, log without colours where there are none."""
    if not wanted():
        for handler in logging.getLogger("dvc").handlers:
            formatter: Any = handler.formatter
            formatter.log_colors = False


def plain_end() -> None:
    """Keep what DVC may have imported from setting back, at the end, colours that were never set."""
    imported = sys.modules.get("colorama.initialise")
    if imported and not wanted():
        atexit.unregister(imported.reset_all)
