"""What must not be in an image: its file system is read as the engine exports it, and every file looked at."""

import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from slipway.delivery.image.bento import RELEASED, SHIPS, SHIPS_WITH_SKOPS

BENTO = "app/bento"
MANY = 3  # as many are named where there are more

EXECUTABLES = re.compile(r"(^|/)s?bin/|(^|/)libexec/")
COMPILERS = re.compile(
    r"(?:[\w.]+-)*(?:gcc|g\+\+|cc|c\+\+|cc1|cpp|clang|clang\+\+|tcc|ld|as|make|cmake|ninja|rustc|cargo|go|javac|gfortran)"
    r"(?:-[\d.]+)?"
)
INSTALLERS = re.compile(r"(?:pip|pipx|easy_install)[\d.]*|uvx?|git|conda|mamba|poetry|npm|gem")
HISTORIES = re.compile(r"\..*(?:_history|hsts|hst)|\.viminfo|\.node_repl_history")
CACHES = re.compile(
    r"var/lib/apt/lists/.*_(?:Packages|Sources|InRelease|Release)\S*|var/cache/apt/.*\.(?:bin|deb)|.*\.whl"
    r"|(?:.*/)?\.cache/.*|(?:.*/)?\.uv/.*|(?:.*/)?node_modules/.*"
)
SECRET_NAMES = re.compile(
    r"(?:.*/)?(?:\.env(?:\..*)?|[._]netrc|\.pypirc|\.npmrc|\.git-credentials|id_(?:rsa|dsa|ecdsa|ed25519)|\.dockercfg"
    r"|\.aws/.*|\.kube/.*|\.docker/config\.json|\.dvc/.*|\.git/.*|\.config/gcloud/.*|.*\.kdbx|.*\.p12|.*\.pfx)"
)
SECRET_TEXTS = re.compile(
    rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{16}|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b"
    rb"|\bgithub_pat_\w{60,}|\bglpat-[\w-]{20}\b|\bxox[abprs]-[\w-]{20,}|\bsk_live_\w{20,}|\bpypi-AgEIcHlwaS[\w-]{40,}"
)
SECRET_VARIABLES = re.compile(r"(?i)^\w*(?:passw|secret|token|credential|private_?key|access_?key|api_?key)\w*=.")
PICKLES = re.compile(r".*\.(?:pkl|pickle|joblib|dill|cloudpickle|pt|pth)")
TRAINING = re.compile(
    r"(?:.*/)?(?:site|dist)-packages/(?:pandas|polars|pyarrow|mlflow|dvc|dvc_\w+|skl2onnx|onnx|deepchecks|matplotlib"
    r"|fairlearn|pandera|{})(?:/.*|\.py)"
)
TRAINING_WITHOUT_SKOPS = "sklearn|scipy|joblib|skops"
DATA = re.compile(r".*\.(?:parquet|csv|feather|arrow)")
MOST_TEXT = 1_000_000  # bytes; larger files are not searched for secrets


@dataclass(frozen=True)
class File:
    """A file or link of an image.

    Attributes:
        path: Without the leading slash.
        size: In bytes.
        mode: The permissions.
        own: Whether the base image does not have it just so.
        pickle: Whether it begins and ends as a pickle does, or holds one as PyTorch's files do.
        secret: Whether its text looks like one.
    """

    path: str
    size: int
    mode: int
    own: bool
    pickle: bool = False
    secret: bool = False


def listing(stream: IO[bytes]) -> dict[str, tuple[int, float]]:
    """The sizes and dates of the files in a file system, by path."""
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        return {_path(member): (member.size, member.mtime) for member in tar if not member.isdir()}


def read_files(stream: IO[bytes], base: Mapping[str, tuple[int, float]]) -> tuple[list[File], dict[str, bytes]]:
    """Read a file system in tar format.

    Args:
        stream: What the engine exports.
        base: What `listing` gives for the base image.

    Returns:
        The files, and the contents of those that the checks need: the requirements.
    """
    files, kept = [], {}
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            if member.isdir():
                continue
            path = _path(member)
            own = base.get(path) != (member.size, member.mtime)
            content = b""
            if own and member.isfile() and (reader := tar.extractfile(member)):
                content = reader.read()
            if path == f"{BENTO}/src/requirements.txt":
                kept[path] = content
            secret = len(content) <= MOST_TEXT and SECRET_TEXTS.search(content) is not None
            files.append(File(path, member.size, member.mode, own, _is_pickle(content), secret))
    return files, kept


