"""Fitted pipelines as skops files: no pickle, the same bytes for the same pipeline, and only types that are trusted."""

import io
import zipfile
from collections.abc import Sequence
from typing import Any

import skops.io

from slipway import layout
from slipway.errors import UserError

TRUSTED_PACKAGES = {"sklearn", "numpy", "scipy", "model"}


def pipeline_bytes(pipeline: Any) -> bytes:
    """The pipeline as a skops file without time stamps, so that its hash says whether the model changed."""
    packed, out = io.BytesIO(skops.io.dumps(pipeline)), io.BytesIO()
    with zipfile.ZipFile(packed) as source, zipfile.ZipFile(out, "w") as target:
        for name in sorted(source.namelist()):
            target.writestr(zipfile.ZipInfo(name), source.read(name), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def types_in(content: bytes) -> tuple[str, ...]:
    """The types in a skops file that skops does not trust by itself."""
    return tuple(sorted(skops.io.get_untrusted_types(data=content)))


def load_pipeline(content: bytes, trusted: Sequence[str] = ()) -> Any:
    """Load a skops file, creating nothing but types of the trusted packages and those named.

    Raises:
        UserError: It holds another type.
    """
    found = types_in(content)
    foreign = [name for name in found if name.split(".")[0] not in TRUSTED_PACKAGES and name not in trusted]
    if foreign:
        raise UserError(
            f"{layout.TRAINED}/pipeline.skops: holds types that are not trusted: {', '.join(foreign[:3])}; "
            f"if they are yours, name them under export.trusted in {layout.PARAMS}"
        )
    return skops.io.loads(content, trusted=list(found))
