"""A project whose releases really serve, a machine that runs them, and requests that come all the time."""

import http.client
import io
import json
import os
import shutil
import socket
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import randint

import pytest
from callers import Callers, version_of
from helpers import ROOT, git, made_once, slipway
from images import need_skopeo, registry, tiny_image
from test_container import why_not
from test_release import Project

from slipway.delivery.deploy import follow as following
from slipway.delivery.deploy.compose import FILES, RULES, compose_command
from slipway.delivery.deploy.follow import Wishes, end, follow
from slipway.delivery.deploy.state import Kind
from slipway.delivery.image.bento import assemble, build_bento
from slipway.delivery.image.build import OCI, OWN
from slipway.delivery.image.engine import find_engine
from slipway.delivery.release.promote import propose_promotion, push_now
from slipway.delivery.release.registry import Registry, Stored
from slipway.delivery.release.release import release
from slipway.delivery.ship import ship
from slipway.service.release import example, load_golden
from slipway.signature import load_signature

__all__ = ["registry"]  # a fixture
# Debian's own, for what a registry would have.
TOOLS = """\
FROM {base} AS tools
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends haproxy prometheus prometheus-alertmanager \\
    && mkdir -p /prometheus && chown nobody /prometheus /var/lib/prometheus

FROM tools AS gateway
USER haproxy

FROM tools AS prometheus
USER nobody
ENTRYPOINT ["prometheus"]

FROM tools AS alertmanager
RUN mkdir -p /alertmanager && chown nobody /alertmanager
USER nobody
ENTRYPOINT ["prometheus-alertmanager"]

FROM tools AS idle
ENTRYPOINT ["sleep", "600"]
"""
HARM = b"what no test has asked"
IMAGES = ("gateway", "prometheus", "alertmanager", "idle")
MODEL = """\
FROM {image}
USER 0
RUN rm -rf /app/bento
COPY bento /app/bento
RUN chmod -R a+rX /app/bento
USER 10001:10001
LABEL org.opencontainers.image.revision={commit} slipway.verdict=pass
"""


