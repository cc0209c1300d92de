"""Getting a service out of its image, where no engine is to run it: the Bento's folder, layer by layer."""

import json
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from slipway.delivery.image.files import BENTO
from slipway.delivery.release.lineage import Lineage
from slipway.delivery.release.registry import registry_of_image
from slipway.errors import UserError
from slipway.files import scratch_folder

REMOVED = ".wh."  # what the name of a file that a layer removes begins with


def unpack(lineage: Lineage, folder: Path) -> Path:
    """Put what a release's image serves into a folder, and give the Bento's.

    Args:
        lineage: The release.
        folder: Where to; what is there goes.

    Raises:
        UserError: The image is not where git says, or holds no Bento.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with scratch_folder(folder.parent) as scratch:
        image = scratch / "image"
        registry_of_image(lineage.image).copy_to(lineage.version, lineage.digest, image)
        index = json.loads((image / "index.json").read_bytes())
        manifest = _blob(image, index["manifests"][0]["digest"])
        for layer in json.loads(manifest.read_bytes())["layers"]:
            _apply(_blob(image, layer["digest"]), folder)
    bento = folder / BENTO
    if not (bento / "bento.yaml").is_file():
        raise UserError(f"{lineage.image}@{lineage.digest[:19]}: holds no Bento in /{BENTO}")
    return bento


def _blob(image: Path, digest: str) -> Path:
    return image / "blobs" / Path(*digest.split(":"))


def _apply(layer: Path, folder: Path) -> None:
    """Extract what a layer has of the Bento, and nothing outside of it."""
    with tarfile.open(layer, mode="r:*") as tar:
        for member in tar:
            path = PurePosixPath(member.name.removeprefix("./"))
            if not path.is_relative_to(BENTO):
                continue
            if path.name.startswith(REMOVED):
                gone = folder / path.parent / path.name.removeprefix(REMOVED)
                shutil.rmtree(gone) if gone.is_dir() else gone.unlink(missing_ok=True)
                continue
            member.name = path.as_posix()
            tar.extract(member, folder, filter="data")
