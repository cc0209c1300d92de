"""Replacing the project's data and the files that describe it: all of them or none."""

import json
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from slipway import layout
from slipway.delivery.data import KEPT, dvc_program, killed_adoption, run_dvc
from slipway.errors import UserError

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def changed(paths: Sequence[Path]) -> dict[str, bool]:
    """The files at or below some paths that differ from the last commit, and whether that has them."""
    command = ["git", "status", "--porcelain", "-z", "-uall", "--", *map(str, paths)]
    status = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    return {entry[3:]: not entry.startswith(("?", "A")) for entry in status.split("\0") if entry}


def way_back(written: Mapping[str, bool], had_data: bool) -> str:
    """The command that takes what `changed` has found, and `data/`, back to the last commit; empty if there is none."""
    known = [name for name, is_known in written.items() if is_known]
    if not known or not written.get(str(layout.DATA_DVC), True):
        return ""
    restore = "checkout" if had_data else "pull"  # what was never here is in no cache
    data = f" && {dvc_program()} {restore} {layout.DATA}" if str(layout.DATA_DVC) in written else ""
    return f"git checkout HEAD -- {shlex.join(known)}{data}"


def refuse_overwriting(paths: Sequence[Path]) -> None:
    """Stop if files about to be written, or `data/`, hold work that is in no commit.

    Raises:
        UserError: With the files.
    """
    found = list(changed(paths)) if paths else []
    if layout.DATA_DVC.exists():
        uncommitted = json.loads(run_dvc(Path(), "data", "status", "--json")).get("uncommitted", {})
        found += [name for name in uncommitted.get("modified", []) if name.rstrip("/") == str(layout.DATA)]
    elif any(layout.DATA.glob("*")):
        found.append(f"{layout.DATA}/")
    if found:
        mend = killed_adoption() or "commit them (`make data` first for data/), or give --force"
        raise UserError(f"{', '.join(found)}: would be overwritten, but holds changes that are not committed; {mend}")


@contextmanager
def all_or_nothing(fresh: Path, files: Sequence[Path], scratch: Path) -> Iterator[None]:
    """Put a new folder in the place of `data/`; unless the block ends well, put it and some files back as they were.

    A signal to stop ends the block like an error, and going back cannot be interrupted; it needs no space on the disk.

    Args:
        fresh: The new folder.
        files: What else the block may write; these files need not exist.
        scratch: An existing folder on the project's disk.
    """
    kept, draft = scratch / KEPT, scratch / "draft"
    copies = {path: str(number) for number, path in enumerate(files) if path.exists()}
    had_data = layout.DATA.exists()
    heeded = {number: handler for number in STOPS if (handler := signal.getsignal(number)) != signal.SIG_IGN}

    def ignore() -> None:
        for number in heeded:
            signal.signal(number, signal.SIG_IGN)

    def stop(number: int, _: FrameType | None) -> None:
        ignore()
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    draft.mkdir()
    for path, copy in copies.items():
        shutil.copy2(path, draft / copy)
    try:
        try:
            for number in heeded:
                signal.signal(number, stop)
            draft.rename(kept)  # from here on there is something to put back
            if had_data:
                layout.DATA.rename(kept / "data")
            fresh.rename(layout.DATA)
            yield
            kept.rename(draft)  # and from here on no more
        finally:
            ignore()
    finally:
        if kept.exists():
            if not had_data or (kept / "data").exists():
                shutil.rmtree(layout.DATA, ignore_errors=True)
            if had_data and (kept / "data").exists():
                (kept / "data").rename(layout.DATA)
            for path in files:
                (kept / copies[path]).replace(path) if path in copies else path.unlink(missing_ok=True)
        for number, handler in heeded.items():
            signal.signal(number, handler)
