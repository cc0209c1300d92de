"""What git says runs in an environment: the image's digest in a file of its folder, its lineage in another."""

from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from slipway import layout
from slipway.delivery.release.lineage import LINEAGE, NOTHING, Lineage, read_lineage
from slipway.errors import UserError
from slipway.files import write_text

KUSTOMIZATION, OVERLAYS, PLACES = layout.KUSTOMIZATION, layout.OVERLAYS, layout.ENVIRONMENTS
IMAGE = "model"  # what the base calls it
ANNOTATION = "slipway.dev"


def environments(root: Path = Path()) -> list[str]:
    """The environments that a tree has."""
    return sorted(path.parent.name for place, file in PLACES.items() for path in (root / place).glob(f"*/{file}"))


def file_of(environment: str, root: Path = Path()) -> Path:
    """The file that names the image of an environment.

    Raises:
        UserError: There is none of this name.
    """
    known = environments(root)
    if environment not in known:
        raise UserError(f"{environment!r} is no environment; deploy/ has {', '.join(known) or 'none'}")
    files = [place / environment / file for place, file in PLACES.items()]
    return next(file for file in files if (root / file).exists())


def folder_of(environment: str, root: Path = Path()) -> Path:
    """The folder of an environment.

    Raises:
        UserError: There is none of this name.
    """
    return file_of(environment, root).parent


def deployed(environment: str, root: Path = Path()) -> Lineage | None:
    """What a tree says runs in an environment; None if nothing has been released there.

    Raises:
        UserError: There is no such environment, or its two files tell different stories.
    """
    file = file_of(environment, root)
    folder = file.parent
    image = _image(_load(root, file), file)
    digest, path = image.get("digest"), root / folder / LINEAGE
    if digest in {None, NOTHING} and not path.exists():
        return None
    found = read_lineage(path.read_bytes(), str(folder / LINEAGE)) if path.exists() else None
    if found is None or (found.image, found.digest) != (image.get("newName"), digest):
        raise UserError(
            f"{folder}: {file.name} has {str(digest)[:19]}, {LINEAGE} "
            f"{found.digest[:19] if found else 'is missing'}; `git log -- {folder}` tells who changed one of them alone"
        )
    return found


def deploy(environment: str, lineage: Lineage, root: Path) -> None:
    """Have a tree say that a release runs in an environment.

    Raises:
        UserError: There is no such environment, or the file that names its image is none of ours.
    """
    file = file_of(environment, root)
    content = _load(root, file)
    image = _image(content, file)
    image.pop("newTag", None)
    image |= {"newName": lineage.image, "digest": lineage.digest}
    if file.name == KUSTOMIZATION:
        _annotate(content, lineage)
    text = StringIO()
    _yaml().dump(content, text)
    write_text(root / file, text.getvalue())
    write_text(root / file.parent / LINEAGE, lineage.text())


def _annotate(content: Any, lineage: Lineage) -> None:
    facts = {"commit": lineage.commit, "data": lineage.data, "lock": lineage.lock, "verdict": lineage.verdict}
    noted = {f"{ANNOTATION}/{name}": text for name, text in facts.items() if text}
    others = {name: text for name, text in (content.get("commonAnnotations") or {}).items() if _is_foreign(name)}
    content["commonAnnotations"] = {**others, f"{ANNOTATION}/release": lineage.name, **noted}


def _is_foreign(name: str) -> bool:
    return not name.startswith(f"{ANNOTATION}/")


def _yaml() -> YAML:
    yaml = YAML()
    yaml.width = 10_000  # a line stays a line
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _load(root: Path, file: Path) -> Any:
    try:
        return _yaml().load((root / file).read_text(encoding="utf-8"))
    except (OSError, YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({type(error).__name__})") from None


def _image(content: Any, file: Path) -> Any:
    try:
        (found,) = [entry for entry in content["images"] if entry["name"] == IMAGE]
    except (LookupError, TypeError, ValueError):
        raise UserError(f"{file}: has no entry, or several, named {IMAGE} under images") from None
    return found