def _path(member: tarfile.TarInfo) -> str:
    return member.name.removeprefix("./").lstrip("/")


def _is_pickle(content: bytes) -> bool:
    plain = content[:1] == b"\x80" and content[1:2] in {b"\2", b"\3", b"\4", b"\5"} and content[-1:] == b"."
    return plain or (content[:2] == b"PK" and b"data.pkl" in content)


def offences(files: list[File], kept: Mapping[str, bytes], *, skops: bool) -> Iterator[tuple[str, list[str]]]:
    """Each check of the file system with what speaks against it: paths, or packages.

    Args:
        files: The files.
        kept: The contents that `read_files` kept.
        skops: Whether the model is a skops file, which needs scikit-learn.
    """

    def those(holds: Callable[[File], object]) -> list[str]:
        return [f"/{file.path}" for file in files if holds(file)]

    def runs(file: File, names: re.Pattern[str]) -> bool:
        executable = EXECUTABLES.search(file.path) is not None and bool(file.mode & 0o111)
        return executable and names.fullmatch(PurePosixPath(file.path).name) is not None

    training = re.compile(TRAINING.pattern.format("seaborn" if skops else TRAINING_WITHOUT_SKOPS))
    yield "no pickle", those(lambda f: f.own and (f.pickle or PICKLES.fullmatch(f.path)))
    yield "no compiler", those(lambda f: runs(f, COMPILERS))
    yield "no installer", those(lambda f: runs(f, INSTALLERS) or re.search(r"-packages/(?:pip|uv)/", f.path))
    yield "no shell history", those(lambda f: HISTORIES.fullmatch(PurePosixPath(f.path).name))
    yield "no package caches", those(lambda f: CACHES.fullmatch(f.path))
    yield "no secret", those(lambda f: f.own and (f.secret or SECRET_NAMES.fullmatch(f.path)))
    yield "no training code", those(lambda f: f.own and (training.fullmatch(f.path) or _is_foreign(f.path)))
    yield "no data", those(lambda f: f.own and DATA.fullmatch(f.path))
    yield "locked packages only", _not_locked(files, kept)
    yield "nothing anybody may write", those(lambda f: f.own and f.size and f.mode & 0o002)
    yield "nothing that gives root", those(lambda f: f.own and f.mode & 0o6000)


def _is_foreign(path: str) -> bool:
    """Whether it is a module of this project that does not ship, or a file of the release that is none."""
    source = f"{BENTO}/src/"
    if path.startswith(f"{source}release/"):
        return path.removeprefix(f"{source}release/") not in RELEASED
    if not path.startswith(f"{source}slipway/"):
        return False
    module = path.removeprefix(source).replace("__pycache__/", "").split(".")[0].replace("/", ".")
    ships = module in SHIPS | SHIPS_WITH_SKOPS | {"slipway.__init__"} or module.startswith("slipway.service.")
    return not ships


def _not_locked(files: list[File], kept: Mapping[str, bytes]) -> list[str]:
    listed = kept.get(f"{BENTO}/src/requirements.txt")
    if listed is None:
        return [f"/{BENTO}/src/requirements.txt is missing"]
    locked = {_normal(name) for name in re.findall(r"(?m)^([\w.-]+)==", listed.decode(errors="replace"))}
    installed = {
        found[1] for file in files if (found := re.search(r"-packages/([^/]+?)-[^/-]+\.dist-info/", file.path))
    }
    return sorted(name for name in installed if _normal(name) not in locked)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def named(found: list[str]) -> str:
    """Some of them, and how many more there are."""
    more = f" and {len(found) - MANY} more" if len(found) > MANY else ""
    return ", ".join(found[:MANY]) + more