@pytest.fixture(scope="session")
def bento(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Bento of the demo's model."""

    def make(folder: Path) -> None:
        root, before = folder / "project", Path.cwd()
        shutil.copytree(ran, root, symlinks=True)
        os.chdir(root)
        try:
            ship()
            assemble(Path("artifacts/release"), folder / "context")
            made = build_bento(folder / "context", "model-service", "1", "2026-01-01T00:00:00+00:00")
        finally:
            os.chdir(before)
        shutil.copytree(root / made, folder / "bento")

    return made_once(tmp_path_factory, "bento", make) / "bento"


@pytest.fixture(scope="session")
def images(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An image of the demo's model, and those of what runs around it."""
    if reason := why_not():
        pytest.skip(f"no image is built here: {reason}")
    if compose_command() is None:
        pytest.skip("Docker Compose 2 is not here")
    engine = find_engine("docker", runs=True)

    def make(folder: Path) -> None:
        shutil.copytree(ran, folder / "project", symlinks=True)
        done = slipway(folder / "project", "image")
        assert done.returncode == 0, done.stderr
        engine.call("tag", _built(folder), f"slipway-site:{_own(folder)}", problem="tag")
        base = os.environ.get("SLIPWAY_IMAGE_BASE", "debian:bookworm-slim")
        (folder / "tools").mkdir()
        (folder / "tools/Dockerfile").write_text(TOOLS.format(base=base))
        for name in IMAGES:
            build = [
                "build",
                "--quiet",
                "--network",
                "host",
                "--target",
                name,
                "--tag",
                f"slipway-{name}:{_own(folder)}",
            ]
            engine.call(*build, str(folder / "tools"), problem=f"the image of {name} cannot be built")

    folder = made_once(tmp_path_factory, "site", make)
    return {name: f"slipway-{name}:{_own(folder)}" for name in ("site", *IMAGES)}


def _built(folder: Path) -> str:
    return str(json.loads((folder / "project/artifacts/image.json").read_text())["image"])


def _own(folder: Path) -> str:
    return f"{folder.parent.name}".lower()


class Site:
    """A project whose releases have images that really serve, and a machine that runs them as processes."""

    kind: Kind = "processes"

    def __init__(self, folder: Path, bento: Path) -> None:
        self.project, self.folder, self._bento = Project(folder), folder, bento
        self.port, self.said = self._free(), list[str]()
        self.project.merge("leave alone what a machine keeps", **{".gitignore": ".deploy/\n"})

    @staticmethod
    def _free() -> int:
        """A port with three free ones above it, below those that the kernel gives to who asks."""
        return next(
            port for port in iter(lambda: randint(20_000, 32_000), 0) if all(_is_free(port + k) for k in range(4))
        )

    def merge(self, spoil: Callable[[Path], None] = lambda _: None) -> tuple[Registry, Stored]:
        """Merge a change, and give the image of it."""
        commit = self.project.merge("a change")
        own = self.folder / "content" / "app/bento"
        shutil.rmtree(self.folder / "content", ignore_errors=True)
        shutil.copytree(self._bento, own)
        about = own / "src/release/release.json"
        content = json.loads(about.read_text()) | {"version": commit[:12], "commit": commit, "dirty": False}
        about.write_text(json.dumps(content))
        spoil(own / "src")
        return self._stored(commit)

    def release(self, spoil: Callable[[Path], None] = lambda _: None) -> str:
        """Merge, release and promote; the digest."""
        registry, stored = self.merge(spoil)
        release(registry, stored)
        push_now(propose_promotion("staging", "production", "main"), "main")
        return stored.digest

    def _stored(self, commit: str) -> tuple[Registry, Stored]:
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            tar.add(self.folder / "content/app", "app")
        labels = {f"{OCI}.revision": commit, f"{OWN}.verdict": "pass"}
        folder = self.folder / "images"
        digest = tiny_image(folder, commit[:12], labels, layer=layer.getvalue())
        return Registry(str(folder), folder=True), Stored(digest, labels)

    def deploy(self, environment: str = "production", harmed_when: str | None = None, **wished: object) -> int:
        """Deploy; the fault of a release begins as soon as that is said."""
        self.said.clear()

        def hear(text: str) -> None:
            self.said.append(text)
            if harmed_when is not None and text.endswith(harmed_when):
                self.harm()

        return follow(self.wishes(environment, **wished), hear)

    def wishes(self, environment: str = "production", **wished: object) -> Wishes:
        usual: dict[str, object] = {"patience": 60, "observe": 1.0, "watch": 0, "retry": False, "revert": False}
        fixed = {"environment": environment, "to": self.kind, "branch": "main", "host": "127.0.0.1", "port": self.port}
        return Wishes(**{"monitoring": False, **usual, **fixed, **wished})  # type: ignore[arg-type]

    def ask(self) -> str:
        """The version that answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("POST", "/predict", self.request, {"Content-Type": "application/json"})
        return version_of(connection)

    def load(self) -> Callers:
        """Callers that ask all the time."""
        return Callers(self.port, self.request)

    def harm(self) -> None:
        """Have the fault of the second release begin, and wait until it has."""
        for _ in range(200):
            connection = http.client.HTTPConnection("127.0.0.1", self.port + 2, timeout=20)
            try:
                connection.request("POST", "/predict", HARM, {"Content-Type": "application/json"})
                if connection.getresponse().read() == HARM:
                    return
            except (OSError, http.client.HTTPException):  # it crashes
                return
            time.sleep(0.05)  # it has too much in work to hear of it
        raise AssertionError("the release takes no harm")

    @property
    def request(self) -> bytes:
        model = self._bento / "src/release/model"
        return json.dumps([example(load_signature(model), load_golden(model))]).encode()

    def version(self, name: str) -> str:
        return git(self.project.origin, "rev-parse", f"{name}^{{commit}}~1").strip()[:12]

    def close(self) -> None:
        for home in following.HOME.glob("*"):
            end(home.name, print)


class ContainerSite(Site):
    """The same with containers, out of a registry."""

    kind: Kind = "compose"

    def __init__(self, folder: Path, bento: Path, registry: str, images: dict[str, str]) -> None:
        super().__init__(folder, bento)
        self.registry, self._images = Registry(f"{registry}/owner/model"), images
        shutil.copytree(ROOT / FILES, self.project.work / FILES)
        (self.project.work / RULES).parent.mkdir(parents=True)
        shutil.copy(ROOT / RULES, self.project.work / RULES)
        self.project.merge("files for Compose")

    def _stored(self, commit: str) -> tuple[Registry, Stored]:
        engine, context = find_engine("docker", runs=True), self.folder / "content/app"
        (context / "Dockerfile").write_text(MODEL.format(image=self._images["site"], commit=commit))
        name = f"slipway-site-{self.port}:{commit[:12]}"
        engine.call("build", "--quiet", "--tag", name, str(context), problem="the image cannot be built")
        digest = self.registry.push(engine, name, commit[:12])
        engine.quietly("image", "rm", name)
        return self.registry, Stored(digest, {f"{OCI}.revision": commit, f"{OWN}.verdict": "pass"})


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture
def site(
    request: pytest.FixtureRequest, bento: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """A site of processes, or of containers where the test asks for it by `containers`."""
    need_skopeo()
    if getattr(request, "param", None) == "compose":
        images = request.getfixturevalue("images")
        monkeypatch.setenv("GATEWAY_IMAGE", images["gateway"])
        made: Site = ContainerSite(tmp_path, bento, request.getfixturevalue("registry"), images)
    elif shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("haproxy is not installed")
    else:
        (tmp_path / "a site").mkdir()
        made = Site(tmp_path / "a site", bento)
    monkeypatch.chdir(made.project.work)
    yield made
    made.close()
