"""Where images go: a registry, or a folder in OCI's layout; both through skopeo, which asks for no daemon."""

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from slipway.delivery.git import do
from slipway.delivery.image.engine import Engine
from slipway.delivery.release.lineage import DIGEST
from slipway.errors import UserError
from slipway.files import console

SOURCES = {"docker": "docker-daemon:", "podman": "containers-storage:", "buildah": "containers-storage:"}
ABSENT = re.compile(
    r"manifest unknown|name unknown|not known to registry|no descriptor found|no such file|404 \(?Not Found",
    re.IGNORECASE,
)
LOOPBACK = re.compile(r"^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:|/|$)")


@dataclass(frozen=True)
class Stored:
    """An image in a registry: its digest and labels."""

    digest: str
    labels: dict[str, str]


@dataclass(frozen=True)
class Registry:
    """One place for one image.

    Attributes:
        name: The image's name with its registry, without tag; of a folder, its path.
        folder: Whether it is a folder.
    """

    name: str
    folder: bool = False

    def find(self, version: str) -> Stored | None:
        """The image of a version, or of a digest; None if it is not there.

        Raises:
            UserError: The registry does not answer, or refuses.
        """
        if self.folder and not (Path(self.name) / "index.json").exists():
            return None
        done = do([_skopeo(), "inspect", *self._insecure("--tls-verify"), self._address(version)])
        if done.returncode:
            if ABSENT.search(done.stderr):
                return None
            raise UserError(f"{self.name}: cannot be asked for {version}: {_told(done.stderr)}")
        try:
            found = json.loads(done.stdout)
            return Stored(str(found["Digest"]), dict(found["Labels"] or {}))
        except (ValueError, LookupError, TypeError):
            raise UserError(f"{self.name}: what it says of {version} is no image") from None

    def push(self, engine: Engine, image: str, version: str) -> str:
        """Put an image of this machine there, and give its digest, as the registry has it.

        Raises:
            UserError: It cannot be pushed, or is not what was pushed when asked for again.
        """
        with TemporaryDirectory(prefix="slipway-") as scratch, console().status(f"pushing {self.name}:{version}"):
            noted = Path(scratch) / "digest"
            if self.folder:
                Path(self.name).parent.mkdir(parents=True, exist_ok=True)
            copy = [_skopeo(), "copy", "--quiet", "--digestfile", str(noted), *self._insecure("--dest-tls-verify")]
            done = do([*copy, f"{SOURCES[engine.name]}{image}", self._address(version)])
            if done.returncode:
                raise UserError(f"{self.name}: cannot be pushed to: {_told(done.stderr)}; run it again")
            digest = noted.read_text(encoding="utf-8").strip()
        found = self.find(version)
        if found is None or found.digest != digest:
            raise UserError(
                f"{self.name}:{version}: is not the {digest[:19]} that was pushed; somebody else pushes there"
            )
        return digest

    def copy_to(self, version: str, digest: str, folder: Path) -> None:
        """Copy an image into a folder in OCI's layout; it is the digest's, whatever else has its version now.

        Raises:
            UserError: It is not there, or cannot be copied.
        """
        source = self._address(version if self.folder else digest)
        copy = [_skopeo(), "copy", "--quiet", *self._insecure("--src-tls-verify"), source, f"oci:{folder}:image"]
        found = self.find(version if self.folder else digest)
        if found is None or found.digest != digest:
            raise UserError(f"{self.name}: does not have {digest[:19]}, which git names")
        done = do(copy)
        if done.returncode:
            raise UserError(f"{self.name}: {digest[:19]} cannot be pulled: {_told(done.stderr)}")

    def _address(self, version: str) -> str:
        if self.folder:
            return f"oci:{self.name}:{version}"
        return f"docker://{self.name}{'@' if DIGEST.fullmatch(version) else ':'}{version}"

    def _insecure(self, option: str) -> list[str]:
        return [f"{option}=false"] if LOOPBACK.match(self.name) and not self.folder else []


def registry_of(to: str | None, name: str) -> Registry:
    """Where images go.

    Args:
        to: What was asked for: an image's name with its registry, or `oci:FOLDER`; None leaves it to the settings.
        name: `image.name` of the settings. Without a registry in it, and in GitHub Actions, it is GitHub's.

    Raises:
        UserError: Nothing says where.
    """
    if to and to.startswith("oci:"):
        return Registry(str(Path(to.removeprefix("oci:")).resolve()), folder=True)
    wanted = (to or name).removeprefix("docker://")
    host, _, rest = wanted.partition("/")
    if rest and ("." in host or ":" in host or host == "localhost"):
        return Registry(wanted)
    repository = os.environ.get("GITHUB_REPOSITORY")
    if to is None and repository:
        return Registry(f"ghcr.io/{repository.lower()}")
    raise UserError(
        f"{wanted!r} names no registry; say --to REGISTRY/NAME or --to oci:FOLDER, or set image.name in params.yaml"
    )


def registry_of_image(image: str) -> Registry:
    """Where a released image is; a folder is known by its path from the root."""
    return Registry(image, folder=image.startswith("/"))


def _skopeo() -> str:
    found = shutil.which("skopeo")
    if found is None:
        raise UserError("skopeo is missing; install it (Debian and Ubuntu: `apt install skopeo`; brew install skopeo)")
    return found


def _told(log: str) -> str:
    """The end of the last message in skopeo's log."""
    lines = log.strip().splitlines() or ["it said nothing"]
    found = re.search(r'msg="(.*)"$', lines[-1])
    return (found[1] if found else lines[-1]).replace('\\"', '"')[-200:]
