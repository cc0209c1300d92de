"""Whether dvc.lock belongs to the tree beside it, proved by git alone: no data, cache, credentials or network.

Where the data is at hand `dvc status` answers the same; this needs a second and a clone.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from posixpath import join, normpath
from typing import Any, Literal

from slipway import layout
from slipway.answers import is_empty
from slipway.delivery.gittree import GitTree
from slipway.errors import UserError

PIPELINE, LOCK = str(layout.PIPELINE), str(layout.LOCK)  # as git names them
SCHEMA = "2.0"  # of dvc.lock, as DVC 2 and 3 write it
ABSENT = "(absent)"
RERUN = "make repro"

Kind = Literal["entry", "command", "parameter", "dependency", "output"]
Facts = dict[tuple[Kind, str], Any]  # what a stage is, or was when it ran: values and hashes by path


@dataclass(frozen=True)
class Problem:
    """One way in which dvc.lock disagrees with the tree.

    Attributes:
        stage: The stage concerned; empty for dvc.lock as a whole.
        kind: What disagrees; `entry` is all that dvc.lock says of a stage.
        path: The file concerned; parameters have their key after a colon.
        expected: What dvc.lock holds if it belongs to the tree.
        found: What it holds.
        message: The disagreement in words.
        fix: What mends it.
    """

    stage: str
    kind: Kind
    path: str
    expected: Any
    found: Any
    message: str
    fix: str = RERUN


def check(root: Path = Path()) -> list[Problem]:
    """Hold dvc.lock against the tree as `_check` does, whatever state the files are in."""
    try:
        return _check(root)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise UserError(
            f"{PIPELINE}, {LOCK} or a .dvc file is damaged ({error}); restore it from git, or run `make repro`"
        ) from None


def _check(root: Path) -> list[Problem]:
    """Hold dvc.lock against dvc.yaml, the parameters, the code and the `.dvc` files that git tracks.

    Args:
        root: The top of the project.

    Raises:
        UserError: It cannot be told from git alone: a file is unreadable or not in git, a stage is a template, or it
            depends on something whose hash is not in git.
    """
    tree = GitTree(root)
    if not (root / PIPELINE).exists():
        raise UserError(f"{PIPELINE}: no such file; run from the folder of a project")
    if is_empty(root):  # a review stops a branch that has emptied it
        return []
    stages = _stages(tree, PIPELINE)
    if not (root / LOCK).exists():
        return [Problem("", "entry", LOCK, None, ABSENT, "missing: the pipeline has not been run")]
    schema = tree.mapping(LOCK).get("schema", SCHEMA)
    if schema != SCHEMA:
        raise UserError(f"{LOCK}: has schema {schema!r}, only {SCHEMA!r} is known; delete it, then run `make repro`")
    entries = _stages(tree, LOCK)
    found = {name: _found(stage, entries.get(name, {})) for name, stage in stages.items()}
    pinned = _pinned(tree)
    for name, stage in stages.items():
        pinned |= {_at(stage, out): found[name].get(("output", _at(stage, out))) for out, _ in _outs(stage)}
    problems = []
    for name, stage in stages.items():
        if name not in entries:
            problems.append(Problem(name, "entry", LOCK, None, ABSENT, "has not been run"))
        else:
            expected = _expected(name, stage, found[name], tree, pinned)
            problems += _compare(name, expected, found[name], frozen=stage.get("frozen", False))
    fix = f"delete its entry from {LOCK}"
    gone = [name for name in entries if name not in stages]
    return problems + [Problem(n, "entry", LOCK, ABSENT, None, f"is no longer in {PIPELINE}", fix) for n in gone]


def report(problems: list[Problem]) -> str:
    """Say it to people: one line for each stale stage, with the reasons and what mends it."""
    lines = []
    for stage in dict.fromkeys(problem.stage for problem in problems):
        own = [problem for problem in problems if problem.stage == stage]
        # A run renews the stage's whole entry, so where one reason makes DVC run it, that mends the others too.
        fix = next((problem.fix for problem in own if problem.fix == RERUN), own[0].fix)
        lines.append(f"{stage or LOCK}: {'; '.join(problem.message for problem in own)} -> {fix}")
    if any(RERUN in problem.fix for problem in problems):
        lines.append(f"(then commit {LOCK} and reports/)")
    honest = "there is no data yet, and nothing to prove" if is_empty() else f"{LOCK} belongs to this tree"
    return "\n".join(lines) or honest


def _stages(tree: GitTree, path: str) -> dict[str, dict[str, Any]]:
    stages = tree.mapping(path).get("stages") or {}
    for name, stage in stages.items():
        if not isinstance(stage, dict):
            raise UserError(f"{path}: stage {name!r} is not a mapping")
        template = {"foreach", "matrix", "vars"} & stage.keys() or "${" in json.dumps(stage, default=str)
        if path == PIPELINE and template:
            raise UserError(f"{path}: stage {name!r} is a template (foreach, matrix, vars or ${{...}}); write it out")
    return stages


def _pinned(tree: GitTree) -> dict[str, str | None]:
    """What `.dvc` files pin: hash by path."""
    pinned: dict[str, str | None] = {}
    for file in sorted(path for path in tree.tracked if path.endswith(".dvc")):
        content = tree.mapping(file)
        folder = join(str(Path(file).parent), content.get("wdir") or ".")
        pinned |= {normpath(join(folder, out["path"])): _md5(out, file) for out in content.get("outs") or ()}
    return pinned


def _found(stage: Mapping[str, Any], entry: Mapping[str, Any]) -> Facts:
    """What dvc.lock says of a stage."""
    facts: Facts = {("command", PIPELINE): entry.get("cmd")}
    for file, values in (entry.get("params") or {}).items():
        facts |= {("parameter", f"{_at(stage, file)}:{key}"): value for key, value in values.items()}
    facts |= {("dependency", _at(stage, item["path"])): _md5(item, LOCK) for item in entry.get("deps") or ()}
    facts |= {("output", _at(stage, item["path"])): _md5(item, LOCK) for item in entry.get("outs") or ()}
    return facts


def _expected(
    name: str, stage: Mapping[str, Any], found: Facts, tree: GitTree, pinned: Mapping[str, str | None]
) -> Facts:
    """What dvc.lock says of a stage if it belongs to the tree."""
    facts: Facts = {("command", PIPELINE): stage.get("cmd")}
    for file, keys in _parameters(stage):
        path = _at(stage, file)
        content = tree.mapping(path)
        facts |= {("parameter", f"{path}:{key}"): _lookup(content, key) for key in keys or content}
    for dependency in stage.get("deps") or ():
        path = _at(stage, dependency)
        _refuse_unprovable(f"{PIPELINE}: stage {name!r}: dependency {dependency!r}", path, tree, pinned)
        # The output of a stage that was never run is that stage's problem.
        facts["dependency", path] = (
            (pinned[path] or found.get(("dependency", path))) if path in pinned else tree.hash(path)
        )
    for out, cached in _outs(stage):
        path = _at(stage, out)
        elsewhere = cached or (path not in tree.tracked and tree.is_ignored(path))
        facts["output", path] = found.get(("output", path)) if elsewhere else tree.hash(path)
    return facts


def _compare(name: str, expected: Facts, found: Facts, *, frozen: bool) -> Iterator[Problem]:
    rerun = f"uv run dvc unfreeze {name} && {RERUN}" if frozen else RERUN
    for (kind, path), value in expected.items():
        was, fix = found.get((kind, path), ABSENT), rerun
        if kind == "parameter":
            message = "; ".join(_differences(path, value, was))
        elif kind == "command":
            message = "the command changed"
        elif was == ABSENT:
            message = f"{path} is a new {kind}"
        elif value is None:
            message, fix = f"{path} is not in git", f"git add {path}"
        else:
            message = f"{path} changed" if kind == "dependency" else f"{path} is not what the run wrote"
        if value != was:
            yield Problem(name, kind, path, value, was, message, fix)
    for (kind, path), was in found.items():
        if (kind, path) not in expected:
            # DVC takes such a stage for unchanged: only force renews its entry.
            message = f"{kind} {path} is no longer in {PIPELINE}"
            yield Problem(name, kind, path, ABSENT, was, message, f'{RERUN} ARGS="--force {name}"')


def _at(stage: Mapping[str, Any], path: str) -> str:
    return normpath(join(stage.get("wdir") or ".", path))


def _md5(item: Mapping[str, Any], file: str) -> str:
    if item.get("hash") != "md5" or "md5" not in item:
        raise UserError(
            f"{file}: {item['path']} has no MD5 as DVC 3 writes it; run `make data`, or `make repro ARGS=--force`"
        )
    return str(item["md5"])


def _parameters(stage: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Files and the keys of theirs that a stage names; no key stands for the whole file."""
    named: dict[str, list[str]] = {}
    for item in stage.get("params") or ():
        for file, keys in item.items() if isinstance(item, dict) else [("params.yaml", [item])]:
            before = named.get(file)
            named[file] = [*(before or ()), *keys] if keys and before != [] else []
    return list(named.items())


