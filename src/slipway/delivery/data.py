"""Versioning `data/` with DVC, and letting git see the objects of a remote in the repository."""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from slipway import layout
from slipway.errors import UserError, warn
from slipway.files import console, scratch_folder, write_text
from slipway.params import load_params
from slipway.schema import load_schema
from slipway.settings import read_yaml

ADOPTED = (layout.SCHEMA, layout.PARAMS, layout.PIPELINE, layout.DATA_DVC)  # what `slipway adopt` writes, besides data/
ADOPTING, KEPT = Path(".dvc/tmp/adopt"), "before"  # where it works, and what it names the files that it replaces
CHECKING = Path(".dvc/tmp/data")
MUCH = 10 * 2**20  # bytes of raw data that one would rather not have in git
IGNORE = """\
# Only the raw data travels in git; results pushed to this remote stay on this machine. Written by slipway data.
*
!*/
!.gitignore
"""


@dataclass(frozen=True)
class Versioned:
    """The data as it was versioned. `in_git` is the folder of the remote if that lies in the repository."""

    md5: str
    files: int
    size: int  # bytes
    remote: str
    in_git: Path | None


def version_data(root: Path) -> Versioned:
    """Hold `data/` against the contract as `prepare` does, then version and push it.

    Args:
        root: The top of the project.

    Raises:
        UserError: As `push_data` raises it, or the data breaks the contract; then nothing was versioned.
    """
    from slipway.stages.prepare import prepare

    default_remote(root)
    schema, params = load_schema(root / layout.SCHEMA), load_params(root / layout.PARAMS)
    looking = console().status(f"holding {layout.DATA}/ against the contract")
    with scratch_folder(root / CHECKING) as scratch, looking:
        prepare(schema, params, root / layout.DATA, scratch / "train.parquet", scratch / "holdout.parquet")
    return push_data(root)


def push_data(root: Path) -> Versioned:
    """Version `data/` with DVC, push it, and list its objects for git if the remote lies in the repository.

    Args:
        root: The top of the project.

    Raises:
        UserError: The folder is no git repository with DVC or has no default remote, or DVC fails.
    """
    name, folder = default_remote(root)
    with console().status(f"versioning {layout.DATA}/ with DVC"):
        run_dvc(root, "add", str(layout.DATA))
        run_dvc(root, "push", str(layout.DATA_DVC))
    out = read_yaml(root / layout.DATA_DVC)["outs"][0]
    if folder is not None:
        hashes = [out["md5"]]
        if out["md5"].endswith(".dir"):
            hashes += [entry["md5"] for entry in json.loads(_object(folder, out["md5"]).read_bytes())]
        objects = sorted({_object(folder, md5).relative_to(folder).as_posix() for md5 in hashes})
        write_text(folder / ".gitignore", IGNORE + "".join(f"!/{path}\n" for path in objects))
        if out["size"] > MUCH:
            size, where = out["size"] / 2**20, folder.relative_to(root.resolve())
            warn("data", f"{size:.0f} MB would travel in git, in {where}; `dvc remote add --default` moves it")
    return Versioned(out["md5"], out.get("nfiles", 1), out["size"], name, folder)


def default_remote(root: Path) -> tuple[str, Path | None]:
    """The name of DVC's default remote, and its folder if that lies in the repository.

    Raises:
        UserError: There is no git repository, no DVC, or no such remote.
    """
    if subprocess.run(["git", "rev-parse"], cwd=root, capture_output=True, check=False).returncode:  # noqa: S607
        raise UserError(f"{root.resolve()}: not in a git repository; run from the project's root, or `git init` first")
    if not (root / ".dvc").is_dir():
        raise UserError(f"{root.resolve()}: DVC is not set up here; run from the project's root, or `dvc init` first")
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        name = repo.config["core"].get("remote")
        url = repo.config["remote"].get(name, {}).get("url") if name else None
    if url is None:
        raise UserError(".dvc/config: has no default remote; add one with `dvc remote add --default NAME URL`")
    folder = Path(url)
    return name, folder if folder.is_absolute() and folder.is_relative_to(root.resolve()) else None


def run_dvc(root: Path, *command: str) -> str:
    """Run a DVC command and give what it printed.

    Raises:
        UserError: DVC failed, with its own words.
    """
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "dvc", *command], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = "; ".join(said) or done.stderr.strip()[-200:]
        raise UserError(f"`dvc {' '.join(command)}` failed: {reason}; mend that and run it again")
    return done.stdout


def dvc_program() -> str:
    """DVC as a person can call it here, without the environment's folder on the path."""
    return shlex.quote(os.path.relpath(Path(sys.executable).with_name("dvc")))


def killed_adoption() -> str | None:
    """What to do about an adoption that was killed while it changed files, in a line; None if none was."""
    if not any(ADOPTING.glob(f".scratch-*/{KEPT}")):
        return None
    return (
        "an earlier `slipway adopt` was killed while it wrote: run it again with --force, or go back to the last "
        f"commit: git checkout HEAD -- {' '.join(map(str, ADOPTED))} && {dvc_program()} checkout --force {layout.DATA}"
    )


def _object(folder: Path, md5: str) -> Path:
    return folder / "files" / "md5" / md5[:2] / md5[2:]
