"""What this machine has to have: Python, uv, packages, room, and what runs containers and talks to clusters."""

import json
import os
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from slipway.delivery.git import last_line
from slipway.doctor.asking import PATIENCE, ask
from slipway.doctor.finding import Finding, from_error, short
from slipway.errors import UserError
from slipway.tools import find_uv

ROOM = 3 * 2**30  # bytes that environments, data and results may still take
CHECKING = ("sync", "--check", "--frozen", "--quiet", "--offline", "--no-python-downloads")
# Finds a module without importing it; what is left of one, a folder without `__init__.py`, has no origin.
LOOKING = "import sys, importlib.util as u; sys.exit(not getattr(u.find_spec(sys.argv[1]), 'origin', None))"
MANIFESTS = Path("deploy/kubernetes")


def python() -> Iterator[Finding]:
    """Whether the Python that runs us is one that the project is for."""
    from packaging.specifiers import SpecifierSet

    here, wanted = platform.python_version(), _wanted(Path("pyproject.toml"))
    if SpecifierSet(wanted).contains(here, prereleases=True):
        yield Finding("Python", "ok", f"{here}; pyproject.toml asks for {wanted}")
    else:
        mend = f"uv venv --clear --python '{wanted}' && make setup"
        yield Finding("Python", "wrong", f"{here}, but pyproject.toml asks for {wanted}", mend)


def uv() -> Iterator[Finding]:
    """Whether uv is here, and no older than the one that the project is made with."""
    from packaging.version import Version

    here = ask(find_uv(), "--version").stdout.split()[1]
    makefile = Path("Makefile").read_text("utf-8", "replace") if Path("Makefile").is_file() else ""
    known = re.search(r"^UV_VERSION := ([\d.]+)$", makefile, re.MULTILINE)
    if known and Version(here) < Version(known[1]):
        yield Finding("uv", "advice", f"{here}; the project is made with {known[1]}", "uv self update")
    else:
        yield Finding("uv", "ok", here)


def packages() -> Iterator[Finding]:
    """Whether what is installed is what uv.lock lists."""
    done = ask(find_uv(), *CHECKING, "--inexact", "--no-install-project")
    if done.returncode == 0:
        yield Finding("packages", "ok", "as uv.lock lists them")
    else:
        yield Finding("packages", "wrong", f"not as uv.lock lists them: {last_line(done)}", "make setup")


def deepchecks() -> Iterator[Finding]:
    """Whether deepchecks' own environment is there, or a Python that it can be built with."""
    from slipway.deepchecks import ENVIRONMENT, INSTALLED

    program, place, stands = find_uv(), str(INSTALLED.resolve()), "not installed yet"
    if INSTALLED.exists():
        checking = (*CHECKING, "--project", str(ENVIRONMENT))
        if ask(program, *checking, variables={"UV_PROJECT_ENVIRONMENT": place}).returncode == 0:
            # uv goes by what is noted of packages, not by what is there.
            if ask(f"{place}/bin/python", "-I", "-c", LOOKING, "deepchecks").returncode == 0:
                yield Finding("deepchecks", "ok", f"as its lock lists it, in {INSTALLED}")
            else:
                found = f"{INSTALLED} has lost the package; `make repro` installs it anew where there is nothing"
                yield Finding("deepchecks", "wrong", found, f"rm -r {INSTALLED}")
            return
        stands = "not as its lock lists it"
    # Not any environment's Python but the one that uv would make a new environment with.
    wanted, mend = _wanted(ENVIRONMENT / "pyproject.toml"), "uv python install 3.12"
    done = ask(program, "python", "find", "--system", "--no-project", "--show-version", wanted)
    if done.returncode == 0:
        found = f"{stands}; the next `make repro` sees to it, with Python {done.stdout.strip()}"
        yield Finding("deepchecks", "ok", found)
    elif os.environ.get("UV_PYTHON_DOWNLOADS") in {"never", "manual"} or os.environ.get("UV_OFFLINE"):
        yield Finding("deepchecks", "wrong", f"{stands}, and no Python {wanted} is here or may be downloaded", mend)
    else:
        yield Finding("deepchecks", "advice", f"{stands}, and no Python {wanted} is here; uv will download one", mend)


def disk(folder: Path = Path()) -> Iterator[Finding]:
    """Whether there is room for environments, data and results."""
    free = shutil.disk_usage(folder).free
    if free >= ROOM:
        yield Finding("disk", "ok", f"{free / 2**30:.1f} GB free")
    else:
        found = f"{free / 2**30:.1f} GB free; the environments alone take 2.3"
        yield Finding("disk", "advice", found, "uv cache prune && make gc")


def containers() -> Iterator[Finding]:
    """Whether something answers that builds and runs images."""
    from slipway.delivery.image.engine import ENGINES, INSTALL, find_engine

    chosen = os.environ.get("SLIPWAY_ENGINE") or None
    try:
        engine = find_engine(chosen, runs=True, patience=PATIENCE)
    except (UserError, OSError) as error:  # the latter of a program that cannot be run
        here = [name for name in ENGINES if shutil.which(name) and chosen in {None, name}]
        mend = f"{here[0]} info" if here else "https://docs.docker.com/engine/install"
        if chosen and (not here or chosen == "buildah"):  # which runs none
            mend = "unset SLIPWAY_ENGINE"
        elif "docker" in here and isinstance(error, UserError):
            start = "open -a Docker" if sys.platform == "darwin" else "sudo systemctl start docker"
            mend = "unset DOCKER_HOST" if "DOCKER_HOST" in os.environ else start
        yield Finding("containers", "advice", f"{str(error).removesuffix(f'; {INSTALL}')}", mend)
    else:
        yield Finding("containers", "ok", f"{engine.name} answers")


def kubectl() -> Iterator[Finding]:
    """Whether kubectl is here, points to a cluster, and is answered by it, where that is what is deployed to."""
    if not MANIFESTS.is_dir():
        return
    if shutil.which("kubectl") is None:
        yield Finding("kubectl", "advice", f"missing; {MANIFESTS} is for it", "https://kubernetes.io/docs/tasks/tools")
        return
    try:
        yield _cluster()
    except UserError as error:  # it hangs, or does not run
        yield from_error("kubectl", error, "advice")


def _cluster() -> Finding:
    """What answers where kubectl points to."""
    choose = "kubectl config get-contexts ; kubectl config use-context NAME"
    done = ask("kubectl", "config", "current-context")
    if done.returncode:
        return Finding("kubectl", "advice", f"points to no cluster: {last_line(done)}", choose)
    context, done = short(done.stdout), ask("kubectl", "get", "--raw", "/version", "--request-timeout", "5s")
    if done.returncode:
        return Finding("kubectl", "advice", f"{context} does not answer: {last_line(done)}", choose)
    try:
        version = json.loads(done.stdout)["gitVersion"]
    except (ValueError, LookupError, TypeError, RecursionError):
        version = None
    if isinstance(version, str):
        return Finding("kubectl", "ok", f"{context} answers, with {version}")
    said = short(done.stdout) or "nothing"
    return Finding("kubectl", "advice", f"{context} does not answer as a cluster does, but: {said}", choose)


def _wanted(project: Path) -> str:
    """The versions of Python that a project is for."""
    try:
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["requires-python"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{project} names no Python ({reason}); git checkout HEAD -- {project}") from None
