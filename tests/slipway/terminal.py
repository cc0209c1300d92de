"""A terminal, for what a person at one would see."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-8][0-9;]*m")
CODE = "\x1b["  # with which whatever is no text begins


def in_terminal(root: Path, command: Sequence[str | Path], **environment: str) -> tuple[int, str]:
    """Run a command in a terminal of 100 columns; its exit code, and all that it wrote there, codes included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    inherited = {name: text for name, text in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "TERM"}}
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=root, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env=inherited | {"TERM": "xterm-256color"} | environment,
    )  # fmt: skip
    os.close(theirs)
    seen = bytearray()
    while True:
        try:
            read = os.read(ours, 65_536)
        except OSError:  # as Linux says that the other end is closed
            break
        if not read:
            break
        seen += read
    os.close(ours)
    return process.wait(), seen.decode()
