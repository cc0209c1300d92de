"""Fitted pipelines as skops files: no pickle, the same bytes for the same pipeline, and only types that are trusted."""

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import skops.io

from slipway import layout
from slipway.errors import UserError

TRUSTED = {"numpy.dtype"}
TRUSTED_PACKAGES = {"sklearn", "model"}


def pipeline_bytes(pipeline: Any) -> bytes:
    """The pipeline as a skops file whose hash says whether the model changed: no time stamps, no memory addresses."""
    packed, out = io.BytesIO(skops.io.dumps(pipeline)), io.BytesIO()
    with zipfile.ZipFile(packed) as source, zipfile.ZipFile(out, "w") as target:
        tree, numbers = json.loads(source.read("schema.json")), dict[int, int]()
        files = dict(_renumbered(tree, numbers))
        contents = {files[name]: source.read(name) for name in source.namelist() if name in files}
        for name, content in [("schema.json", json.dumps(tree).encode()), *sorted(contents.items())]:
            target.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _renumbered(node: Any, numbers: dict[int, int]) -> Iterator[tuple[str, str]]:
    """Number the objects and files that skops names by address in the order of the tree; yields old and new files."""
    if isinstance(node, dict):
        if isinstance(node.get("__id__"), int):
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers))
        if isinstance(file := node.get("file"), str):
            stem, dot, suffix = file.partition(".")
            node["file"] = f"{numbers.setdefault(int(stem), len(numbers))}{dot}{suffix}" if stem.isdigit() else file
            yield file, node["file"]
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _renumbered(child, numbers)


def types_in(content: bytes) -> tuple[str, ...]:
    """The types in a skops file that skops does not trust by itself.

    Raises:
        UserError: It is no skops file.
    """
    try:
        return tuple(sorted(skops.io.get_untrusted_types(data=content)))
    except Exception as error:  # of a damaged file: whatever zipfile, json or skops stumbles over
        raise UserError(f"not a skops file ({type(error).__name__}); run `make repro`") from None


def load_pipeline(content: bytes, trusted: Sequence[str] = ()) -> Any:
    """Load a skops file, creating nothing but types of scikit-learn, of `src/model`, and those named.

    Raises:
        UserError: It holds another type, or is no skops file.
    """
    found, known = types_in(content), TRUSTED | set(trusted)
    foreign = [name for name in found if name not in known and not _own_class(name)]
    if foreign:
        raise UserError(
            f"the model file holds types that are not trusted: {', '.join(foreign[:3])}; "
            f"if they are yours, name them under export.trusted in {layout.PARAMS}"
        )
    try:
        return skops.io.loads(content, trusted=list(found))
    except Exception as error:  # of a file that was tampered with
        raise UserError(f"the model file cannot be loaded ({type(error).__name__}); run `make repro`") from None


def _own_class(name: str) -> bool:
    """Whether a name is a class that scikit-learn or the project defines.

    Not their functions, nor what their modules import: `sklearn.utils._testing.check_output` is subprocess's.
    """
    module, _, attribute = name.rpartition(".")
    if module.split(".")[0] not in TRUSTED_PACKAGES:
        return False
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError):
        return False
    return isinstance(found, type) and found.__module__.split(".")[0] in TRUSTED_PACKAGES
