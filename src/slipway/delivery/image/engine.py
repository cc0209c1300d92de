"""What builds and runs images: docker, podman or buildah, whichever is here, through the commands that they share."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from slipway.errors import UserError
from slipway.files import console, printable

ENGINES = ("docker", "podman", "buildah")
INSTALL = "install docker (Debian and Ubuntu: `apt install docker.io`) or podman, which needs no daemon"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True)
class ImageFacts:
    """What an engine says of an image.

    Attributes:
        id: The digest of its configuration.
        digest: The digest that a registry knows it by; its id if no registry gave or took it.
        bytes: Its size, all layers together, not compressed; None if the engine does not say.
        labels: Its labels.
        user: As whom it runs; empty for root.
        healthcheck: The command, without `CMD`; empty if there is none.
        environment: Its variables, as `NAME=value`.
    """

    id: str
    digest: str
    bytes: int | None
    labels: dict[str, str]
    user: str
    healthcheck: tuple[str, ...]
    environment: tuple[str, ...]


class Engine:
    """One of the engines, by its command line.

    Args:
        name: One of `ENGINES`.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def call(self, *words: str, problem: str, errors: bool = False) -> str:
        """Run a command and give what it says, with what it says on standard error if `errors`.

        Raises:
            UserError: It failed; the message is `problem` and the command's last line.
        """
        done = self._try(*words)
        if done.returncode:
            raise UserError(f"{problem}: {_last(done.stderr or done.stdout)}")
        return done.stdout + (done.stderr if errors else "")

    def quietly(self, *words: str) -> None:
        """Run a command whose failure matters to nobody, such as removing what may be gone."""
        self._try(*words)

    def _try(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [self.name, *words]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603

    def find(self, image: str) -> ImageFacts | None:
        """Look at an image on this machine; None if it is not here."""
        buildah = self.name == "buildah"
        done = self._try(*(("inspect", "--type", "image") if buildah else ("image", "inspect")), image)
        if done.returncode:
            return None
        found = json.loads(done.stdout)
        return _facts_of_buildah(found) if buildah else _facts(found[0])

    def facts(self, image: str) -> ImageFacts:
        """Look at an image on this machine.

        Raises:
            UserError: It is not here.
        """
        found = self.find(image)
        if found is None:
            raise UserError(f"{self.name} has no image {image}; run `make image`")
        return found

    def fetch(self, image: str) -> ImageFacts:
        """Look at an image, and pull it first if it is not on this machine.

        Raises:
            UserError: It is nowhere.
        """
        if (found := self.find(image)) is None:
            with console().status(f"pulling {image}"):
                self.call(
                    "pull",
                    "--quiet",
                    image,
                    problem=f"the base image {image} is not here and cannot be pulled (--base, or image.base in "
                    "params.yaml, names another)",
                )
            found = self.facts(image)
        return found

    def build(
        self,
        context: Path,
        dockerfile: Path,
        tag: str,
        *,
        labels: Mapping[str, str],
        arguments: Mapping[str, str],
        log: Path,
        network: str | None = None,
        fresh: bool = False,
    ) -> None:
        """Build an image; what the engine says goes to `log`, its last line to a terminal.

        Args:
            context: The folder that the Dockerfile copies from.
            dockerfile: The recipe.
            tag: The image's name and tag.
            labels: The image's labels.
            arguments: The values of the recipe's `ARG`s.
            log: The file for all that is said.
            network: The network of the steps, such as `host`; the engine's own choice if None.
            fresh: Use no layer of an earlier build.

        Raises:
            UserError: The build failed.
        """
        words = ["build", "--file", str(dockerfile), "--tag", tag]
        words += [] if self.name == "docker" else ["--format", "docker"]  # OCI's own knows no HEALTHCHECK
        words += [f"--network={network}"] if network else []
        words += ["--no-cache"] if fresh else []
        words += [word for name in PROXIES if name in os.environ for word in ("--build-arg", name)]
        words += [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        words += [word for name, value in sorted(labels.items()) for word in ("--label", f"{name}={value}")]
        log.parent.mkdir(parents=True, exist_ok=True)
        if _run_shown([self.name, *words, str(context)], log, f"building {tag}"):
            said = log.read_text(encoding="utf-8", errors="replace")
            raise UserError(f"{tag} cannot be built: {_last(said)} (all of it is in {log})")

    @contextmanager
    def exported(self, image: str) -> Iterator[IO[bytes]]:
        """The file system of an image as a stream in tar format.

        Raises:
            UserError: No container can be made of it.
        """
        container = self.call("create", image, "true", problem=f"no container can be made of {image}").strip()
        try:
            with subprocess.Popen([self.name, "export", container], stdout=subprocess.PIPE) as process:  # noqa: S603
                assert process.stdout is not None  # noqa: S101
                yield process.stdout
                process.stdout.close()
        finally:
            self.quietly("rm", "--force", container)


def find_engine(name: str | None = None, *, runs: bool = False, patience: float | None = None) -> Engine:
    """The engine of this machine, or the one that is asked for.

    Args:
        name: One of `ENGINES`.
        runs: Whether it has to run images as well; buildah does not.
        patience: Seconds that each has to answer; as long as it takes if None.

    Raises:
        UserError: There is none, or it does not answer.
    """
    if name is not None and name not in ENGINES:
        raise UserError(f"{name!r} is no engine; choose from {', '.join(ENGINES)}")
    wanted = [name] if name else [known for known in ENGINES if shutil.which(known)]
    problems = []
    for candidate in wanted:
        if shutil.which(candidate) is None:
            problems.append(f"{candidate} is not installed")
        elif runs and candidate == "buildah":
            problems.append("buildah builds images but runs none")
        elif said := _refusal(candidate, patience):
            problems.append(said)
        else:
            return Engine(candidate)
    raise UserError(f"no container engine: {'; '.join(problems) or 'none is installed'}; {INSTALL}")


def _refusal(name: str, patience: float | None) -> str | None:
    """Why an engine that is installed cannot be used; None if it can."""
    try:
        done = subprocess.run(  # noqa: S603
            [name, "info"], capture_output=True, text=True, errors="replace", check=False, timeout=patience
        )
    except subprocess.TimeoutExpired:
        return f"{name} does not answer within {patience:g} s"
    if done.returncode == 0:
        return None
    return f"{name} does not work here ({_last(done.stderr or done.stdout)})"


def _run_shown(command: Sequence[str], log: Path, what: str) -> int:
    with (
        log.open("w", encoding="utf-8") as file,
        console().status(what) as status,
        subprocess.Popen(  # noqa: S603
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101
        for line in process.stdout:
            file.write(line)
            if line.strip():
                status.update(f"{what}: {printable(line.strip())[:100]}")
    return process.returncode


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return printable((lines or ["it said nothing"])[-1])[:200]


def _facts(found: Mapping[str, Any]) -> ImageFacts:
    config = found["Config"]
    identity = "sha256:" + found["Id"].removeprefix("sha256:")
    digests = [name.partition("@")[2] for name in found.get("RepoDigests") or ()]
    health = (config.get("Healthcheck") or found.get("HealthCheck") or found.get("Healthcheck") or {}).get("Test")
    return ImageFacts(
        id=identity,
        digest=digests[0] if digests else identity,
        bytes=int(found["Size"]),
        labels=dict(config.get("Labels") or {}),
        user=str(config.get("User") or ""),
        healthcheck=tuple(word for word in health or () if word != "CMD"),
        environment=tuple(config.get("Env") or ()),
    )


def _facts_of_buildah(found: Mapping[str, Any]) -> ImageFacts:
    config = found["Docker"]["config"]
    return ImageFacts(
        id="sha256:" + str(found["FromImageID"]),
        digest=str(found["FromImageDigest"]),
        bytes=None,
        labels=dict(config.get("Labels") or {}),
        user=str(config.get("User") or ""),
        healthcheck=tuple(word for word in (config.get("Healthcheck") or {}).get("Test") or () if word != "CMD"),
        environment=tuple(config.get("Env") or ()),
    )