def _lookup(content: Any, key: str) -> Any:
    for step in key.split("."):
        if isinstance(content, list):
            content = {str(index): value for index, value in enumerate(content)}
        if not isinstance(content, dict) or step not in content:
            return ABSENT
        content = content[step]
    return content


def _outs(stage: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """The outputs a stage declares, and whether DVC keeps each in its cache."""
    items = [item for key in ("outs", "metrics", "plots") for item in stage.get(key) or ()]
    flat = [pair for item in items for pair in (item.items() if isinstance(item, dict) else [(item, {})])]
    return [(path, options.get("cache", True) if isinstance(options, dict) else True) for path, options in flat]


def _refuse_unprovable(where: str, path: str, tree: GitTree, pinned: Iterable[str]) -> None:
    if ":/" in path or path.startswith(("/", "..")):
        raise UserError(f"{where} is outside of the project; git cannot tell whether it changed")
    for out in pinned:
        if path.startswith(f"{out}/") and tree.hash(path) is None:
            raise UserError(f"{where} is a part of {out!r}, of which git has one hash only; depend on all of it")
        if out.startswith(f"{path}/") and tree.hash(out) is None:
            raise UserError(f"{where} holds {out!r}, which is not in git; depend on its parts")


def _differences(path: str, value: Any, was: Any) -> Iterator[str]:
    if isinstance(value, dict) and isinstance(was, dict):
        for key in [*value, *(key for key in was if key not in value)]:
            yield from _differences(f"{path}.{key}", value.get(key, ABSENT), was.get(key, ABSENT))
    elif value != was:
        yield f"{path} is {_short(value)}, the run had {_short(was)}"


def _short(value: Any) -> str:
    text = value if value == ABSENT else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
